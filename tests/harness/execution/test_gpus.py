"""Which GPU a trial sees: one worker a GPU, shared only where that is asked for. No GPU is needed to decide it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Workplace

from harness.errors import UserError
from harness.execution import driver
from harness.execution.driver import run_sweep, worker_count
from harness.execution.gpus import gpu_slots, gpus_of_slot, visible_gpus
from harness.plan.design import Design, make_design
from harness.plan.state import due, state_of
from harness.spec.load import load_experiment
from harness.store.store import Store

SPEC = """
experiment: where
title: Which GPUs a trial sees
trial: gpu_trials:where
factors:
  index: [0, 1, 2, 3, 4, 5]
fixed: {{mode: {mode}}}
resources: {{cpus: 1, minutes: 1, {resources}}}
profiles:
  laptop: {{fidelity: proxy, device: cuda}}
"""
TRIALS = """
from __future__ import annotations

import os
import signal
import time


def where(*, run, index: int, mode: str = "live") -> dict:
    began = time.time()
    if mode == "die" and index in (0, 2):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.15)
    return {"gpus": os.environ["CUDA_VISIBLE_DEVICES"], "began": began, "ended": time.time()}
"""


def design_of(workplace: Workplace, resources: str, mode: str = "live") -> Design:
    path = workplace.write("where.yaml", SPEC.format(resources=resources, mode=mode))
    workplace.write("gpu_trials.py", TRIALS)
    return make_design(load_experiment(path))


@pytest.fixture
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "available_cpus", lambda: 8)


def visible(monkeypatch: pytest.MonkeyPatch, names: str | None) -> None:
    if names is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)


@pytest.mark.parametrize(
    ("given_names", "expected"),
    [
        ("0,1,2", ("0", "1", "2")),
        ("5, 7", ("5", "7")),
        ("GPU-8d1f,MIG-3a", ("GPU-8d1f", "MIG-3a")),
        ("", ()),
        ("2,-1,3", ("2",)),  # CUDA stops reading there
        ("-1", ()),
    ],
)
def test_what_the_user_made_visible_is_kept_to(
    monkeypatch: pytest.MonkeyPatch, given_names: str, expected: tuple[str, ...]
) -> None:
    visible(monkeypatch, given_names)
    assert visible_gpus() == expected


@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 4))
def test_all_gpus_are_used_before_any_is_shared(gpus: int, each: int, shared: int) -> None:
    names = tuple(str(number) for number in range(gpus))
    groups = gpus // each
    slots = [gpus_of_slot(slot, names, each) for slot in range(groups * shared)]
    if not groups:
        assert gpus_of_slot(0, names, each) == names, "too few: the trial sees all there are, and says what it lacks"
        return
    assert all(len(own) == each for own in slots)
    first = [name for own in slots[:groups] for name in own]
    assert len(first) == len(set(first)) == groups * each
    assert {own: slots.count(own) for own in slots} == dict.fromkeys(slots[:groups], shared)


def test_on_the_cpu_no_gpu_is_visible() -> None:
    assert gpus_of_slot(3, (), 0) == ()


@pytest.mark.usefixtures("eight_cpus")
@pytest.mark.parametrize(
    ("names", "resources", "jobs", "expected"),
    [
        ("0", "gpus: 1", None, 1),
        ("0,1,2,3", "gpus: 1", None, 4),
        ("0,1,2,3", "gpus: 2", None, 2),
        ("0", "gpus: 1, trials_per_gpu: 4", None, 4),
        ("0,1", "gpus: 1, trials_per_gpu: 4", None, 6),  # six trials are all there are
        ("0,1,2,3", "gpus: 1", 2, 2),
        ("0", "gpus: 1", 3, 3),  # asked for: three share it
        ("0", "gpus: 1, trials_per_gpu: 8, cpus: 4", None, 2),  # no more than the CPUs hold
        ("0,1,2,3", "gpus: 1, exclusive: true", None, 1),  # timed trials never share a machine
        ("0,1,2,3", "gpus: 1, exclusive: true", 4, 1),
        ("0", "gpus: 8", None, 1),
        ("", "gpus: 1", None, 1),
    ],
)
def test_how_many_trials_run_at_a_time(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, names: str, resources: str, jobs: int | None, expected: int
) -> None:
    visible(monkeypatch, names)
    text = resources if "cpus" not in resources else resources.replace(", cpus: 4", "")
    design = design_of(workplace, text)
    if "cpus" in resources:
        design = dataclasses.replace(design, resources=design.resources.model_copy(update={"cpus": 4}))
    assert worker_count(design, jobs, 6) == expected


@pytest.mark.parametrize("resources", ["gpus: 1, trials_per_gpu: 2, exclusive: true", "gpus: 2, trials_per_gpu: 2"])
def test_a_timed_trial_or_one_of_several_gpus_cannot_share(workplace: Workplace, resources: str) -> None:
    with pytest.raises(UserError, match=r"where.yaml:\d+.*'trials_per_gpu' is 2, but a trial that .* shares none"):
        design_of(workplace, resources)


def swept(workplace: Workplace, design: Design, jobs: int | None = None) -> list[dict[str, Any]]:
    """Run the sweep as it would run on a machine with GPUs, and return the records of the trials that lived."""
    store = Store(Path(workplace.folder) / "results")
    state = state_of(design, store)
    run_sweep(design, due(state, retry_failed=False, keep_stale=False), store, state.code, jobs=jobs)
    entries = [entry for entry in state_of(design, store).states if entry.status == "done"]
    return [dict(entry.counted.attempt.records[0]) for entry in entries if entry.counted]


def most_at_once(records: list[dict[str, Any]]) -> int:
    """Return how many of these trials ran at one moment at most."""
    return max(sum(one["began"] <= other["began"] < one["ended"] for one in records) for other in records)


@pytest.mark.usefixtures("eight_cpus")
@pytest.mark.parametrize("fresh", ["", pytest.param(", fresh_process: true", marks=pytest.mark.slow)])
def test_each_worker_sees_its_own_gpu(workplace: Workplace, monkeypatch: pytest.MonkeyPatch, fresh: str) -> None:
    visible(monkeypatch, "5,GPU-7f")
    records = swept(workplace, design_of(workplace, f"gpus: 1{fresh}"))
    assert len(records) == 6 and {record["gpus"] for record in records} == {"5", "GPU-7f"}
    for name in ("5", "GPU-7f"):
        assert most_at_once([record for record in records if record["gpus"] == name]) == 1


@pytest.mark.usefixtures("eight_cpus")
@pytest.mark.slow
def test_a_gpu_whose_worker_was_killed_is_used_again(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    visible(monkeypatch, "3,4")
    records = swept(workplace, design_of(workplace, "gpus: 1, fresh_process: true", mode="die"))
    assert len(records) == 4 and {record["gpus"] for record in records} == {"3", "4"}
    for name in ("3", "4"):
        assert most_at_once([record for record in records if record["gpus"] == name]) == 1


@pytest.mark.usefixtures("eight_cpus")
@pytest.mark.slow
def test_several_share_a_gpu_where_the_spec_says_so(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    visible(monkeypatch, "0")
    design = design_of(workplace, "gpus: 1, trials_per_gpu: 3, fresh_process: true")
    assert gpu_slots(design) == 3
    records = swept(workplace, design)
    assert {record["gpus"] for record in records} == {"0"} and 2 <= most_at_once(records) <= 3


def test_slurm_asks_for_gpus_as_before(workplace: Workplace) -> None:
    from harness.execution.slurm.driver import gpus_of

    assert gpus_of(design_of(workplace, "gpus: 1, trials_per_gpu: 4")) == 1
    assert gpus_of(design_of(workplace, "gpus: 8")) == 8
