"""Figures that claims rest on: published ones with their dispersion, margins with their reasons, structural checks."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Arm = dict[str, Any]
"""Levels by factor. Factors that are left out are settings: their levels are pooled as ``pool`` says."""

NotStated = Literal["not stated"]


class Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(Strict):
    """A published figure: its value, where it stands, how it was read, and its dispersion.

    ``ratio_of`` in place of ``value`` gives two printed figures whose ratio, times ``scale``, is meant, and
    ``difference_of`` two whose difference (the first minus the second) is meant: computed, not rounded.
    ``dispersion`` is a standard deviation over ``runs``; two of them are those of two arms that were run independently.
    """

    value: float = math.nan
    ratio_of: tuple[float, float] | None = None
    difference_of: tuple[float, float] | None = None
    scale: float = 1.0
    unit: str = ""
    locator: str = Field(min_length=1, description="table, row and column, or figure, in the paper")
    basis: Literal["source", "secondary"] = Field(description="how the figure was read; leads are not published")
    dispersion: float | tuple[float, float] | NotStated = "not stated"
    runs: int | NotStated = "not stated"
    derived: str = Field(default="", description="the arithmetic, where the figure is not printed as such")

    @model_validator(mode="before")
    @classmethod
    def _computed(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = [key for key in ("value", "ratio_of", "difference_of") if data.get(key) is not None]
        if len(given) > 1:
            raise ValueError(f"give either '{given[0]}' or '{given[1]}', not both")
        pair = data.get("ratio_of") or data.get("difference_of")
        if pair is None:
            return data
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(r, int | float) for r in pair)):
            raise ValueError(f"'{given[0]}' must be two numbers")
        if given == ["difference_of"]:
            return {**data, "value": data.get("scale", 1.0) * (pair[0] - pair[1])}
        if not pair[1]:
            raise ValueError("'ratio_of' divides by zero")
        return {**data, "value": data.get("scale", 1.0) * pair[0] / pair[1]}

    @model_validator(mode="after")
    def _finite(self) -> Published:
        if not math.isfinite(self.value):
            raise ValueError("a published figure needs 'value', a finite number, or 'ratio_of', or 'difference_of'")
        return self

    @property
    def sd(self) -> float | None:
        """The standard deviation of the figure over runs; None where it is not stated."""
        if self.dispersion == "not stated":
            return None
        parts = self.dispersion if isinstance(self.dispersion, tuple) else (self.dispersion,)
        return math.hypot(*parts)

    @property
    def number_of_runs(self) -> int | None:
        """How many runs the figure is the mean of; None where it is not stated."""
        return None if self.runs == "not stated" else self.runs

    def left_out(self) -> list[str]:
        """Return what the publication does not say of this figure."""
        missing = [("dispersion", self.dispersion), ("number of runs", self.runs)]
        return [name for name, value in missing if value == "not stated"]


class Margin(Strict):
    """How far from a figure still counts as agreement with it, and why."""

    relative: float | None = Field(default=None, gt=0)
    absolute: float | None = Field(default=None, gt=0)
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _one(self) -> Margin:
        if (self.relative is None) == (self.absolute is None):
            raise ValueError("give either 'relative' or 'absolute', not both")
        return self

    def around(self, value: float) -> tuple[float, float]:
        """Return the interval of values that agree with ``value``."""
        half = self.absolute if self.absolute is not None else abs(value) * (self.relative or 0.0)
        return value - half, value + half

    def times(self, factor: float) -> Margin:
        """Return the margin made wider or narrower."""
        if self.absolute is not None:
            return self.model_copy(update={"absolute": self.absolute * factor})
        return self.model_copy(update={"relative": (self.relative or 0.0) * factor})


class AbsoluteMargin(Strict):
    """A margin in the claim's unit, and why it is that wide."""

    absolute: float = Field(gt=0)
    reason: str = Field(min_length=1)

    def times(self, factor: float) -> AbsoluteMargin:
        """Return the margin made wider or narrower."""
        return self.model_copy(update={"absolute": self.absolute * factor})


class Gate(Strict):
    """A structural check that must pass before a claim is judged: a recorded metric against what it should be.

    With ``value`` every arm of the claim (or ``arm``) must have it, within ``relative`` or ``absolute``. With
    ``equal: true`` the claim's arms must have the same, within the same tolerance. ``at_least`` and ``at_most`` bound
    it.
    """

    metric: str = Field(min_length=1)
    arm: Arm | None = Field(default=None, description="the arm that is checked; default: each arm of the claim")
    value: float | None = None
    equal: bool = False
    at_least: float | None = None
    at_most: float | None = None
    relative: float = Field(default=0.0, ge=0)
    absolute: float = Field(default=0.0, ge=0)
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _something(self) -> Gate:
        asked = [self.value is not None, self.equal, self.at_least is not None or self.at_most is not None]
        if sum(asked) != 1:
            raise ValueError("a gate needs one of 'value', 'equal: true', or 'at_least' and 'at_most'")
        if self.equal and self.arm is not None:
            raise ValueError("'equal' compares the arms of the claim, so 'arm' makes no sense beside it")
        return self


class Pool(Strict):
    """How the levels of factors that a claim's arms leave open are pooled.

    ``mean`` weighs them alike within each replicate. ``interquartile mean`` takes the stratified bootstrap over
    settings and replicates (Agarwal et al., arXiv 2108.13264). ``all`` asks that the claim holds in every one of them.
    """

    rule: Literal["mean", "interquartile mean", "all"] = "mean"
    reason: str = ""


class Items(Strict):
    """Outcomes of single test items, for a model on a fixed test set: the randomness is items and classes.

    ``table`` is a sample table of the trial with a row for each item and arm: ``item``, ``cluster`` (the class that
    items are resampled by), a column for each blocked factor, and the claim's metric. ``item`` and ``cluster`` may each
    name an unblocked factor instead: then its level is the item, or the cluster, of all rows of a trial.
    """

    table: str = Field(min_length=1)
    item: str = "item"
    cluster: str = "class"
    scale: float = Field(default=1.0, gt=0, description="factor from the metric to the claim's unit: 100 for points")


class Planning(Strict):
    """What a plan assumes before there is data, and why: in the unit of analysis (for ratios: of the log ratio)."""

    sd: float | None = Field(default=None, gt=0, description="standard deviation of one replicate's effect")
    effect: float | None = Field(default=None, description="the effect that must not be missed, in the claim's unit")
    reason: str = Field(min_length=1)
