"""Linear layers by oneDNN: the same outputs, only those layers, and a torch or a layer that cannot do it says so."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from baselines.errors import StructureError
from baselines.onednn_linear import OnednnLinear, use_onednn_linear

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@given(
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=3),
    inside=st.integers(1, 70),
    outside=st.integers(1, 70),
    bias=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_the_product_is_that_of_the_layer(shape: list[int], inside: int, outside: int, bias: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(inside, outside, bias=bias).double()
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    values = torch.randn(*shape, inside, generator=generator, dtype=torch.float64)
    expected = layer(values)
    # Rounded to float32 on both sides, against the product in float64.
    found = OnednnLinear(layer.float())(values.float())
    assert found.shape == expected.shape and found.dtype is torch.float32
    size = values.abs() @ layer.weight.double().abs().T + 1
    assert bool(((found - expected).abs() <= 1e-5 * size).all())


def test_what_is_no_plain_linear_layer_stays() -> None:
    attention = nn.MultiheadAttention(8, 2)  # reads the weights of a subclass of its own
    model = nn.ModuleDict({"a": nn.Linear(4, 3), "b": nn.Sequential(nn.Linear(3, 2), nn.ReLU()), "c": attention})
    assert use_onednn_linear(model) == 2
    assert isinstance(model["a"], OnednnLinear) and isinstance(model["b"][0], OnednnLinear)  # type: ignore[index]
    assert isinstance(attention.out_proj, nn.Linear)
    assert use_onednn_linear(model) == 0, "a second time there is nothing left to replace"
    assert str(model["a"]) == "OnednnLinear(in_features=4, out_features=3, bias=True)"


def test_onednn_computes_it_and_not_the_blas() -> None:
    layer = OnednnLinear(nn.Linear(64, 32))
    with torch.inference_mode(), torch.profiler.profile() as seen:
        layer(torch.ones(3, 64))
    names = {event.name for event in seen.events()}
    assert "mkldnn::_linear_pointwise" in names and not {"aten::addmm", "aten::mm"} & names


@pytest.mark.parametrize(
    ("dtype", "device"), [(torch.float64, "cpu"), (torch.bfloat16, "cpu"), (torch.float32, "meta")]
)
def test_other_numbers_and_devices_are_refused(dtype: torch.dtype, device: str) -> None:
    with pytest.raises(StructureError, match=f"not of {dtype} on {device}"):
        OnednnLinear(nn.Linear(4, 3, dtype=dtype, device=device))


def test_a_torch_without_its_operators_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baselines.onednn_linear.NEEDED", ("_linear_pointwise", "_no_such_operator"))
    with pytest.raises(StructureError, match="cannot hand linear layers to oneDNN"):
        OnednnLinear(nn.Linear(4, 3))
