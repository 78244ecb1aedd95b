"""Which dual encoder is asked for: a small one that is trained here, or a released one. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConvolutionalSettings(_Settings):
    """A stack of 3 x 3 convolutions with batch norm, averaged over the cells of a grid of positions.

    ``widths`` and ``strides`` a layer each; a ``grid`` of 1 averages over all positions, as ResNets do.
    """

    kind: Literal["convolutional"] = "convolutional"
    widths: tuple[Count, ...] = (16, 32, 64)
    strides: tuple[Count, ...] = (1, 2, 2)
    grid: Count = 4

    @model_validator(mode="after")
    def _layers(self) -> Self:
        if len(self.widths) != len(self.strides) or not self.widths:
            raise ValueError("'widths' and 'strides' must name the same number of layers, one at least")
        return self


class _TransformerSettings(_Settings):
    """Layers of one width, which the heads share."""

    width: Count
    layers: Count
    heads: Count

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"'width' {self.width} cannot be shared among {self.heads} 'heads'; choose a multiple")
        return self


class PatchesSettings(_TransformerSettings):
    """A Transformer on square patches of ``patch`` pixels, with a class token."""

    kind: Literal["vision-transformer"] = "vision-transformer"
    patch: Count = 4
    width: Count = 64
    layers: Count = 2
    heads: Count = 4


class TextSettings(_TransformerSettings):
    """A Transformer with a causal mask on words, read at the last one."""

    width: Count = 48
    layers: Count = 1
    heads: Count = 4


class SmallSettings(_Settings):
    """Two small towers and the space of ``dimension`` that both map into; trained from scratch in the trial.

    The logits are the cosines times ``exp(t)``, t learnt from ``temperature`` on and never above ``log(100)``
    (section 2.4).
    """

    kind: Literal["small"] = "small"
    image: Annotated[ConvolutionalSettings | PatchesSettings, Field(discriminator="kind")] = ConvolutionalSettings()
    text: TextSettings = TextSettings()
    dimension: Count = 64
    temperature: float = Field(default=0.07, gt=0, description="the initial one, the paper's")


class OpenClipSettings(_Settings):
    """A model of open_clip, by its name there and either a tag of released weights or the path of a checkpoint file.

    A relative path is below ``data_root`` where that is given, else below the current folder. What ends in ``.pt``,
    ``.pth``, ``.bin`` or ``.safetensors``, or holds a slash, is a path.
    """

    kind: Literal["open-clip"] = "open-clip"
    name: str = Field(min_length=1, description="open_clip's, such as ViT-B-32 or RN50")
    pretrained: str = Field(min_length=1, description="open_clip's tag, such as openai, or a checkpoint file")
    precision: Literal["float32", "bfloat16"] = "float32"
    batch_size: Count = 64


ModelSettings = Annotated[SmallSettings | OpenClipSettings, Field(discriminator="kind")]
