"""What a profile says, from its stored records and tables alone: shares, what bounds the arm, and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas

from harness.measure.kernel_kinds import KINDS
from harness.measure.profile_bounds import OUTSIDE, Bound, Share, bound_by
from harness.measure.profile_sentences import sentences_of
from harness.measure.stages import WHOLE

MOST_OPERATORS = 12
ACCEPTED_POINTS = 5.0
"""How far a stage's share of a profiled step may lie from that of a timed one, if the profile is to speak of it."""


@dataclass(frozen=True)
class ProfileSummary:
    """What one arm's profile comes to.

    Attributes:
        arm: the level of the blocked factor, '' where there is none.
        device: ``cpu`` or ``cuda``.
        step_microseconds: median of the profiled steps; ``timed_microseconds`` of requests timed without a profiler.
        overhead: the former over the latter, NaN if there is none.
        steps: how many were profiled.
        stages: of the profiled step, in the order of running; ``timed_stages`` of requests timed without a profiler.
        kinds: a share for each of ``KINDS``, in their order, and last ``OUTSIDE``. Kernels that run side by side count
            each with its own time, so that on CUDA they may add up to more than the step.
        operators: by their own time over all stages and shapes, largest first; the time of their kernels on CUDA.
        busy_share: share of the profiled step in which an operator, or on CUDA a kernel, ran.
        bound: by the rules of ``profile_bounds``.
        ceiling_share: rate of the timed step over that of the machine's own matrix product; None if not known.
        sentences: two or three that follow from the figures.
    """

    arm: str
    device: str
    step_microseconds: float
    timed_microseconds: float
    overhead: float
    steps: int
    stages: tuple[Share, ...]
    timed_stages: tuple[Share, ...]
    kinds: tuple[Share, ...]
    operators: tuple[Share, ...]
    busy_share: float
    bound: Bound
    ceiling_share: float | None
    sentences: tuple[str, ...]


def summarise(
    records: Sequence[Mapping[str, Any]], factor: str, tables: Mapping[str, pandas.DataFrame]
) -> list[ProfileSummary]:
    """Return a summary for each record of a profile, in their order.

    Args:
        records: of one stored profile; ``factor`` is the blocked factor that tells them apart, '' for none.
        tables: its sample tables by name.
    """
    return [_summary(record, str(record[factor]) if factor else "", tables) for record in records]


def largest_difference(summary: ProfileSummary) -> tuple[float, str] | None:
    """Return by how many points a stage's share differs most with a profiler and without, and which stage it is.

    None where one of the two has no stages; a stage that one of them lacks has none of its time there.
    """
    if not summary.stages or not summary.timed_stages:
        return None
    one, other = ({part.name: part.share for part in parts} for parts in (summary.stages, summary.timed_stages))
    return max((100 * abs(one.get(name, 0.0) - other.get(name, 0.0)), name) for name in {**one, **other})


def _summary(record: Mapping[str, Any], arm: str, tables: Mapping[str, pandas.DataFrame]) -> ProfileSummary:
    step, timed, device = float(record["step_us"]), float(record["timed_us"]), str(record["device"])
    of_arm = {name: table[table["arm"] == arm] for name, table in tables.items() if "arm" in table}
    operators = of_arm["profile_operators"]
    operators = operators[operators["device"] == device]
    # Operators and kernels are told of all steps together, so they are shares of the mean step.
    wholes = of_arm["profile_steps"].set_index("step")["us"]
    mean = float(wholes.mean())
    kinds = _kinds(of_arm["profile_kernels"] if device == "cuda" else operators, mean, step)
    busy = _ratio(float(record["busy_us"]), step)
    ceiling = _ceiling_share(record, timed)
    bound = bound_by(kinds, busy, ceiling)
    stages = _stages(of_arm["profile_stages"], wholes)
    shares = _operators(operators, mean, step)
    return ProfileSummary(
        arm=arm,
        device=device,
        step_microseconds=step,
        timed_microseconds=timed,
        overhead=_ratio(step, timed, math.nan),
        steps=int(record["steps"]),
        stages=stages,
        timed_stages=_stages(of_arm["timed_stages"].rename(columns={"iteration": "step"})),
        kinds=kinds,
        operators=shares,
        busy_share=busy,
        bound=bound,
        ceiling_share=ceiling,
        sentences=sentences_of(record, stages, shares, kinds, busy, bound, ceiling),
    )


def _ratio(part: float, whole: float, otherwise: float = 0.0) -> float:
    return part / whole if whole > 0 else otherwise


def _stages(table: pandas.DataFrame, wholes: pandas.Series | None = None) -> tuple[Share, ...]:
    """Return the stages in the order in which they first appear: median times, and medians of their shares.

    A share is taken within each step, so that one that was disturbed does not count for another's whole.

    Args:
        table: columns ``step``, ``stage`` and ``us``.
        wholes: microseconds of each step; without them, the rows of the stage '' are the wholes, or else the sums.
    """
    stages = table[table["stage"] != WHOLE]
    if wholes is None:
        rows = table[table["stage"] == WHOLE] if (table["stage"] == WHOLE).any() else stages
        wholes = rows.groupby("step")["us"].sum()
    times = stages.groupby(["step", "stage"])["us"].sum().unstack("stage")
    shares = times.div(wholes.where(wholes > 0), axis=0).median().fillna(0.0)
    names = dict.fromkeys(stages["stage"])
    return tuple(Share(str(name), float(times[name].median()), float(shares[name]), math.nan) for name in names)


def _kinds(table: pandas.DataFrame, mean: float, step: float) -> tuple[Share, ...]:
    sums = table.groupby("kind")[["us", "calls"]].sum()
    found = [(kind, *(map(float, sums.loc[kind]) if kind in sums.index else (0.0, 0.0))) for kind in KINDS]
    shares = [_part(kind, _ratio(us, mean), step, calls) for kind, us, calls in found]
    return (*shares, _part(OUTSIDE, max(0.0, 1.0 - sum(share.share for share in shares)), step, math.nan))


def _operators(table: pandas.DataFrame, mean: float, step: float) -> tuple[Share, ...]:
    sums = table.groupby("operator", sort=False)[["us", "calls"]].sum()
    largest = sums.sort_values("us", ascending=False, kind="stable").head(MOST_OPERATORS)
    return tuple(
        _part(str(name), _ratio(float(us), mean), step, float(calls))
        for name, us, calls in zip(largest.index, largest["us"], largest["calls"], strict=True)
    )


def _part(name: str, share: float, step: float, calls: float) -> Share:
    return Share(name, share * step, share, calls)


def _ceiling_share(record: Mapping[str, Any], timed: float) -> float | None:
    gflop, ceiling = record.get("gflop"), record.get("ceiling_gflops")
    if gflop is None or not ceiling or not ceiling > 0 or not timed > 0:
        return None
    share = float(gflop) / (timed / 1e6) / float(ceiling)
    return share if math.isfinite(share) else None
