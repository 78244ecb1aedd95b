"""Whether a profile tells the truth: its stages' shares beside those of runs that were not profiled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas

from harness.measure.profile_summary import ACCEPTED_POINTS, ProfileSummary, Share, largest_difference
from reports.means import chosen, trials_of
from reports.pictures.stages import MILLISECONDS, STAGE_PREFIX
from reports.pictures.words import spoken

if TYPE_CHECKING:
    from reports.collect import Results
    from reports.profiles.collect import ProfiledArm

TOTAL = "latency_ms"
"""The metric of the whole that the sweep's stages are shares of."""


@dataclass(frozen=True)
class SweepStages:
    """The stages of an arm in the records of a sweep, and the ids of the trials that they came from."""

    stages: tuple[Share, ...] = ()
    trials: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """The largest difference between the shares of one stage in two runs, in points."""

    points: float
    stage: str

    @property
    def accepted(self) -> bool:
        return self.points <= ACCEPTED_POINTS


def sweep_stages(results: Results, arm: ProfiledArm) -> SweepStages:
    """Return the stages in the records of the counted trials at an arm's levels: median times, and medians of shares.

    Empty where the records have no stages, or not the whole.
    """
    records = chosen(results.table, arm.levels)
    metrics = [str(name) for name in records if str(name).startswith(STAGE_PREFIX)]
    if not metrics or TOTAL not in records or records.empty:
        return SweepStages()
    numbers = records[[TOTAL, *metrics]].apply(pandas.to_numeric, errors="coerce")
    shares = numbers[metrics].div(numbers[TOTAL].where(numbers[TOTAL] > 0), axis=0).median().dropna()
    times = MILLISECONDS * numbers.median()
    stages = tuple(
        Share(name.removeprefix(STAGE_PREFIX), float(times[name]), float(share), math.nan)
        for name, share in shares.items()
    )
    return SweepStages(stages, trials_of(records) if stages else ())


def difference_from(summary: ProfileSummary, stages: Sequence[Share]) -> Difference | None:
    """Return how far a profiled step's shares lie from those of stages that were not profiled, at most.

    None where one of the two has no stages.
    """
    found = largest_difference(replace(summary, timed_stages=tuple(stages)))
    return None if found is None else Difference(*found)


def agreement_text(difference: Difference | None, other: str) -> str:
    """Say how far a profiled step's shares lie from those of ``other``; empty where nothing can be compared."""
    if difference is None:
        return ""
    accepted = f"the {ACCEPTED_POINTS:g} points that are accepted"
    verdict = f"within {accepted}" if difference.accepted else f"beyond {accepted}, so go by the latter"
    return (
        f"Shares of the profiled step differ from those of {other} by at most {difference.points:.1f} points "
        f"({spoken(difference.stage)}): {verdict}."
    )
