"""Claims: falsifiable sentences of a paper, as data.

A claim names where the sentence stands, its form, the arms it compares, the published figure with its dispersion or
``not stated``, and the margin within which two figures count as equal, with the reason for that margin.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.spec.figures import AbsoluteMargin, Arm, Gate, Items, Margin, Planning, Pool, Published, Strict
from harness.spec.models import Scalar

Direction = Literal["greater", "less"]
Scale = Literal["linear", "log", "rank"]
ALL_OTHERS = "all others"


class ClaimBase(Strict):
    """What all forms of claims have in common.

    ``pooling`` names the rules by which a form can pool settings: one that looks at two sides cannot ask that it holds
    in all of them by the weakest, and a curve is pooled before it is read. ``can_be_exact`` says whether a form can be
    about counts.
    """

    pooling: ClassVar[tuple[str, ...]] = ("mean",)
    can_be_exact: ClassVar[bool] = False

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
    negligible: AbsoluteMargin | None = Field(default=None, description="an effect within it counts as none")
    family: Literal["confirmatory", "exploratory"] = "confirmatory"
    at_least: float | None = Field(default=None, description="the bound that the sentence itself states")
    at_most: float | None = Field(default=None, description="the bound that the sentence itself states")
    bound_reason: str = ""
    exact: bool = Field(default=False, description="a count without sampling error: the same in every trial")
    pool: Pool = Pool()
    gates: tuple[Gate, ...] = ()
    possible: tuple[float, float] | None = Field(default=None, description="the least and greatest the metric can be")
    planning: Planning | None = None
    beside: str = Field(
        default="", description="the claim to be read with this one, such as the same question at equal compute"
    )
    reading: Literal["matched", "best"] | None = Field(
        default=None, description="where the spec tunes: at matched settings, or each arm at its best; default: both"
    )

    @model_validator(mode="after")
    def _bounds(self) -> ClaimBase:
        if self.at_least is not None and self.at_most is not None:
            raise ValueError("give either 'at_least' or 'at_most', not both")
        if (self.at_least is not None or self.at_most is not None) and not self.bound_reason:
            raise ValueError("a bound needs 'bound_reason': the words of the paper it follows from")
        if self.published is not None and self.margin is None:
            raise ValueError("a published figure needs 'margin': how far from it still counts as agreement, and why")
        if self.possible is not None and not self.possible[0] < self.possible[1]:
            raise ValueError("'possible' must be the least and the greatest value of the metric")
        if self.pool.rule not in self.pooling:
            raise ValueError(f"this form cannot pool by the rule '{self.pool.rule}' (known: {', '.join(self.pooling)})")
        if self.exact and not self.can_be_exact:
            raise ValueError("'exact' has no meaning for this form: it is about counts of one or two arms")
        return self

    def arms(self) -> dict[str, Arm]:
        """Return the arms that the claim compares, by their role."""
        raise NotImplementedError

    def axis(self) -> str | None:
        """Return the factor along which the claim looks at a curve; None for claims about single arms."""
        return None

    def axis_levels(self) -> list[Scalar]:
        """Return the levels of the axis that the claim names."""
        return []

    def relaxed(self, factor: float) -> ClaimBase:
        """Return the claim with all its margins made wider or narrower by a factor."""
        names = [name for name in type(self).model_fields if isinstance(getattr(self, name), Margin | AbsoluteMargin)]
        return self.model_copy(update={name: getattr(self, name).times(factor) for name in names})

    @property
    def has_margins(self) -> bool:
        return any(isinstance(getattr(self, name), Margin | AbsoluteMargin) for name in type(self).model_fields)


class Directed(ClaimBase):
    """A claim with a direction."""

    direction: Direction = "greater"


class _Compared(Directed):
    """Two arms, the first of which is said to be better (or no worse, or the same)."""

    treatment: Arm
    control: Arm
    pairing: Literal["paired", "unpaired"] = Field(
        default="paired", description="paired: replicates of both arms share their random streams"
    )
    items: Items | None = None

    @model_validator(mode="after")
    def _items_fit(self) -> _Compared:
        if self.items is not None and (problem := items_problem(self)):
            raise ValueError(problem)
        return self

    def arms(self) -> dict[str, Arm]:
        return {"treatment": self.treatment, "control": self.control}


class DifferenceClaim(_Compared):
    """``metric`` of the treatment minus ``metric`` of the control; no effect is a difference of zero."""

    pooling: ClassVar[tuple[str, ...]] = ("mean", "interquartile mean", "all")
    can_be_exact: ClassVar[bool] = True
    form: Literal["difference"]


class NonInferiorityClaim(_Compared):
    """The treatment is worse than the control by less than ``tolerated``; ``direction`` says which way is better."""

    pooling: ClassVar[tuple[str, ...]] = ("mean", "interquartile mean", "all")
    can_be_exact: ClassVar[bool] = True
    form: Literal["non_inferiority"]
    tolerated: AbsoluteMargin


class EquivalenceClaim(_Compared):
    """Treatment and control differ by less than ``within``, either way."""

    pooling: ClassVar[tuple[str, ...]] = ("mean", "interquartile mean")
    can_be_exact: ClassVar[bool] = True
    form: Literal["equivalence"]
    within: AbsoluteMargin


class RatioClaim(Directed):
    """``metric`` of the numerator arm over ``metric`` of the denominator arm; no effect is a ratio of one.

    Where the trial stored raw samples under ``samples``, the unit of analysis is the round.
    """

    pooling: ClassVar[tuple[str, ...]] = ("mean", "interquartile mean", "all")
    can_be_exact: ClassVar[bool] = True
    form: Literal["ratio"]
    numerator: Arm
    denominator: Arm
    samples: str | None = Field(default=None, description="the table of raw timing samples that rounds come from")

    def arms(self) -> dict[str, Arm]:
        return {"numerator": self.numerator, "denominator": self.denominator}


class ValueClaim(ClaimBase):
    """``metric`` of one arm against a published number, or against a bound that the sentence states."""

    pooling: ClassVar[tuple[str, ...]] = ("mean", "interquartile mean")
    can_be_exact: ClassVar[bool] = True
    form: Literal["value"]
    arm: Arm
    samples: str | None = Field(default=None, description="the table of raw timing samples that stages come from")
    stages: tuple[str, ...] = Field(default=(), description="named stages whose share of the whole is the value")
    items: Items | None = Field(default=None, description="a rate over single test items")

    @model_validator(mode="after")
    def _target(self) -> ValueClaim:
        if self.published is None and self.at_least is None and self.at_most is None:
            raise ValueError("a value claim needs 'published', 'at_least' or 'at_most'")
        if bool(self.stages) != bool(self.samples):
            raise ValueError("a share of stages needs both 'samples' and 'stages'")
        if self.items is not None and (problem := items_problem(self)):
            raise ValueError(problem)
        return self

    def arms(self) -> dict[str, Arm]:
        return {"arm": self.arm}


class OrderingClaim(Directed):
    """``metric`` falls from arm to arm of ``order`` (with ``direction: less`` it rises): the best one stands first."""

    pooling: ClassVar[tuple[str, ...]] = ("mean", "all")
    can_be_exact: ClassVar[bool] = True
    form: Literal["ordering"]
    order: tuple[Arm, ...] = Field(min_length=2)

    def arms(self) -> dict[str, Arm]:
        return {f"{place + 1}": arm for place, arm in enumerate(self.order)}


class _Curve(Directed):
    """A claim about ``metric`` as a function of the factor ``along``; ``arm`` fixes other factors."""

    along: str = Field(min_length=1)
    arm: Arm = {}
    levels: tuple[Scalar, ...] = Field(
        default=(), description="levels of 'along' in order; default: all of the profile"
    )

    @model_validator(mode="after")
    def _free(self) -> _Curve:
        for arm in self.arms().values():
            if self.along in arm and self.form != "crossing":  # type: ignore[attr-defined]
                raise ValueError(f"the arm fixes '{self.along}', along which the claim looks")
        return self

    def arms(self) -> dict[str, Arm]:
        return {"arm": self.arm}

    def axis(self) -> str | None:
        return self.along

    def axis_levels(self) -> list[Scalar]:
        return list(self.levels)


class TrendClaim(_Curve):
    """``metric`` rises (or falls) along a factor: a monotone contrast, in units of the change from end to end.

    With ``minus``, an arm whose metric is taken off at every level, it is about how an effect grows along the factor;
    where that has two levels, it is an interaction.
    """

    pooling: ClassVar[tuple[str, ...]] = ("mean", "interquartile mean", "all")
    form: Literal["trend"]
    minus: Arm = {}
    scale: Scale = Field(default="rank", description="spacing of the levels in the contrast")

    @model_validator(mode="after")
    def _enough(self) -> TrendClaim:
        if len(self.levels) == 1:
            raise ValueError("a trend needs at least two 'levels'")
        if self.minus and self.minus.keys() != self.arm.keys():
            raise ValueError("'minus' must name the factors that 'arm' names, at other levels")
        return self

    def arms(self) -> dict[str, Arm]:
        return {"arm": self.arm, "minus": self.minus} if self.minus else {"arm": self.arm}


class OptimumClaim(_Curve):
    """``metric`` is best at one of the levels ``claimed``, and these beat the level ``against`` (no treatment).

    ``direction`` says which way is better. The location is judged by the bootstrap of the argmax, the size by the
    contrast of the claimed levels' mean with the level ``against`` (none at all, say), or with all others.
    """

    form: Literal["optimum"]
    claimed: tuple[Scalar, ...] = Field(min_length=1)
    against: Scalar = ALL_OTHERS

    @model_validator(mode="after")
    def _better(self) -> OptimumClaim:
        if self.at_most is not None:
            raise ValueError("an optimum's contrast counts the better side up, so its bound is 'at_least'")
        return self

    def axis_levels(self) -> list[Scalar]:
        against = [] if self.against == ALL_OTHERS else [self.against]
        return list(dict.fromkeys([*self.levels, *self.claimed, *against]))


class CrossingClaim(_Curve):
    """Along a factor, the curve of ``second`` passes that of ``first``: where, in the factor's own unit.

    ``first`` may be a single figure (it names the factor itself, or has but one level of it): a horizontal line.
    ``direction`` says which way is better.
    """

    form: Literal["crossing"]
    first: Arm
    second: Arm
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _target(self) -> CrossingClaim:
        if self.published is None and self.at_least is None and self.at_most is None:
            raise ValueError("a crossing needs 'published', 'at_least' or 'at_most': where the curves should cross")
        if self.along in self.second:
            raise ValueError(f"'second' fixes '{self.along}', along which the claim looks")
        return self

    def arms(self) -> dict[str, Arm]:
        return {"first": {**self.arm, **self.first}, "second": {**self.arm, **self.second}}


Claim = Annotated[
    DifferenceClaim
    | RatioClaim
    | NonInferiorityClaim
    | EquivalenceClaim
    | TrendClaim
    | OptimumClaim
    | OrderingClaim
    | ValueClaim
    | CrossingClaim,
    Field(discriminator="form"),
]

FORMS: dict[str, type[ClaimBase]] = {
    "difference": DifferenceClaim,
    "ratio": RatioClaim,
    "non_inferiority": NonInferiorityClaim,
    "equivalence": EquivalenceClaim,
    "trend": TrendClaim,
    "optimum": OptimumClaim,
    "ordering": OrderingClaim,
    "value": ValueClaim,
    "crossing": CrossingClaim,
}


def may_have_items(claim: ClaimBase) -> bool:
    """Say whether a claim is of a form that can be judged over test items: neither a count nor about timings."""
    return "items" in type(claim).model_fields and not claim.exact and getattr(claim, "samples", None) is None


def items_problem(claim: ClaimBase) -> str:
    """Say why a claim cannot be judged over test items though its form could; empty where it can."""
    if getattr(claim, "pairing", "paired") == "unpaired":
        return "items pair by themselves: 'pairing' cannot be 'unpaired' beside 'items'"
    if claim.pool.rule != "mean":
        return f"items of all settings are averaged: 'pool' cannot have the rule '{claim.pool.rule}' beside 'items'"
    return ""


class ProtocolEntry(Strict):
    """One thing that the paper did: its data, its model, how it trained, evaluated or timed.

    ``concerns`` names the experiments, or the claims, that it is about: all of the file's where it is empty.
    """

    label: str = Field(min_length=1, description="what of the protocol it is, such as data, training or hardware")
    text: str = Field(min_length=1, description="what the paper did, and where it says so")
    basis: Literal["source", "secondary"] = Field(description="how it was read, as for a published figure")
    concerns: tuple[str, ...] = Field(default=(), description="ids of experiments or claims; default: all")


class ClaimsFile(Strict):
    """A ``claims.yaml``: claims of one paper, and what they have in common.

    ``common`` is laid under every claim. A claim with ``each`` stands for one claim an entry: ``id`` is appended to
    its own, the other keys are laid over it. ``protocol`` says what the paper did, and ``not_stated`` what it leaves
    out of that.
    """

    common: dict[str, Any] = {}
    protocol: list[ProtocolEntry] = []
    not_stated: list[str] = []
    claims: list[dict[str, Any]] = Field(min_length=1)
