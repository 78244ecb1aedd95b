"""Damage to a sweep on a private cluster, drawn from a seed: what clusters and people do to jobs, every second or two."""

from __future__ import annotations

import contextlib
import csv
import io
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from slurm.private_cluster import Cluster, Task
from support import Workplace

TRIALS = 300
SLOTS = 8
ENDING = ("kill -9 of the driver", "scancel of the array")
TRIAL = '''
"""A trial that takes a while, and does as a file beside it says."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

ORDERS = Path(__file__).parent / "orders"


def work(*, run: Any, index: int, seconds: float = 0.4) -> dict[str, Any]:
    for order in ("raise", "exit", "deaf"):
        try:
            # One trial takes an order: renaming is atomic.
            (ORDERS / order).rename(ORDERS / f"{order}.{os.getpid()}")
        except OSError:
            continue
        if order == "raise":
            raise RuntimeError("told to")
        if order == "exit":
            sys.exit(3)
        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    time.sleep(seconds)
    return {"value": float(index)}
'''
SPEC = f"""
experiment: chaos
title: A sweep that everything happens to
trial: chaos_trials:work
factors:
  index: [{", ".join(str(index) for index in range(TRIALS))}]
resources: {{memory_gib: 0.2, slurm: {{poll_seconds: 1, task_minutes: 0.5}}}}
profiles:
  laptop: {{fidelity: proxy}}
"""


@dataclass
class Chaos:
    """One sweep, its driver, and whoever damages it."""

    cluster: Cluster
    workplace: Workplace
    seed: int
    done: list[str] = field(default_factory=list)
    restarts: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        (self.workplace.folder / "orders").mkdir()
        self.workplace.write("chaos_trials.py", TRIAL)
        self.workplace.write("chaos.yaml", SPEC)

    def start(self) -> subprocess.Popen[bytes]:
        """Start a driver; trials that failed by themselves are tried again."""
        command = [sys.executable, "-m", "harness", "run", "chaos.yaml", "--executor", "slurm", "--jobs", str(SLOTS)]
        with (self.workplace.folder / "driver.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "--retry-failed"],
                cwd=self.workplace.folder,
                env=self.cluster.whole_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def run(self, pause: tuple[float, float] = (0.8, 2.5), damages: int = 15, most: int = 3) -> None:
        """Run the sweep to its end, and damage it on the way; raise where it needs more than ``most`` new drivers."""
        driver = self.start()
        while True:
            time.sleep(self.random.uniform(*pause))
            if driver.poll() is not None:
                if driver.returncode == 0:
                    return
                self.restarts += 1
                assert self.restarts <= most, f"{self.restarts} drivers were not enough: {self.log()}"
                driver = self.start()
            elif len(self.done) < damages:
                self._damage(driver)

    def _damage(self, driver: subprocess.Popen[bytes]) -> None:
        """Do what is drawn first of that which can be done now: there may be nothing to cancel, say."""
        damages = list(self._damages(driver))
        self.random.shuffle(damages)
        # These need a new driver by themselves: two a sweep, so that one more is all that everything else may cost.
        if sum(name in ENDING for name in self.done) >= 2:
            damages = [entry for entry in damages if entry[0] not in ENDING]
        # Preemption takes all tasks away at once, and a requeued one waits for seconds: not the whole sweep long.
        damages.sort(key=lambda entry: entry[0] == "preempted" and entry[0] in self.done)
        for name, damage in damages:
            with contextlib.suppress(psutil.Error, RuntimeError):
                if damage():
                    self.done.append(name)
                    return

    def log(self) -> str:
        return (self.workplace.folder / "driver.log").read_text(errors="replace")[-6000:]

    def _damages(self, driver: subprocess.Popen[bytes]) -> Sequence[tuple[str, Callable[[], bool]]]:
        return (
            ("raise", lambda: self._order("raise")),
            ("exit", lambda: self._order("exit")),
            ("deaf to signals", lambda: self._order("deaf")),
            ("kill -9 of a task", lambda: self._kill(self._pythons())),
            ("kill -9 of slurmstepd", lambda: self._kill(self._stepds())),
            ("kill -9 of the driver", lambda: self._kill([psutil.Process(driver.pid)])),
            ("scancel of a running task", lambda: self._cancel("RUNNING")),
            ("scancel of a waiting task", lambda: self._cancel("PENDING")),
            ("scancel of the array", self._cancel_all),
            ("requeue", self._requeue),
            ("controller restarted", self._restart_controller),
            ("slurmd restarted", self._restart_node),
            ("preempted", self._preempt),
        )

    def _order(self, name: str) -> bool:
        (self.workplace.folder / "orders" / name).touch()
        return True

    def _tasks(self, state: str) -> list[Task]:
        tasks = [task for task in self.cluster.tasks() if task.state == state and task.name.startswith("harness-")]
        return [task for task in tasks if task.index is not None]

    def _pythons(self) -> list[psutil.Process]:
        return self.cluster.left_processes()

    def _stepds(self) -> list[psutil.Process]:
        running = self._tasks("RUNNING")
        return self.cluster.stepd_processes(self.random.choice(running).array_job) if running else []

    def _kill(self, processes: list[psutil.Process]) -> bool:
        if processes:
            self.random.choice(processes).send_signal(signal.SIGKILL)
        return bool(processes)

    def _cancel(self, state: str) -> bool:
        tasks = self._tasks(state)
        if tasks:
            task = self.random.choice(tasks)
            self.cluster.run("scancel", f"{task.array_job}_{task.index}")
        return bool(tasks)

    def _cancel_all(self) -> bool:
        tasks = self._tasks("RUNNING")
        if tasks:
            self.cluster.run("scancel", str(tasks[0].array_job))
        return bool(tasks)

    def _requeue(self) -> bool:
        tasks = self._tasks("RUNNING")
        if tasks:
            task = self.random.choice(tasks)
            self.cluster.run("scontrol", "requeue", f"{task.array_job}_{task.index}")
        return bool(tasks)

    def _restart_controller(self) -> bool:
        self.cluster.restart_controller()
        return True

    def _restart_node(self) -> bool:
        self.cluster.restart_node()
        return True

    def _preempt(self) -> bool:
        command = ("--partition=urgent", "--exclusive", "--time=1", "--output=/dev/null", "--wrap=sleep 1")
        self.cluster.run("sbatch", "--job-name=urgent", *command)
        return True

    def check(self) -> None:
        """Every trial is done, each once, and nothing is left."""
        rows = list(csv.DictReader(io.StringIO(self.workplace.harness("export", "chaos.yaml").out)))
        assert sorted(int(row["index"]) for row in rows) == list(range(TRIALS))
        attempts = [self._succeeded(path) for path in self.workplace.folder.glob("results/chaos/attempts/*")]
        assert Counter(attempts) == {1: TRIALS}, Counter(attempts)
        self.cluster.wait_until(lambda: not self._live(), 60, "an empty queue")
        self.cluster.wait_until(lambda: not self.cluster.left_processes(), 30, "no processes of tasks")

    def _live(self) -> list[Task]:
        over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY")
        return [task for task in self.cluster.tasks() if task.state not in over]

    @staticmethod
    def _succeeded(folder: Path) -> int:
        complete = [path.parent for path in folder.glob("*/COMPLETE")]
        return sum('"failure": null' in (path / "attempt.json").read_text() for path in complete)
