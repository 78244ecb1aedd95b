from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.ops import roi_align

from harness.measure.flops import encoder_fast_path_off, flops_by_stage
from harness.measure.stages import Mark


def test_flops_follow_the_marks_and_the_hand_formula() -> None:
    convolution = nn.Conv2d(3, 8, 3, padding=1)
    linear = nn.Linear(8, 5)
    image = torch.randn(2, 3, 16, 12)

    def arm(mark: Mark) -> torch.Tensor:
        with torch.inference_mode():
            features = convolution(image)
            mark("backbone")
            pooled = features.mean((2, 3))
            mark("pool")
            for _ in range(2):
                output: torch.Tensor = linear(pooled)
                mark("head")
            return output @ output.T

    count = flops_by_stage(arm)
    assert list(count.by_stage) == ["backbone", "pool", "head"]
    assert count.by_stage["backbone"] == 2 * (2 * 8 * 16 * 12) * (3 * 3 * 3)
    assert count.by_stage["pool"] == 0
    assert count.by_stage["head"] == 2 * (2 * 2 * 8 * 5)
    assert count.unmarked == 2 * 2 * 5 * 2
    assert count.total == sum(count.by_stage.values()) + count.unmarked
    assert count.multiply_accumulates * 2 == count.total
    assert sum(count.by_operator.values()) == count.total
    assert count.uncounted_operators == ()


@pytest.mark.parametrize("gradients", [True, False])
def test_the_encoder_fast_path_hides_nothing(gradients: bool) -> None:
    width, hidden, tokens = 32, 64, 10
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(width, 4, hidden, batch_first=True), 3, enable_nested_tensor=False
    ).eval()
    tokens_in = torch.randn(1, tokens, width)

    def arm(mark: Mark) -> None:
        with torch.set_grad_enabled(gradients):
            encoder(tokens_in)
        mark("encoder")

    linear = tokens * (4 * width * width + 2 * width * hidden)
    attention = 2 * tokens * tokens * width
    before = torch.backends.mha.get_fastpath_enabled()
    assert flops_by_stage(arm).by_stage["encoder"] == 3 * 2 * (linear + attention)
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_the_fast_path_setting_survives_an_error() -> None:
    before = torch.backends.mha.get_fastpath_enabled()

    def broken(mark: Mark) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        flops_by_stage(broken)
    assert torch.backends.mha.get_fastpath_enabled() == before
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with encoder_fast_path_off():
            pass
        assert not torch.backends.mha.get_fastpath_enabled()
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def test_operators_without_a_formula_are_named() -> None:
    features, boxes = torch.randn(1, 4, 8, 8), torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])

    def arm(mark: Mark) -> None:
        roi_align(features, boxes, 2)
        mark("align")

    count = flops_by_stage(arm)
    assert count.total == 0
    assert count.uncounted_operators == ("torchvision.roi_align",)
