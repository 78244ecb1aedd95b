"""Pictures from the records and samples, as SVG text: one small function a kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas

from harness.spec.claims import RatioClaim
from harness.verdicts.evidence import kept_log_ratios
from harness.verdicts.judgement import Judgement
from reports.collect import Results
from reports.declarations import (
    BesidePublishedPicture,
    PictureDeclaration,
    RoundRatiosPicture,
    StagesPicture,
    published_values,
)
from reports.pictures.canvas import canvas, legend_below, to_svg, wrapped
from reports.pictures.charts import draw_curves, draw_effects, draw_grid
from reports.pictures.courses import draw_course

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGE_PREFIX = "stage_ms_"


@dataclass(frozen=True)
class Picture:
    """A titled picture with its caption, as SVG that stands on its own in a page."""

    title: str
    caption: str
    svg: str


def draw(declaration: PictureDeclaration, results: Results) -> Picture | None:
    """Return a declared picture; None where the records hold nothing to draw."""
    figure = _KINDS[declaration.kind](declaration, results)
    if figure is None:
        return None
    return Picture(declaration.title, declaration.caption, to_svg(figure, declaration.title))


def _levels(results: Results, factor: str) -> list[str]:
    """Return the levels of a factor, in the spec's order, that have records."""
    present = set(results.table[factor].astype(str)) if factor in results.table else set()
    return [level for level in results.levels(factor) if level in present]


def _medians(results: Results, factor: str, levels: Sequence[str], metrics: Sequence[str]) -> pandas.DataFrame:
    """Return the median over trials of each metric, a row a level."""
    table = results.table.assign(**{factor: results.table[factor].astype(str)})
    return table.groupby(factor)[list(metrics)].median().reindex(levels)


def _stages(declaration: StagesPicture, results: Results) -> Figure | None:
    """Stacked bars of stage times: absolute on the left, as shares of each system's own time on the right."""
    import seaborn

    factor = declaration.rows
    levels = _levels(results, factor)
    metrics = [name for name in results.table if name.startswith(STAGE_PREFIX)]
    if not levels or not metrics:
        return None
    medians = _medians(results, factor, levels, metrics).fillna(0.0)
    medians.columns = [name.removeprefix(STAGE_PREFIX) for name in metrics]
    grouped = _grouped(medians, declaration.groups)
    shares = 100 * grouped.div(grouped.sum(axis=1), axis=0)
    scale, unit = (1000.0, "s") if grouped.sum(axis=1).max() >= 1000 else (1.0, "ms")
    figure, axes = canvas(len(levels), 2, width=12.0)
    colours = seaborn.color_palette("colorblind", len(grouped.columns))
    named = declaration.total in results.table
    positions = range(len(levels))
    for axis, values, label in (
        (axes[0][0], grouped / scale, f"median time of a {declaration.of} ({unit})"),
        (axes[0][1], shares, f"share of the {declaration.of} (%)"),
    ):
        left = [0.0] * len(levels)
        for column, colour in zip(values.columns, colours, strict=True):
            axis.barh(positions, values[column], left=left, color=colour, label=column, edgecolor="white", height=0.7)
            left = [a + b for a, b in zip(left, values[column], strict=True)]
        axis.set_xlabel(label)
        axis.set_yticks(list(positions), [wrapped(results.label(level)) for level in levels])
        axis.grid(axis="y", visible=False)
        if axis is axes[0][0]:
            totals = (
                _medians(results, factor, levels, [declaration.total])[declaration.total] / scale if named else left
            )
            for position, end, total in zip(positions, left, totals, strict=True):
                axis.annotate(f" {total:.3g} {unit}", (end, position), va="center", fontsize=10)
            axis.set_xlim(0, max(left) * 1.18)
    axes[0][0].invert_yaxis()
    legend_below(figure, axes[0][0], min(4, len(grouped.columns)))
    figure.tight_layout()
    return figure


def _grouped(medians: pandas.DataFrame, groups: dict[str, list[str]]) -> pandas.DataFrame:
    """Sum stages that are drawn as one; the rest keep their names. Columns are in the order of the groups."""
    grouped = {}
    for label, stages in groups.items():
        present = [stage for stage in stages if stage in medians]
        if present:
            grouped[label] = medians[present].sum(axis=1)
    named = {stage for stages in groups.values() for stage in stages}
    rest = {stage.replace("_", " "): medians[stage] for stage in medians if stage not in named}
    return pandas.DataFrame({**grouped, **rest})


