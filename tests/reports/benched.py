"""Runs of the benchmarks made up from known ratios and noise: what the tests of ``reports.bench`` share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy

from reports.bench.measured import FORMAT, KEY, Check, Measured, Scale, Side

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MACHINE = {
    "cpu": {"model": "Some Processor", "affinity": [0, 1], "flags": ["more", "than", "is", "read"]},
    "torch": {"version": "2.15.0", "threads": 1, "gpus": []},
    "python": "3.11.7",
    "host": "never shown",
    "source": {"commit": COMMIT, "dirty": False, "tree": "t"},
}
MILLISECOND = 1_000_000


def generator(*key: int) -> numpy.random.Generator:
    return numpy.random.default_rng([20261129, *key])


def measured(
    name: str = "work",
    ratio: float = 1.0,
    *,
    noise: float = 0.05,
    rounds: int = 20,
    milliseconds: float = 5.0,
    rival: str = "theirs",
    group: str = "Group",
    random: numpy.random.Generator | None = None,
    scale: Scale | None = None,
    check: Check | None = None,
) -> Measured:
    """Return a comparison whose true ratio is known: a drift that both sides share, and noise of each visit."""
    random = random or generator(1)
    drift = numpy.exp(numpy.cumsum(random.normal(0, 0.02, rounds)))

    def side(called: str, factor: float) -> Side:
        times = milliseconds * MILLISECOND * factor * drift * numpy.exp(random.normal(0, noise, rounds))
        return Side(name=called, repetitions=1, nanoseconds=tuple(int(value) for value in times))

    return Measured(
        format=FORMAT,
        name=name,
        group=group,
        ours=side("ours", ratio),
        rival=side(rival, 1.0),
        ours_first=tuple(bool(first) for first in random.integers(0, 2, rounds)),
        scale=scale,
        check=check,
    )


def document(
    found: Sequence[Measured], when: str = "2026-11-01T12:00:00.123456+00:00", machine: Mapping[str, Any] = MACHINE
) -> dict[str, Any]:
    """Return what pytest-benchmark would have written, as far as it is read, and some more."""
    return {
        "machine_info": deepcopy(dict(machine)),
        "commit_info": {"id": COMMIT, "dirty": False},
        "benchmarks": [
            {"fullname": f"tests/benchmarks/test_bench.py::{number}", "stats": {"mean": 0.1}, "extra_info": {KEY: one.model_dump(mode="json")}}
            for number, one in enumerate(found)
        ],
        "datetime": when,
        "version": "5.3.1",
    }  # fmt: skip


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path
