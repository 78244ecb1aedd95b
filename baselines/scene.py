"""A seeded synthetic scene that stands in for what a trained detector would have seen.

A detector with random weights yields boxes that clip to nothing, and class scores so flat that no box passes:
the stages behind it would then be timed on no work. So every head runs in full, and its outputs are then
replaced by those of a scene: objects of log-normal size, anchors scored by how well they overlap one,
regressed towards it, and class posteriors that follow the overlap. Its statistics are plausible, not
calibrated on real detections; ``disjoint`` and ``identical`` bound what the geometry can do to the time of
suppression.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou

from baselines.proposals import ProposalStage

__all__ = ["Scene", "SceneKind", "make_scene", "meta_scene"]

SceneKind = Literal["realistic", "disjoint", "identical"]
OBJECTS = 25  # in an image: a busy photograph
REGRESSION = 0.7  # how far towards its object a box is moved


@dataclass(frozen=True)
class Scene:
    """What replaces the outputs of the heads, in float32.

    ``objectness`` [B, A] logits; ``deltas`` [B, A, 4]; ``posteriors`` [B, R, C + 1], rows sum to one,
    background first.
    """

    objectness: torch.Tensor
    deltas: torch.Tensor
    posteriors: torch.Tensor

    def to(self, device: torch.device | str) -> "Scene":
        return Scene(self.objectness.to(device), self.deltas.to(device), self.posteriors.to(device))


def make_scene(
    kind: SceneKind,
    stage: ProposalStage,
    sizes: tuple[tuple[int, int], ...],
    image_size: tuple[int, int],
    *,
    classes: int,
    batch: int,
    seed: int,
) -> Scene:
    """Draw a scene for images of ``image_size`` (height, width) whose feature maps have ``sizes``.

    The posteriors belong to the proposals that ``stage`` makes of the scene, so those are made here once.
    Raises ``StructureError`` (from ``stage``) where the maps hold too few anchors.
    """
    generator = torch.Generator().manual_seed(seed)
    anchors = stage.grid(sizes, torch.device("cpu"))
    scores, deltas, posteriors = [], [], []
    for _ in range(batch):
        objects = _objects(image_size, generator)
        if kind == "realistic":
            image_scores, image_deltas = _realistic(anchors, objects, generator)
        else:
            image_scores, image_deltas = _artificial(kind, stage, sizes, anchors, image_size, generator)
        found = stage.candidates(image_scores[None], image_deltas[None], sizes, image_size)
        boxes, _ = stage.suppress(found)
        scores.append(image_scores)
        deltas.append(image_deltas)
        posteriors.append(_posteriors(boxes[0], objects, classes, generator))
    return Scene(torch.stack(scores), torch.stack(deltas), torch.stack(posteriors))


def meta_scene(stage: ProposalStage, sizes: tuple[tuple[int, int], ...], *, classes: int, batch: int) -> Scene:
    """The same shapes without values, for counting."""
    meta = torch.device("meta")
    anchors = stage.grid(sizes, meta).shape[0]
    return Scene(
        torch.empty(batch, anchors, device=meta),
        torch.empty(batch, anchors, 4, device=meta),
        torch.empty(batch, stage.proposals, classes + 1, device=meta),
    )


def _objects(image_size: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Boxes [OBJECTS, 4]: centres uniform, side and shape log-normal around a sixth of the shorter image
    side.
    """
    height, width = image_size
    side = min(image_size) / 6 * torch.exp(0.7 * torch.randn(OBJECTS, generator=generator))
    shape = torch.exp(0.35 * torch.randn(OBJECTS, generator=generator))
    half_width = (side * shape).clamp(4, 0.9 * width) / 2
    half_height = (side / shape).clamp(4, 0.9 * height) / 2
    x = half_width + torch.rand(OBJECTS, generator=generator) * (width - 2 * half_width)
    y = half_height + torch.rand(OBJECTS, generator=generator) * (height - 2 * half_height)
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=1)


def _realistic(
    anchors: torch.Tensor, objects: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that follow the overlap with the best object, and deltas that move most of the way towards it."""
    overlap, nearest = box_iou(anchors, objects).max(dim=1)
    noise = torch.randn(anchors.shape[0], generator=generator)
    logits = 8.0 * overlap - 4.0 + noise
    wanted = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode_single(objects[nearest], anchors)
    spread = 0.1 * torch.randn(wanted.shape, generator=generator)
    pull = REGRESSION * (overlap > 0.1).float()[:, None]
    return logits, pull * wanted.clamp(-4, 4) + spread


def _artificial(
    kind: SceneKind,
    stage: ProposalStage,
    sizes: tuple[tuple[int, int], ...],
    anchors: torch.Tensor,
    image_size: tuple[int, int],
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every box that enters suppression alone in a tile of its own, or all of them the same box."""
    height, width = image_size
    logits = torch.randn(anchors.shape[0], generator=generator).clamp(-3, 3) - 10
    chosen, offset = [], 0
    for rows, columns in sizes:
        places = rows * columns * stage.anchors_per_place
        chosen.append(offset + torch.randperm(places, generator=generator)[: stage.pre_nms])
        offset += places
    top = torch.cat(chosen)
    logits[top] = 5 + torch.randn(top.shape[0], generator=generator).clamp(-3, 3)
    if kind == "identical":
        box = torch.tensor([width / 4, height / 4, 3 * width / 4, 3 * height / 4])
        targets = box.expand(top.shape[0], 4)
    else:
        columns = int((top.shape[0] * width / height) ** 0.5) + 1
        rows = -(-top.shape[0] // columns)
        tile = torch.arange(top.shape[0])
        x = (tile % columns) * (width / columns)
        y = tile.div(columns, rounding_mode="floor") * (height / rows)
        targets = torch.stack([x, y, x + 0.5 * width / columns, y + 0.5 * height / rows], dim=1)
    deltas = torch.zeros_like(anchors)
    deltas[top] = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode_single(targets.contiguous(), anchors[top])
    return logits, deltas


def _posteriors(boxes: torch.Tensor, objects: torch.Tensor, classes: int, generator: torch.Generator) -> torch.Tensor:
    """[R, C + 1] by softmax: background falls and the object's class rises with the overlap; the rest is
    noise.
    """
    overlap, nearest = box_iou(boxes, objects).max(dim=1)
    of_object = 1 + torch.randint(classes, (objects.shape[0],), generator=generator)
    logits = 1.5 * torch.randn(boxes.shape[0], classes + 1, generator=generator)
    logits[:, 0] += 10 - 8 * overlap
    logits[torch.arange(boxes.shape[0]), of_object[nearest]] += 14 * overlap
    return logits.softmax(dim=1)
