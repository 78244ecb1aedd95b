"""What a dual encoder is asked beside the labels it was trained with, and who else is asked. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from experiments.clip.prompt_settings import PromptSettings

TAGS = ("IMAGENET1K_V1", "IMAGENET1K_V2")
"""Of torchvision's weights."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskSettings(_Settings):
    """Telling the classes of one ``factor`` apart, such as count, shape or texture (sections 3.1.5 and 6).

    ``pairs`` of class names: each pair is a task of its own, on the test items of its two classes alone; the accuracy
    is the mean over pairs. ``prompts`` take the place of the trial's for this task.
    """

    factor: str
    pairs: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)] | None = None
    prompts: PromptSettings | None = None

    @model_validator(mode="after")
    def _different(self) -> Self:
        for first, second in self.pairs or ():
            if first == second:
                raise ValueError(f"'pairs' has '{first}' twice in one pair; name two classes to tell apart")
        return self


class PairsSettings(_Settings):
    """Classes of two ``factors`` at once, such as "red three", among all pairs of one group.

    ``unseen pairs`` are those whose images were withheld from training, ``seen pairs`` all the others. The label of a
    pair is the names of its two classes in the order of ``factors``, so write the attribute first and the noun last.
    """

    kind: Literal["seen pairs", "unseen pairs"]
    factors: tuple[str, str]
    prompts: PromptSettings | None = None

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.factors[0] == self.factors[1]:
            raise ValueError(f"'factors' has '{self.factors[0]}' twice; name two, such as colour and digit")
        return self


class AttributeSettings(_Settings):
    """Classes of a ``factor`` that no caption mentions (``captions.never``), by prompts that speak of it."""

    kind: Literal["unseen attribute"]
    factor: str
    prompts: PromptSettings


class LabelsSettings(_Settings):
    """The data set's own labels."""

    kind: Literal["labels"] = "labels"
    prompts: PromptSettings | None = None


UnseenSettings = Annotated[PairsSettings | AttributeSettings | LabelsSettings, Field(discriminator="kind")]


class SupervisedSettings(_Settings):
    """A classifier of torchvision that was trained on the data set's classes, as the paper's ResNet-50 (3.1.3).

    ``weights`` is torchvision's tag, or else the path of a checkpoint (a state dict, or torchvision's training script's
    with one under "model"), below ``data_root`` where that is given. Its classes are the data set's in their order.
    Images are prepared as the tag says, and for a checkpoint as ``IMAGENET1K_V1`` does.
    """

    name: Literal["resnet18", "resnet50"] = "resnet50"
    weights: str = Field(default="IMAGENET1K_V1", min_length=1)
    batch_size: int = Field(default=64, ge=1)
