"""What a benchmark measures: ours beside a rival, round by round, as it stands in pytest-benchmark's JSON.

``tests/benchmarks`` writes these into the ``extra_info`` of each benchmark under ``KEY``; ``reports.bench.runs`` reads
them. Every summary can be recomputed from them.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from reports.parts import Part

FORMAT: Literal[1] = 1
KEY = "beside"
"""Of what is measured, among the extra information of a benchmark."""

FEWEST_ROUNDS = 2
"""Below that there is no interval."""

_LINE = r"^[^\x00-\x1f\x7f-\x9f]+$"
Name = Annotated[str, Field(min_length=1, max_length=120, pattern=_LINE)]
Key = Annotated[str, Field(min_length=1, max_length=260, pattern=_LINE)]
"""What a comparison is called among all: two names, and a word between them."""
Nanoseconds = Annotated[int, Field(gt=0, lt=10**15)]


class Side(Part):
    """One side of a comparison: a visit a round, each of ``repetitions`` calls, in whole nanoseconds a visit."""

    name: Name
    repetitions: int = Field(ge=1, lt=10**9)
    nanoseconds: tuple[Nanoseconds, ...]

    @property
    def seconds(self) -> tuple[float, ...]:
        """Seconds a call, by round."""
        return tuple(visit / self.repetitions / 1e9 for visit in self.nanoseconds)


class Scale(Part):
    """Where a comparison stands in the table of sizes: what is done, with how many trials, files lying where."""

    what: Name
    trials: int = Field(ge=1, lt=10**9)
    files: Literal["memory", "disk"]


class Check(Part):
    """A comparison that checks the judging: made as the one named ``of``, with code of which the answer is known."""

    of: Key
    expected: Literal["slower than accepted", "as accepted"]


class Measured(Part):
    """One comparison. The round is the unit: sides alternate in random order, and a round has one visit of each.

    ``ours_first`` says of each round which side came first.
    """

    format: Literal[1]
    name: Name
    group: Name
    ours: Side
    rival: Side
    ours_first: tuple[bool, ...]
    scale: Scale | None = None
    check: Check | None = None

    @property
    def key(self) -> str:
        """What it is called among all comparisons."""
        return f"{self.name} beside {self.rival.name}"

    @property
    def rounds(self) -> int:
        return len(self.ours_first)

    @model_validator(mode="after")
    def _whole_rounds(self) -> Self:
        counts = {len(self.ours.nanoseconds), len(self.rival.nanoseconds), self.rounds}
        if len(counts) > 1:
            raise ValueError("the two sides do not have the same number of rounds")
        if self.rounds < FEWEST_ROUNDS:
            raise ValueError(f"fewer than {FEWEST_ROUNDS} rounds")
        return self
