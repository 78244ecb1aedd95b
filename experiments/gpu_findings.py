"""What came out of ``make measure-gpu``, in a few sentences; each says so where nothing was measured for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from harness.plan.design import make_design
from harness.plan.state import state_of
from harness.spec.find import find_experiment
from harness.store.store import Store

Record = Mapping[str, Any]
EAGER, REPLAYED = "vilt-bfloat16", "vilt-bfloat16-graphs"
"""Levels of ``vilt-batch``."""
READINGS = {"naive": "naive", "optimised": "both optimised", "best": "both at their best"}
"""Levers of ``vilt-fairness``, and how they are told."""


def findings(store: Path, packing: Path) -> Iterator[str]:
    """Yield what a store says of launches, of ViLT against the others, of large batches, and of packed trials."""
    batches = records_of(store, "vilt-batch", "gpu")
    yield _launches(batches)
    yield _rivals(records_of(store, "vilt-fairness", "gpu"))
    yield _large_batches(batches)
    yield from _packing(packing)


def records_of(store: Path, spec: str, profile: str) -> list[Record]:
    """Return the records of an experiment's finished trials on a GPU, by trial; those of older code too."""
    design = make_design(find_experiment(spec), profile, device="cuda")
    entries = [e for e in state_of(design, Store(store)).states if e.counted and e.status in ("done", "stale")]
    return [
        {**entry.trial.arm, **record} for entry in entries if entry.counted for record in entry.counted.attempt.records
    ]


def _launches(batches: Sequence[Record]) -> str:
    one = {record["system"]: record.get("latency_ms") for record in batches if record["batch"] == 1}
    eager, replayed = one.get(EAGER), one.get(REPLAYED)
    if not eager or not replayed:
        return "ViLT from CUDA graphs: not measured"
    return (
        f"ViLT in bfloat16, one pair: {replayed:.3g} ms from CUDA graphs, {eager:.3g} ms eagerly, "
        f"{eager / replayed:.2f} times as long"
    )


def _rivals(records: Sequence[Record]) -> str:
    parts = []
    for lever, told in READINGS.items():
        found = [r["times_vilt"] for r in records if r["lever"] == lever and r["system"] == "region" and
                 r.get("times_vilt")]  # fmt: skip
        if found:
            parts.append(f"{told} {median(found):.3g} x")
    return f"the region model's time over ViLT's: {', '.join(parts) if parts else 'not measured'}"


def _large_batches(batches: Sequence[Record]) -> str:
    shares = [
        (int(record["batch"]), str(record["system"]), float(record["ceiling_share_percent"]))
        for record in batches
        if record["system"] in (EAGER, REPLAYED) and record.get("ceiling_share_percent")
    ]
    if not shares:
        return "ViLT's share of the matrix product at large batches: not measured"
    largest = max(batch for batch, _, _ in shares)
    share = max(share for batch, _, share in shares if batch == largest)
    return f"ViLT in bfloat16, {largest} pairs: {share:.0f} % of the GPU's own matrix product"


def _packing(file: Path) -> Iterator[str]:
    try:
        found = json.loads(file.read_text())
    except OSError:
        found = []
    measured = [one for one in found if one["trials_per_minute"] is not None]
    if not measured:
        yield "small trials at a time: not measured"
    for one in measured:
        yield (
            f"{one['at_a_time']} small trials at a time: {one['trials_per_minute']:.3g} trials a minute "
            f"(mean of {one['finished']})"
        )


def finished_since(store: Path, experiment: str, moment: float) -> list[tuple[float, float]]:
    """Return from when to when the trials ran that began after ``moment`` and finished, in seconds since the epoch."""
    own = Store(store)
    attempts = [found.attempt for trial in own.trial_ids(experiment) for found in own.attempts(experiment, trial)[0]]
    return [(a.started, a.started + a.seconds) for a in attempts if a.succeeded and a.started >= moment]


def packed(asked: int, trials: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return how fast trials went: as many a minute as ran beside each other, over how long one took.

    The machine's CPUs may hold fewer than were ``asked`` for: ``at_a_time`` is how many there were.
    """
    if not trials:
        return {"asked": asked, "at_a_time": asked, "finished": 0, "trials_per_minute": None}
    beside = max(sum(begin <= start < end for begin, end in trials) for start, _ in trials)
    seconds = mean(end - begin for begin, end in trials)
    return {
        "asked": asked,
        "at_a_time": beside,
        "finished": len(trials),
        "trials_per_minute": 60 * beside / seconds if seconds > 0 else None,
    }
