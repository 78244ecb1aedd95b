"""The trial behind ``vilt-fairness``: does ViLT's lead survive the best effort on both sides?

Every lever is tried on every system. An arm whose outputs are not the naive implementation's is not timed; the others
go on. The best arm of a system is chosen and reported on different rounds, since the least of several noisy times is
less than any of them is. In the first rounds all arms run interleaved, and the one with the least median is chosen.
Then fresh rounds follow, in which the chosen arms run alone, and only these are reported and judged. Both are in one
process, in which the chosen arms are warm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.lever_arms import LeverArm, prepare_arms
from experiments.vilt.levers import Lever
from experiments.vilt.timing_records import keep, measured
from harness.measure.settings import TimingSettings

if TYPE_CHECKING:
    import pandas

    from harness.execution.run import Run
    from harness.measure.devices import Device
    from harness.measure.rounds import TimingResult

DEFAULT_TIMING = TimingSettings()
CHOOSING, REPORTING = "choosing", "reporting"


def time_levers(
    *,
    run: Run,
    system: Mapping[str, SystemConfiguration],
    lever: Mapping[str, Lever],
    choosing: TimingSettings = DEFAULT_TIMING,
    reporting: TimingSettings = DEFAULT_TIMING,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """Time every system with every lever, choose the best of each, time these again; one record a system and lever.

    ``outputs_agree``, ``output_difference`` and ``output_tolerance`` say how an arm's outputs compare with those of the
    naive float32 implementation; an arm that is not timed has a ``reason``. ``speed_up`` is over that implementation,
    ``times_vilt`` over ViLT with the same lever, round by round. The record of a lever that chooses has the time of the
    fresh rounds, and the lever that was ``chosen``.

    Raw samples go into the tables ``latency``, ``rounds``, ``probes`` and ``warmup``, whose column ``phase`` says which
    rounds a row belongs to. The chosen arms stand there under the name of the lever that chose them.

    Args:
        system: name to configuration, as the naive implementation has it.
        lever: name to what is laid over a configuration, or to a choice among the others.
        choosing: the rules of the rounds in which all arms run.
        reporting: the rules of the fresh rounds.
        threads: torch's intra-operator threads, the same for all; the trial's CPUs where it is None.
    """
    import torch

    from harness.measure.devices import device_named

    torch.set_num_threads(threads or run.threads or torch.get_num_threads())
    device = device_named(run.device)
    arms = prepare_arms(run, system, lever, device)
    timed = [arm for arm in arms if arm.system is not None]
    if {arm.of for arm in timed} != set(system):
        return _nothing_timed(arms, system, lever)
    first = _time(run, timed, choosing, device, "order")
    chosen = _choices(timed, lever, first)
    fresh = _time(run, list({arm.name: arm for arm in chosen.values()}.values()), reporting, device, "fresh_order")
    keep(run, _tables(first, fresh, chosen), {CHOOSING: first, REPORTING: fresh})
    vilt = next((name for name, own in system.items() if own.row.embedding == "linear"), "")
    records = {arm.name: _record(arm, timed, first, vilt) for arm in arms}
    naive = {arm.of: records[arm.name]["latency_ms"] for arm in timed if arm.plain}
    best = [_best_record(name, key, chosen, fresh, naive.get(name), vilt) for name, key in chosen]
    return [*records.values(), *best]


def _time(run: Run, arms: Sequence[LeverArm], settings: TimingSettings, device: Device, stream: str) -> TimingResult:
    from harness.measure.gpu import gpu_sampler_for
    from harness.measure.rounds import time_arms

    return time_arms(
        {arm.name: arm.system for arm in arms if arm.system is not None},
        settings,
        run.stream(stream).numpy,
        device=device,
        gpu=gpu_sampler_for(device.name),
        passed={arm.name: float(arm.record["first_pass_seconds"]) for arm in arms},
        progress=run.progress,
    )


def _nothing_timed(
    arms: Sequence[LeverArm], systems: Mapping[str, SystemConfiguration], levers: Mapping[str, Lever]
) -> list[dict[str, Any]]:
    """Return records without times: a system without any arm that can be timed leaves nothing to compare."""
    own = {(arm.of, arm.lever): dict(arm.record) for arm in arms}
    # What a lever would have chosen among failed as they did.
    gates = {arm.of: {key: x for key, x in arm.record.items() if key.startswith(("gate_", "detail_"))} for arm in arms}
    return [{"system": name, "lever": key, **own.get((name, key), gates[name])} for name in systems for key in levers]


def _choices(
    timed: Sequence[LeverArm], levers: Mapping[str, Lever], first: TimingResult
) -> dict[tuple[str, str], LeverArm]:
    """Return by system and choosing lever the arm with the least median time of the first rounds."""
    found = {}
    for name in dict.fromkeys(arm.of for arm in timed):
        own = [arm for arm in timed if arm.of == name]
        for key, lever in levers.items():
            if lever.choose is not None:
                allowed = [arm for arm in own if lever.choose == "all" or _keeps_float32(arm)]
                found[name, key] = min(allowed or own, key=lambda arm: _median(first.samples, arm.name))
    return found


def _keeps_float32(arm: LeverArm) -> bool:
    return arm.system is not None and arm.system.configuration.keeps_float32


def _median(samples: pandas.DataFrame, name: str) -> float:
    """Return the median of an arm's round medians; of all rounds where the machine was busy in each of them."""
    from harness.measure.summaries import round_medians

    kept = round_medians(samples, name)
    return float((kept if len(kept) else round_medians(samples.assign(kept=True), name)).median())


