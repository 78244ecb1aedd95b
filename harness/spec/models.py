"""The language of experiment specs, as pydantic models."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from harness.spec.figures import Strict
from harness.spec.slurm import SlurmOptions

Fidelity = Literal["proxy", "reduced", "paper"]
Scalar = str | int | float | bool | None
VARIED_STREAMS = "varied_streams"
"""A factor that every trial function has: which random streams differ between replicates, ``all`` or one of them."""
ALL_STREAMS = "all"
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="module:function")]
SkipRule = dict[str, Scalar | list[Scalar]]
NAME = r"^[a-z][a-z0-9_-]*$"


class FactorModel(Strict):
    """A factor: its levels, and whether they run interleaved inside one trial.

    ``levels`` is a list of scalars, or a mapping of level names to any values. ``blocked`` levels are handed to the
    trial function together, as a mapping of level name to value.
    """

    levels: list[Scalar] | dict[str, Any]
    blocked: bool = False
    unit: str = ""
    description: str = ""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"levels": value} if isinstance(value, list) else value

    @field_validator("levels")
    @classmethod
    def _some_levels(cls, value: list[Scalar] | dict[str, Any]) -> list[Scalar] | dict[str, Any]:
        if not value:
            raise ValueError("has no levels, so the grid is empty; give at least one")
        names = [level_name(level) for level in value]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ValueError(f"the level '{twice[0]}' stands twice")
        return value


class Resources(Strict):
    """What one trial needs. ``minutes`` is the longest a trial may take before it is ended."""

    cpus: int = Field(default=1, ge=1)
    gpus: int = Field(default=0, ge=0)
    trials_per_gpu: int = Field(
        default=1,
        ge=1,
        description="how many trials share a GPU of this machine; they slow each other, so measure",
    )
    memory_gib: float = Field(default=4.0, gt=0)
    minutes: float = Field(default=60.0, gt=0)
    fresh_process: bool = Field(default=False, description="every trial starts in a process of its own")
    exclusive: bool = Field(default=False, description="no other trial of this machine runs beside it")
    teraflops: float | None = Field(
        default=None, gt=0, description="10^12 operations a second that a trial is expected to sustain on all its GPUs"
    )
    slurm: SlurmOptions = SlurmOptions()

    @model_validator(mode="after")
    def _shared(self) -> Resources:
        if self.trials_per_gpu > 1 and (self.exclusive or self.gpus > 1):
            why = "is timed ('exclusive')" if self.exclusive else f"needs {self.gpus} GPUs"
            raise ValueError(f"'trials_per_gpu' is {self.trials_per_gpu}, but a trial that {why} shares none")
        return self


class Replicates(Strict):
    """Replicates with declared looks: after each, the sweep stops if every confirmatory claim is decided.

    Looks spend the significance level (``harness.verdicts.statistics.sequential``), so that stopping early keeps it.
    """

    min: int = Field(ge=1)
    max: int = Field(ge=1)
    looks: tuple[int, ...] = Field(min_length=1, description="numbers of replicates at which the claims are judged")

    @model_validator(mode="after")
    def _consistent(self) -> Replicates:
        if any(later <= earlier for earlier, later in zip(self.looks, self.looks[1:], strict=False)):
            raise ValueError(f"'looks' must rise, and {list(self.looks)} does not")
        if self.looks[0] < self.min:
            raise ValueError(f"the first look ({self.looks[0]}) is before 'min' ({self.min})")
        if self.looks[-1] != self.max:
            raise ValueError(f"the last look ({self.looks[-1]}) must be at 'max' ({self.max})")
        return self


ReplicateCount = Annotated[int, Field(ge=1)]
NumberOrLooks = Annotated[
    Annotated[ReplicateCount, Tag("(number)")] | Annotated[Replicates, Tag("(looks)")],
    Discriminator(lambda value: "(looks)" if isinstance(value, dict | Replicates) else "(number)"),
]
"""A number of replicates, or declared looks. The tags stand nowhere in a file, and no error shows them."""


class Select(Strict):
    """What every arm tunes before the reporting replicates start, under equal budgets.

    Each combination of the other factors' levels tries the whole grid of ``factors`` on ``replicates`` tuning
    replicates, which are never reported. Its levels with the best mean ``metric`` (measured on the validation part) are
    frozen; then fresh replicates report two readings: each arm at the ``matched`` levels, and each at its own best.
    With ``at``, only the arms at those levels of other factors tune, and only they have the second reading.
    """

    factors: tuple[str, ...] = Field(min_length=1, description="names of factors whose levels are the grid")
    metric: str = Field(min_length=1, description="measured on the validation part, never on what is reported")
    direction: Literal["greater", "less"] = "greater"
    replicates: int = Field(default=2, ge=1)
    matched: dict[str, Scalar] = Field(description="the levels of 'factors' at which arms are compared as in the paper")
    at: dict[str, Scalar] = Field(default={}, description="levels of other factors: only arms there tune")

    @model_validator(mode="after")
    def _matched(self) -> Select:
        for name in self.factors:
            if name not in self.matched:
                raise ValueError(f"'matched' must give a level of '{name}'")
        for name in self.matched:
            if name not in self.factors:
                raise ValueError(f"'matched' names '{name}', which is not among 'factors'")
        for name in self.at:
            if name in self.factors:
                raise ValueError(f"'at' names '{name}', which is tuned")
        return self


class Profile(Strict):
    """A named budget and data choice; ``fidelity`` is what it may at most conclude.

    ``factors`` replaces levels: for a factor with named levels, a list of some of those names; otherwise new levels.
    """

    fidelity: Fidelity
    description: str = ""
    factors: dict[str, list[Scalar] | dict[str, Any]] = {}
    fixed: dict[str, Any] = {}
    skip: list[SkipRule] = Field(default=[], description="combinations that this profile leaves out as well")
    replicates: NumberOrLooks | None = None
    select: dict[str, Any] = Field(default={}, description="what differs from the spec's 'select'")
    resources: dict[str, Any] = {}
    device: Literal["auto", "cpu", "cuda"] | None = None
    deviations: list[str] = Field(default=[], description="what differs from the paper's protocol, a sentence each")
    conclusive: bool = Field(default=True, description="false where the profile only shows that everything runs")


class SpecModel(Strict):
    """One experiment: a YAML file."""

    experiment: str = Field(pattern=NAME)
    title: str = Field(min_length=1)
    description: str = ""
    trial: FunctionName
    claims: list[str | dict[str, Any]] = []
    claims_file: str | None = Field(default=None, description="where the claims stand; default claims.yaml beside")
    factors: dict[str, FactorModel] = {}
    fixed: dict[str, Any] = {}
    skip: list[SkipRule] = Field(
        default=[], description="combinations that make no sense: every factor named must match"
    )
    operations: FunctionName | None = Field(default=None, description="counts a trial's floating-point operations")
    ready: FunctionName | None = Field(default=None, description="refuses, or fetches, what a trial needs and lacks")
    replicates: NumberOrLooks = 1
    select: Select | None = None
    resources: Resources = Resources()
    profiles: dict[str, Profile] = Field(min_length=1)
    report: dict[str, Any] = Field(default={}, description="how the report shows it; read by the reports room")

    @model_validator(mode="after")
    def _all_streams(self) -> SpecModel:
        varied = self.factors.get(VARIED_STREAMS)
        if varied is not None and (varied.blocked or ALL_STREAMS not in varied.levels):
            raise ValueError(f"the factor '{VARIED_STREAMS}' needs the level '{ALL_STREAMS}', and cannot be blocked")
        return self


def level_name(level: Scalar) -> str:
    """Return the name of a scalar level as claims and command lines write it."""
    if level is None:
        return "none"
    if isinstance(level, bool):
        return "true" if level else "false"
    if isinstance(level, float) and level.is_integer() and abs(level) < 1e15:
        return str(int(level))
    return str(level)
