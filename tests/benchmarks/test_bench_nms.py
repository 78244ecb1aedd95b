"""Three forms of class suppression beside torchvision's own, at the numbers of boxes that region models keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from beside import Beside
from torch import Tensor
from torchvision.ops import batched_nms, nms

from baselines.nms import class_agnostic_nms, per_class_nms_loop, per_class_nms_vectorised

THRESHOLD = 0.3
GROUP = "Suppression of boxes"
FORMS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "class by class": per_class_nms_loop,
    "all classes at once": per_class_nms_vectorised,
}
SIZES = {"size": ((36, 80), (36, 1600), (300, 80))}
"""Boxes and classes: BUTD's 36 and 300 boxes, COCO's 80 classes and Visual Genome's 1,600."""


def scene(boxes: int, classes: int) -> tuple[Tensor, Tensor]:
    """Return boxes [N, 4] of which many overlap, and scores [N, C]."""
    generator = torch.Generator().manual_seed(boxes)
    corner = torch.rand(boxes, 2, generator=generator) * 400
    side = 20 + torch.rand(boxes, 2, generator=generator) * 200
    return torch.cat([corner, corner + side], dim=1), torch.rand(boxes, classes, generator=generator)


def same(ours: Any, theirs: Any) -> None:
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("form", FORMS)
def test_bench_class_wise_suppression(beside: Beside, form: str, size: tuple[int, int]) -> None:
    boxes, classes = size
    where, scores = scene(boxes, classes)
    repeated, flat = where.repeat(classes, 1), scores.T.flatten()
    labels = torch.arange(classes).repeat_interleave(boxes)

    def batched() -> Tensor:
        mask = torch.zeros(classes * boxes, dtype=torch.bool)
        mask[batched_nms(repeated, flat, labels, THRESHOLD)] = True
        return mask.view(classes, boxes).T

    beside(
        f"suppression {form}, {boxes} boxes, {classes:,} classes",
        lambda: FORMS[form](where, scores, THRESHOLD),
        batched,
        rival="torchvision's batched_nms",
        group=GROUP,
        agree=same,
    )


@pytest.mark.parametrize("boxes", [36, 300])
def test_bench_class_agnostic_suppression(beside: Beside, boxes: int) -> None:
    where, scores = scene(boxes, 1600)

    def theirs() -> Tensor:
        mask = torch.zeros(boxes, 1, dtype=torch.bool)
        mask[nms(where, scores.amax(dim=1), THRESHOLD)] = True
        return mask.expand_as(scores)

    beside(
        f"suppression over all classes, {boxes} boxes, 1,600 classes",
        lambda: class_agnostic_nms(where, scores, THRESHOLD),
        theirs,
        rival="torchvision's nms",
        group=GROUP,
        agree=same,
    )
