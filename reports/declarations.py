"""How an experiment wants to be shown: the ``report`` key of its spec."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.spec.load import Experiment
from harness.spec.validation import validated


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedColumn(_Strict):
    """Figures of the paper to stand beside a metric, by level: written out, or those of registered claims.

    ``claims`` is the id that value claims of the experiment begin with; their arm names the level.
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
    low: str | None = Field(default=None, description="the metric that holds the interval's lower end")
    high: str | None = Field(default=None, description="the metric that holds the interval's upper end")
    ratio_to: str | None = Field(default=None, description="show the metric as a multiple of this level's")
    published: PublishedColumn | None = None
    difference: bool = Field(default=False, description="add a column with the difference from the published figure")


class TableDeclaration(_Strict):
    """A table with a row for each level of a factor."""

    title: str
    caption: str = ""
    rows: str
    columns: tuple[Column, ...] = Field(min_length=1)


class PictureDeclaration(_Strict):
    """A picture of one of the known kinds.

    ``stages``: time of named stages by level, absolute and as shares. ``round-ratios``: the ratio of each round for
    the ratio claims. ``beside-published``: a metric, or several, beside the paper's figures by level.
    """

    kind: Literal["stages", "round-ratios", "beside-published"]
    title: str
    caption: str = ""
    rows: str = ""
    metrics: dict[str, str] = Field(default={}, description="metric to label")
    published: PublishedColumn | None = None
    unit: str = ""
    logarithmic: bool = False
    total: str = Field(default="", description="the metric, in ms, that is written at the end of a stages bar")
    groups: dict[str, list[str]] = Field(default={}, description="stages that are drawn as one, by label")


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
