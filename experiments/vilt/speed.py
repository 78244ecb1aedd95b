"""The trial behind ``vilt-speed``: systems timed against each other in one process, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.vilt.checks import agreement, check_system, count_all
from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.timing_records import keep, measured
from harness.measure.settings import TimingSettings

if TYPE_CHECKING:
    from experiments.vilt.count import Count
    from experiments.vilt.systems import System
    from harness.execution.run import Run

DEFAULT_TIMING = TimingSettings()


def time_systems(
    *,
    run: Run,
    system: Mapping[str, SystemConfiguration],
    timing: TimingSettings = DEFAULT_TIMING,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """Time every system against the others, interleaved in randomised rounds, and return one record a system.

    Before a system is timed its structure is checked (proposals, regions, tokens, finite values), its parameters are
    compared with a count made independently on the meta device, and implementations of one model are compared by their
    outputs. A failed check stands in the record as ``gate_<name>`` with its ``detail_<name>``, and nothing is timed.

    Raw samples go into the tables ``latency``, ``rounds``, ``probes`` and ``warmup``.

    Args:
        system: name to configuration; one arm each.
        timing: the rules of the timing run.
        threads: torch's intra-operator threads; the trial's CPUs where it is None.
    """
    import torch

    from experiments.vilt.systems import build_system
    from harness.measure.devices import device_named
    from harness.measure.gpu import gpu_sampler_for
    from harness.measure.rounds import time_arms

    torch.set_num_threads(threads or run.threads or torch.get_num_threads())
    device = device_named(run.device)
    seed = run.stream("init").seed
    built = {name: build_system(wanted, device=run.device, seed=seed) for name, wanted in system.items()}
    counts = count_all(system)
    checks = _check(built, counts, device)
    if any(value is False for record in checks.values() for value in record.values()):
        return [{"system": name, **checks[name]} for name in system]
    result = time_arms(
        built,
        timing,
        run.stream("order").numpy,
        device=device,
        gpu=gpu_sampler_for(device.name),
        passed={name: record["first_pass_seconds"] for name, record in checks.items()},
        progress=run.progress,
    )
    keep(run, result.tables(), {"timing": result})
    return [{"system": name, **checks[name], **measured(built[name], counts[name], result, name)} for name in system]


def _check(built: Mapping[str, System], counts: Mapping[str, Count], device: Any) -> dict[str, dict[str, Any]]:
    """Check each system by itself, then its outputs against those of the naive implementation, where that is an arm."""
    checked = {name: check_system(system, counts[name], device) for name, system in built.items()}
    outputs = {name: found.output for name, found in checked.items() if found.output is not None}
    return {name: found.record | _same_outputs(name, built, outputs) for name, found in checked.items()}


def _same_outputs(name: str, built: Mapping[str, System], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Compare a system with the naive implementation of the same computation, where that is an arm too."""
    mine = built[name].configuration
    if mine.implementation == "floor" or name not in outputs:
        return {}
    for other, system in built.items():
        theirs = system.configuration
        same = mine.reference.model_copy(update={"dtype": theirs.dtype}) == theirs
        if same and other != name and other in outputs:
            found = agreement(mine, outputs[name], outputs[other])
            record: dict[str, Any] = {"gate_equal_outputs": found.agree, "output_difference": found.worst_relative}
            return record if found.agree else record | {"detail_equal_outputs": found.reason}
    return {}
