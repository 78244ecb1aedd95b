"""The trial behind ``vilt-speed``: systems timed against each other in one process, stage by stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.vilt.configuration import SystemConfiguration
from harness.measure.settings import TimingSettings

if TYPE_CHECKING:
    from experiments.vilt.count import Count
    from experiments.vilt.systems import System
    from harness.execution.run import Run
    from harness.measure.rounds import TimingResult

MEBIBYTE = 2**20
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
    counts = _counts(system)
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
    _keep(run, result)
    return [{"system": name, **checks[name], **_measured(built[name], counts[name], result, name)} for name in system]


def _counts(system: Mapping[str, SystemConfiguration]) -> dict[str, Count]:
    """Count every system; implementations of one computation, apart from the floor, are counted once."""
    from experiments.vilt.count import count

    known: dict[SystemConfiguration, Count] = {}
    found = {}
    for name, configuration in system.items():
        floor = configuration.implementation == "floor"
        plain = configuration if floor else configuration.model_copy(update={"implementation": "optimised"})
        if plain not in known:
            known[plain] = count(plain)
        found[name] = known[plain]
    return found


def _check(built: Mapping[str, System], counts: Mapping[str, Count], device: Any) -> dict[str, dict[str, Any]]:
    """Run each system once and compare what it did with what it should have done."""
    import time

    from baselines.errors import StructureError
    from harness.measure.memory import peak_memory

    records: dict[str, dict[str, Any]] = {}
    outputs: dict[str, Any] = {}
    for name, system in built.items():
        record: dict[str, Any] = {"gate_structure": True}
        checked: list[Any] = []
        start = time.perf_counter()

        def check(system: System = system, checked: list[Any] = checked) -> None:
            checked.append(system.check())

        try:
            memory = peak_memory(check, device)
            outputs[name] = checked[0].output
            record |= {f"structure_{key}": value for key, value in checked[0].numbers.items()}
            record |= {"peak_memory_mib": memory.peak / MEBIBYTE, "working_memory_mib": memory.growth / MEBIBYTE}
        except StructureError as error:
            record |= {"gate_structure": False, "detail_structure": str(error)}
        record["first_pass_seconds"] = time.perf_counter() - start
        record |= _same_parameters(system, counts[name])
        records[name] = record
    for name, record in records.items():
        record |= _same_outputs(name, built, outputs)
    return records


def _same_parameters(system: System, count: Count) -> dict[str, Any]:
    """Compare the built system's parameters with those of the count that stands beside Table 6."""
    found, expected = system.parameters_by_component(), count.parameters
    if found == expected or system.configuration.weights is not None:
        return {"gate_parameters": True}
    differing = {key: (found.get(key), expected.get(key)) for key in found.keys() | expected.keys()}
    detail = {key: pair for key, pair in differing.items() if pair[0] != pair[1]}
    return {"gate_parameters": False, "detail_parameters": f"built and counted differ in {detail}"}


def _same_outputs(name: str, built: Mapping[str, System], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Compare a system with the naive implementation of the same computation, where that is an arm too."""
    import torch

    from harness.measure.equality import outputs_agree

    mine = built[name].configuration
    if mine.implementation == "floor" or name not in outputs:
        return {}
    for other, system in built.items():
        theirs = system.configuration
        same = mine.model_copy(update={"implementation": "naive", "compile": False, "dtype": theirs.dtype}) == theirs
        if same and other != name and other in outputs:
            agreement = outputs_agree(outputs[name], outputs[other], getattr(torch, mine.dtype))
            record: dict[str, Any] = {
                "gate_equal_outputs": agreement.agree,
                "output_difference": agreement.worst_relative,
            }
            return record if agreement.agree else record | {"detail_equal_outputs": agreement.reason}
    return {}


def _keep(run: Run, result: TimingResult) -> None:
    """Keep the raw tables, the rules of the run and the state of torch with the attempt."""
    from harness.measure.torch_state import describe_torch

    for name, table in result.tables().items():
        run.samples(name, table)
    document = {"timing": result.record(), "torch": describe_torch(load=True)}
    (run.files / "timing.json").write_text(json.dumps(document, indent=1))


def _measured(system: System, count: Count, result: TimingResult, name: str) -> dict[str, Any]:
    """Return the summary of one arm: milliseconds, stages, shares, rates."""
    from harness.measure.summaries import summarize_arm

    configuration = system.configuration
    ceiling = result.ceilings.get(f"matmul {configuration.dtype}")
    summary = summarize_arm(
        result.samples, name, batch_size=configuration.batch, flops=float(count.flops), ceiling_gflops=ceiling
    )
    warm = next(warmup for warmup in result.warmups if warmup.arm == name)
    record: dict[str, Any] = {
        "latency_ms": summary.median_nanoseconds / 1e6,
        "latency_low_ms": summary.median.low / 1e6 if summary.median else None,
        "latency_high_ms": summary.median.high / 1e6 if summary.median else None,
        "rounds_kept": summary.rounds_kept,
        "rounds_dropped": summary.rounds_dropped,
        "enough_rounds": result.enough,
        "steady": warm.steady,
        "stop": result.stop.sentence,
        "items_per_second": summary.items_per_second,
        "ceiling_share_percent": 100 * summary.ceiling_share if summary.ceiling_share is not None else None,
        "ceiling_gflops": ceiling,
        "gflops": count.flops / 1e9,
        "parameters_millions": count.parameters_in_paper / 1e6,
    }
    for quantile, percentile in summary.percentiles.items():
        record[f"latency_p{round(100 * quantile)}_ms"] = percentile.value / 1e6 if percentile else None
    record |= {f"stage_ms_{stage.name}": stage.median_nanoseconds / 1e6 for stage in summary.stages}
    record["visual_share_percent"] = _share_percent(result, name, system.visual_stages)
    return record


def _share_percent(result: TimingResult, name: str, stages: Sequence[str]) -> float:
    """Return the median over kept rounds of the share of an arm's time that ``stages`` take, in percent."""
    from harness.measure.summaries import round_shares

    return 100 * float(round_shares(result.samples, name, stages).median())
