"""Summaries of kept rounds. All of them can be recomputed from the raw samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.measure.order_statistics import Percentile, percentile_with_floor
from harness.measure.stages import WHOLE

DEFAULT_QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class StageSummary:
    """One stage of an arm: median over rounds of its median nanoseconds, and of its share of the whole."""

    name: str
    median_nanoseconds: float
    share: float


@dataclass(frozen=True)
class ArmSummary:
    """One arm's latency over kept rounds.

    Attributes:
        arm, quantity: what is summarised.
        rounds_kept, rounds_dropped, iterations: counts; iterations are those of kept rounds.
        median_nanoseconds: median of round medians; NaN if no round was kept.
        median: the same with its order-statistic interval over rounds, None below six rounds.
        mad_nanoseconds: median absolute deviation of the round medians.
        percentiles: by quantile, of single iterations; None below the percentile's floor. Iterations of one
            round resemble each other, so these intervals are at best nominal; decide with rounds.
        stages: in the order of the request; empty if the arm has none.
        batch_size, items_per_second: derived throughput, one request in flight.
        flops: floating-point operations a request (2 x MAC), if given.
        flops_per_second, ceiling_share: achieved rate, and its share of the machine's own matrix product.
    """

    arm: str
    quantity: str
    rounds_kept: int
    rounds_dropped: int
    iterations: int
    median_nanoseconds: float
    median: Percentile | None
    mad_nanoseconds: float
    percentiles: Mapping[float, Percentile | None]
    stages: tuple[StageSummary, ...]
    batch_size: int
    items_per_second: float
    flops: float | None
    flops_per_second: float | None
    ceiling_share: float | None


def items_per_second(batch_size: int, nanoseconds: float) -> float:
    """Return items a second where a request of ``batch_size`` items takes ``nanoseconds``; NaN for NaN."""
    return batch_size * 1e9 / nanoseconds if nanoseconds > 0 else math.nan


def round_medians(
    samples: pd.DataFrame,
    arm: str,
    quantity: str = "request",
    stage: str = WHOLE,
    by: Sequence[str] = ("round",),
) -> pd.Series:
    """Return an arm's median nanoseconds by kept round.

    Args:
        samples: rows as ``rounds.time_arms`` returns them.
        by: columns that identify a round; add the process or trial column where tables were concatenated.
    """
    chosen = samples[
        (samples["arm"] == arm) & (samples["quantity"] == quantity) & (samples["stage"] == stage) & samples["kept"]
    ]
    medians = chosen.groupby(list(by))["nanoseconds"].median()
    return medians.rename(arm)


def log_ratios_by_round(
    samples: pd.DataFrame,
    numerator: str,
    denominator: str,
    quantity: str = "request",
    stage: str = WHOLE,
    by: Sequence[str] = ("round",),
) -> pd.Series:
    """Return ln(median of ``numerator`` / median of ``denominator``) by kept round.

    The effect of one system over another is a ratio, its unit of analysis the round: with identical arms a t
    test on these values keeps its nominal level under drift, tests on raw samples do not. Positive: the
    numerator is slower.

    Raises:
        KeyError: if an arm has no samples of that quantity and stage at all, kept or not.
    """
    present = samples[(samples["quantity"] == quantity) & (samples["stage"] == stage)]["arm"].unique()
    for arm in (numerator, denominator):
        if arm not in present:
            raise KeyError(f"there are no '{quantity}' samples of arm '{arm}'; arms: {', '.join(map(str, present))}")
    above = round_medians(samples, numerator, quantity, stage, by)
    below = round_medians(samples, denominator, quantity, stage, by)
    ratios = np.log(above / below).dropna()
    return ratios.rename("log_ratio")


def round_shares(samples: pd.DataFrame, arm: str, stages: Sequence[str]) -> pd.Series:
    """Return the share of an arm's time that ``stages`` take together, by kept round.

    On a device with a stream the stages have passes of their own; there the share is of those passes. A round
    without one of the stages gives NaN.
    """
    quantity = "staged" if (samples["quantity"] == "staged").any() else "request"
    whole = round_medians(samples, arm, quantity)
    parts = [round_medians(samples, arm, quantity, stage).reindex(whole.index) for stage in stages]
    return pd.concat(parts, axis=1).sum(axis=1, skipna=False) / whole


def _stage_summaries(samples: pd.DataFrame, arm: str, quantity: str) -> tuple[StageSummary, ...]:
    # On a device with a stream the stages have passes of their own; there the share is of those passes.
    rows = samples[(samples["arm"] == arm) & samples["kept"]]
    for source in dict.fromkeys((quantity, "request", "staged")):
        chosen = rows[rows["quantity"] == source]
        if (chosen["stage"] != WHOLE).any():
            break
    else:
        return ()
    totals = chosen.groupby(["stage", "round"], sort=False)["nanoseconds"].sum()
    wholes = totals.xs(WHOLE, level="stage")
    medians = chosen.groupby(["stage", "round"], sort=False)["nanoseconds"].median()
    names = [str(name) for name in chosen["stage"].unique() if name != WHOLE]
    return tuple(
        StageSummary(
            name,
            float(medians.xs(name, level="stage").median()),
            float((totals.xs(name, level="stage") / wholes).median()),
        )
        for name in names
    )


def summarize_arm(
    samples: pd.DataFrame,
    arm: str,
    *,
    quantity: str = "request",
    batch_size: int = 1,
    flops: float | None = None,
    ceiling_gflops: float | None = None,
    quantiles: Sequence[float] = DEFAULT_QUANTILES,
) -> ArmSummary:
    """Summarise one arm of one run over its kept rounds.

    Args:
        samples: rows as ``rounds.time_arms`` returns them.
        batch_size: items a request.
        flops: floating-point operations a request, counted as 2 x MAC like the matrix product's.
        ceiling_gflops: the machine's matrix product in the same run, ``result.ceilings['matmul float32']``.

    Raises:
        KeyError: if the arm has no samples of that quantity.
    """
    rows = samples[(samples["arm"] == arm) & (samples["quantity"] == quantity) & (samples["stage"] == WHOLE)]
    if rows.empty:
        present = ", ".join(map(str, samples["arm"].unique()))
        raise KeyError(f"there are no '{quantity}' samples of arm '{arm}'; arms: {present}")
    kept = rows[rows["kept"]]
    medians = round_medians(samples, arm, quantity).to_numpy()
    centre = float(np.median(medians)) if len(medians) else math.nan
    rate = flops * 1e9 / centre if flops is not None and centre > 0 else None
    return ArmSummary(
        arm=arm,
        quantity=quantity,
        rounds_kept=int(kept["round"].nunique()),
        rounds_dropped=int(rows["round"].nunique() - kept["round"].nunique()),
        iterations=len(kept),
        median_nanoseconds=centre,
        median=percentile_with_floor(medians, 0.5),
        mad_nanoseconds=float(np.median(np.abs(medians - centre))) if len(medians) else math.nan,
        percentiles={
            quantile: percentile_with_floor(kept["nanoseconds"].to_numpy(), quantile) for quantile in quantiles
        },
        stages=_stage_summaries(samples, arm, quantity),
        batch_size=batch_size,
        items_per_second=items_per_second(batch_size, centre),
        flops=flops,
        flops_per_second=rate,
        ceiling_share=rate / (ceiling_gflops * 1e9) if rate is not None and ceiling_gflops else None,
    )
