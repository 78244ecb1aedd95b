"""Which random stream the replicates differ by, where a design varies the streams one by one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy

from harness.plan.state import PlanState
from harness.spec.models import ALL_STREAMS, VARIED_STREAMS, level_name
from harness.verdicts.observations import Fate, Observations


@dataclass(frozen=True)
class StreamShare:
    """How much of a metric's variance over replicates one random stream brings, in one arm.

    ``share`` is the variance with that stream varied alone over the variance with all of them varied. Shares need not
    sum to one: streams interact. ``sd`` is in the metric's unit, ``n`` replicates.
    """

    arm: str
    metric: str
    stream: str
    sd: float
    share: float | None
    n: int


def stream_shares(state: PlanState, metrics: tuple[str, ...]) -> list[StreamShare]:
    """Return the shares of each stream in each arm; nothing for a design that does not vary streams one by one."""
    factors = {factor.name: [level.name for level in factor.levels] for factor in state.design.factors}
    if level_name(ALL_STREAMS) not in factors.get(VARIED_STREAMS, ()):
        return []
    observations = Observations(state)
    others = {name: levels for name, levels in factors.items() if name != VARIED_STREAMS}
    found = []
    for levels in itertools.product(*others.values()):
        arm = dict(zip(others, levels, strict=True))
        for metric in metrics:
            spreads = {s: _spread(observations, metric, {**arm, VARIED_STREAMS: s}) for s in factors[VARIED_STREAMS]}
            whole = spreads[level_name(ALL_STREAMS)][0]
            for stream, (sd, n) in spreads.items():
                if n >= 2:
                    share = (sd / whole) ** 2 if whole > 0 else None
                    name = ", ".join(f"{factor} {level}" for factor, level in arm.items())
                    found.append(StreamShare(name, metric, stream, sd, share, n))
    return found


def _spread(observations: Observations, metric: str, arm: dict[str, str]) -> tuple[float, int]:
    values = observations.metric(metric)[observations.mask(arm) & (observations.fates == Fate.FINISHED)]
    values = values[numpy.isfinite(values)]
    return (float(values.std(ddof=1)), len(values)) if len(values) > 1 else (0.0, len(values))
