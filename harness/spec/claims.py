"""Claims: falsifiable sentences of a paper, as data.

A claim names where the sentence stands, its form, the arms it compares, the published figure with its dispersion or
``not stated``, and the margin within which two figures count as equal, with the reason for that margin.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Arm = dict[str, Any]
"""Levels by factor; factors that are left out match every level (they pair, see ``paired_by``)."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(_Strict):
    """A published figure: its value, where it stands, how it was read, and its dispersion.

    ``ratio_of`` in place of ``value`` gives two printed figures whose ratio, times ``scale``, is meant: it is
    computed, not rounded.
    """

    value: float = math.nan
    ratio_of: tuple[float, float] | None = None
    scale: float = 1.0
    unit: str = ""
    locator: str = Field(min_length=1, description="table, row and column, or figure, in the paper")
    basis: Literal["source", "secondary"] = Field(description="how the figure was read; leads are not published")
    dispersion: float | Literal["not stated"] = "not stated"
    runs: int | Literal["not stated"] = "not stated"
    derived: str = Field(default="", description="the arithmetic, where the figure is not printed as such")

    @model_validator(mode="before")
    @classmethod
    def _computed(cls, data: Any) -> Any:
        ratio = data.get("ratio_of") if isinstance(data, dict) else None
        if ratio is None:
            return data
        if "value" in data:
            raise ValueError("give either 'value' or 'ratio_of', not both")
        if not (isinstance(ratio, list | tuple) and len(ratio) == 2 and all(isinstance(r, int | float) for r in ratio)):
            raise ValueError("'ratio_of' must be two numbers, the first to be divided by the second")
        if not ratio[1]:
            raise ValueError("'ratio_of' divides by zero")
        return {**data, "value": data.get("scale", 1.0) * ratio[0] / ratio[1]}

    @model_validator(mode="after")
    def _finite(self) -> Published:
        if not math.isfinite(self.value):
            raise ValueError("a published figure needs 'value', a finite number, or 'ratio_of'")
        return self


class Margin(_Strict):
    """How far from the published figure still counts as agreement, and why."""

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


class _ClaimBase(_Strict):
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    paper: str = Field(min_length=1)
    arxiv: str = Field(pattern=r"^\d{4}\.\d{4,5}v\d+$", description="arXiv id with version, such as 2102.03334v2")
    locator: str = Field(min_length=1)
    statement: str = Field(min_length=1, description="the falsifiable sentence, in our words")
    quote: str = Field(default="", description="the paper's own words, where they were read")
    metric: str = Field(min_length=1)
    unit: str = ""
    published: Published | None = None
    margin: Margin | None = None
    family: Literal["confirmatory", "exploratory"] = "confirmatory"
    at_least: float | None = Field(default=None, description="the bound that the sentence itself states")
    at_most: float | None = Field(default=None, description="the bound that the sentence itself states")
    bound_reason: str = ""
    exact: bool = Field(default=False, description="a count without sampling error: the same in every trial")

    @model_validator(mode="after")
    def _bounds(self) -> _ClaimBase:
        if self.at_least is not None and self.at_most is not None:
            raise ValueError("give either 'at_least' or 'at_most', not both")
        if (self.at_least is not None or self.at_most is not None) and not self.bound_reason:
            raise ValueError("a bound needs 'bound_reason': the words of the paper it follows from")
        if self.published is not None and self.margin is None:
            raise ValueError("a published figure needs 'margin': how far from it still counts as agreement, and why")
        return self

    def arms(self) -> dict[str, Arm]:
        """Return the arms that the claim compares, by their role."""
        raise NotImplementedError


class RatioClaim(_ClaimBase):
    """``metric`` of the numerator arm over ``metric`` of the denominator arm; no effect is a ratio of one.

    Where the trial stored raw samples under ``samples``, the unit of analysis is the round.
    """

    form: Literal["ratio"]
    numerator: Arm
    denominator: Arm
    direction: Literal["greater", "less"] = "greater"
    samples: str | None = Field(default=None, description="the table of raw timing samples that rounds come from")

    def arms(self) -> dict[str, Arm]:
        return {"numerator": self.numerator, "denominator": self.denominator}


class ValueClaim(_ClaimBase):
    """``metric`` of one arm against a published number, or against a bound that the sentence states."""

    form: Literal["value"]
    arm: Arm
    samples: str | None = Field(default=None, description="the table of raw timing samples that stages come from")
    stages: tuple[str, ...] = Field(default=(), description="named stages whose share of the whole is the value")

    @model_validator(mode="after")
    def _target(self) -> ValueClaim:
        if self.published is None and self.at_least is None and self.at_most is None:
            raise ValueError("a value claim needs 'published', 'at_least' or 'at_most'")
        if bool(self.stages) != bool(self.samples):
            raise ValueError("a share of stages needs both 'samples' and 'stages'")
        return self

    def arms(self) -> dict[str, Arm]:
        return {"arm": self.arm}


Claim = Annotated[RatioClaim | ValueClaim, Field(discriminator="form")]

FORMS: dict[str, type[BaseModel]] = {"ratio": RatioClaim, "value": ValueClaim}


class ClaimsFile(_Strict):
    """A ``claims.yaml``: claims of one paper, and what they have in common.

    ``common`` is laid under every claim. A claim with ``each`` stands for one claim an entry: ``id`` is appended to
    its own, the other keys are laid over it.
    """

    common: dict[str, Any] = {}
    claims: list[dict[str, Any]] = Field(min_length=1)
