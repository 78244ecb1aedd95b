"""The language of experiment specs, as pydantic models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Fidelity = Literal["proxy", "reduced", "paper"]
Scalar = str | int | float | bool | None
NAME = r"^[a-z][a-z0-9_-]*$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FactorModel(_Strict):
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
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the level '{twice[0]}' stands twice")
        return value


class Resources(_Strict):
    """What one trial needs. ``minutes`` is the longest a trial may take before it is ended."""

    cpus: int = Field(default=1, ge=1)
    gpus: int = Field(default=0, ge=0)
    memory_gib: float = Field(default=4.0, gt=0)
    minutes: float = Field(default=60.0, gt=0)
    fresh_process: bool = Field(default=False, description="every trial starts in a process of its own")
    exclusive: bool = Field(default=False, description="no other trial of this machine runs beside it")
    slurm: dict[str, Scalar] = Field(default={}, description="partition, account, qos and further sbatch options")


class Profile(_Strict):
    """A named budget and data choice; ``fidelity`` is what it may at most conclude.

    ``factors`` replaces levels: for a factor with named levels, a list of some of those names; otherwise new levels.
    """

    fidelity: Fidelity
    description: str = ""
    factors: dict[str, list[Scalar] | dict[str, Any]] = {}
    fixed: dict[str, Any] = {}
    replicates: int | None = Field(default=None, ge=1)
    resources: dict[str, Any] = {}
    device: Literal["auto", "cpu", "cuda"] | None = None
    deviations: list[str] = Field(default=[], description="what differs from the paper's protocol, a sentence each")
    conclusive: bool = Field(default=True, description="false where the profile only shows that everything runs")


class SpecModel(_Strict):
    """One experiment: a YAML file."""

    experiment: str = Field(pattern=NAME)
    title: str = Field(min_length=1)
    description: str = ""
    trial: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="module:function")
    claims: list[str | dict[str, Any]] = []
    claims_file: str | None = Field(default=None, description="where the claims stand; default claims.yaml beside")
    factors: dict[str, FactorModel] = {}
    fixed: dict[str, Any] = {}
    skip: list[dict[str, Scalar | list[Scalar]]] = Field(
        default=[], description="combinations that make no sense: every factor named must match"
    )
    replicates: int = Field(default=1, ge=1)
    resources: Resources = Resources()
    profiles: dict[str, Profile] = Field(min_length=1)
    report: dict[str, Any] = Field(default={}, description="how the report shows it; read by the reports room")


def level_name(level: Scalar) -> str:
    """Return the name of a scalar level as claims and command lines write it."""
    if level is None:
        return "none"
    if isinstance(level, bool):
        return "true" if level else "false"
    if isinstance(level, float) and level.is_integer() and abs(level) < 1e15:
        return str(int(level))
    return str(level)
