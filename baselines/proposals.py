"""From the outputs of a region proposal network to exactly R boxes per image (Ren et al., 1506.01497, section
3).
"""

from dataclasses import dataclass

import torch
from torch import nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import batched_nms, clip_boxes_to_image, nms, remove_small_boxes

from baselines.errors import StructureError

__all__ = ["Candidates", "ProposalStage", "anchor_generator"]

MINIMUM_SIDE = 1e-3  # pixels; torchvision's own floor
RATIOS = (0.5, 1.0, 2.0)
SIZES = (32, 64, 128, 256, 512)


def anchor_generator(*, pyramid: bool) -> AnchorGenerator:
    """Fifteen anchors a place on one C4 map, or one size of three shapes on each of five pyramid levels.

    detectron2's defaults for both (``Base-RCNN-C4.yaml``, ``Base-RCNN-FPN.yaml``).
    """
    if pyramid:
        return AnchorGenerator(tuple((size,) for size in SIZES), (RATIOS,) * len(SIZES))
    return AnchorGenerator((SIZES,), (RATIOS,))


@dataclass(frozen=True)
class Candidates:
    """The boxes of one image that enter suppression.

    ``boxes`` [N, 4] in pixels (x1, y1, x2, y2); ``scores`` [N] logits; ``levels`` [N], the map they come
    from.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    levels: torch.Tensor


class ProposalStage(nn.Module):
    """Decode, keep the best, clip, suppress, and fill up to exactly ``proposals`` boxes.

    ``pre_nms`` boxes per feature map enter suppression at an overlap of ``threshold``. Everything here is
    float32 whatever the network's dtype, since coordinates over a thousand do not survive bfloat16.
    """

    threshold = 0.7

    def __init__(self, *, strides: tuple[int, ...], pre_nms: int, proposals: int) -> None:
        super().__init__()
        self.strides = strides
        self.pre_nms = pre_nms
        self.proposals = proposals
        self.anchors = anchor_generator(pyramid=len(strides) > 1)
        self.coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self._remembered: tuple[tuple[tuple[int, int], ...], torch.Tensor] | None = None

    @property
    def anchors_per_place(self) -> int:
        return self.anchors.num_anchors_per_location()[0]

    def grid(self, sizes: tuple[tuple[int, int], ...], device: torch.device) -> torch.Tensor:
        """Anchors [A, 4] in pixels of maps of these (height, width), map after map, place after place."""
        if device.type == "meta":
            places = sum(height * width for height, width in sizes)
            return torch.empty(places * self.anchors_per_place, 4, device=device)
        if self._remembered is None or self._remembered[0] != sizes or self._remembered[1].device != device:
            # The strides are given rather than derived from the image: torchvision divides and rounds down,
            # which for a width of 1333 and 84 places says 15 where the network's stride is 16.
            strides = [[torch.tensor(stride), torch.tensor(stride)] for stride in self.strides]
            boxes = torch.cat(self.anchors.grid_anchors([list(size) for size in sizes], strides))
            self._remembered = (sizes, boxes.to(device))
        return self._remembered[1]

    def candidates(
        self,
        objectness: torch.Tensor,
        deltas: torch.Tensor,
        sizes: tuple[tuple[int, int], ...],
        image_size: tuple[int, int],
    ) -> list[Candidates]:
        """Decode, take the best of each map, clip to the image and drop empty boxes.

        ``objectness`` [B, A] logits and ``deltas`` [B, A, 4] in the order of ``grid``.
        """
        anchors = self.grid(sizes, objectness.device)
        batch = objectness.shape[0]
        objectness, deltas = objectness.float(), deltas.float()
        boxes = self.coder.decode(deltas.flatten(0, 1), [anchors] * batch).view(batch, -1, 4)
        counts = [height * width * self.anchors_per_place for height, width in sizes]
        best, levels, offset = [], [], 0
        for level, scores in enumerate(objectness.split(counts, dim=1)):
            kept = min(self.pre_nms, counts[level])
            best.append(scores.topk(kept, dim=1).indices + offset)
            levels.append(torch.full((kept,), level, device=objectness.device))
            offset += counts[level]
        index = torch.cat(best, dim=1)
        level_of = torch.cat(levels)
        scores = objectness.gather(1, index)
        boxes = boxes.gather(1, index[..., None].expand(-1, -1, 4))
        found = []
        for image in range(batch):
            clipped = clip_boxes_to_image(boxes[image], image_size)
            if clipped.is_meta:
                found.append(Candidates(clipped, scores[image], level_of))
                continue
            large = remove_small_boxes(clipped, MINIMUM_SIDE)
            found.append(Candidates(clipped[large], scores[image][large], level_of[large]))
        return found

    def suppress(self, candidates: list[Candidates]) -> tuple[torch.Tensor, list[int]]:
        """Return boxes [B, R, 4] and how many of each image's survived suppression by themselves.

        Where fewer than R survive, the best of the suppressed fill up, so that the work downstream is always
        that of R regions. Raises ``StructureError`` where an image has fewer than R candidates altogether.
        """
        kept_boxes, survivors = [], []
        for found in candidates:
            total = found.boxes.shape[0]
            if total < self.proposals:
                raise StructureError(
                    f"{self.proposals} proposals were asked for, but only {total} candidate boxes exist for an image "
                    "of this size; ask for fewer proposals or a larger image."
                )
            if found.boxes.is_meta:
                # What survives depends on the data, which a meta tensor has not; its number is fixed by
                # design.
                kept_boxes.append(found.boxes[: self.proposals])
                survivors.append(self.proposals)
                continue
            if len(self.strides) > 1:
                kept = batched_nms(found.boxes, found.scores, found.levels, self.threshold)
            else:
                kept = nms(found.boxes, found.scores, self.threshold)
            survivors.append(int(kept.shape[0]))
            if kept.shape[0] < self.proposals:
                kept = self._fill(kept, found.scores)
            kept_boxes.append(found.boxes[kept[: self.proposals]])
        return torch.stack(kept_boxes), survivors

    def _fill(self, kept: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Append the suppressed boxes of highest score to ``kept`` until there are R."""
        ranking = scores.clone()
        ranking[kept] = -torch.inf
        return torch.cat([kept, ranking.topk(self.proposals - kept.shape[0]).indices])