def _tables(
    first: TimingResult, fresh: TimingResult, chosen: Mapping[tuple[str, str], LeverArm]
) -> dict[str, pandas.DataFrame]:
    """Return the raw tables of both phases in one; rounds of the second are numbered on."""
    import pandas

    offset = len(first.rounds)
    renamed = [
        fresh.samples[fresh.samples["arm"] == arm.name].assign(arm=f"{name},{key}")
        for (name, key), arm in chosen.items()
    ]
    second = fresh.tables() | {"latency": pandas.concat(renamed, ignore_index=True)}
    found = {}
    for name, table in first.tables().items():
        later = second.get(name, table.iloc[:0])
        if "round" in later:
            later = later.assign(round=later["round"] + offset)
        parts = [table.assign(phase=CHOOSING), later.assign(phase=REPORTING)]
        found[name] = pandas.concat(parts, ignore_index=True)
    return found


def _record(arm: LeverArm, timed: Sequence[LeverArm], first: TimingResult, vilt: str) -> dict[str, Any]:
    """Return the record of one arm from the first rounds."""
    record: dict[str, Any] = {"system": arm.of, "lever": arm.lever, **arm.record}
    if arm.system is None:
        return record
    record |= measured(arm.system, arm.count, first, arm.name)
    for other in timed:
        if other.of == arm.of and other.plain:
            record["speed_up"] = _ratio(first, other.name, arm.name)
        if other.of == vilt != arm.of and other.lever == arm.lever:
            record["times_vilt"] = _ratio(first, arm.name, other.name)
    return record


def _best_record(
    name: str,
    key: str,
    chosen: Mapping[tuple[str, str], LeverArm],
    fresh: TimingResult,
    naive_ms: float | None,
    vilt: str,
) -> dict[str, Any]:
    """Return the record of what a lever chose, from the fresh rounds; only ``speed_up`` is across both."""
    arm, other = chosen[name, key], chosen.get((vilt, key))
    assert arm.system is not None
    record = {"system": name, "lever": key, **arm.record, **measured(arm.system, arm.count, fresh, arm.name)}
    # What is allowed stands with the lever that was chosen; systems may have chosen different ones.
    record.pop("output_tolerance", None)
    record["chosen"] = arm.lever
    if naive_ms is not None:
        record["speed_up"] = naive_ms / record["latency_ms"]
    if other is not None and name != vilt:
        record["times_vilt"] = _ratio(fresh, arm.name, other.name)
    return record


def _ratio(result: TimingResult, above: str, below: str) -> float:
    """Return the mean ratio of two arms over kept rounds, on the log scale."""
    from harness.measure.summaries import log_ratios_by_round

    return math.exp(log_ratios_by_round(result.samples, above, below).mean())
