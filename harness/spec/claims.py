"""Claims: falsifiable sentences of a paper, as data.

A claim names where the sentence stands, its form, the arms it compares, the published figure with its dispersion or
``not stated``, and the margin within which two figures count as equal, with the reason for that margin.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Arm = dict[str, Any]
"""Levels by factor; factors that are left out match every level (they pair, see ``paired_by``)."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(_Strict):
    """A published figure: its value, where it stands, how it was read, and its dispersion."""

    value: float
    unit: str = ""
    locator: str = Field(min_length=1, description="table, row and column, or figure, in the paper")
    basis: Literal["source", "secondary"] = Field(description="how the figure was read; leads are not published")
    dispersion: float | Literal["not stated"] = "not stated"
    runs: int | Literal["not stated"] = "not stated"
    derived: str = Field(default="", description="the arithmetic, where the figure is not printed as such")

    @field_validator("value")
    @classmethod
    def _finite(cls, value: float) -> float:
        if not math.isfinite(value):
            raise ValueError("a published figure is a finite number")
        return value


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

    @model_validator(mode="after")
    def _target(self) -> ValueClaim:
        if self.published is None and self.at_least is None and self.at_most is None:
            raise ValueError("a value claim needs 'published', 'at_least' or 'at_most'")
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
