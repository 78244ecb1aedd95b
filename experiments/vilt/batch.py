"""The trial behind ``vilt-batch``: the same systems with more and more pairs of image and text in one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.speed import DEFAULT_TIMING, time_systems
from harness.measure.settings import TimingSettings

if TYPE_CHECKING:
    from harness.execution.run import Run


def time_batches(
    *,
    run: Run,
    system: Mapping[str, SystemConfiguration],
    batch: int,
    timing: TimingSettings = DEFAULT_TIMING,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """Time every system at one batch size, as ``time_systems`` does, and add ``ms_per_item``.

    Args:
        system: name to configuration; its own ``batch`` is replaced.
        batch: pairs of image and text a request.
        timing: the rules of the timing run.
        threads: torch's intra-operator threads; the trial's CPUs where it is None.
    """
    filled = {name: SystemConfiguration(**{**own.model_dump(), "batch": batch}) for name, own in system.items()}
    records = time_systems(run=run, system=filled, timing=timing, threads=threads)
    return [
        {**record, "ms_per_item": record["latency_ms"] / batch} if "latency_ms" in record else record
        for record in records
    ]
