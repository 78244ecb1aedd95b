"""Pictures of training: metrics over its steps, from the raw samples of every trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas

from harness.spec.models import level_name
from harness.store.attempt import read_samples, sample_names
from reports.cells import Heading, Table
from reports.collect import Results
from reports.declarations import CoursePicture
from reports.means import Mean, mean_of
from reports.pictures.canvas import STYLES, canvas, legend_below, palette, spoken, wrapped
from reports.pictures.numbers import mean_cell, word
from reports.pictures.picture import Drawing
from reports.pictures.series import counted, named

COLUMNS = 2
BAND = 0.15
MOST_STEPS = 7
"""Of the table of a course's numbers."""


def course_table(declaration: CoursePicture, results: Results) -> pandas.DataFrame:
    """Return the samples of the trials that are drawn, a row a level, replicate and step, averaged over what else
    varies; without rows where no trial kept the table."""
    wanted = [level_name(level) for level in declaration.levels] or results.levels(declaration.by)
    found = []
    for entry in results.entries(declaration.reading):
        arm = {name: level_name(level) for name, level in entry.trial.arm.items()}
        elsewhere = any(arm.get(name) != level_name(level) for name, level in declaration.where.items())
        if elsewhere or arm.get(declaration.by) not in wanted or entry.counted is None:
            continue
        if declaration.table not in sample_names(entry.counted.folder):
            continue
        samples = read_samples(entry.counted.folder, declaration.table)
        metrics = [name for name in declaration.metrics if name in samples]
        averaged = samples.groupby("step")[metrics].mean().reset_index()
        found.append(averaged.assign(level=arm[declaration.by], replicate=entry.trial.replicate))
    if not found:
        return pandas.DataFrame(columns=["level", "replicate", "step"])
    keys = ["level", "replicate", "step"]
    return pandas.concat(found).groupby(keys, as_index=False).mean()


def draw_course(declaration: CoursePicture, results: Results) -> Drawing | None:
    """Metrics over steps, a panel each: the mean over replicates and a band of its 95 % interval, a line a level."""
    table = course_table(declaration, results)
    metrics = {name: label for name, label in declaration.metrics.items() if name in table}
    if table.empty or not metrics:
        return None
    levels = [level for level in results.levels(declaration.by) if level in set(table["level"])]
    names = {level: named(level, declaration.by, results) for level in levels}
    means = {
        (metric, level): step_means(table[table["level"] == level], metric) for metric in metrics for level in levels
    }
    if not any(means.values()):
        return None
    rows = -(-len(metrics) // COLUMNS)
    figure, axes = canvas(6.5 * rows, min(COLUMNS, len(metrics)), width=12.0, share=False, rows_of_panels=rows)
    panels = [axis for line in axes for axis in line]
    for axis, (metric, label) in zip(panels, metrics.items(), strict=False):
        for index, level in enumerate(levels):
            _draw_line(axis, index, wrapped(names[level]), means[metric, level])
        axis.set_xlabel("step")
        axis.set_ylabel(wrapped(label))
    for axis in panels[len(metrics) :]:
        axis.set_visible(False)
    panels[0].set_title(_count([mean for own in means.values() for mean in own.values()]))
    legend_below(figure, panels[0], min(4, len(levels)))
    return Drawing(figure, _numbers(declaration, metrics, names, means))


def step_means(table: pandas.DataFrame, metric: str) -> dict[float, Mean]:
    """Return a metric's mean over replicates by step, where any is finite."""
    found = {float(step): mean_of(own[metric]) for step, own in table.groupby("step")}
    return {step: mean for step, mean in found.items() if mean is not None}


def _draw_line(axis: Any, index: int, label: str, means: Mapping[float, Mean]) -> None:
    colour = palette(index + 1)[index]
    middle = [mean.value for mean in means.values()]
    # Lines differ in their dashes too: where two lie on each other, both are seen.
    axis.plot(list(means), middle, STYLES[index % len(STYLES)], color=colour, label=label, linewidth=2)
    low, high = [mean.low for mean in means.values()], [mean.high for mean in means.values()]
    axis.fill_between(list(means), low, high, facecolor=colour, alpha=BAND, linewidth=0)


def _count(means: list[Mean]) -> str:
    return counted(means, intervals=False) + (", bands of 95 %" if any(mean.low < mean.high for mean in means) else "")


def _numbers(
    declaration: CoursePicture,
    metrics: Mapping[str, str],
    names: Mapping[str, str],
    means: Mapping[tuple[str, str], Mapping[float, Mean]],
) -> Table:
    """Return a row a metric and level, at so many of the steps that a reader can follow."""
    steps = sorted({step for own in means.values() for step in own})
    shown = steps if len(steps) <= MOST_STEPS else [steps[round(place)] for place in _spread(len(steps) - 1)]
    headings = [Heading("metric"), Heading(spoken(declaration.by)), *(Heading(f"step {step:g}") for step in shown)]
    rows = [
        [word(metrics[metric]), word(names[level]), *(mean_cell(own.get(step)) for step in shown)]
        for (metric, level), own in means.items()
    ]
    left_out = "" if shown == steps else f" {len(shown)} of {len(steps)} steps."
    caption = f"{_count([mean for own in means.values() for mean in own.values()])}.{left_out}"
    return Table(declaration.title, caption, headings, rows)


def _spread(last: int) -> list[float]:
    return [last * place / (MOST_STEPS - 1) for place in range(MOST_STEPS)]
