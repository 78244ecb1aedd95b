"""How the small dual encoder is optimised. Imports no torch."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field


class OptimiserSettings(BaseModel):
    """AdamW with a linear warm-up and a cosine to zero (section 2.5); gains, biases and the temperature do not decay.

    Betas, epsilon and the share of the warm-up are those of Tables 18 and 19 for ViTs, up to its length.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.2, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)
    epsilon: float = Field(default=1e-6, gt=0)
    warmup_steps: int = Field(default=50, ge=0)

    def rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 0, of a training of so many."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        gone = (step - self.warmup_steps) / max(1, steps - self.warmup_steps)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * gone))
