"""Which model is trained. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PerceptronSettings(_Settings):
    """Linear layers with ReLU and dropout between them, on flattened images."""

    kind: Literal["perceptron"]
    widths: tuple[Count, ...] = (128, 128)


class _Attentive(_Settings):
    width: Count = 32
    layers: Count = 2
    heads: Count = 4

    @model_validator(mode="after")
    def _divides(self) -> _Attentive:
        if self.width % self.heads:
            raise ValueError(f"'width' {self.width} cannot be shared among {self.heads} heads; choose a multiple")
        return self


class TransformerSettings(_Attentive):
    """A Transformer encoder on words; the mean over words is classified."""

    kind: Literal["transformer"]


class VisionTransformerSettings(_Attentive):
    """The same encoder on square patches of an image."""

    kind: Literal["vision-transformer"]
    patch: Count = 4


class HuggingFaceSettings(_Settings):
    """A classifier of the transformers library, by the name of a hub or a local folder.

    For texts an ``AutoModelForSequenceClassification`` with the folder's own tokenizer; for images an
    ``AutoModelForImageClassification``, to which images are resized. ``from_scratch`` takes the configuration without
    the weights; ``maximum_length`` cuts texts, in tokens. A batch passes in so many equal ``pieces``, one by one,
    whose gradients add up: the same step in less memory.
    """

    kind: Literal["hugging-face"]
    name: str = Field(min_length=1)
    from_scratch: bool = False
    maximum_length: int = Field(default=128, ge=4)
    pieces: int = Field(default=1, ge=1)


SmallModelSettings = PerceptronSettings | TransformerSettings | VisionTransformerSettings
ModelSettings = Annotated[SmallModelSettings | HuggingFaceSettings, Field(discriminator="kind")]
