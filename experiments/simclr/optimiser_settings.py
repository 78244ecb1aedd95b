"""How a model is optimised. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["float32", "bfloat16"]
"""What the encoder and the head compute in; the loss is always computed in float32."""


class OptimiserSettings(BaseModel):
    """The optimiser, its learning rate at a batch of 256, and how that changes over training.

    ``scaling`` gives the learning rate at other batches: ``linear`` rate x batch / 256 (the paper's default, 0.3),
    ``square-root`` rate x sqrt(batch) (Table B.1, 0.075), ``none`` the rate itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["lars", "sgd", "adamw"]
    learning_rate: float = Field(gt=0)
    scaling: Literal["none", "linear", "square-root"] = "none"
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of LARS and SGD")
    warmup_fraction: float = Field(default=0.0, ge=0, le=1, description="share of the steps with a rising rate")
    schedule: Literal["cosine", "constant"] = "cosine"

    def scaled(self, batch_size: int) -> float:
        """Return the highest learning rate at a batch size."""
        factor = {"none": 1.0, "linear": batch_size / 256, "square-root": batch_size**0.5}[self.scaling]
        return self.learning_rate * factor
