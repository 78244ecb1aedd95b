"""A picture of what kinds of work a step is made of, arm by arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas

from reports.pictures.stages import stacked_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.measure.profile_summary import ProfileSummary


def draw_kinds(summaries: Sequence[ProfileSummary], labels: Sequence[str]) -> Figure | None:
    """Stacked bars of kinds of work: milliseconds of a profiled step on the left, its shares on the right.

    None where no step took any time.
    """
    kinds = pandas.DataFrame([{kind.name: kind.microseconds / 1e3 for kind in one.kinds} for one in summaries])
    if not kinds.to_numpy().any():
        return None
    steps = pandas.Series([one.step_microseconds / 1e3 for one in summaries])
    axes_say = ("time of a profiled step", "share of the step (%)")
    return stacked_bars(kinds.fillna(0.0), steps, labels, axes_say, "one step of each arm", wholes=steps)
