"""Our result against the publication: where a replication should fall, and what the original could have seen."""

from __future__ import annotations

import math

from scipy import stats

from harness.verdicts.statistics.power import noncentrality

TELESCOPE_POWER = 1.0 / 3.0


def prediction_interval(
    published: float, sd: float, published_runs: int, our_runs: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the interval in which the mean of our runs should fall if it repeats the original.

    ``published ± t(published_runs - 1) * sd * sqrt(1 / published_runs + 1 / our_runs)``: both means vary, theirs as
    well as ours (Patil, Peng & Leek 2016; Spence & Stanley 2016). It covers with the stated probability where the
    runs of both are normal with one mean and one standard deviation. A wide interval, from few published runs, is easy
    to fall into: agreement with it is weak evidence.

    Args:
        published: the published mean, in the metric's unit.
        sd: the published standard deviation of single runs (ddof = 1; not a standard error), in the same unit.
        published_runs: number of runs behind ``published`` and ``sd``.
        our_runs: number of runs behind our mean.
        confidence: probability that our mean falls in the interval, in (0, 1).

    Raises:
        ValueError: fewer than two published or own runs, an ``sd`` that is not positive and finite, a ``published``
            that is not finite, or a confidence outside (0, 1).
    """
    if published_runs < 2 or our_runs < 2:
        raise ValueError(f"a prediction interval needs two runs on each side, not {published_runs} and {our_runs}")
    if not (math.isfinite(sd) and sd > 0.0 and math.isfinite(published)):
        raise ValueError(f"a prediction interval needs a finite mean and a positive sd, not {published} and {sd}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), not {confidence}")
    quantile = float(stats.t.isf((1.0 - confidence) / 2.0, published_runs - 1))
    half = quantile * sd * math.sqrt(1.0 / published_runs + 1.0 / our_runs)
    return published - half, published + half


def small_telescope(published_runs: int, sd: float, paired: bool = False, level: float = 0.05) -> float:
    """Return the effect that gave the original study a power of one third, ``d33 * sd`` (Simonsohn 2015).

    A replication whose interval lies below it says that, whatever the effect is, the original study was too small to
    have found it. Power counts rejections on the side of the effect only, as :mod:`.power` does; counting both tails
    lowers d33 by 0.05 % at 20 runs per group.

    Args:
        published_runs: runs per group where two independent groups were compared, or the number of pairs.
        sd: standard deviation of single runs within a group, or of the paired differences; in the metric's unit.
        paired: whether the original compared pairs (one-sample t test on differences).
        level: two-sided significance level of the original, in (0, 1).

    Returns:
        A positive effect in the metric's unit (0 where ``level / 2`` is already a third or more).

    Raises:
        ValueError: fewer than two runs, an ``sd`` that is not positive and finite, or a level outside (0, 1).
    """
    if published_runs < 2:
        raise ValueError(f"a t test needs two runs, not {published_runs}")
    if not (math.isfinite(sd) and sd > 0.0):
        raise ValueError(f"sd must be positive and finite, not {sd}")
    degrees = published_runs - 1 if paired else 2 * published_runs - 2
    scale = math.sqrt(1.0 / published_runs) if paired else math.sqrt(2.0 / published_runs)
    return noncentrality(degrees, level, TELESCOPE_POWER) * scale * sd
