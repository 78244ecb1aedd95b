"""The three forms of class suppression, against each other and against torchvision's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import batched_nms, nms

from baselines.nms import class_agnostic_nms, confidence, per_class_nms_loop, per_class_nms_vectorised


def random_boxes(count: int, seed: int, *, spread: float = 60.0, step: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * spread
    side = 1 + torch.rand(count, 2, generator=generator) * 40
    boxes = torch.cat([corner, corner + side], dim=1)
    return (boxes / step).round() * step if step else boxes


def random_scores(count: int, classes: int, seed: int, *, levels: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + 1)
    scores = torch.rand(count, classes, generator=generator)
    return (scores * levels).floor() / levels if levels else scores


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 60),
    classes=st.integers(1, 12),
    seed=st.integers(0, 10_000),
    threshold=st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0]),
    ties=st.sampled_from([0, 2, 5]),
    step=st.sampled_from([0.0, 1.0, 10.0]),
)
def test_vectorised_equals_loop_exactly(
    count: int, classes: int, seed: int, threshold: float, ties: int, step: float
) -> None:
    boxes = random_boxes(count, seed, step=step)
    scores = random_scores(count, classes, seed, levels=ties)
    loop = per_class_nms_loop(boxes, scores, threshold)
    assert torch.equal(loop, per_class_nms_vectorised(boxes, scores, threshold))


def test_an_overlap_exactly_at_the_threshold_is_treated_alike() -> None:
    # Intersection over union of exactly 3/10; as float32 that is above 0.3 in double precision.
    boxes = torch.tensor([[0.0, 0.0, 13.0, 1.0], [7.0, 0.0, 20.0, 1.0]])
    scores = torch.tensor([[0.9], [0.8]])
    loop = per_class_nms_loop(boxes, scores, 0.3)
    assert torch.equal(loop, per_class_nms_vectorised(boxes, scores, 0.3))


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_torchvisions_batched_nms_agrees(threshold: float) -> None:
    # Over 1,000 boxes torchvision suppresses class by class instead of moving classes apart by an offset, which rounds.
    count, classes = 90, 14
    boxes, scores = random_boxes(count, 3), random_scores(count, classes, 3)
    kept = batched_nms(
        boxes.repeat(classes, 1), scores.T.flatten(), torch.arange(classes).repeat_interleave(count), threshold
    )
    mask = torch.zeros(classes * count, dtype=torch.bool)
    mask[kept] = True
    assert torch.equal(mask.view(classes, count).T, per_class_nms_loop(boxes, scores, threshold))
    assert torch.equal(mask.view(classes, count).T, per_class_nms_vectorised(boxes, scores, threshold))


def test_class_agnostic_keeps_whole_rows_by_highest_score() -> None:
    boxes, scores = random_boxes(50, 5), random_scores(50, 7, 5)
    mask = class_agnostic_nms(boxes, scores, 0.3)
    assert mask.shape == scores.shape
    expected = torch.zeros(50, dtype=torch.bool)
    expected[nms(boxes, scores.amax(dim=1), 0.3)] = True
    assert torch.equal(mask, expected[:, None].expand(-1, 7))


def test_confidence_is_the_highest_surviving_score() -> None:
    scores = torch.tensor([[0.2, 0.9], [0.5, 0.6], [0.7, 0.1]])
    kept = torch.tensor([[True, False], [True, True], [False, False]])
    assert confidence(scores, kept).tolist() == pytest.approx([0.2, 0.6, 0.0])


def test_one_class_of_identical_boxes_keeps_one() -> None:
    boxes = torch.tensor([[1.0, 1.0, 5.0, 5.0]]).repeat(8, 1)
    scores = torch.full((8, 3), 0.5)
    for suppress in (per_class_nms_loop, per_class_nms_vectorised, class_agnostic_nms):
        assert suppress(boxes, scores, 0.3).sum(dim=0).tolist() == [1, 1, 1]