def _round_ratios(declaration: RoundRatiosPicture, results: Results) -> Figure | None:
    """The ratio of every kept round, the interval of their mean, and the published figure, claim by claim."""
    import seaborn

    found: list[tuple[RatioClaim, Judgement, list[float]]] = []
    for judgement in results.judgements:
        claim = judgement.claim
        if isinstance(claim, RatioClaim) and claim.samples and math.isfinite(judgement.effect):
            groups = kept_log_ratios(claim, results.counted)
            found.append((claim, judgement, [math.exp(value) for group in groups for value in group]))
    if not found:
        return None
    figure, axes = canvas(1.9 * len(found))
    axis = axes[0][0]
    colour, accent = seaborn.color_palette("colorblind")[:2]
    labelled: set[str] = set()

    def mark(x: Sequence[float], y: Sequence[float], style: str, label: str, **looks: Any) -> None:
        axis.plot(x, y, style, label=None if label in labelled else label, **looks)
        labelled.add(label)

    shown = [1.0]
    for position, (claim, judgement, ratios) in enumerate(found):
        low, high = judgement.interval
        mark(ratios, [position] * len(ratios), "o", "one round", color=colour, alpha=0.35, markersize=6)
        below = position + 0.22
        mark([low, high], [below, below], "-", "interval of the mean", color=colour, linewidth=3)
        axis.plot([judgement.effect], [below], "|", color=colour, markersize=14)
        shown += [*ratios, low, high]
        if claim.published is not None:
            mark([claim.published.value], [position], "D", "published", color=accent, markersize=9)
            shown.append(claim.published.value)
        bound = claim.at_least if claim.at_least is not None else claim.at_most
        if bound is not None:
            mark([bound, bound], [position - 0.35, position + 0.35], ":", "bound of the sentence", color="black")
            shown.append(bound)
    axis.axvline(1.0, color="grey", linewidth=1)
    axis.set_xscale("log")
    axis.set_xticks([1, 2, 3, 5, 10, 20, 30, 50, 100])
    axis.xaxis.set_major_formatter("{x:g}×")
    axis.xaxis.set_minor_formatter("")
    axis.set_xlim(0.85 * min(shown), 1.25 * max(shown))
    labels = [f"{_arms(claim, results)}\n({judgement.n} rounds)" for claim, judgement, _ in found]
    axis.set_yticks(range(len(found)), labels, fontsize=10)
    axis.set_ylim(len(found) - 0.4, -0.6)
    axis.set_xlabel("ratio of request times (log scale)")
    figure.legend(
        *axis.get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.6, 0.02), ncols=4, frameon=False
    )
    figure.tight_layout()
    return figure


def _arms(claim: RatioClaim, results: Results) -> str:
    """Return the two arms of a ratio as people read them, one a line."""
    above, below = (
        ", ".join(results.label(level) for level in arm.values()) for arm in (claim.numerator, claim.denominator)
    )
    return f"{wrapped(above)}\n: {wrapped(below)}"


def _beside_published(declaration: BesidePublishedPicture, results: Results) -> Figure | None:
    """Metrics by level as marks, the paper's figures as diamonds, on one axis."""
    import seaborn

    levels = _levels(results, declaration.rows)
    present = {metric: label for metric, label in declaration.metrics.items() if metric in results.table}
    if not levels or not present:
        return None
    medians = _medians(results, declaration.rows, levels, list(present))
    figure, axes = canvas(len(levels))
    axis = axes[0][0]
    palette = seaborn.color_palette("colorblind")
    markers = ("o", "s", "^", "v", "P", "X")
    positions = list(range(len(levels)))
    for index, (metric, label) in enumerate(present.items()):
        style = markers[index % len(markers)]
        axis.plot(medians[metric], positions, style, color=palette[index], markersize=8, alpha=0.85, label=label)
    if declaration.published is not None:
        figures = published_values(declaration.published, results.design.experiment, declaration.rows)
        values = [figures.get(level, math.nan) for level in levels]
        axis.plot(
            values, positions, "D", markerfacecolor="none", markeredgecolor="black", markersize=12, markeredgewidth=1.6,
            label=f"published ({declaration.published.locator})",
        )  # fmt: skip
    if declaration.logarithmic:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
    axis.set_yticks(positions, [wrapped(results.label(level)) for level in levels])
    axis.invert_yaxis()
    axis.set_xlabel(declaration.unit)
    figure.legend(
        *axis.get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.6, 0.02), ncols=2, frameon=False
    )
    figure.tight_layout()
    return figure


_KINDS: dict[str, Callable[[Any, Results], Figure | None]] = {
    "stages": _stages,
    "round-ratios": _round_ratios,
    "beside-published": _beside_published,
    "curves": draw_curves,
    "effects": draw_effects,
    "grid": draw_grid,
    "course": draw_course,
}
