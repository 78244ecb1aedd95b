"""Small classifiers whose dropout masks come from outside: a perceptron, and Transformers on words and on patches.

Pre-norm blocks; dropout on the embeddings, on the attention weights and after both sublayers, where the encoders that
the paper trains have it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from experiments.rdrop.dropout import Dropout, Masks
from experiments.rdrop.model_settings import (
    PerceptronSettings,
    SmallModelSettings,
    TransformerSettings,
    VisionTransformerSettings,
)
from harness.execution.streams import Stream


class SmallModel(nn.Module):
    """A classifier whose ``masks`` are laid from outside before a pass; [batch, ...] to logits [batch, classes]."""

    def __init__(self) -> None:
        super().__init__()
        self.masks = Masks()


class Perceptron(SmallModel):
    """Linear, ReLU and dropout, ``len(widths)`` times, then a linear classifier; inputs are flattened."""

    def __init__(self, inputs: int, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for place, width in enumerate(widths):
            layers += [nn.Linear(inputs, width), nn.ReLU(), Dropout(self.masks, f"layer {place}", (width,))]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    """A pre-norm Transformer block of width d on ``length`` positions: [batch, length, d] to the same."""

    def __init__(self, masks: Masks, name: str, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.in_projection, self.out_projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.attention_dropout = Dropout(masks, f"{name} attention", (heads, length, length))
        self.dropout1 = Dropout(masks, f"{name} after attention", (length, width))
        self.dropout2 = Dropout(masks, f"{name} after feed-forward", (length, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        split = (batch, length, 3, self.heads, width // self.heads)
        query, key, value = self.in_projection(self.norm1(x)).reshape(split).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(-1)
        mixed = (self.attention_dropout(weights) @ value).transpose(1, 2).reshape(batch, length, width)
        x = x + self.dropout1(self.out_projection(mixed))
        return x + self.dropout2(self.narrow(self.wide(self.norm2(x)).relu()))  # type: ignore[no-any-return]


class _Encoder(SmallModel):
    """Blocks on embedded positions, their mean after a layer norm, and a linear classifier."""

    def __init__(self, width: int, layers: int, heads: int, length: int, classes: int) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(length, width))
        self.dropout = Dropout(self.masks, "embedding", (length, width))
        self.blocks = nn.ModuleList(Block(self.masks, f"block {n}", width, heads, length) for n in range(layers))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def encoded(self, x: Tensor) -> Tensor:
        x = self.dropout(x + self.position)
        for block in self.blocks:
            x = block(x)
        return self.classifier(self.norm(x).mean(-2))  # type: ignore[no-any-return]


class TextTransformer(_Encoder):
    """Words [batch, length] (int64) to logits."""

    def __init__(self, settings: TransformerSettings, vocabulary: int, length: int, classes: int) -> None:
        super().__init__(settings.width, settings.layers, settings.heads, length, classes)
        self.embedding = nn.Embedding(vocabulary, settings.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoded(self.embedding(x))


class VisionTransformer(_Encoder):
    """Images [batch, channels, side, side] to logits, by square patches."""

    def __init__(self, settings: VisionTransformerSettings, shape: Sequence[int], classes: int) -> None:
        channels, side, _ = shape
        self_length = (side // settings.patch) ** 2
        super().__init__(settings.width, settings.layers, settings.heads, self_length, classes)
        self.patch = settings.patch
        self.embedding = nn.Linear(channels * settings.patch**2, settings.width)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, side, _ = x.shape
        count = side // self.patch
        patches = x.reshape(batch, channels, count, self.patch, count, self.patch).permute(0, 2, 4, 1, 3, 5)
        return self.encoded(self.embedding(patches.reshape(batch, count * count, -1)))


def build_small_model(
    settings: SmallModelSettings, shape: Sequence[int], vocabulary: int, classes: int, stream: Stream
) -> SmallModel:
    """Return a model with weights drawn from a stream.

    Args:
        shape: of one input: [length] of words, or [channels, side, side] of an image.
        vocabulary: number of different words; 0 where inputs are images.

    Raises:
        ValueError: the model does not take such inputs.
    """
    images = len(shape) == 3
    if images == isinstance(settings, TransformerSettings):
        raise ValueError(f"the model '{settings.kind}' does not take {'images' if images else 'texts'}")
    with stream.as_torch_default():
        if isinstance(settings, PerceptronSettings):
            return Perceptron(math.prod(shape), settings.widths, classes)
        if isinstance(settings, TransformerSettings):
            return TextTransformer(settings, vocabulary, shape[0], classes)
        if shape[1] % settings.patch or shape[1] != shape[2]:
            raise ValueError(f"images of {shape[1]} x {shape[2]} cannot be cut into patches of {settings.patch}")
        return VisionTransformer(settings, shape, classes)
