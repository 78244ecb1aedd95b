"""A region-feature model whole: photographs and captions in, one pooled vector a pair out."""

import sys

import torch
from torch import nn

from baselines.detector import STAGES as DETECTOR_STAGES
from baselines.detector import Detection, RegionDetector
from baselines.fusion import Fusion, count_parameters
from baselines.graphs import Graphs
from baselines.marks import Mark, no_mark

__all__ = ["RegionModel"]


class RegionModel(nn.Module):
    """A detector and the transformer that reads its regions.

    Stages: those of the detector, then ``text_embedding`` and ``fusion``.
    """

    stages = (*DETECTOR_STAGES, "text_embedding", "fusion")
    visual_stages = DETECTOR_STAGES

    def __init__(self, detector: RegionDetector, fusion: Fusion) -> None:
        super().__init__()
        self.detector = detector
        self.fusion = fusion

    def forward(
        self, pixels: torch.Tensor, tokens: torch.Tensor, mark: Mark = no_mark
    ) -> tuple[torch.Tensor, Detection]:
        """Pixels [B, 3, H, W] and token ids [B, T] to [B, hidden], and what the detector found."""
        found = self.detector(pixels, mark)
        text = self.fusion.embed_text(tokens)
        mark("text_embedding")
        height, width = pixels.shape[-2:]
        # Four divisions by plain numbers: a tensor made here would cost a copy to the device in every
        # request.
        x1, y1, x2, y2 = found.boxes.unbind(dim=-1)
        boxes = torch.stack([x1 / width, y1 / height, x2 / width, y2 / height], dim=-1)
        pooled = self.fusion(text, found.features, boxes.to(found.features.dtype))
        mark("fusion")
        return pooled, found

    def parameters_by_component(self) -> dict[str, int]:
        """Weights of each head of the detector and of each part of the fusion transformer."""
        detector = self.detector
        return {
            "backbone": count_parameters(detector.backbone),
            "rpn_head": count_parameters(detector.rpn_head),
            "roi_head": count_parameters(detector.roi_head),
            "predictor": count_parameters(detector.predictor),
            **self.fusion.parameters_by_component(),
        }

    def dense_parts(self) -> list[nn.Module]:
        """The modules worth compiling."""
        return [
            self.detector.backbone,
            self.detector.rpn_head,
            self.detector.roi_head,
            *self.fusion.dense_parts(),
        ]

    def use_graphs(self, graphs: Graphs) -> None:
        """Replay from graphs what does not depend on values: all but the proposals, RoIAlign and suppression.

        The RoI head then takes all regions of a batch at once: a graph called chunk after chunk would overwrite what it
        gave before.
        """
        detector = self.detector
        detector.chunk = sys.maxsize
        for part in (detector.backbone, detector.rpn_head, detector.roi_head, detector.predictor):
            part.forward = graphs.graphed(part.forward)  # type: ignore[method-assign]
        self.fusion.use_graphs(graphs)
