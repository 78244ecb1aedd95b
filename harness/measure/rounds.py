"""The measuring loop: interleaved, randomised rounds with a stop rule and a busy rule.

Timing one system after the other confounds it with whatever the machine did meanwhile; on a noisy machine
that alone makes identical systems differ "significantly" more often than not. Here every round visits every
arm once, in random order, and the round is the unit of analysis: drift touches all arms of a round alike and
cancels in their ratio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from harness.measure.busy import BusyReport, RoundRecord, judge_rounds
from harness.measure.devices import Clock, Device, HostDevice
from harness.measure.gpu import GpuSample, GpuSampler
from harness.measure.load import LoadMeter
from harness.measure.probes import Probe, machine_probes
from harness.measure.samples import SampleLog, gpu_table, probe_table, round_table, warmup_table
from harness.measure.settings import TimingSettings
from harness.measure.stages import Arm
from harness.measure.stopping import StopReport, stop_report
from harness.measure.visits import standing_objects_frozen, visit
from harness.measure.warmup import WarmUp, warm_up

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TimingResult:
    """Everything one run measured. Every summary can be recomputed from ``samples``.

    Attributes:
        samples: one row a duration: round, position, arm, iteration, quantity (``request``, and on CUDA
            ``stream`` and ``staged``), stage ('' for the whole), nanoseconds, kept (the round's verdict).
        rounds: one row a round: kept, reason, finished, seconds, lowest_probe (share of the reference),
            foreign_share and steal_share (NaN where not measurable).
        probes: one row a reading: round, position, probe, rate; units and sizes are in
            ``probe_units``/``_sizes``.
        gpu: one row a look at the GPU; empty without a sampler.
        warmup_samples: one row a warm-up pass: arm, iteration, nanoseconds.
        warmups: how each arm warmed up.
        stop: why the run ended.
        busy: the busy rule, the machine's ceilings, and each round's verdict.
        settings: the rules of the run.
        device: name of the device.
    """

    samples: pd.DataFrame
    rounds: pd.DataFrame
    probes: pd.DataFrame
    gpu: pd.DataFrame
    warmup_samples: pd.DataFrame
    warmups: tuple[WarmUp, ...]
    stop: StopReport
    busy: BusyReport
    settings: TimingSettings
    device: str
    probe_units: Mapping[str, str]
    probe_sizes: Mapping[str, str]

    @property
    def enough(self) -> bool:
        """Whether enough rounds were kept for a statement; if not, any claim stays inconclusive."""
        return self.busy.enough

    @property
    def ceilings(self) -> Mapping[str, float]:
        """The machine's ceilings in this run by probe name (GFLOP/s, GB/s)."""
        return self.busy.reference

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the raw tables by the names under which trials keep them; ``gpu`` only where one was looked at."""
        named = {"latency": self.samples, "rounds": self.rounds, "probes": self.probes, "warmup": self.warmup_samples}
        return named if self.gpu.empty else {**named, "gpu": self.gpu}

    def record(self) -> dict[str, Any]:
        """Return all but the tables as JSON-able values; an infinite half-width becomes None."""
        stop = asdict(self.stop) | {"sentence": self.stop.sentence}
        stop["half_widths"] = {
            arm: width if np.isfinite(width) else None for arm, width in self.stop.half_widths.items()
        }
        return {
            "device": self.device,
            "enough": self.enough,
            "settings": self.settings.model_dump(mode="json"),
            "stop": stop,
            "busy": asdict(self.busy) | {"kept": self.busy.kept, "dropped": self.busy.dropped},
            "warmups": [asdict(one) | {"steady": one.steady} for one in self.warmups],
            "probe_units": dict(self.probe_units),
            "probe_sizes": dict(self.probe_sizes),
        }


class _Run:
    """State of one run: what is constant, and the log."""

    def __init__(
        self,
        arms: Mapping[str, Arm],
        settings: TimingSettings,
        device: Device,
        clock: Clock,
        probes: Sequence[Probe],
        load: LoadMeter,
        gpu: GpuSampler | None,
    ) -> None:
        self.arms, self.settings, self.device, self.clock = arms, settings, device, clock
        self.probes, self.load, self.gpu = probes, load, gpu
        self.deadline = clock() + round(settings.timeout_seconds * 1e9)
        self.log = SampleLog()

    def round(self, number: int, order: Sequence[str]) -> RoundRecord:
        """Visit all arms in ``order``; a round that passes the deadline ends early, marked unfinished."""
        readings: dict[str, list[float]] = {probe.name: [] for probe in self.probes}
        looks: list[GpuSample] = []
        medians: dict[str, float] = {}

        def look_around() -> None:
            if self.gpu is not None:
                looks.append(self.gpu.sample())
            for probe in self.probes:
                readings[probe.name].append(probe.measure())

        begin = self.clock()
        self.load.start()
        finished = True
        for position, name in enumerate(order):
            if position and self.clock() >= self.deadline:
                finished = False
                break
            look_around()
            made = visit(self.arms[name], self.device, self.clock, self.settings, self.deadline)
            self.log.add(number, position, name, made)
            medians[name] = median(one.nanoseconds for one in made.request)
        if finished:
            look_around()
        load = self.load.stop()
        return RoundRecord(
            number=number,
            order=tuple(order),
            finished=finished,
            seconds=(self.clock() - begin) / 1e9,
            probes={name: tuple(values) for name, values in readings.items()},
            load=load,
            gpu=tuple(looks),
            medians=medians,
        )


def round_order(arms: Sequence[str], generator: np.random.Generator) -> tuple[str, ...]:
    """Return the arms in the random order of the next round; same generator state, same order."""
    return tuple(arms[int(index)] for index in generator.permutation(len(arms)))


def time_arms(
    arms: Mapping[str, Arm],
    settings: TimingSettings,
    generator: np.random.Generator,
    *,
    device: Device | None = None,
    probes: Sequence[Probe] | None = None,
    load: LoadMeter | None = None,
    gpu: GpuSampler | None = None,
    known_ceilings: Mapping[str, float] | None = None,
    passed: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter_ns,
) -> TimingResult:
    """Time arms against each other in interleaved, randomised rounds.

    Each arm is warmed up by evidence. Then rounds follow, each visiting every arm once in an order drawn from
    ``generator``, until ``settings`` says stop. Threads, dtype, TF32 and the like are the caller's to set and
    to record (``environment.describe_environment``); arms decide themselves about ``torch.inference_mode``.

    Args:
        arms: name to callable ``arm(mark)``, at least one.
        settings: the rules of the run.
        generator: draws the orders, nothing else.
        device: where the arms run; the CPU by default. ``devices.device_named`` makes one.
        probes: probes of the machine; None makes those of ``settings``, an empty sequence runs none.
        load: meter of what others take of the CPUs; None reads the machine.
        gpu: sampler of clocks and throttling, ``gpu.gpu_sampler_for(device.name)``; None samples nothing.
        known_ceilings: ceilings by probe name from an earlier quiet run of the same probes on this machine.
        passed: seconds of a full pass of the same shapes that an arm has just made, by arm. Where that alone
            is longer than the warm-up's cap, it was the arm's warm-up.
        progress: called with (rounds done, rounds expected) after warm-up and after every round.
        clock: host clock in nanoseconds.

    Raises:
        ValueError: if ``arms`` is empty or a name is empty.
        Exception: whatever an arm raises, unchanged.
    """
    if not arms:
        raise ValueError("there is no arm to time")
    if not all(arms):
        raise ValueError("an arm has an empty name")
    device = HostDevice() if device is None else device
    started = clock()
    if probes is None:
        probes = machine_probes(settings, device, clock)
    names = tuple(arms)
    run = _Run(arms, settings, device, clock, probes, load or LoadMeter(), gpu)
    report_progress = progress or (lambda done, total: None)

    warmups = tuple(
        warm_up(name, arms[name], device, clock, settings, run.deadline, (passed or {}).get(name)) for name in names
    )
    report_progress(0, settings.minimum_rounds)
    rounds: list[RoundRecord] = []
    with standing_objects_frozen():
        begin = clock()
        while True:
            busy = judge_rounds(rounds, settings, known_ceilings)
            now = clock()
            stop = stop_report(rounds, busy, settings, (now - begin) / 1e9, (now - started) / 1e9)
            if rounds:
                wanted = settings.rounds_wanted(median(record.seconds for record in rounds))
                missing = 0 if stop else max(1, wanted - busy.kept)
                report_progress(len(rounds), min(len(rounds) + missing, settings.maximum_rounds))
            if stop is not None:
                break
            rounds.append(run.round(len(rounds), round_order(names, generator)))

    return TimingResult(
        samples=run.log.table(busy),
        rounds=round_table(rounds, busy),
        probes=probe_table(rounds),
        gpu=gpu_table(rounds),
        warmup_samples=warmup_table(warmups),
        warmups=warmups,
        stop=stop,
        busy=busy,
        settings=settings,
        device=device.name,
        probe_units={probe.name: probe.unit for probe in probes},
        probe_sizes={probe.name: getattr(probe, "size", "") for probe in probes},
    )
