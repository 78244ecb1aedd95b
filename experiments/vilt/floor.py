"""The least that ViLT can take on a machine: its matrix products and its attention, in their shapes, and
nothing else.

No norms, no GELU, no residual sums, no embedding look-ups, no copies between layouts. What ViLT takes beyond
this is what better software could still save; what this takes, only a faster machine can.
"""

from typing import cast

import torch
from torch import nn
from torch.nn import functional
from transformers import ViltModel

from baselines.attention import heads
from baselines.marks import Mark, no_mark
from experiments.vilt.model import LeanLayer, LeanVilt, ViltOutput

__all__ = ["ViltFloor"]


class ViltFloor(nn.Module):
    """The products of a lean ViLT on inputs that never change.

    Each product reads a fixed tensor of its shape, not the one before: without norms a chain of twelve layers
    would fade into denormal numbers, which are slow. Stages are ViLT's; ``text_embedding`` has no product and
    takes nothing.
    """

    def __init__(self, model: ViltModel, size: tuple[int, int], *, batch: int, text_tokens: int) -> None:
        super().__init__()
        lean = LeanVilt(model, size)
        config = model.config
        patches = lean.positions.shape[1]
        length = text_tokens + 1 + patches
        generator = torch.Generator().manual_seed(0)
        device = model.device

        def fixed(*shape: int) -> torch.Tensor:
            if device.type == "meta":
                return torch.empty(shape, device=device)
            return torch.randn(shape, generator=generator).to(device)

        self.layers = lean.layers
        self.pooler = lean.pooler.dense
        self.patches = lean.patches
        self.unfolded = nn.Buffer(fixed(batch, patches, config.num_channels * config.patch_size**2))
        self.hidden = nn.Buffer(fixed(batch, length, config.hidden_size))
        self.inner = nn.Buffer(fixed(batch, length, config.intermediate_size))

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor, mark: Mark = no_mark) -> ViltOutput:
        """Both arguments are ignored: the shapes were fixed when the floor was built."""
        hidden, inner = self.hidden, self.inner
        mark("text_embedding")
        functional.linear(self.unfolded, self.patches.weight.flatten(1), self.patches.bias)
        mark("patch_embedding")
        out = hidden
        for layer in self.layers:
            layer = cast(LeanLayer, layer)
            query, key, value = layer.projection(hidden).chunk(3, dim=-1)
            functional.scaled_dot_product_attention(
                heads(query, layer.heads), heads(key, layer.heads), heads(value, layer.heads)
            )
            layer.output(hidden)
            layer.inner(hidden)
            out = layer.outer(inner)
        pooled = self.pooler(hidden[:, 0])
        mark("fusion")
        return ViltOutput(pooled, out)

    def dense_parts(self) -> list[nn.Module]:
        """Nothing to compile: a compiler would drop products whose results nobody reads."""
        return []
