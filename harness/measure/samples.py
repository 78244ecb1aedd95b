"""From visits and rounds to tables. Raw samples are the product, so columns and types are fixed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from harness.measure.busy import BusyReport, RoundRecord
from harness.measure.stages import WHOLE
from harness.measure.visits import Visit
from harness.measure.warmup import WarmUp

SAMPLE_COLUMNS = {
    "round": "int32",
    "position": "int16",
    "arm": "str",
    "iteration": "int32",
    "quantity": "str",
    "stage": "str",
    "nanoseconds": "int64",
    "kept": "bool",
}
"""One row a measured duration: whole requests have stage '', stages their name."""

ROUND_COLUMNS = {
    "round": "int32",
    "kept": "bool",
    "reason": "str",
    "finished": "bool",
    "seconds": "float64",
    "lowest_probe": "float64",
    "foreign_share": "float64",
    "steal_share": "float64",
}

PROBE_COLUMNS = {"round": "int32", "position": "int16", "probe": "str", "rate": "float64"}

GPU_COLUMNS = {
    "round": "int32",
    "position": "int16",
    "sm_clock_mhz": "float64",
    "power_watts": "float64",
    "temperature_celsius": "float64",
    "throttle_reasons": "str",
}

WARMUP_COLUMNS = {"arm": "str", "iteration": "int32", "nanoseconds": "int64"}


def _table(rows: Iterable[tuple[Any, ...]], columns: dict[str, str]) -> pd.DataFrame:
    # With explicit types an empty table has the same columns as a full one, and parts can be concatenated.
    return pd.DataFrame(list(rows), columns=list(columns)).astype(columns)


class SampleLog:
    """Collects the samples of a run visit by visit."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, str, int, str, str, int]] = []

    def add(self, number: int, position: int, arm: str, visit: Visit) -> None:
        """Note all passes of one visit."""
        for quantity, passes in visit.by_quantity():
            for iteration, one in enumerate(passes):
                place = (number, position, arm, iteration, quantity)
                self._rows.append((*place, WHOLE, one.nanoseconds))
                self._rows.extend((*place, stage, duration) for stage, duration in one.stages.items())

    def table(self, report: BusyReport) -> pd.DataFrame:
        """Return all samples, each marked with its round's verdict."""
        kept = {verdict.number: verdict.kept for verdict in report.verdicts}
        return _table(((*row, kept.get(row[0], False)) for row in self._rows), SAMPLE_COLUMNS)


def round_table(rounds: Sequence[RoundRecord], report: BusyReport) -> pd.DataFrame:
    """Return one row a round: whether and why it was dropped, and what was seen of the machine."""
    rows = (
        (
            record.number,
            verdict.kept,
            verdict.reason,
            record.finished,
            record.seconds,
            verdict.lowest_probe,
            record.load.foreign_share,
            record.load.steal_share,
        )
        for record, verdict in zip(rounds, report.verdicts, strict=True)
    )
    return _table(rows, ROUND_COLUMNS)


def probe_table(rounds: Sequence[RoundRecord]) -> pd.DataFrame:
    """Return one row a probe reading: position n is before visit n, the last one after all visits."""
    rows = (
        (record.number, position, name, rate)
        for record in rounds
        for name, readings in record.probes.items()
        for position, rate in enumerate(readings)
    )
    return _table(rows, PROBE_COLUMNS)


def gpu_table(rounds: Sequence[RoundRecord]) -> pd.DataFrame:
    """Return one row a look at the GPU; throttle reasons are joined by '; '."""
    rows = (
        (
            record.number,
            position,
            sample.sm_clock_mhz,
            sample.power_watts,
            sample.temperature_celsius,
            "; ".join(sample.throttle_reasons),
        )
        for record in rounds
        for position, sample in enumerate(record.gpu)
    )
    return _table(rows, GPU_COLUMNS)


def warmup_table(warmups: Iterable[WarmUp]) -> pd.DataFrame:
    """Return one row a warm-up pass; iteration 0 is the first pass of all."""
    rows = (
        (one.arm, iteration, nanoseconds) for one in warmups for iteration, nanoseconds in enumerate(one.nanoseconds)
    )
    return _table(rows, WARMUP_COLUMNS)
