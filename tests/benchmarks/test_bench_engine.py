"""What the engine costs, beside a floor in the same run. Nothing is asserted of a time; ``make bench`` shows them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.execution.driver import run_sweep
from harness.plan.code import fingerprint
from harness.plan.design import Design, make_design
from harness.plan.state import PlanState, due, examine
from harness.plan.trials import expand
from harness.spec.load import load_experiment
from harness.store.store import Store

Write = Callable[..., Path]

SPEC = """
experiment: empty
title: Nothing to do
trial: small_trials:draw
factors:
  index: [{indices}]
replicates: {replicates}
profiles:
  laptop: {{fidelity: proxy}}
"""


def design_of(write: Write, trials: int) -> Design:
    arms = min(trials, 100)
    text = SPEC.format(indices=", ".join(map(str, range(arms))), replicates=trials // arms)
    return make_design(load_experiment(write(f"empty{trials}.yaml", text)))


def finished(write: Write, store: Store, trials: int) -> tuple[Design, str]:
    design = design_of(write, trials)
    code = fingerprint(design.function.name).digest
    state = examine(design, expand(design), store, code)
    run_sweep(design, due(state, retry_failed=False, keep_stale=False), store, code, executor="inline")
    return design, code


@pytest.mark.parametrize("trials", [1000, 10_000])
def test_bench_plan(benchmark: Any, in_workplace: Write, trials: int) -> None:
    design = design_of(in_workplace, trials)
    assert len(benchmark(expand, design)) == trials


@pytest.mark.parametrize("trials", [1000])
def test_bench_state_of_a_finished_sweep(benchmark: Any, in_workplace: Write, tmp_path: Path, trials: int) -> None:
    store = Store(tmp_path / "results")
    design, code = finished(in_workplace, store, trials)
    state: PlanState = benchmark(examine, design, expand(design), store, code)
    assert state.count("done") == trials


def test_bench_200_empty_trials_inline(benchmark: Any, in_workplace: Write, tmp_path: Path) -> None:
    def sweep() -> None:
        finished(in_workplace, Store(tmp_path / uuid.uuid4().hex), 200)

    benchmark.pedantic(sweep, rounds=3)


def test_bench_floor_of_200_attempts_flushed_to_the_disk(benchmark: Any, tmp_path: Path) -> None:
    """Two small files and a rename an attempt, flushed: what durability alone costs here."""

    def write() -> None:
        for _ in range(200):
            folder = tmp_path / f".{uuid.uuid4().hex}"
            folder.mkdir()
            for name in ("attempt.json", "COMPLETE"):
                with (folder / name).open("wb") as file:
                    file.write(b"x" * 1000)
                    file.flush()
                    os.fsync(file.fileno())
            folder.rename(tmp_path / uuid.uuid4().hex)

    benchmark.pedantic(write, rounds=3)
