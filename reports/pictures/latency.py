"""Pictures of single request times: how many took at most so long, level by level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from harness.measure.stages import WHOLE
from harness.plan.state import TrialState
from harness.spec.models import level_name
from harness.store.attempt import read_samples, sample_names
from reports.cells import Heading, Table
from reports.collect import Results
from reports.declarations import LatencyPicture
from reports.pictures.axes import logarithmic_ticks
from reports.pictures.canvas import MARKERS, STYLES, SURFACE, canvas, legend_below, palette, spoken, wrapped
from reports.pictures.numbers import count, number, word
from reports.pictures.picture import Drawing

MOST_STEPS = 160
"""Of one line: more could not be told apart, and would only make the page larger."""
MILLION = 1e6
Times = numpy.ndarray
NEEDED = {"arm", "quantity", "stage", "nanoseconds", "kept"}


def draw_latency(declaration: LatencyPicture, results: Results) -> Drawing | None:
    """The empirical distribution of single times by level, the median marked, on a logarithmic axis."""
    import seaborn

    times = request_times(declaration, results)
    if not times:
        return None
    figure, axes = canvas(7)
    axis = axes[0][0]
    for index, (level, own) in enumerate(times.items()):
        colour, middle = palette(index + 1)[index], float(numpy.median(own))
        style = STYLES[(index // len(palette()) + index) % len(STYLES)]
        label = f"{wrapped(results.label(level, declaration.rows))}: {_shown(middle)}"
        seaborn.ecdfplot(thinned(own), ax=axis, stat="percent", color=colour, linestyle=style, linewidth=2)
        axis.plot(
            [middle], [50.0], MARKERS[index % len(MARKERS)], color=colour, linestyle=style, markersize=9,
            markeredgecolor=SURFACE, label=label, zorder=4,
        )  # fmt: skip
    axis.set_xscale("log")
    low, high = min(float(own.min()) for own in times.values()), max(float(own.max()) for own in times.values())
    axis.set_xlim(low * 0.9, high * 1.1)
    logarithmic_ticks(axis.xaxis, low * 0.9, high * 1.1)
    axis.set_xlabel(f"time of one {declaration.of} (ms, log scale)")
    axis.set_ylabel("share that took at most so long (%)")
    fewest, most = min(len(own) for own in times.values()), max(len(own) for own in times.values())
    each = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    axis.set_title(f"{each} times of each, in kept rounds; marks: medians, their times in the legend")
    legend_below(figure, axis, 2 if len(times) <= 6 else 3)
    return Drawing(figure, _numbers(declaration, results, times))


def request_times(declaration: LatencyPicture, results: Results) -> dict[str, Times]:
    """Return the kept times by level, in ms and in rising order, of all trials together."""
    found: dict[str, list[Times]] = {level: [] for level in results.levels(declaration.rows)}
    for entry in results.counted:
        if entry.counted is None or declaration.table not in sample_names(entry.counted.folder):
            continue
        samples = read_samples(entry.counted.folder, declaration.table)
        if not set(samples) >= NEEDED:
            continue
        whole = samples[samples["kept"] & (samples["quantity"] == declaration.quantity) & (samples["stage"] == WHOLE)]
        for arm, own in whole.groupby("arm"):
            level = _level(entry, str(arm), declaration.rows)
            if level in found:
                found[level].append(own["nanoseconds"].to_numpy(dtype=float) / MILLION)
    joined = {level: numpy.sort(numpy.concatenate(parts)) for level, parts in found.items() if parts}
    positive = {level: times[numpy.isfinite(times) & (times > 0)] for level, times in joined.items()}
    return {level: times for level, times in positive.items() if times.size}


def _level(entry: TrialState, arm: str, factor: str) -> str:
    """Return the level of a factor: blocked factors stand in the name of the samples' arm, others are the trial's."""
    if factor in entry.trial.blocked:
        names = arm.split(",")
        place = list(entry.trial.blocked).index(factor)
        return names[place] if place < len(names) else ""
    return level_name(entry.trial.arm[factor]) if factor in entry.trial.arm else ""


def thinned(times: Times) -> Times:
    """Return at most so many values with the same distribution, as far as an eye can tell; both ends stay."""
    if times.size <= MOST_STEPS:
        return times
    return numpy.quantile(times, numpy.linspace(0, 1, MOST_STEPS), method="inverted_cdf")


def _shown(milliseconds: float) -> str:
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.3g} s"
    return f"{milliseconds:.3g} ms"


def _numbers(declaration: LatencyPicture, results: Results, times: Mapping[str, Times]) -> Table:
    headings = [Heading(spoken(declaration.rows)), Heading("times")]
    headings += [Heading(name, "ms") for name in ("least", "5 %", "median", "95 %", "greatest")]
    rows: list[Any] = []
    for level, own in times.items():
        points = numpy.quantile(own, (0, 0.05, 0.5, 0.95, 1))
        label = word(results.label(level, declaration.rows))
        rows.append([label, count(own.size), *(number(float(point), "ms") for point in points)])
    return Table(declaration.title, f"Single times of a {declaration.of} in kept rounds.", headings, rows)
