"""Sweeps as a user runs them: finished work stays finished, failures are rows, nothing runs twice."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import Workplace

SPEC = """
experiment: sweep
title: A sweep
trial: small_trials:{function}
factors:
  index: [{indices}]
fixed: {{{fixed}}}
resources: {{cpus: 1, minutes: {minutes}}}
profiles:
  laptop: {{fidelity: proxy}}
"""


def write(workplace: Workplace, function: str, trials: int, fixed: str = "", minutes: float = 5.0) -> None:
    indices = ", ".join(str(index) for index in range(trials))
    text = SPEC.format(function=function, indices=indices, fixed=fixed, minutes=minutes)
    workplace.write("sweep.yaml", text)


def plan(workplace: Workplace) -> dict[str, int]:
    found = workplace.harness("plan", "sweep.yaml", "--json")
    return json.loads(found.out)["trials"]  # type: ignore[no-any-return]


def exported(workplace: Workplace, *arguments: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(workplace.harness("export", "sweep.yaml", *arguments).out)))


def attempts(workplace: Workplace) -> list[Path]:
    """Return the complete attempts; one that was shot between its marker and its name has only a temporary one."""
    found = (workplace.folder / "results").glob("sweep/attempts/*/*/COMPLETE")
    return [path.parent for path in found if not path.parent.name.startswith(".tmp-")]


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_a_sweep_runs_once_and_its_table_is_exported(workplace: Workplace, executor: str) -> None:
    write(workplace, "draw", 12)
    found = workplace.harness("run", "sweep.yaml", "--executor", executor)
    assert found.status == 0, found.err
    assert "12 of 12 trials done, 0 failed" in found.err
    rows = exported(workplace)
    assert list(rows[0])[:6] == ["experiment", "profile", "trial", "attempt", "replicate", "index"]
    assert sorted(int(row["index"]) for row in rows) == list(range(12))
    again = workplace.harness("run", "sweep.yaml", "--executor", executor)
    assert again.status == 0 and "nothing to run" in again.err
    assert len(attempts(workplace)) == 12


def test_local_and_inline_give_the_same_values(workplace: Workplace) -> None:
    write(workplace, "draw", 5)
    workplace.harness("run", "sweep.yaml", "--store", "a")
    workplace.harness("run", "sweep.yaml", "--store", "b", "--executor", "inline")
    first, second = exported(workplace, "--store", "a"), exported(workplace, "--store", "b")
    assert [row["value"] for row in first] == [row["value"] for row in second]


@pytest.mark.parametrize("mode", ["raise", "exit", "records"])
def test_a_failing_trial_does_not_stop_the_others(workplace: Workplace, mode: str) -> None:
    write(workplace, "fragile", 6, f"mode: {mode}")
    found = workplace.harness("run", "sweep.yaml")
    assert found.status == 3
    assert "5 of 6 trials done, 1 failed" in found.err
    if mode == "raise":
        assert "ValueError: three is not allowed" in found.err and "small_trials.py" in found.err
        assert "harness/execution" not in found.err, "the engine's own frames say nothing to a user"
    assert plan(workplace) == {"planned": 6, "done": 5, "failed": 1, "stale": 0}
    again = workplace.harness("run", "sweep.yaml")
    assert again.status == 3 and "nothing to run" in again.err
    before = len(attempts(workplace))
    assert workplace.harness("run", "sweep.yaml", "--retry-failed").status == 3
    assert len(attempts(workplace)) == before + 1


def test_a_trial_that_kills_its_worker_is_tried_twice_and_named(workplace: Workplace) -> None:
    write(workplace, "fragile", 8, "mode: kill")
    found = workplace.harness("run", "sweep.yaml")
    assert found.status == 3, found.err
    assert "(killed): the worker's process ended in the middle of the trial" in found.err
    assert plan(workplace) == {"planned": 8, "done": 7, "failed": 1, "stale": 0}


def test_a_trial_that_hangs_is_ended(workplace: Workplace) -> None:
    write(workplace, "fragile", 5, "mode: hang", minutes=0.03)
    found = workplace.harness("run", "sweep.yaml")
    assert found.status == 3, found.err
    assert "(time limit): took longer than the 0.03 minutes" in found.err
    assert plan(workplace)["done"] == 4


def test_nan_is_kept_and_shown(workplace: Workplace) -> None:
    write(workplace, "fragile", 5, "mode: nan")
    assert workplace.harness("run", "sweep.yaml").status == 0
    values = {row["index"]: row["value"] for row in exported(workplace)}
    assert values["3"] == "" and values["0"] == "1.0"
    stored = [json.loads((p / "attempt.json").read_text()) for p in attempts(workplace)]
    assert sum(str(s["records"][0]["value"]) == "nan" for s in stored) == 1


def test_changed_code_makes_results_stale(workplace: Workplace) -> None:
    write(workplace, "draw", 4)
    workplace.harness("run", "sweep.yaml")
    source = workplace.folder / "small_trials.py"
    source.write_text(source.read_text() + "\n# a comment changes nothing\n")
    assert plan(workplace)["done"] == 4
    source.write_text(source.read_text().replace("+ alpha * index", "- alpha * index"))
    assert plan(workplace) == {"planned": 4, "done": 0, "failed": 0, "stale": 4}
    kept = workplace.harness("run", "sweep.yaml", "--stale", "keep")
    assert kept.status == 0 and "4 stale and kept" in kept.err
    assert exported(workplace) == []
    assert {row["stale"] for row in exported(workplace, "--stale")} == {"True"}
    assert workplace.harness("run", "sweep.yaml").status == 0
    assert plan(workplace) == {"planned": 4, "done": 4, "failed": 0, "stale": 0}
    assert len(attempts(workplace)) == 8, "what was written before is still there"


def test_a_damaged_attempt_is_named_and_run_again(workplace: Workplace) -> None:
    write(workplace, "draw", 3)
    workplace.harness("run", "sweep.yaml")
    victim = attempts(workplace)[0] / "attempt.json"
    victim.write_text(victim.read_text().replace("value", "valve"))
    found = workplace.harness("run", "sweep.yaml")
    assert found.status == 0 and "damaged and ignored" in found.err and "its bytes are not those" in found.err
    assert len(exported(workplace)) == 3


def start(workplace: Workplace) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "sweep.yaml", "--jobs", "2"],
        cwd=workplace.folder,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for(workplace: Workplace, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(attempts(workplace)) < count:
        assert time.monotonic() < deadline, "the sweep does not get going"
        time.sleep(0.02)


def test_ctrl_c_keeps_what_is_finished_and_the_next_run_goes_on(workplace: Workplace) -> None:
    gate = workplace.folder / "gate"
    write(workplace, "slow", 40, f"gate: {gate}")
    driver = start(workplace)
    wait_for(workplace, 5)
    # A terminal sends the signal to every process of the foreground.
    os.killpg(driver.pid, signal.SIGINT)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 130, err
    assert b"interrupted; the same command goes on where it stopped" in err and b"Traceback" not in err
    finished = {path.name for path in attempts(workplace)}
    assert 5 <= len(finished) < 40
    gate.touch()
    assert workplace.harness("run", "sweep.yaml").status == 0
    assert finished <= {path.name for path in attempts(workplace)}
    assert len(attempts(workplace)) == 40


def test_workers_end_with_a_killed_driver(workplace: Workplace) -> None:
    import psutil

    write(workplace, "slow", 200, "seconds: 0.1")
    driver = start(workplace)
    wait_for(workplace, 3)
    children = psutil.Process(driver.pid).children(recursive=True)
    assert children
    driver.kill()
    driver.wait()
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    count = len(attempts(workplace))
    time.sleep(0.5)
    assert len(attempts(workplace)) == count


def test_two_drivers_compute_each_trial_once(workplace: Workplace) -> None:
    write(workplace, "slow", 60, "seconds: 0.05")
    drivers = [start(workplace), start(workplace)]
    for driver in drivers:
        _, err = driver.communicate(timeout=120)
        assert driver.returncode == 0, err
    trials = [path.parent.name for path in attempts(workplace)]
    assert len(trials) == len(set(trials)) == 60


def test_fresh_processes_share_nothing(workplace: Workplace) -> None:
    write(workplace, "draw", 3)
    text = (workplace.folder / "sweep.yaml").read_text().replace("{cpus: 1,", "{cpus: 1, fresh_process: true,")
    (workplace.folder / "sweep.yaml").write_text(text)
    assert workplace.harness("run", "sweep.yaml").status == 0
    workers = {json.loads((p / "attempt.json").read_text())["worker"] for p in attempts(workplace)}
    assert len(workers) == 3


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_a_full_disk_ends_the_run_with_a_sentence(workplace: Workplace, executor: str) -> None:
    """A store on a small file system of its own: nothing half-written is read as done, and there is no traceback."""
    disk = workplace.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        write(workplace, "draw", 300)
        found = workplace.harness("run", "sweep.yaml", "--store", str(disk / "results"), "--executor", executor)
        assert found.status == 2, found
        assert "cannot be written: No space left on device" in found.err and "Traceback" not in found.err
        planned = json.loads(workplace.harness("plan", "sweep.yaml", "--json", "--store", str(disk / "results")).out)
        assert 0 < planned["trials"]["done"] < 300
        assert planned["trials"]["failed"] == 0
        assert len(exported(workplace, "--store", str(disk / "results"))) == planned["trials"]["done"]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
