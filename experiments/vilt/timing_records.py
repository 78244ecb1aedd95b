"""What was measured of a system, as a record; and the raw samples behind it, kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.vilt.configuration import SystemConfiguration

if TYPE_CHECKING:
    from experiments.vilt.count import Count
    from experiments.vilt.systems import System
    from harness.execution.run import Run
    from harness.measure.rounds import TimingResult


def measured(system: System, count: Count, result: TimingResult, name: str) -> dict[str, Any]:
    """Return the summary of one arm: milliseconds, stages, shares, rates.

    ``stream_ms`` and the launch gap, what a request takes beyond it, are None on a device without a stream.
    """
    from harness.measure.summaries import summarize_arm

    configuration = system.configuration
    ceiling = result.ceilings.get(f"matmul {probe_dtype(configuration)}")
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
    return record | _stream(result, name, record["latency_ms"])


def probe_dtype(configuration: SystemConfiguration) -> str:
    """Return the numbers in which a machine's own matrix product is a system's ceiling."""
    if configuration.quantise != "none":
        return configuration.quantise  # no probe has that name: torch's 8-bit product is no plain product
    return "tf32" if configuration.tf32 else configuration.dtype


def _stream(result: TimingResult, name: str, latency_ms: float) -> dict[str, Any]:
    """Return the time of a request on the device's own clock, and what its host adds to that."""
    from harness.measure.summaries import round_medians

    medians = round_medians(result.samples, name, "stream")
    if medians.empty:
        return {"stream_ms": None, "launch_gap_ms": None, "launch_gap_percent": None}
    stream = float(medians.median()) / 1e6
    gap = latency_ms - stream
    return {"stream_ms": stream, "launch_gap_ms": gap, "launch_gap_percent": 100 * gap / latency_ms}


def _share_percent(result: TimingResult, name: str, stages: Sequence[str]) -> float:
    """Return the median over kept rounds of the share of an arm's time that ``stages`` take, in percent."""
    from harness.measure.summaries import round_shares

    return 100 * float(round_shares(result.samples, name, stages).median())


def keep(run: Run, tables: Mapping[str, Any], timings: Mapping[str, TimingResult]) -> None:
    """Keep raw tables, the rules of each timing by its name, and the state of torch with the attempt."""
    from harness.measure.torch_state import describe_torch

    for name, table in tables.items():
        run.samples(name, table)
    document = {name: timing.record() for name, timing in timings.items()} | {"torch": describe_torch(load=True)}
    (run.files / "timing.json").write_text(json.dumps(document, indent=1))
