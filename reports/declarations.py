"""How an experiment wants to be shown: the ``report`` key of its spec."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.errors import listed, nearest
from harness.spec.claims import CrossingClaim
from harness.spec.load import Experiment
from harness.spec.models import FunctionName, Scalar
from harness.spec.validation import validated
from harness.spec.yaml_source import Location
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
    where: dict[str, Scalar] = Field(default={}, description="levels of other factors that the column is of")
    optional: bool = Field(default=False, description="leave the column out where every row has a dash")
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


class Cloud(_Strict):
    """Values of single items (templates, say) out of a table of raw samples, as a cloud of faint dots behind a curve.

    They stand at the level ``at``. Each is moved by what its replicate's curve differs from the mean there: replicates
    differ by more than items do.
    """

    table: str
    metric: str
    label: str
    at: Scalar


class CurvesPicture(_Chart):
    """The mean of a metric along a factor, a line for each level of ``by``; the paper's figures faintly behind."""

    kind: Literal["curves"]
    along: str
    by: str = ""
    logarithmic: bool = Field(default=False, description="the factor's levels are numbers, on a log scale")
    joined: bool | None = Field(default=None, description="marks of a line; default: of levels that are numbers")
    across: tuple[Scalar, ...] = Field(default=(), description="levels of 'along' that are drawn as lines across")
    without: tuple[Scalar, ...] = Field(default=(), description="levels of 'along' that are not drawn")
    published: PublishedCurves | None = None
    cloud: Cloud | None = None
    crossing: str = Field(default="", description="the crossing claim whose place along the factor is marked")


class BarsPicture(_Chart):
    """The mean of a metric as bars, a group a level of ``along``, a bar a level of ``by``; the paper's bars behind."""

    kind: Literal["bars"]
    along: str
    by: str
    published: PublishedCurves | None = None
    digits: int = Field(default=1, ge=0, le=8, description="of the number at the end of a bar")


class EffectsPicture(_Chart):
    """The paired difference of two arms along a factor, a line for each level of ``by`` or for each of ``controls``.

    An arm that names the factor itself is the same all along: every level is then compared with one control.
    """

    kind: Literal["effects"]
    along: str
    by: str = ""
    logarithmic: bool = False
    joined: bool | None = Field(default=None, description="marks of a line; default: of levels that are numbers")
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


class LatencyPicture(_Picture):
    """The distribution of the times of single requests by level: how many took at most so long, on a log axis.

    They come from a table of raw samples as ``harness.measure`` keeps them; those of kept rounds are drawn.
    """

    kind: Literal["latency"]
    rows: str
    table: str = "latency"
    quantity: str = "request"
    of: str = Field(default="request", description="what it is the time of")


class ScatterAxis(_Strict):
    """One axis of a scatter: the metric, its label and unit, the paper's figures by level."""

    metric: str
    label: str
    unit: str = ""
    logarithmic: bool = False
    low: str | None = Field(default=None, description="the metric that holds the lower end, where there is one trial")
    high: str | None = Field(default=None, description="the metric that holds the upper end, where there is one trial")
    published: PublishedColumn | None = None


class ScatterPicture(_Picture):
    """One metric against another, a mark a level; the paper's figures as hollow marks, joined to ours."""

    kind: Literal["scatter"]
    rows: str
    x: ScatterAxis
    y: ScatterAxis
    reading: Reading = "matched"


class FunctionPicture(_Picture):
    """A figure by a function of the spec's author, found as the trial function is.

    It is called with the results (``reports.collect.Results``) and returns a ``matplotlib.figure.Figure``, alone or
    with a table of its numbers (``reports.cells.Table``), or None where there is nothing to draw.
    """

    kind: Literal["function"]
    function: FunctionName


PictureDeclaration = Annotated[
    StagesPicture
    | RoundRatiosPicture
    | BesidePublishedPicture
    | CurvesPicture
    | BarsPicture
    | EffectsPicture
    | GridPicture
    | CoursePicture
    | LatencyPicture
    | ScatterPicture
    | FunctionPicture,
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
    declaration = validated(ReportDeclaration, experiment.source, dict(experiment.spec.report), ("report",))
    for place, picture in enumerate(declaration.pictures):
        _check_names(picture, experiment, ("report", "pictures", place))
    return declaration


def _check_names(picture: PictureDeclaration, experiment: Experiment, at: Location) -> None:
    """Refuse a picture of a factor that the spec does not have, or of a crossing that is none of its claims."""
    factors = list(experiment.spec.factors)
    for key in ("rows", "columns", "along", "by"):
        name = getattr(picture, key, "")
        if name and name not in factors:
            known = nearest(name, factors) or f" (factors: {listed(factors)})"
            raise experiment.source.error((*at, key), f"there is no factor '{name}'{known}")
    crossing = getattr(picture, "crossing", "")
    crossings = [c.claim.id for c in experiment.claims if isinstance(c.claim, CrossingClaim)]
    if crossing and crossing not in crossings:
        problem = f"'{crossing}' is no crossing claim of this experiment{nearest(crossing, crossings)}"
        raise experiment.source.error((*at, "crossing"), problem)


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
