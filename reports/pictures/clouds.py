"""Single items (templates, say) as a cloud of dots behind a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from harness.spec.models import level_name
from harness.store.attempt import read_samples, sample_names
from reports.cells import Cell
from reports.collect import Results
from reports.declarations import CurvesPicture
from reports.means import by_replicate, chosen
from reports.pictures.canvas import SOFT, wrapped
from reports.pictures.numbers import number, word
from reports.pictures.series import Along

GOLDEN = 0.6180339887
"""Multiples of it, without their whole part, fill an interval evenly: a spread that is the same each time."""
WIDTH = 0.07
MOST_DOTS = 400
"""More could not be told apart, and would only make the page larger."""


@dataclass(frozen=True)
class CloudOfItems:
    """Values of single items, each moved to the mean level of all replicates; at which level of the factor."""

    label: str
    level: str
    values: Sequence[float]
    trials: tuple[str, ...]

    def row(self, unit: str) -> tuple[Cell, Cell]:
        """Return the cloud as a row of a table: its median and its middle 90 %."""
        low, middle, high = numpy.quantile(self.values, (0.05, 0.5, 0.95))
        name = f"{self.label}: median and middle 90 % of {len(self.values)}"
        return word(name), number(float(middle), unit, float(low), float(high), trials=self.trials)


def cloud_of(declaration: CurvesPicture, results: Results) -> CloudOfItems | None:
    """Return the declared cloud; None where there is none, or no trial kept its table."""
    cloud = declaration.cloud
    if cloud is None:
        return None
    records = chosen(results.records(declaration.reading), {**declaration.where, declaration.along: cloud.at})
    curve = by_replicate(records, declaration.metric).dropna()
    values: list[float] = []
    trials = []
    wanted = set(records["trial"])
    for entry in results.entries(declaration.reading):
        if entry.counted is None or entry.trial.id not in wanted or entry.trial.replicate not in curve:
            continue
        if cloud.table not in sample_names(entry.counted.folder):
            continue
        samples = read_samples(entry.counted.folder, cloud.table)
        if cloud.metric in samples:
            moved = samples[cloud.metric].to_numpy(dtype=float) + curve.mean() - curve[entry.trial.replicate]
            values += moved[numpy.isfinite(moved)].tolist()
            trials.append(entry.trial.id)
    return CloudOfItems(cloud.label, level_name(cloud.at), values, tuple(trials)) if values else None


def draw_cloud(axis: Any, cloud: CloudOfItems, along: Along) -> None:
    """Draw the dots around the cloud's level, which must have a place on the axis."""
    if cloud.level not in along.positions:
        return
    ranked = numpy.sort(cloud.values)
    dots = ranked[numpy.linspace(0, ranked.size - 1, min(ranked.size, MOST_DOTS)).round().astype(int)]
    places = [along.shifted(cloud.level, WIDTH * (place * GOLDEN % 1 - 0.5)) for place in range(dots.size)]
    of = "" if dots.size == ranked.size else f" of {ranked.size}"
    label = wrapped(f"{cloud.label} ({dots.size}{of})")
    axis.plot(places, dots, "o", color=SOFT, markersize=3, alpha=0.35, markeredgewidth=0, label=label, zorder=1)
