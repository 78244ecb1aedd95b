"""The A/A certificate: how often, and by how much, two identical arms look different on this machine.

Pairs of identical arms go through the same pipeline as every timing (``rounds.time_arms``) and the same test (t on
the log ratios of round medians). How often the test calls them different is the pipeline's false-positive rate
here; the ratio beyond which only one identical pair in twenty falls is the smallest that this machine resolves.

It covers noise within one process and one boot. Its visits are shorter than most trials', so its floor is wider.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from harness.measure.devices import Clock, device_named
from harness.measure.gpu import gpu_sampler_for
from harness.measure.identical_arms import ARMS, Workload, workload
from harness.measure.load import LoadMeter, allowed_cpus
from harness.measure.probes import Probe, machine_probes
from harness.measure.rounds import Progress, time_arms
from harness.measure.settings import TimingSettings
from harness.measure.summaries import log_ratios_by_round

LEVEL = 0.05
FLOOR_QUANTILE = 0.95
DEFAULT_PAIRS, DEFAULT_ROUNDS = 60, 20


@dataclass(frozen=True)
class PairOutcome:
    """One A/A comparison: kept rounds, mean log ratio, half-width of its 95 % t interval, and the t test's p value.

    The last three are NaN where too few rounds were kept: the pair is undecided then.
    """

    rounds_kept: int
    mean: float = math.nan
    half_width: float = math.nan
    p_value: float = math.nan

    @property
    def decided(self) -> bool:
        return not math.isnan(self.p_value)

    @property
    def false_positive(self) -> bool:
        """Whether identical arms were called different."""
        return self.decided and self.p_value < LEVEL


@dataclass(frozen=True)
class CertificateRun:
    """What the A/A comparisons came to. NaN stands for what no decided pair could tell.

    Attributes:
        pairs: comparisons made; decided: those with enough kept rounds; the others count neither way.
        false_positives: decided pairs whose p value was below 0.05.
        rate, rate_low, rate_high: their share of the decided pairs, with its exact 95 % interval.
        smallest_ratio: exp of the 95th percentile over pairs of |mean log ratio|, 1 or more: the ratio beyond
            which (or below whose inverse) 5 % of identical pairs fall.
        half_width_ratio: exp of the median half-width of a pair's interval, as a ratio.
        rounds: rounds run a pair; dropped_rounds: those of all pairs that the busy rule dropped.
        device, dtype, batch, threads: what was run, and with how many torch threads.
        foreign_share: what others took of the CPUs during all of it, 0 to 1; None if unknown.
        seconds: duration of all pairs.
        outcomes: one a pair.
        samples: raw samples as ``rounds.time_arms`` returns them, with a column ``pair``.
    """

    pairs: int
    decided: int
    false_positives: int
    rate: float
    rate_low: float
    rate_high: float
    smallest_ratio: float
    half_width_ratio: float
    rounds: int
    dropped_rounds: int
    device: str
    dtype: str
    batch: int
    threads: int
    foreign_share: float | None
    seconds: float
    outcomes: tuple[PairOutcome, ...]
    samples: pd.DataFrame


def certificate_settings(device_name: str = "cpu", rounds: int = DEFAULT_ROUNDS) -> TimingSettings:
    """Return settings for A/A pairs of ``rounds`` rounds each: as in a trial, but short visits, warm-ups and probes.

    A round on a CPU lasts some 50 ms. That is too short to count what other processes take, so that there the
    probes alone decide which rounds are dropped.

    Raises:
        pydantic.ValidationError: fewer rounds than a statement needs.
    """
    host = device_name == "cpu"
    return TimingSettings(
        minimum_rounds=rounds,
        maximum_rounds=rounds,
        minimum_seconds=0.0,
        target_half_width=None,
        visit_seconds=0.010,
        warmup_window=5,
        warmup_maximum_passes=25,
        warmup_maximum_seconds=1.0,
        probe_seconds=0.002,
        probe_matmul_size=384 if host else 2048,
        probe_copy_bytes=(8 if host else 64) * 2**20,
    )


def judge_pair(log_ratios: Sequence[float] | pd.Series, fewest_rounds: int = 6) -> PairOutcome:
    """Test whether the log ratios of one pair's kept rounds are centred on zero, as a timing claim would.

    Args:
        fewest_rounds: with fewer values the pair is undecided.
    """
    values = np.asarray(log_ratios, dtype=float)
    if len(values) < max(2, fewest_rounds):
        return PairOutcome(len(values))
    mean, error, freedom = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)), len(values) - 1
    # A synthetic clock may give a ratio without any spread.
    distance = abs(mean) / error if error > 0.0 else math.inf if mean else 0.0
    p_value = float(2.0 * stats.t.sf(distance, freedom))
    return PairOutcome(len(values), mean, error * float(stats.t.ppf(1 - LEVEL / 2, freedom)), p_value)


def rate_interval(false_positives: int, decided: int) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) 95 % interval of a rate; from 0 to 1 where nothing was decided."""
    if not decided:
        return 0.0, 1.0
    interval = stats.binomtest(false_positives, decided).proportion_ci(confidence_level=0.95, method="exact")
    return float(interval.low), float(interval.high)


