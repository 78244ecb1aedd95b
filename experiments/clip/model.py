"""A small dual encoder: an image tower, a text tower, and one space that both map into (section 2.4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.clip.model_settings import ConvolutionalSettings, PatchesSettings, SmallSettings, TextSettings
from experiments.clip.vocabulary import CONTEXT, END, PADDING
from harness.execution.streams import Stream

LARGEST_SCALE = 100.0
"""Section 2.4: the temperature is clipped so that logits are never scaled by more than 100."""


class Block(nn.Module):
    """A pre-norm Transformer block with QuickGELU's place taken by GELU; attention looks back only, if ``causal``."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.in_projection, self.out_projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        split = (batch, length, 3, self.heads, width // self.heads)
        query, key, value = self.in_projection(self.norm1(x)).reshape(split).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        x = x + self.out_projection(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.feed_forward(self.norm2(x))  # type: ignore[no-any-return]


class TextTower(nn.Module):
    """Tokens int64 [count, length] to [count, dimension]: read at the end token, as the paper does."""

    def __init__(self, settings: TextSettings, vocabulary: int, dimension: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, settings.width, padding_idx=PADDING)
        self.position = nn.Parameter(0.01 * torch.randn(CONTEXT, settings.width))
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.Sequential(*(Block(settings.width, settings.heads, True) for _ in range(settings.layers)))
        self.norm = nn.LayerNorm(settings.width)
        self.projection = nn.Linear(settings.width, dimension, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.blocks(self.embedding(tokens) + self.position[: tokens.shape[1]])
        last = (tokens == END).to(torch.int64).argmax(dim=1)
        return self.projection(self.norm(x[torch.arange(len(x), device=x.device), last]))  # type: ignore[no-any-return]


class Convolutions(nn.Module):
    """Images [count, channels, side, side] to [count, dimension], by means over the cells of a grid of positions."""

    def __init__(self, settings: ConvolutionalSettings, channels: int, dimension: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, stride in zip(settings.widths, settings.strides, strict=True):
            layers += [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(settings.grid), nn.Flatten())
        self.projection = nn.Linear(channels * settings.grid**2, dimension, bias=False)

    def features(self, images: Tensor) -> Tensor:
        """Return what the projection reads, [count, width]."""
        return self.layers(images)  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        return self.projection(self.features(images))  # type: ignore[no-any-return]


class Patches(nn.Module):
    """A vision Transformer: images [count, channels, side, side] to [count, dimension], read at its class token."""

    def __init__(self, settings: PatchesSettings, channels: int, side: int, dimension: int) -> None:
        super().__init__()
        if side % settings.patch:
            raise ValueError(f"images of {side} x {side} cannot be cut into patches of {settings.patch}")
        self.cut = nn.Conv2d(channels, settings.width, settings.patch, settings.patch, bias=False)
        self.token = nn.Parameter(settings.width**-0.5 * torch.randn(settings.width))
        count = (side // settings.patch) ** 2 + 1
        self.position = nn.Parameter(settings.width**-0.5 * torch.randn(count, settings.width))
        self.before, self.after = nn.LayerNorm(settings.width), nn.LayerNorm(settings.width)
        self.blocks = nn.Sequential(*(Block(settings.width, settings.heads, False) for _ in range(settings.layers)))
        self.projection = nn.Linear(settings.width, dimension, bias=False)

    def features(self, images: Tensor) -> Tensor:
        """Return what the projection reads, [count, width]."""
        patches = self.cut(images).flatten(2).transpose(1, 2)
        token = self.token.expand(len(patches), 1, -1)
        x = self.blocks(self.before(torch.cat([token, patches], 1) + self.position))
        return self.after(x[:, 0])  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        return self.projection(self.features(images))  # type: ignore[no-any-return]


class SmallClip(nn.Module):
    """Both towers; ``forward`` gives unit vectors of images and of texts, [count, dimension] each."""

    def __init__(self, settings: SmallSettings, vocabulary: int, channels: int, side: int) -> None:
        super().__init__()
        self.image = image_tower(settings.image, channels, side, settings.dimension)
        self.text = TextTower(settings.text, vocabulary, settings.dimension)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / settings.temperature)))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by."""
        return self.logit_scale.exp()

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return functional.normalize(self.image(images), dim=1), functional.normalize(self.text(tokens), dim=1)

    @torch.no_grad()
    def clip_scale(self) -> None:
        """Keep the scale at or under its largest value (section 2.4)."""
        self.logit_scale.clamp_(max=math.log(LARGEST_SCALE))


def image_tower(
    settings: ConvolutionalSettings | PatchesSettings, channels: int, side: int, dimension: int
) -> Convolutions | Patches:
    """Return an image tower that ends in ``dimension`` numbers.

    Raises:
        ValueError: images of that side cannot be cut into its patches.
    """
    if isinstance(settings, ConvolutionalSettings):
        return Convolutions(settings, channels, dimension)
    return Patches(settings, channels, side, dimension)


def build_small_clip(settings: SmallSettings, vocabulary: int, channels: int, side: int, stream: Stream) -> SmallClip:
    """Return a model with weights drawn from a stream.

    Raises:
        ValueError: images of that side cannot be cut into its patches.
    """
    with stream.as_torch_default():
        return SmallClip(settings, vocabulary, channels, side)
