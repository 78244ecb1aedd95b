"""A region feature extractor in the order in which the paper names its parts, stage by stage.

Backbone, proposal head, decoding, proposal suppression, RoIAlign, RoI head, predictor, class suppression,
selection: Faster R-CNN (Ren et al., 1506.01497) as used for bottom-up attention (Anderson et al.,
1707.07998).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign, roi_align

from baselines.backbone import PyramidBackbone, build_body, plain_backbone, scale_residual_branches
from baselines.errors import StructureError
from baselines.heads import Predictor, ProposalHead
from baselines.marks import Mark, no_mark
from baselines.nms import class_agnostic_nms, confidence, per_class_nms_loop, per_class_nms_vectorised
from baselines.proposals import ProposalStage
from baselines.scene import Scene, SceneKind, make_scene, meta_scene

__all__ = ["STAGES", "Detection", "DetectorPlan", "RegionDetector"]

STAGES = (
    "backbone",
    "rpn_head",
    "proposals",
    "rpn_nms",
    "roi_align",
    "roi_head",
    "predictor",
    "class_nms",
    "select",
)
SUPPRESSIONS: dict[str, Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]] = {
    "per-class-loop": per_class_nms_loop,
    "per-class-vectorised": per_class_nms_vectorised,
    "class-agnostic": class_agnostic_nms,
}


@dataclass(frozen=True)
class DetectorPlan:
    """Everything that decides how much work a detector does.

    ``body`` a key of ``baselines.backbone.BODIES``; ``pyramid`` C2..C5 with FPN and two fully connected
    layers of 1,024 per region, otherwise C4 with the fifth stage as RoI head; ``pre_nms`` candidates per map
    that enter suppression; ``proposals`` R and ``regions`` k; ``one_box_for_all`` one regression for all
    classes.
    """

    body: str
    pyramid: bool
    proposals: int
    regions: int
    pre_nms: int
    nms: str = "per-class-loop"
    nms_threshold: float = 0.3
    classes: int = 1600
    attributes: int = 0
    one_box_for_all: bool = False

    @property
    def features(self) -> int:
        """Width of a region feature: mean of C5 (2,048), or the second fully connected layer (1,024)."""
        return 1024 if self.pyramid else 2048


@dataclass(frozen=True)
class Detection:
    """What a request found, and the raw outputs of the heads, which the scene replaced.

    ``boxes`` [B, k, 4] in pixels, ``features`` [B, k, D], ``confidences`` [B, k]; ``proposals`` [B, R, 4];
    ``survivors``: of each image, how many proposals survived suppression before filling up; ``raw`` by head.
    """

    boxes: torch.Tensor
    features: torch.Tensor
    confidences: torch.Tensor
    proposals: torch.Tensor
    survivors: list[int]
    raw: dict[str, torch.Tensor]


class RegionDetector(nn.Module):
    """The detector. ``prepare`` draws its scene for one image size; then call it with pixels [B, 3, H, W].

    Raises ``StructureError`` when called for a size or batch for which no scene was prepared, or when the
    number of proposals or regions is not the planned one.
    """

    def __init__(self, plan: DetectorPlan) -> None:
        super().__init__()
        self.plan = plan
        body = build_body(plan.body)
        scale_residual_branches(body)
        if plan.pyramid:
            self.backbone: nn.Module = PyramidBackbone(body)
            self.strides: tuple[int, ...] = PyramidBackbone.strides
            self.roi_head: nn.Module = TwoMLPHead(PyramidBackbone.channels * 7 * 7, plan.features)
            self.levels = MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=7, sampling_ratio=0)
            channels = PyramidBackbone.channels
        else:
            self.backbone = plain_backbone(body, last="C4")
            self.strides = (16,)
            self.roi_head = body.layer4
            channels = 1024
        self.propose = ProposalStage(strides=self.strides, pre_nms=plan.pre_nms, proposals=plan.proposals)
        self.rpn_head = ProposalHead(channels, self.propose.anchors_per_place)
        self.predictor = Predictor(
            plan.features, plan.classes, attributes=plan.attributes, one_box_for_all=plan.one_box_for_all
        )
        self.scene: Scene | None = None
        # Set by baselines.optimise: regions a chunk in RoIAlign and RoI head (0: all at once), and which of
        # the pooled rows and columns the RoI head reads (1: all of them), and how a chunk lies in memory.
        self.chunk = 0
        self.pool_step = 1
        self.layout = torch.contiguous_format

    def prepare(self, kind: SceneKind, image_size: tuple[int, int], *, batch: int, seed: int) -> None:
        """Draw the scene for images of ``image_size`` (height, width); on the meta device only its shapes."""
        sizes = self.map_sizes(image_size)
        device = next(self.parameters()).device
        if device.type == "meta":
            self.scene = meta_scene(self.propose, sizes, classes=self.plan.classes, batch=batch)
        else:
            self.scene = make_scene(
                kind, self.propose, sizes, image_size, classes=self.plan.classes, batch=batch, seed=seed
            ).to(device)

    def map_sizes(self, image_size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        """(height, width) of each feature map: every halving rounds up."""
        return tuple((-(-image_size[0] // stride), -(-image_size[1] // stride)) for stride in self.strides)

    def forward(self, pixels: torch.Tensor, mark: Mark = no_mark) -> Detection:
        """Pixels [B, 3, H, W] to regions, marking each stage of ``STAGES`` as it ends."""
        if self.scene is None:
            raise StructureError("The detector has no scene: call prepare() with the image size first.")
        plan, scene = self.plan, self.scene
        image_size = (int(pixels.shape[-2]), int(pixels.shape[-1]))
        batch = pixels.shape[0]

        maps = self.backbone(pixels)
        maps = maps if isinstance(maps, list) else [maps]
        mark("backbone")

        objectness, deltas = self.rpn_head(maps)
        if objectness.shape != scene.objectness.shape:
            raise StructureError(
                f"The scene was prepared for {tuple(scene.objectness.shape)} anchors, the proposal head gave "
                f"{tuple(objectness.shape)}; prepare() it for this image size and batch."
            )
        mark("rpn_head")

        sizes = tuple((int(feature.shape[-2]), int(feature.shape[-1])) for feature in maps)
        candidates = self.propose.candidates(scene.objectness, scene.deltas, sizes, image_size)
        mark("proposals")
        proposals, survivors = self.propose.suppress(candidates)
        mark("rpn_nms")

        pooled = self._pool(maps, proposals, image_size)
        mark("roi_align")
        features = self._describe(pooled)
        del pooled
        mark("roi_head")
        prediction = self.predictor(features)
        mark("predictor")

        posteriors = scene.posteriors[..., 1:]
        confidences = self._confidences(proposals, posteriors)
        mark("class_nms")

        best = confidences.topk(plan.regions, dim=1)
        rows = best.indices[..., None]
        boxes = proposals.gather(1, rows.expand(-1, -1, 4))
        chosen = features.view(batch, plan.proposals, -1).gather(1, rows.expand(-1, -1, features.shape[-1]))
        mark("select")

        raw = {"objectness": objectness, "deltas": deltas, "features": features}
        raw |= {"classes": prediction.classes, "boxes": prediction.deltas}
        if prediction.attributes is not None:
            raw["attributes"] = prediction.attributes
        found = Detection(boxes, chosen, best.values, proposals, survivors, raw)
        _check_shapes(found, plan, batch)
        return found

    def _pool(self, maps: list[torch.Tensor], proposals: torch.Tensor, image_size: tuple[int, int]) -> torch.Tensor:
        """RoIAlign: [B R, 1024, 14, 14] on C4, [B R, 256, 7, 7] on a pyramid.

        With a ``pool_step`` of 2 only every second row and column is kept, [B R, 1024, 7, 7]: a fifth stage
        that begins with 1x1 convolutions of stride 2 never reads the others, and runs those with stride 1
        here.
        """
        batch, count = proposals.shape[:2]
        image = torch.arange(batch, device=proposals.device, dtype=proposals.dtype)
        rois = torch.cat([image.repeat_interleave(count)[:, None], proposals.flatten(0, 1)], dim=1)
        dtype = maps[0].dtype
        # torchvision's operator has no bfloat16 kernel, and its half precision one wants boxes in half
        # precision.
        maps = [feature.float().contiguous() for feature in maps]
        if not self.plan.pyramid:
            if not self.chunk:
                return roi_align(maps[0], rois, (14, 14), 1 / 16, aligned=True).to(dtype)
            parts = [
                roi_align(maps[0], part, (14, 14), 1 / 16, aligned=True)[:, :, :: self.pool_step, :: self.pool_step]
                .to(dtype)
                .contiguous(memory_format=self.layout)
                for part in rois.split(self.chunk)
            ]
            return torch.cat(parts)
        if rois.is_meta:
            # Which level a region is read from depends on its size; the shape of the result does not.
            return torch.empty(batch * count, PyramidBackbone.channels, 7, 7, dtype=dtype, device=rois.device)
        named = {str(level): feature for level, feature in enumerate(maps[:4])}
        return cast(torch.Tensor, self.levels(named, list(proposals), [image_size] * batch)).to(dtype)

    def _describe(self, pooled: torch.Tensor) -> torch.Tensor:
        """Region features [B R, D] by the RoI head, in chunks where there are any."""
        parts = pooled.split(self.chunk) if self.chunk else (pooled,)
        described = [self.roi_head(part) for part in parts]
        if not self.plan.pyramid:
            described = [part.mean(dim=(2, 3)) for part in described]
        return torch.cat(described) if len(described) > 1 else described[0]

    def _confidences(self, proposals: torch.Tensor, posteriors: torch.Tensor) -> torch.Tensor:
        """Highest class posterior of each proposal that survived class suppression, [B, R]."""
        if proposals.is_meta:
            return posteriors.amax(dim=2)
        suppress = SUPPRESSIONS[self.plan.nms]
        return torch.stack(
            [
                confidence(scores, suppress(boxes, scores, self.plan.nms_threshold))
                for boxes, scores in zip(proposals, posteriors, strict=True)
            ]
        )


def _check_shapes(found: Detection, plan: DetectorPlan, batch: int) -> None:
    expected = {
        "proposals": (found.proposals, (batch, plan.proposals, 4)),
        "regions": (found.boxes, (batch, plan.regions, 4)),
        "region features": (found.features, (batch, plan.regions, plan.features)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise StructureError(f"The detector gave {name} of shape {tuple(tensor.shape)} instead of {shape}.")
