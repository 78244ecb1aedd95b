"""Switches: what a block computes with, and that everything is put back after it."""

from __future__ import annotations

import pytest
import torch

from harness.measure import switches
from harness.measure.devices import HostDevice
from harness.measure.probes import matmul_probe


def onednn_now() -> bool:
    return bool(torch.backends.mkldnn.enabled)


def tf32_now() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("wanted", [True, False])
def test_onednn_is_as_asked_for_within_the_block_and_as_before_after_it(wanted: bool) -> None:
    before = onednn_now()
    with switches.onednn(wanted):
        assert onednn_now() is wanted
        with switches.onednn(not wanted):
            assert onednn_now() is not wanted
        assert onednn_now() is wanted
    assert onednn_now() is before
    with pytest.raises(ZeroDivisionError), switches.onednn(not before):
        raise ZeroDivisionError
    assert onednn_now() is before


@pytest.mark.parametrize("wanted", [True, False])
def test_tf32_is_as_asked_for_for_products_and_convolutions_alike(wanted: bool) -> None:
    before = tf32_now()
    assert before == (False, True), "torch's own: on for convolutions, off for products"
    with switches.tf32(wanted):
        assert tf32_now() == (wanted, wanted)
        with switches.tf32(not wanted):
            assert tf32_now() == (not wanted, not wanted)
        assert tf32_now() == (wanted, wanted)
    assert tf32_now() == before
    with pytest.raises(ZeroDivisionError), switches.tf32(wanted):
        raise ZeroDivisionError
    assert tf32_now() == before


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_a_convolution_is_oneDNNs_only_where_it_is_on() -> None:
    convolution, image = torch.nn.Conv2d(3, 16, 3), torch.rand(4, 3, 32, 32)

    def kernels(enabled: bool) -> set[str]:
        with switches.onednn(enabled), torch.no_grad(), torch.profiler.profile() as seen:
            convolution(image)
        return {event.key for event in seen.key_averages()}

    assert "aten::mkldnn_convolution" in kernels(True)
    assert "aten::mkldnn_convolution" not in kernels(False)


def test_the_product_named_after_tf32_is_of_float32() -> None:
    probe = matmul_probe("tf32", HostDevice(), 0.001, size=16)
    assert probe.name == "matmul tf32" and probe.measure() > 0
