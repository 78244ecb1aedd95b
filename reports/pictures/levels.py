"""Records by level of one factor, pooled over trials: what bars of stages and marks by level are drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import pandas

from reports.collect import Results
from reports.means import Mean, by_replicate, chosen, mean_of, trials_of


def present_levels(results: Results, factor: str, records: pandas.DataFrame) -> list[str]:
    """Return the levels of a factor, in the spec's order, that have records."""
    return [level for level in results.levels(factor) if not chosen(records, {factor: level}).empty]


def means_by_level(
    records: pandas.DataFrame,
    factor: str,
    levels: Sequence[str],
    metric: str,
    low: str | None = None,
    high: str | None = None,
) -> dict[str, Mean]:
    """Return a metric's mean over replicates by level.

    ``low`` and ``high`` are metrics with the ends of an interval that a single trial has: they stand in where there is
    but one replicate.
    """
    found = {}
    for level in levels:
        part = chosen(records, {factor: level})
        mean = mean_of(by_replicate(part, metric), trials_of(part))
        if mean is None:
            continue
        if mean.replicates == 1 and low and high:
            ends = [mean_of(by_replicate(part, name)) for name in (low, high)]
            if ends[0] is not None and ends[1] is not None:
                mean = Mean(mean.value, ends[0].value, ends[1].value, 1, mean.trials)
        found[level] = mean
    return found
