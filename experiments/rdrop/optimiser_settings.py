"""How a model is optimised. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class OptimiserSettings(BaseModel):
    """AdamW or SGD, and the learning rate over training.

    ``constant`` after the warm-up; ``inverse-square-root`` of the step after it (translation); ``linear`` or ``cosine``
    towards zero, which it would have after the last step (fine-tuning). Only with the first two is a longer training
    the shorter one continued.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of SGD")
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["constant", "inverse-square-root", "linear", "cosine"] = "constant"
    clip: float | None = Field(default=None, gt=0, description="longest gradient, in its Euclidean norm")

    def decaying(self, weight_decay: float) -> OptimiserSettings:
        """Return the settings with another weight decay."""
        return self.model_copy(update={"weight_decay": weight_decay})

    def rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 0, of a training of so many steps."""
        import math

        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "inverse-square-root":
            return self.learning_rate * math.sqrt(max(1, self.warmup_steps) / (step + 1))
        gone = (step - self.warmup_steps) / max(1, steps - self.warmup_steps)
        return self.learning_rate * ((1 - gone) if self.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * gone)))
