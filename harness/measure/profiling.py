"""One arm under ``torch.profiler``: its trace, the tables that follow from it, and times of the same arm unprofiled.

A profiler slows what it looks at. Therefore the arm is timed just before and just after, without it, by the same
functions and marks as in any timing run: what a reader concludes from the profile can be held against that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from harness.measure.busy import REFERENCE_QUANTILE
from harness.measure.devices import Clock, Device
from harness.measure.probes import WorkProbe, machine_probes
from harness.measure.profiler_runs import look_at, plan_for, record_requests
from harness.measure.settings import TimingSettings
from harness.measure.stage_ranges import Relay
from harness.measure.stages import WHOLE, Arm
from harness.measure.trace_events import read_events
from harness.measure.trace_files import nested, read_trace, trace_folder, trace_name, with_names, write_trace
from harness.measure.trace_tables import DEVICE, HOST, TraceTables, tables_of
from harness.measure.visits import Pass, collector_paused, time_requests, time_staged
from harness.measure.warmup import warm_up

Say = Callable[[str], None]

WARMUP_SECONDS = 3.0
TIMED_SECONDS = 2.0
"""How long requests are timed before the profile, and as long again after it."""
FEWEST_TIMED, MOST_TIMED, MOST_STAGED = 3, 200, 20
PROBE_READINGS = 4
RAW = "raw.json"
"""What the profiler's own file is called until it has been read."""

TIMED_COLUMNS = {"arm": "str", "iteration": "int32", "stage": "str", "us": "float64"}


@dataclass(frozen=True)
class Profiled:
    """An arm to profile.

    Attributes:
        call: makes one request and marks its stages.
        flops: floating-point operations of one request, 2 x MAC, where they are known.
        dtype: the name of what it computes in, whose matrix product is the ceiling (``probes.matmul_probe``); where
            there is no product of that name, as of 8-bit numbers, there is no ceiling.
    """

    call: Arm
    flops: float | None = None
    dtype: str = "float32"


@dataclass(frozen=True)
class ArmProfile:
    """What profiling one arm gave: a flat record, tables by name, and the folder with its trace."""

    record: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    folder: Path


@dataclass(frozen=True)
class _Timed:
    """Unprofiled requests, and passes with stages: on a device with a stream these are passes of their own."""

    requests: tuple[Pass, ...]
    staged: tuple[Pass, ...]


def profile_arm(
    name: str,
    profiled: Profiled,
    device: Device,
    folder: Path,
    *,
    steps: int | None = None,
    detailed: bool = False,
    say: Say = lambda text: None,
    clock: Clock = time.perf_counter_ns,
) -> ArmProfile:
    """Warm up, time, profile and time again; write the trace below ``folder`` and return what it says.

    Args:
        name: of the arm, as it stands in the tables.
        steps: profiled requests; None lets the request's time decide (``profiler_runs.plan_for``).
        detailed: shapes, memory and call stacks are recorded even where that slows the arm too much.
        say: is told what is being done.

    Raises:
        TraceError: the profiler recorded no request.
        Whatever the arm raises.
    """
    arm = Relay(profiled.call, device)
    say("warming up")
    warm_up(name, arm, device, clock, TimingSettings(warmup_maximum_seconds=WARMUP_SECONDS))
    probes = _probes(profiled.dtype, device, clock)
    readings: dict[str, list[float]] = {unit: [] for unit in ("GFLOP/s", "GB/s")}

    def timed() -> _Timed:
        say("timing it unprofiled")
        for probe in probes:
            readings[probe.unit] += [probe.measure() for _ in range(PROBE_READINGS)]
        return _time(arm, device, clock)

    before = timed()
    target = trace_folder(folder, name)
    raw = target / RAW
    # By the fastest request: on a busy machine the others say less of the arm.
    fastest = min(one.nanoseconds for one in before.requests)
    plan = plan_for(look_at(arm, device, clock, raw), fastest, steps, detailed)
    say(f"profiling {plan.steps} requests" + (f", without {plan.left_out}" if plan.left_out else ""))
    names = record_requests(arm, device, plan, raw)
    after = timed()
    say("reading the trace")
    found = _read(raw, names, name, target)
    if not plan.shapes:
        found.operators["memory_bytes"] = np.nan  # it was not looked at
    step = float(found.steps["us"].median())
    request = median(one.nanoseconds for one in (*before.requests, *after.requests)) / 1e3
    record = {
        "step_us": step,
        "timed_us": request,
        "overhead": step / request if request else None,
        "steps": len(found.steps),
        "shapes": plan.shapes,
        "stacks": plan.stacks,
        "device": DEVICE if device.has_stream else HOST,
        "dtype": profiled.dtype,
        "gflop": None if profiled.flops is None else profiled.flops / 1e9,
        "ceiling_gflops": _ceiling(readings["GFLOP/s"]),
        "ceiling_gbs": _ceiling(readings["GB/s"]),
        "threads": _threads(),
        "busy_us": found.busy_microseconds,
        **_as_the_plugin_reads(target, say),
    }
    tables = {**found.named(), "timed_stages": _stage_table(name, (*before.staged, *after.staged))}
    return ArmProfile(record, tables, target)


def _probes(dtype: str, device: Device, clock: Clock) -> Sequence[WorkProbe]:
    try:
        return machine_probes(TimingSettings(probe_dtypes=(dtype,)), device, clock)
    except ValueError:
        return machine_probes(TimingSettings(probe_dtypes=()), device, clock)


def _time(arm: Arm, device: Device, clock: Clock) -> _Timed:
    with collector_paused():
        requests = time_requests(arm, device, clock, TIMED_SECONDS, FEWEST_TIMED, MOST_TIMED)
        staged = time_staged(arm, device, min(len(requests), MOST_STAGED)) if device.has_stream else requests
    return _Timed(requests, staged)


def _read(raw: Path, names: Mapping[str, str], arm: str, folder: Path) -> TraceTables:
    """Keep the profiler's file under its lasting name, with the stages' names in it, and return what it says."""
    # The collector would look through millions of objects of which none is garbage.
    with collector_paused():
        document = nested(with_names(read_trace(raw), names))
        raw.unlink()
        write_trace(document, folder / trace_name())
        return tables_of(read_events(document), arm)


def _stage_table(name: str, passes: Sequence[Pass]) -> pd.DataFrame:
    """Return the stages of each pass, and the whole of it with the stage ''; nothing where no stage was marked."""
    rows = [
        (name, iteration, stage, nanoseconds / 1e3)
        for iteration, one in enumerate(passes)
        for stage, nanoseconds in {WHOLE: one.nanoseconds, **one.stages}.items()
        if one.stages
    ]
    return pd.DataFrame(rows, columns=list(TIMED_COLUMNS)).astype(TIMED_COLUMNS)


def _ceiling(readings: Sequence[float]) -> float | None:
    """Return what the machine reached in a tenth of the readings, as the busy rule of timing runs takes it."""
    return float(np.quantile(readings, REFERENCE_QUANTILE)) if readings else None


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _as_the_plugin_reads(folder: Path, say: Say) -> dict[str, Any]:
    """Return what torch-tb-profiler's own loader reads from the trace, or why it cannot."""
    from harness.measure.plugin_reader import PluginProblem, read_with_plugin

    say("having torch-tb-profiler read it")
    found = read_with_plugin(folder)
    if isinstance(found, PluginProblem):
        return {"plugin_step_us": None, "plugin_operators": None, "plugin_problem": found.sentence}
    return {"plugin_step_us": found.step_microseconds, "plugin_operators": found.operators, "plugin_problem": ""}