def smallest_ratio(outcomes: Sequence[PairOutcome]) -> float:
    """Return the ratio, 1 or more, beyond which 5 % of the decided identical pairs fall; NaN without any."""
    distances = [abs(one.mean) for one in outcomes if one.decided]
    return math.exp(float(np.quantile(distances, FLOOR_QUANTILE))) if distances else math.nan


def certify(
    device_name: str = "cpu",
    dtype: str = "float32",
    batch: int = 1,
    pairs: int = DEFAULT_PAIRS,
    threads: int | None = None,
    *,
    settings: TimingSettings | None = None,
    generator: np.random.Generator | None = None,
    progress: Progress | None = None,
    build: Workload | None = None,
    probes: Sequence[Probe] | None = None,
    load: LoadMeter | None = None,
    clock: Clock = time.perf_counter_ns,
) -> CertificateRun:
    """Time ``pairs`` pairs of identical arms, each built anew, and return how often they look different.

    Args:
        device_name: ``cpu``, ``cuda`` or ``cuda:N``.
        batch: items a request.
        threads: torch threads during the run, restored after it; None takes the CPUs that this process may use.
        settings: rules of each pair; ``certificate_settings()`` by default.
        generator: draws the orders of arms; a fresh one by default.
        progress: called with (pairs done, pairs).
        build: makes the two arms; None takes ``workload`` (tests bring their own, with probes, load and clock).

    Raises:
        ValueError: no pair to make, or as :func:`workload`.
        RuntimeError: if torch sees no such CUDA device.
    """
    if pairs < 1:
        raise ValueError(f"there must be 1 pair or more, not {pairs}")
    settings = settings or certificate_settings(device_name)
    generator = generator or np.random.default_rng()
    device = device_named(device_name)
    make = build or (lambda: workload(device_name, dtype, batch))
    report_progress = progress or (lambda done, total: None)
    whole_load = LoadMeter()
    outcomes: list[PairOutcome] = []
    tables: list[pd.DataFrame] = []
    dropped = 0
    with _torch_threads(threads) as used_threads:
        # Calibrated once: calibrating for each pair would take longer than its rounds.
        shared = machine_probes(settings, device, clock) if probes is None else probes
        machine: dict[str, Any] = {
            "device": device,
            "probes": shared,
            "load": load,
            "gpu": gpu_sampler_for(device.name),
        }
        whole_load.start()
        begin = clock()
        report_progress(0, pairs)
        for number in range(pairs):
            result = time_arms(make(), settings, generator, clock=clock, **machine)
            outcomes.append(judge_pair(log_ratios_by_round(result.samples, *ARMS), settings.minimum_kept_rounds))
            dropped += result.busy.dropped
            tables.append(result.samples.assign(pair=np.int32(number)))
            report_progress(number + 1, pairs)
        seconds, others = (clock() - begin) / 1e9, whole_load.stop()
    return CertificateRun(
        **_figures(outcomes),
        rounds=settings.maximum_rounds,
        dropped_rounds=dropped,
        device=device_name,
        dtype=dtype,
        batch=batch,
        threads=used_threads,
        foreign_share=others.foreign_share,
        seconds=seconds,
        outcomes=tuple(outcomes),
        samples=pd.concat(tables, ignore_index=True),
    )


def _figures(outcomes: Sequence[PairOutcome]) -> dict[str, Any]:
    decided = [one for one in outcomes if one.decided]
    found = sum(one.false_positive for one in decided)
    low, high = rate_interval(found, len(decided))
    half_width = float(np.median([one.half_width for one in decided])) if decided else math.nan
    return {
        "pairs": len(outcomes),
        "decided": len(decided),
        "false_positives": found,
        "rate": found / len(decided) if decided else math.nan,
        "rate_low": low,
        "rate_high": high,
        "smallest_ratio": smallest_ratio(outcomes),
        "half_width_ratio": math.exp(half_width),
    }


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[int]:
    """Set torch's threads for a while; None takes the CPUs that this process may use."""
    import torch

    wanted = threads or len(allowed_cpus() or ()) or os.cpu_count() or 1
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield wanted
    finally:
        torch.set_num_threads(before)
