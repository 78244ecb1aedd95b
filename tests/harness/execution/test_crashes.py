"""kill -9 of workers and drivers at random moments of a 200-trial sweep: nothing is lost, nothing counts twice."""

from __future__ import annotations

import csv
import io
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support import Workplace

TRIALS = 200
SPEC = f"""
experiment: crash
title: A sweep that is shot at
trial: small_trials:slow
factors:
  index: [{", ".join(str(index) for index in range(TRIALS))}]
fixed: {{seconds: 0.005}}
profiles:
  laptop: {{fidelity: proxy}}
"""


def complete(folder: Path) -> list[Path]:
    return [path.parent for path in folder.glob("results/crash/attempts/*/*/COMPLETE")]


def shoot(workplace: Workplace, seed: int) -> str:
    """Start a sweep and kill -9 its driver, a worker or a controller after a random while; return what was hit."""
    generator = random.Random(seed)
    victim = generator.choice(["driver", "child", "child"])
    driver = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "crash.yaml", "--jobs", "2"],
        cwd=workplace.folder,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    wanted = generator.randrange(TRIALS - 40)
    while len(complete(workplace.folder)) < wanted and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    children = []
    try:
        children = psutil.Process(driver.pid).children(recursive=True)
        target = driver.pid if victim == "driver" or not children else generator.choice(children).pid
        psutil.Process(target).send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        pass
    driver.wait(timeout=120)
    psutil.wait_procs(children, timeout=20)
    return victim


def check(workplace: Workplace) -> None:
    found = workplace.harness("run", "crash.yaml")
    assert found.status == 0, found.err
    rows = list(csv.DictReader(io.StringIO(workplace.harness("export", "crash.yaml").out)))
    assert sorted(int(row["index"]) for row in rows) == list(range(TRIALS))
    leftovers = [p for p in (workplace.folder / "results").rglob(".tmp-*") if "/runs/" not in str(p)]
    assert not leftovers
    # Folders of heartbeats and followers stay.
    assert not list((workplace.folder / "results").glob("crash/claims/*.json"))
    assert not list((workplace.folder / "results").glob("crash/claims/followers/*.json"))


def rounds(workplace: Workplace, seeds: range) -> None:
    workplace.write("crash.yaml", SPEC)
    for seed in seeds:
        subprocess.run(["rm", "-rf", str(workplace.folder / "results")], check=True)
        shoot(workplace, seed)
        check(workplace)


def test_three_shots(workplace: Workplace) -> None:
    rounds(workplace, range(3))


@pytest.mark.slow
def test_twenty_shots(workplace: Workplace) -> None:
    rounds(workplace, range(100, 120))
