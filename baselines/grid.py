"""A grid-feature model: Pixel-BERT (Huang et al., 2004.00849). The last feature map is the visual input, no
regions.
"""

import torch
from torch import nn
from torch.nn import functional

from baselines.backbone import build_body, plain_backbone, scale_residual_branches
from baselines.errors import StructureError
from baselines.fusion import Fusion, count_parameters
from baselines.graphs import Graphs
from baselines.marks import Mark, no_mark

__all__ = ["GridModel"]


class GridModel(nn.Module):
    """C5 of a residual network, pooled 2 x 2, flattened, and read by a single-stream transformer.

    ``tokens`` is a fixed number of visual tokens to which the sequence is filled up with zero features, or
    None for what the image gives, floor(H/64) x floor(W/64) for sides that are multiples of 32. Stages:
    ``backbone`` (with the pooling), ``text_embedding``, ``fusion``.
    """

    stages = ("backbone", "text_embedding", "fusion")
    visual_stages = ("backbone",)
    features = 2048

    def __init__(self, body: str, fusion: Fusion, *, tokens: int | None) -> None:
        super().__init__()
        network = build_body(body)
        scale_residual_branches(network)
        self.backbone: nn.Module = plain_backbone(network, last="C5")
        self.fusion = fusion
        self.tokens = tokens

    def forward(
        self, pixels: torch.Tensor, tokens: torch.Tensor, mark: Mark = no_mark
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels [B, 3, H, W] and token ids [B, T] to [B, hidden], and the visual features [B, N, 2048].

        Raises ``StructureError`` where the image gives more tokens than the fixed number.
        """
        features = functional.max_pool2d(self.backbone(pixels), 2).flatten(2).transpose(1, 2)
        if self.tokens is not None and features.shape[1] != self.tokens:
            if features.shape[1] > self.tokens:
                raise StructureError(
                    f"The image gives {features.shape[1]} visual tokens, more than the fixed number {self.tokens}."
                )
            features = functional.pad(features, (0, 0, 0, self.tokens - features.shape[1]))
        mark("backbone")
        text = self.fusion.embed_text(tokens)
        mark("text_embedding")
        pooled = self.fusion(text, features, None)
        mark("fusion")
        return pooled, features

    def parameters_by_component(self) -> dict[str, int]:
        """Weights of the backbone and of each part of the fusion transformer."""
        return {"backbone": count_parameters(self.backbone), **self.fusion.parameters_by_component()}

    def dense_parts(self) -> list[nn.Module]:
        """The modules worth compiling."""
        return [self.backbone, *self.fusion.dense_parts()]

    def use_graphs(self, graphs: Graphs) -> None:
        """Replay the backbone and the fusion transformer from graphs."""
        self.backbone.forward = graphs.graphed(self.backbone.forward)
        self.fusion.use_graphs(graphs)
