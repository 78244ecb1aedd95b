"""What regularised training is measured against: plain training, and the same compute spent without the regulariser.

A method that passes every example twice costs about twice as much a step, so it has two fair controls: plain training
for twice as many steps, and a batch in which every example stands twice.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Regime:
    """``passes`` over every example of a step, and how many times as many ``steps`` as plain training has."""

    passes: int
    steps: int

    @property
    def compute(self) -> int:
        """Passes over examples, in units of plain training."""
        return self.passes * self.steps


PLAIN = Regime(passes=1, steps=1)
TWICE_THE_STEPS = Regime(passes=1, steps=2)
DOUBLED_BATCH = Regime(passes=2, steps=1)
