"""How an experiment wants to be shown: the ``report`` key of its spec."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.spec.load import Experiment
from harness.spec.models import Scalar
from harness.spec.validation import validated
from reports.cells import Better

Reading = Literal["tuning", "matched", "best"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedColumn(_Strict):
    """Figures of the paper to stand beside a metric, by level: written out, or those of registered claims.

    Where rows are combinations of levels, they are named with commas between: ``nonlinear, 128``. ``claims`` is the id
    that value claims of the experiment begin with; their arm names the level.
    """

    locator: str
    values: dict[str, float] = {}
    claims: str = ""
    approximate: bool = Field(default=False, description="the paper prints them with a tilde")
    digits: int = Field(default=0, ge=0, le=8, description="digits after the point, as the paper prints them")


class Column(_Strict):
    """One metric as a column: its label, unit and number of digits after the point."""

    metric: str
    label: str
    unit: str = ""
    digits: int = Field(default=1, ge=0, le=8)
    better: Better = Field(default="", description="which way is better")
    statistic: Literal["median", "mean"] = Field(
        default="median", description="over trials; a mean has Student's 95 % interval over replicates"
    )
    low: str | None = Field(default=None, description="the metric that holds the interval's lower end")
    high: str | None = Field(default=None, description="the metric that holds the interval's upper end")
    ratio_to: str | None = Field(default=None, description="show the metric as a multiple of this level's")
    published: PublishedColumn | None = None
    difference: bool = Field(default=False, description="add a column with the difference from the published figure")


class TableDeclaration(_Strict):
    """A table with a row for each level of a factor, or for each combination of several that was run.

    Where the spec tunes, ``reading`` says which trials stand in it.
    """

    title: str
    caption: str = ""
    rows: str | tuple[str, ...]
    columns: tuple[Column, ...] = Field(min_length=1)
    reading: Reading = "matched"

    @property
    def factors(self) -> tuple[str, ...]:
        return (self.rows,) if isinstance(self.rows, str) else self.rows


class _Picture(_Strict):
    title: str
    caption: str = ""


class StagesPicture(_Picture):
    """Time of named stages (metrics ``stage_ms_...``) by level, absolute and as shares."""

    kind: Literal["stages"]
    rows: str
    total: str = Field(default="", description="the metric, in ms, that is written at the end of a bar")
    groups: dict[str, list[str]] = Field(default={}, description="stages that are drawn as one, by label")
    of: str = Field(default="request", description="what it is the time of")


class RoundRatiosPicture(_Picture):
    """The ratio of each round, for the ratio claims that have rounds."""

    kind: Literal["round-ratios"]


class BesidePublishedPicture(_Picture):
    """A metric, or several, beside the paper's figures by level."""

    kind: Literal["beside-published"]
    rows: str
    metrics: dict[str, str] = Field(min_length=1, description="metric to label")
    published: PublishedColumn | None = None
    unit: str = ""
    logarithmic: bool = False


class _Chart(_Picture):
    """A picture of means over replicates, each with Student's 95 % interval."""

    metric: str
    label: str
    unit: str = ""
    where: dict[str, Scalar] = Field(default={}, description="levels of other factors that are drawn")
    reading: Reading = "matched"
    intervals: bool = Field(default=True, description="false where replicates are too few to carry any")


class PublishedCurves(_Strict):
    """Figures of the paper by level of ``by`` (empty without it), then by level of ``along``."""

    locator: str
    values: dict[str, dict[str, float]] = Field(min_length=1)


class CurvesPicture(_Chart):
    """The mean of a metric along a factor, a line for each level of ``by``; the paper's figures faintly behind."""

    kind: Literal["curves"]
    along: str
    by: str = ""
    logarithmic: bool = Field(default=False, description="the factor's levels are numbers, on a log scale")
    across: tuple[Scalar, ...] = Field(default=(), description="levels of 'along' that are drawn as lines across")
    without: tuple[Scalar, ...] = Field(default=(), description="levels of 'along' that are not drawn")
    published: PublishedCurves | None = None


class EffectsPicture(_Chart):
    """The paired difference of two arms along a factor, a line for each level of ``by`` or for each of ``controls``.

    An arm that names the factor itself is the same all along: every level is then compared with one control.
    """

    kind: Literal["effects"]
    along: str
    by: str = ""
    logarithmic: bool = False
    treatment: dict[str, Scalar] = {}
    control: dict[str, Scalar] = {}
    controls: dict[str, dict[str, Scalar]] = Field(default={}, description="several controls, by label, a line each")
    without: tuple[Scalar, ...] = Field(default=(), description="levels of 'along' that have no place on the axis")
    published: dict[str, float] = Field(default={}, description="the paper's differences, by where they stand")

    @model_validator(mode="after")
    def _one_control(self) -> EffectsPicture:
        if bool(self.control) == bool(self.controls):
            raise ValueError("needs either 'control' or 'controls'")
        if self.controls and self.by:
            raise ValueError("draws a line for each of 'controls' or for each level of 'by', not both")
        return self


class GridPicture(_Chart):
    """The mean of a metric for each pair of levels of two factors, beside the paper's own grid."""

    kind: Literal["grid"]
    rows: str
    columns: str
    digits: int = Field(default=1, ge=0, le=8)
    published: PublishedCurves | None = None


class CoursePicture(_Picture):
    """Metrics over the steps of training, a panel each: means over replicates with bands of 95 %, a line a level.

    They come from a table of raw samples with the column ``step``; what else varies within a replicate is averaged.
    """

    kind: Literal["course"]
    table: str = "course"
    metrics: dict[str, str] = Field(min_length=1, description="metric to label")
    by: str
    levels: tuple[Scalar, ...] = Field(default=(), description="of 'by' that are drawn; default: all")
    where: dict[str, Scalar] = Field(default={}, description="levels of other factors that are drawn")
    reading: Reading = "matched"


PictureDeclaration = Annotated[
    StagesPicture
    | RoundRatiosPicture
    | BesidePublishedPicture
    | CurvesPicture
    | EffectsPicture
    | GridPicture
    | CoursePicture,
    Field(discriminator="kind"),
]


class ReportDeclaration(_Strict):
    """Labels of levels, tables and pictures."""

    labels: dict[str, str] = {}
    reading: str = Field(default="", description="what a reader should know before the tables")
    tables: tuple[TableDeclaration, ...] = ()
    pictures: tuple[PictureDeclaration, ...] = ()


def declaration_of(experiment: Experiment) -> ReportDeclaration:
    """Return what the spec declares for its report.

    Raises:
        UserError: the ``report`` key of the spec cannot be used.
    """
    return validated(ReportDeclaration, experiment.source, dict(experiment.spec.report), ("report",))


def published_values(column: PublishedColumn, experiment: Experiment, factor: str) -> dict[str, float]:
    """Return the paper's figures by level of ``factor``."""
    found = dict(column.values)
    for registered in experiment.claims:
        claim = registered.claim
        if column.claims and claim.id.startswith(column.claims + ".") and claim.published is not None:
            for arm in claim.arms().values():
                if factor in arm:
                    found[str(arm[factor])] = claim.published.value
    return found
