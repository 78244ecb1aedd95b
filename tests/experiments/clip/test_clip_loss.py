"""The contrastive loss against open_clip's, and against Figure 3 of the paper written out in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip import ClipLoss
from torch import Tensor
from torch.nn import functional

from experiments.clip.loss import contrastive_loss

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
OPEN_CLIP: Loss = ClipLoss()


def pairs(count: int, dimension: int, seed: int = 0, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Unit vectors in float64 whose pairs are the closer the smaller the spread."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    texts = images + spread * torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    return functional.normalize(images, dim=1), functional.normalize(texts, dim=1)


def value_and_gradients(loss: Loss, images: Tensor, texts: Tensor, scale: float) -> list[Tensor]:
    """Return the value, and the gradients by images, texts and scale."""
    leaves = [images.detach().clone(), texts.detach().clone(), torch.tensor(scale, dtype=images.dtype)]
    value = loss(*(leaf.requires_grad_() for leaf in leaves))
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def figure_3(images: numpy.ndarray, texts: numpy.ndarray, scale: float) -> float:
    """The pseudo-code's lines from the logits on, each softmax by its definition."""
    logits = images @ texts.T * scale

    def cross_entropy_loss(axis: int) -> float:
        exponentials = numpy.exp(logits - logits.max(axis, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis, keepdims=True)
        return float(numpy.mean([-math.log(probabilities[i, i]) for i in range(len(logits))]))

    loss_i, loss_t = cross_entropy_loss(0), cross_entropy_loss(1)
    return (loss_i + loss_t) / 2


problems = {
    "count": st.integers(1, 40),
    "dimension": st.integers(1, 40),
    "seed": st.integers(0, 10**6),
    "spread": st.sampled_from([0.0, 0.1, 0.5, 3.0]),
    "scale": st.one_of(st.floats(1, 100), st.sampled_from([1.0, 100.0])),
}


@settings(max_examples=100)
@given(**problems)
def test_value_and_gradients_are_open_clips_in_float64(
    count: int, dimension: int, seed: int, spread: float, scale: float
) -> None:
    vectors = pairs(count, dimension, seed, spread)
    ours, theirs = (value_and_gradients(loss, *vectors, scale) for loss in (contrastive_loss, OPEN_CLIP))
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=0, atol=1e-12)


@settings(max_examples=100)
@given(**problems)
def test_value_and_gradients_are_open_clips_in_float32(
    count: int, dimension: int, seed: int, spread: float, scale: float
) -> None:
    vectors = [side.float() for side in pairs(count, dimension, seed, spread)]
    ours, theirs = (value_and_gradients(loss, *vectors, scale) for loss in (contrastive_loss, OPEN_CLIP))
    # Logits as large as the scale have its rounding errors, in either; a gradient by vectors is multiplied by it again.
    rounding = 1e-6 * max(1.0, scale / 2)
    assert ours[0].dtype == torch.float32
    assert abs(ours[0] - theirs[0]).item() < rounding
    for mine, reference in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=2 * rounding)


@pytest.mark.parametrize("scale", [1.0, 14.3, 50.0, 100.0])
def test_the_loss_of_pairs_far_apart_is_exact_to_rounding_in_float32(scale: float) -> None:
    vectors = pairs(30, 20, spread=3.0)
    exact = figure_3(*(side.numpy() for side in vectors), scale)
    for loss in (contrastive_loss, OPEN_CLIP):
        found = loss(*(side.float() for side in vectors), torch.tensor(scale))
        assert found.item() == pytest.approx(exact, abs=2e-7 * (exact + scale))


@pytest.mark.parametrize("scale", [30.0, 100.0])
def test_small_losses_in_float32_are_right_to_the_sixth_digit(scale: float) -> None:
    for seed in range(40):
        vectors = pairs(12, 24, seed, 0.1)
        exact = OPEN_CLIP(*vectors, torch.tensor(scale)).item()
        found = contrastive_loss(*(side.float() for side in vectors), scale).item()
        assert OPEN_CLIP(*(side.float() for side in vectors), torch.tensor(scale)).item() == pytest.approx(
            exact, abs=1e-6
        )
        assert found >= 0 and found == pytest.approx(exact, abs=1e-6)


@settings(max_examples=60)
@given(**problems)
def test_value_is_figure_3s(count: int, dimension: int, seed: int, spread: float, scale: float) -> None:
    images, texts = pairs(count, dimension, seed, spread)
    expected = figure_3(images.numpy(), texts.numpy(), scale)
    assert contrastive_loss(images, texts, scale).item() == pytest.approx(expected, abs=1e-10)


@settings(max_examples=40)
@given(**problems)
def test_the_sides_may_change_places_and_the_pairs_their_order(
    count: int, dimension: int, seed: int, spread: float, scale: float
) -> None:
    images, texts = pairs(count, dimension, seed, spread)
    value, by_images, by_texts, by_scale = value_and_gradients(contrastive_loss, images, texts, scale)
    turned = value_and_gradients(contrastive_loss, texts, images, scale)
    for mine, other in zip((value, by_texts, by_images, by_scale), turned, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    mixed = value_and_gradients(contrastive_loss, images[order], texts[order], scale)
    for mine, other in zip((value, by_images[order], by_texts[order], by_scale), mixed, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_closed_forms(count: int) -> None:
    same = torch.ones(count, 4, dtype=torch.float64) / 2
    assert contrastive_loss(same, same, 100.0).item() == pytest.approx(math.log(count), abs=1e-12)
    apart = torch.eye(count, 64, dtype=torch.float64)
    expected = math.log1p((count - 1) * math.exp(-5.0))
    assert contrastive_loss(apart, apart, 5.0).item() == pytest.approx(expected, abs=1e-12)


def test_a_scale_that_is_a_number_or_a_tensor() -> None:
    images, texts = pairs(9, 5)
    assert torch.equal(contrastive_loss(images, texts, 10.0), contrastive_loss(images, texts, torch.tensor(10.0)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_gradients_are_finite_at_the_largest_scale(dtype: torch.dtype, spread: float) -> None:
    images, texts = (side.to(dtype) for side in pairs(20, 3, spread=spread))
    for sign in (1, -1):
        assert all(v.isfinite().all() for v in value_and_gradients(contrastive_loss, images, sign * texts, 100.0))


@pytest.mark.parametrize(
    ("images", "texts"), [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((0, 4), (0, 4)), ((4,), (4,)), ((2, 3, 4), (2, 3, 4))]
)
def test_sides_that_are_no_pairs_are_refused(images: tuple[int, ...], texts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be pairs of vectors"):
        contrastive_loss(torch.ones(images), torch.ones(texts), 1.0)
