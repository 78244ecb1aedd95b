"""Every way in which a sweep on Slurm is damaged: its end has the right name, and the next run completes the sweep."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from slurm.private_cluster import Cluster
from support import Finished, Workplace

TRIALS = '''
"""Trials that do as a file beside this one says, once: the next attempt of the same trial just ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def work(*, run: Any, index: int, steps: int = 0) -> dict[str, Any]:
    with (HERE / "begun" / str(index)).open("a") as file:
        file.write(f"{os.getpid()}\\n")
    order = ""
    try:
        # Renaming is atomic: one attempt takes the order.
        (HERE / "orders" / str(index)).rename(HERE / "orders" / f"{index}.taken")
        order = (HERE / "orders" / f"{index}.taken").read_text()
    except FileNotFoundError:
        pass
    if order == "raise":
        raise RuntimeError("told to")
    if order == "exit":
        sys.exit(3)
    if order == "deaf":
        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    if order:
        (HERE / "begun" / f"{index}.{order}").touch()
    deadline = time.monotonic() + 240
    while order in ("wait", "deaf") and not (HERE / "orders" / "go").exists():
        assert time.monotonic() < deadline, "nobody said go"
        time.sleep(0.05)
    return {"value": train(run, index, steps, 0.5 if order == "train slowly" else 0.0) if steps else float(index)}


def train(run: Any, index: int, steps: int, pause: float) -> float:
    """Descend on a noisy bowl, and save weights, momentum and the random stream after every step."""
    generator = run.stream("noise").numpy
    weights, momentum = generator.normal(size=50), 0.0
    begin, kept = 0, run.checkpoint.load()
    if kept is not None:
        begin, weights, momentum, generator.bit_generator.state = kept
    for step in range(begin, steps):
        momentum = 0.9 * momentum + 0.05 * (weights - 1.0 + generator.normal(size=50))
        weights = weights - momentum
        time.sleep(pause)
        with (HERE / "begun" / f"{index}.steps").open("a") as file:
            file.write(f"{step}\\n")
        run.checkpoint.save((step + 1, weights, momentum, generator.bit_generator.state))
    return float(weights.sum())
'''
SPEC = """
experiment: {name}
title: A sweep that is damaged
trial: ends_trials:work
factors:
  index: {indices}
fixed: {{steps: {steps}}}
resources:
  memory_gib: 0.2
  fresh_process: {fresh}
  slurm: {{poll_seconds: 0.5{slurm}}}
profiles:
  laptop: {{fidelity: proxy}}
"""
# Slurm sends the signal up to half a minute too early: 15 to 45 seconds after the start of such a task.
ONE_MINUTE = "max_minutes: 1, signal_seconds: 15"
STEPS = 150
# Slurm counts in minutes, and machines are slow now and then.
pytestmark = pytest.mark.timeout(900)
USUALLY_WITHOUT_ACCOUNTING = pytest.mark.parametrize(
    "cluster", ["none", pytest.param("dbd", marks=pytest.mark.slow)], indirect=True
)


@dataclass
class Sweep:
    """A sweep, its drivers, and what is known of it from the store and from Slurm."""

    cluster: Cluster
    workplace: Workplace
    name: str = "ends"
    drivers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    trials: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, trials: int, *, fresh: bool = True, slurm: str = "", steps: int = 0) -> Sweep:
        """Write the spec; with ``fresh`` every trial is a task's own, and so is its end."""
        self.trials = trials
        for folder in ("orders", "begun"):
            (self.workplace.folder / folder).mkdir(exist_ok=True)
        self.workplace.write("ends_trials.py", TRIALS)
        text = SPEC.format(
            name=self.name,
            indices=list(range(trials)),
            steps=steps,
            fresh=str(fresh).lower(),
            slurm=f", {slurm}" if slurm else "",
        )
        self.workplace.write(f"{self.name}.yaml", text)
        return self

    # ------------------------------------------------------------ trials

    def order(self, word: str, *indices: int) -> None:
        """Tell trials what their next attempts do."""
        for index in indices:
            (self.workplace.folder / "orders" / str(index)).write_text(word)

    def go(self) -> None:
        """Let trials that wait go on."""
        (self.workplace.folder / "orders" / "go").touch()

    def wait_for(self, word: str, *indices: int) -> None:
        """Wait until these trials do as they were told."""
        begun = self.workplace.folder / "begun"
        self.cluster.wait_until(
            lambda: all((begun / f"{index}.{word}").exists() for index in indices), 90, f"trials that {word}"
        )

    def begun(self) -> dict[int, int]:
        """How often the trial function was called, by trial."""
        files = [path for path in (self.workplace.folder / "begun").iterdir() if path.name.isdecimal()]
        return {int(path.name): len(path.read_text().splitlines()) for path in files}

    def steps(self, index: int) -> list[int]:
        """The training steps of a trial in the order they were made."""
        return [int(line) for line in (self.workplace.folder / "begun" / f"{index}.steps").read_text().split()]

    def arrays_in_slurm(self) -> set[int]:
        """Every array of a sweep that Slurm knows, other tests' included."""
        return {task.array_job for task in self.cluster.tasks() if task.name.startswith("harness-")}

    # ------------------------------------------------------------ commands

    def harness(self, command: str, *arguments: str) -> Finished:
        environment = self.cluster.environment | self.environment
        return self.workplace.harness(command, f"{self.name}.yaml", *arguments, environment=environment)

    def detached(self, *arguments: str) -> int:
        """Submit the sweep, and return its array."""
        done = self.harness("run", "--executor", "slurm", "--detach", *arguments)
        assert done.status == 0, done
        return self.job()

    def attached(self, *arguments: str, executor: str = "slurm") -> subprocess.Popen[bytes]:
        """Start a driver that follows the sweep."""
        command = [sys.executable, "-m", "harness", "run", f"{self.name}.yaml", "--executor", executor, *arguments]
        with self.log.open("ab") as log:
            driver = subprocess.Popen(
                command,
                cwd=self.workplace.folder,
                env=self.cluster.whole_environment() | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.drivers.append(driver)
        return driver

    def start(self, following: str, *arguments: str) -> int:
        """Start the sweep, followed by a driver or not, and return its array."""
        if following == "detached":
            return self.detached(*arguments)
        self.attached(*arguments)
        return self.job()

    def job(self) -> int:
        """The newest array, once its number is written down."""
        self.cluster.wait_until(lambda: self.folders() and (self.folders()[-1] / "job.json").exists(), 60, "a job")
        return int(json.loads((self.folders()[-1] / "job.json").read_text())["job"])

    @property
    def log(self) -> Path:
        return self.workplace.folder / f"{self.name}.log"

    def status(self) -> str:
        done = self.harness("status")
        assert (done.status, done.err) == (0, ""), done
        return done.out

    def end(self) -> str:
        """Wait until every driver and every array has ended by itself, and return what status says then."""
        for driver in self.drivers:
            driver.wait(timeout=240)
        # Somebody must look: tasks that were killed tell nothing.
        self.cluster.wait_until(lambda: self.status() and self.closed(), 240, "the end of every task")
        return self.status()

    def complete(self, *arguments: str) -> None:
        """See that the next run completes the sweep, with one success for each trial."""
        done = self.harness("run", "--executor", "slurm", *arguments)
        assert done.status == 0, done
        self.check_complete()

    def check_complete(self) -> None:
        assert self.successes() == dict.fromkeys(range(self.trials), 1)
        assert self.status().startswith(f"{self.name} (laptop): {self.trials} done, of {self.trials}")

    def exit_statuses(self) -> list[int | None]:
        return [driver.returncode for driver in self.drivers]

    # ------------------------------------------------------------ the store

    def closed(self) -> bool:
        """Whether it is written down how every task ended."""
        return all((folder / "closed.json").exists() for folder in self.folders())

    def folders(self) -> list[Path]:
        """The arrays' folders, oldest first."""
        found = (self.workplace.folder / "results" / self.name / "runs").glob("*/slurm/*/submission.json")
        return [path.parent for path in sorted(found, key=lambda path: json.loads(path.read_text())["created"])]

    def task_ends(self) -> dict[int, str]:
        """How each task of the newest array ended."""
        ends = json.loads((self.folders()[-1] / "closed.json").read_text())["ends"]
        return {int(index): end for index, end in ends.items()}

    def attempts(self, store: str = "results") -> list[dict[str, Any]]:
        """Every complete attempt, oldest first."""
        found = (self.workplace.folder / store / self.name / "attempts").glob("*/*/COMPLETE")
        documents = [json.loads((path.parent / "attempt.json").read_text()) for path in found]
        return sorted(documents, key=lambda document: str(document["id"]))

    def failures(self) -> dict[int, list[str]]:
        """The kinds of failure by trial, oldest first; only of trials that failed."""
        kinds: dict[int, list[str]] = {}
        for attempt in self.attempts():
            if attempt["failure"] is not None:
                kinds.setdefault(attempt["arm"]["index"], []).append(attempt["failure"]["kind"])
        return kinds

    def values(self, store: str = "results") -> dict[int, float]:
        """The results, by trial."""
        found = [attempt for attempt in self.attempts(store) if attempt["failure"] is None]
        return {attempt["arm"]["index"]: attempt["records"][0]["value"] for attempt in found}

    def successes(self) -> dict[int, int]:
        """How many successful attempts each trial has."""
        indices = [attempt["arm"]["index"] for attempt in self.attempts() if attempt["failure"] is None]
        return {index: indices.count(index) for index in sorted(indices)}


@pytest.fixture
def make_sweep(cluster: Cluster, workplace: Workplace) -> Iterator[Callable[[str], Sweep]]:
    """Make sweeps by name in one workplace; their drivers do not outlive the test."""
    made: list[Sweep] = []

    def make(name: str) -> Sweep:
        made.append(Sweep(cluster, workplace, name))
        return made[-1]

    yield make
    for sweep in made:
        for driver in sweep.drivers:
            driver.kill()
            driver.wait()
        if sweep.log.exists():
            print(sweep.log.read_text())


@pytest.fixture
def sweep(make_sweep: Callable[[str], Sweep]) -> Sweep:
    return make_sweep("ends")


@pytest.fixture
def blocker(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Keep the whole cluster busy until what this gives is called: whatever is submitted waits."""
    job = cluster.submit("--exclusive", "--time=30", "--output=/dev/null", "--wrap=sleep 600")
    cluster.wait_until(lambda: cluster.states(job) == {None: "RUNNING"}, 30, "the blocking job")
    yield lambda: cluster.run("scancel", str(job))


@pytest.fixture
def following(request: pytest.FixtureRequest) -> str:
    """Each way to follow a sweep in one of the two modes of accounting: all four would take half an hour."""
    mode: str = request.node.callspec.params["cluster"]
    return {"none": "attached", "dbd": "detached"}[mode]


def array_line(job: int, tasks: str, ends: str) -> str:
    """The line of status for one array."""
    return f"  Slurm job {job} (laptop), {tasks}: {ends}\n"


def kill_step(cluster: Cluster, job: int, index: int, *, batch: bool) -> None:
    """Kill -9 the slurmstepd of the batch script, or that of the step that the trial runs in."""
    parents = [process.ppid() for process in cluster.job_processes(job, index)]
    (step,) = [step for step in cluster.stepd_processes(job, index) if (step.pid not in parents) == batch]
    step.send_signal(signal.SIGKILL)


# ---------------------------------------------------------------- ends of single tasks


def damage_five(sweep: Sweep, following: str) -> int:
    """Let trials 0 to 4 of 6 end in five ways and the last one well; return the array."""
    sweep.write(6)
    sweep.order("raise", 0)
    sweep.order("exit", 1)
    sweep.order("wait", 2, 3)
    # Four at a time leave the fifth in the queue.
    job = sweep.start(following, "--jobs", "4")
    sweep.wait_for("wait", 2, 3)
    cluster = sweep.cluster
    cluster.run("scancel", f"{job}_4")
    for process in cluster.job_processes(job, 2):
        process.kill()
    cluster.run("scancel", f"{job}_3")
    return job


@USUALLY_WITHOUT_ACCOUNTING
def test_what_ends_a_task_of_a_detached_sweep_has_its_name_in_status(sweep: Sweep) -> None:
    job = damage_five(sweep, "detached")
    assert sweep.end() == (
        "ends (laptop): 1 done, 5 failed (2 cancelled, 1 killed, 2 raised), of 6\n"
        + array_line(job, "6 tasks", "3 finished, 2 cancelled, 1 killed")
    )
    assert sweep.task_ends() == dict(
        enumerate(["finished", "finished", "killed", "cancelled", "cancelled", "finished"])
    )
    assert sweep.failures() == {0: ["raised"], 1: ["raised"], 2: ["killed"], 3: ["cancelled"], 4: ["cancelled"]}
    sweep.complete("--retry-failed")


@pytest.mark.slow
def test_a_driver_tries_again_what_was_killed_and_leaves_what_was_cancelled(sweep: Sweep) -> None:
    job = damage_five(sweep, "attached")
    text = sweep.end()
    assert sweep.drivers[0].returncode == 3
    assert text.startswith("ends (laptop): 2 done, 4 failed (2 cancelled, 2 raised), of 6; run again: 1 killed\n")
    assert array_line(job, "6 tasks", "3 finished, 2 cancelled, 1 killed") in text
    assert sweep.failures() == {0: ["raised"], 1: ["raised"], 2: ["killed"], 3: ["cancelled"], 4: ["cancelled"]}
    sweep.complete("--retry-failed")
    assert sweep.begun() == {0: 2, 1: 2, 2: 2, 3: 2, 4: 1, 5: 1}


@pytest.mark.slow
def test_what_failed_from_outside_is_run_again_without_being_asked_for(sweep: Sweep) -> None:
    sweep.write(3)
    sweep.order("raise", 0)
    sweep.order("wait", 1, 2)
    job = sweep.detached()
    sweep.wait_for("wait", 1, 2)
    for process in sweep.cluster.job_processes(job, 1):
        process.kill()
    sweep.cluster.run("scancel", f"{job}_2")
    assert sweep.end().startswith("ends (laptop): 3 failed (1 cancelled, 1 killed, 1 raised), of 3\n")
    assert sweep.harness("run", "--executor", "slurm").status == 3
    assert sweep.successes() == {1: 1, 2: 1}
    assert sweep.status().startswith(
        "ends (laptop): 2 done, 1 failed (1 raised), of 3; run again: 1 cancelled, 1 killed\n"
    )
    sweep.complete("--retry-failed")


@pytest.mark.slow
def test_a_requeued_task_runs_its_trial_again(sweep: Sweep, following: str) -> None:
    sweep.write(2)
    sweep.order("wait", 0)
    job = sweep.start(following)
    cluster = sweep.cluster
    sweep.wait_for("wait", 0)
    cluster.run("scontrol", "requeue", f"{job}_0")
    # On hold it stays in the queue for as long as status looks.
    cluster.wait_until(lambda: cluster.run("scontrol", "hold", f"{job}_0").returncode == 0, 30, "a hold")
    cluster.wait_until(lambda: sweep.status() and sweep.failures(), 60, "the end of the first attempt")
    assert sweep.status().startswith("ends (laptop): 1 done, 1 failed (1 requeued), of 2\n")
    cluster.run("scontrol", "release", f"{job}_0")
    assert sweep.end() == "ends (laptop): 2 done, of 2; run again: 1 requeued\n" + array_line(
        job, "2 tasks", "2 finished"
    )
    assert sweep.exit_statuses() == ([0] if following == "attached" else [])
    assert sweep.failures() == {0: ["requeued"]}
    assert sweep.begun() == {0: 2, 1: 1}
    sweep.complete()


def kill_step_of_trial(sweep: Sweep, following: str) -> int:
    """Kill the slurmstepd above a trial's process, which ends with it; return the array."""
    sweep.write(2)
    sweep.order("wait", 0)
    job = sweep.start(following)
    sweep.wait_for("wait", 0)
    kill_step(sweep.cluster, job, 0, batch=False)
    sweep.cluster.wait_until(lambda: not sweep.cluster.job_processes(job, 0), 30, "the orphan's end")
    return job


def check_killed_step(sweep: Sweep, job: int) -> None:
    assert sweep.end().startswith("ends (laptop): 2 done, of 2; run again: 1 killed\n")
    assert sweep.exit_statuses() == [0]
    assert sweep.failures() == {0: ["killed"]}
    assert sweep.begun() == {0: 2, 1: 1}
    sweep.complete()
    # Slurm itself takes minutes to notice, and calls the job completed then; a driver does not wait for that.
    assert sweep.cluster.states(job)[0] == "CANCELLED"


@pytest.mark.slow
def test_a_trial_whose_slurmstepd_was_killed_is_killed_and_run_again(sweep: Sweep) -> None:
    job = kill_step_of_trial(sweep, "attached")
    check_killed_step(sweep, job)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["none"], indirect=True)
def test_a_new_driver_notices_that_a_slurmstepd_was_killed(sweep: Sweep) -> None:
    job = kill_step_of_trial(sweep, "detached")
    sweep.attached()
    check_killed_step(sweep, job)


@pytest.mark.slow
def test_a_trial_outlives_the_slurmstepd_of_its_batch_script(sweep: Sweep, following: str) -> None:
    sweep.write(2)
    sweep.order("wait", 0)
    job = sweep.start(following)
    sweep.wait_for("wait", 0)
    (process,) = sweep.cluster.job_processes(job, 0)
    kill_step(sweep.cluster, job, 0, batch=True)
    sweep.go()
    sweep.cluster.wait_until(lambda: not process.is_running(), 60, "the end of the task")
    assert sweep.status().startswith("ends (laptop): 2 done, of 2\n")
    # Slurm misses the batch script when a node that it has forgotten starts again; from then on it is requeued.
    sweep.cluster.wait_until(
        lambda: sweep.cluster.restart_node() or sweep.status() and sweep.closed(), 240, "Slurm's notice"
    )
    assert sweep.end() == "ends (laptop): 2 done, of 2\n" + array_line(job, "2 tasks", "2 finished")
    assert sweep.exit_statuses() == ([0] if following == "attached" else [])
    assert sweep.begun() == {0: 1, 1: 1}
    sweep.complete()


# ---------------------------------------------------------------- whole arrays


@pytest.mark.slow
def test_a_cancelled_array_is_left_to_the_next_run(sweep: Sweep, following: str) -> None:
    sweep.write(4)
    sweep.order("wait", 0, 1)
    job = sweep.start(following, "--jobs", "2")
    sweep.wait_for("wait", 0, 1)
    sweep.cluster.run("scancel", str(job))
    text = sweep.end()
    assert text == "ends (laptop): 4 failed (4 cancelled), of 4\n" + array_line(job, "4 tasks", "4 cancelled")
    assert sweep.exit_statuses() == ([3] if following == "attached" else [])
    assert len(sweep.folders()) == 1
    sweep.complete()
    assert sweep.begun() == {0: 2, 1: 2, 2: 1, 3: 1}


@pytest.mark.slow
def test_a_cancelled_array_of_shared_trials_is_left_to_the_next_run(sweep: Sweep, following: str) -> None:
    sweep.write(4, fresh=False)
    sweep.order("wait", 0, 1, 2, 3)
    job = sweep.start(following, "--jobs", "2")
    # Each of two tasks begins with its own half.
    sweep.wait_for("wait", 0, 2)
    sweep.cluster.run("scancel", str(job))
    text = sweep.end()
    assert text == "ends (laptop): 2 failed (2 cancelled), 2 missing, of 4\n" + array_line(
        job, "2 tasks", "2 cancelled"
    )
    assert sweep.exit_statuses() == ([3] if following == "attached" else [])
    assert len(sweep.folders()) == 1
    sweep.go()
    sweep.complete()
    assert sweep.begun() == {0: 2, 1: 1, 2: 2, 3: 1}


@pytest.mark.slow
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("cluster", ["none"], indirect=True)
def test_a_driver_says_how_many_trials_a_cancelled_array_has_left(sweep: Sweep, fresh: bool) -> None:
    sweep.write(4, fresh=fresh)
    sweep.order("wait", 0, 1, 2, 3)
    job = sweep.start("attached", "--jobs", "2")
    sweep.wait_for("wait", 0)
    sweep.cluster.run("scancel", str(job))
    sweep.end()
    assert "ends: tasks were cancelled; the same command runs the 4 trials they left" in sweep.log.read_text()


@USUALLY_WITHOUT_ACCOUNTING
def test_cancel_ends_the_jobs_of_its_sweep_and_no_others(make_sweep: Callable[[str], Sweep], cluster: Cluster) -> None:
    other_job = cluster.submit("--output=/dev/null", "--wrap=sleep 600")
    sweep, other_sweep = make_sweep("ends").write(2), make_sweep("other").write(1)
    sweep.order("wait", 0)
    driver = sweep.attached("--jobs", "1")
    sweep.wait_for("wait", 0)
    job, job_of_other_sweep = sweep.job(), other_sweep.detached()
    cluster.wait_until(
        lambda: other_sweep.successes() or cluster.job_processes(job_of_other_sweep), 60, "the other sweep"
    )
    done = sweep.harness("cancel")
    assert (done.status, done.out) == (0, f"ends: job {job} cancelled: 1 tasks that ran, 1 that waited\n")
    assert sweep.end() == "ends (laptop): 2 failed (2 cancelled), of 2\n" + array_line(job, "2 tasks", "2 cancelled")
    assert driver.returncode == 3
    assert cluster.states(other_job) == {None: "RUNNING"}
    cluster.wait_until(lambda: other_sweep.successes() == {0: 1}, 60, "the other sweep's end")


# ---------------------------------------------------------------- time limits and preemption


def reference(sweep: Sweep) -> dict[int, float]:
    """What the trials give where nothing interrupts them, by a run on this machine into another store."""
    done = sweep.harness("run", "--store", "reference")
    assert done.status == 0, done
    return sweep.values("reference")


@pytest.mark.slow
def test_a_time_limit_ends_a_trial_or_makes_it_go_on_from_its_checkpoint(sweep: Sweep, following: str) -> None:
    sweep.write(4, slurm=ONE_MINUTE, steps=STEPS)
    sweep.order("wait", 0)
    sweep.order("deaf", 1)
    sweep.order("train slowly", 2)
    job = sweep.start(following)
    sweep.wait_for("wait", 0)
    sweep.wait_for("deaf", 1)
    text = sweep.end()
    assert text == (
        "ends (laptop): 2 done, 2 failed (2 time limit), of 4; run again: 1 requeued\n"
        + array_line(job, "4 tasks", "3 finished, 1 time limit")
    )
    assert sweep.task_ends() == {0: "finished", 1: "time limit", 2: "finished", 3: "finished"}
    assert sweep.exit_statuses() == ([3] if following == "attached" else [])
    assert sweep.failures() == {0: ["time limit"], 1: ["time limit"], 2: ["requeued"]}
    # No step was made twice, and none was left out.
    assert sweep.steps(2) == list(range(STEPS))
    assert sweep.begun() == {0: 1, 1: 1, 2: 2, 3: 1}
    sweep.complete()
    assert sweep.values() == reference(sweep)


def preempt(cluster: Cluster) -> None:
    """Let a job take the whole cluster away for a second."""
    urgent = cluster.submit("--partition=urgent", "--exclusive", "--time=1", "--output=/dev/null", "--wrap=sleep 1")
    cluster.wait_until(lambda: cluster.states(urgent) == {None: "COMPLETED"}, 120, "the urgent job's end")


@pytest.mark.slow
def test_a_preempted_trial_goes_on_from_its_checkpoint(sweep: Sweep, following: str) -> None:
    sweep.write(2, steps=STEPS)
    sweep.order("train slowly", 0)
    job = sweep.start(following)
    sweep.wait_for("train slowly", 0)
    sweep.cluster.wait_until(lambda: sweep.successes() == {1: 1}, 60, "the other trial's end")
    preempt(sweep.cluster)
    assert sweep.end() == "ends (laptop): 2 done, of 2; run again: 1 preempted\n" + array_line(
        job, "2 tasks", "2 finished"
    )
    assert sweep.exit_statuses() == ([0] if following == "attached" else [])
    assert sweep.failures() == {0: ["preempted"]}
    assert sweep.steps(0) == list(range(STEPS))
    assert sweep.begun() == {0: 2, 1: 1}
    sweep.complete()
    assert sweep.values() == reference(sweep)


@pytest.mark.slow
def test_a_preempted_trial_without_a_checkpoint_starts_again(sweep: Sweep, following: str) -> None:
    sweep.write(1)
    sweep.order("wait", 0)
    job = sweep.start(following)
    sweep.wait_for("wait", 0)
    preempt(sweep.cluster)
    assert sweep.end() == "ends (laptop): 1 done, of 1; run again: 1 preempted\n" + array_line(
        job, "1 task", "1 finished"
    )
    assert sweep.exit_statuses() == ([0] if following == "attached" else [])
    assert sweep.failures() == {0: ["preempted"]}
    sweep.complete()


# ---------------------------------------------------------------- controller and nodes


@pytest.mark.slow
def test_a_sweep_outlives_restarts_of_controller_and_slurmd(sweep: Sweep, following: str) -> None:
    sweep.write(6)
    sweep.order("wait", 0, 1)
    job = sweep.start(following, "--jobs", "2")
    sweep.wait_for("wait", 0, 1)
    sweep.cluster.restart_controller()
    sweep.cluster.restart_node()
    sweep.go()
    assert sweep.end() == "ends (laptop): 6 done, of 6\n" + array_line(job, "6 tasks", "6 finished")
    assert sweep.exit_statuses() == ([0] if following == "attached" else [])
    assert sweep.begun() == dict.fromkeys(range(6), 1)
    sweep.complete()


@pytest.mark.slow
def test_while_the_controller_is_down_nothing_is_concluded(sweep: Sweep) -> None:
    sweep.write(6)
    sweep.order("wait", 0, 1)
    driver = sweep.attached("--jobs", "2")
    sweep.wait_for("wait", 0, 1)
    job = sweep.job()
    sweep.cluster.stop_controller()
    first, array, silence = sweep.status().splitlines()
    assert first == "ends (laptop): 4 missing, 2 running, of 6"
    assert array == array_line(job, "6 tasks", "2 running, 4 waiting").rstrip()
    assert silence.startswith("  Slurm does not answer (")
    sweep.go()
    sweep.cluster.wait_until(lambda: len(sweep.successes()) == 2, 60, "two results without a controller")
    assert sweep.status().startswith("ends (laptop): 2 done, 4 missing, of 6\n")
    refused = sweep.harness("run", "--executor", "slurm")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith("harness: --executor slurm: the Slurm controller does not answer (")
    sweep.cluster.wait_until(lambda: "Slurm does not answer" in sweep.log.read_text(), 60, "the driver's note")
    assert driver.poll() is None
    sweep.cluster.start_controller()
    assert sweep.end() == "ends (laptop): 6 done, of 6\n" + array_line(job, "6 tasks", "6 finished")
    assert driver.returncode == 0
    assert sweep.begun() == dict.fromkeys(range(6), 1)
    sweep.complete()


@pytest.mark.slow
def test_a_controller_that_is_down_is_named(sweep: Sweep) -> None:
    sweep.write(1)
    sweep.cluster.stop_controller()
    done = sweep.harness("run", "--executor", "slurm")
    assert done.status == 2
    assert "DOWN" in done.err


@pytest.mark.slow
def test_a_cancel_that_slurm_did_not_hear_makes_no_driver_submit_anew(sweep: Sweep) -> None:
    sweep.write(4)
    sweep.order("wait", 0)
    sweep.attached("--jobs", "1")
    sweep.wait_for("wait", 0)
    sweep.cluster.stop_controller()
    refused = sweep.harness("cancel")
    assert refused.status == 2 and "Slurm does not answer" in refused.err
    sweep.cluster.start_controller()
    sweep.go()
    sweep.end()
    # Whether it counts as cancelled or not: what waits is either taken out of the queue, or run.
    assert len(sweep.folders()) == 1


@pytest.mark.slow
def test_a_failed_node_gives_its_trials_back(sweep: Sweep, following: str) -> None:
    sweep.write(2)
    sweep.order("wait", 0)
    job = sweep.start(following)
    sweep.wait_for("wait", 0)
    cluster = sweep.cluster
    cluster.wait_until(lambda: cluster.states(job)[1] == "COMPLETED", 60, "the other task's end")
    cluster.run("scontrol", "update", "NodeName=node1", "State=DOWN", "Reason=test")
    cluster.wait_until(lambda: sweep.status() and sweep.failures(), 60, "the end of the first attempt")
    cluster.run("scontrol", "update", "NodeName=node1", "State=RESUME")
    # Slurm requeues the job at once, and its queue does not say why.
    assert sweep.end() == "ends (laptop): 2 done, of 2; run again: 1 requeued\n" + array_line(
        job, "2 tasks", "2 finished"
    )
    assert sweep.exit_statuses() == ([0] if following == "attached" else [])
    assert sweep.failures() == {0: ["requeued"]}
    assert sweep.begun() == {0: 2, 1: 1}
    sweep.complete()


# ---------------------------------------------------------------- drivers


def wrap_sbatch(sweep: Sweep, *, submits: bool) -> Path:
    """Put an sbatch first on the driver's PATH that kills the driver, after it has submitted or before.

    Returns the path at which it keeps the batch script.
    """
    folder = sweep.workplace.folder / "bin"
    folder.mkdir()
    script, kept = folder / "sbatch", folder / "kept.sh"
    submission = f'{shutil.which("sbatch")} "$@"' if submits else f'cp "$1" {kept}'
    script.write_text(f"#!/bin/sh\n{submission} >/dev/null\nkill -KILL $PPID\n")
    script.chmod(0o755)
    sweep.environment = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    return kept


@pytest.mark.slow
@pytest.mark.parametrize("queue", ["waiting", "running"])
def test_the_next_run_adopts_an_array_whose_driver_died_after_sbatch(
    sweep: Sweep, queue: str, request: pytest.FixtureRequest
) -> None:
    # Tasks that run write down their array's number themselves; those that wait must be found by their name.
    release = request.getfixturevalue("blocker") if queue == "waiting" else lambda: None
    before = sweep.arrays_in_slurm()
    sweep.write(4)
    sweep.order("wait", 0, 1)
    wrap_sbatch(sweep, submits=True)
    assert sweep.harness("run", "--executor", "slurm").status == -signal.SIGKILL
    sweep.environment = {}
    (folder,) = sweep.folders()
    if queue == "waiting":
        assert not (folder / "job.json").exists()
    else:
        sweep.wait_for("wait", 0, 1)
    driver = sweep.attached()
    job = sweep.job()
    release()
    sweep.wait_for("wait", 0, 1)
    sweep.go()
    assert sweep.end() == "ends (laptop): 4 done, of 4\n" + array_line(job, "4 tasks", "4 finished")
    assert driver.returncode == 0
    assert sweep.folders() == [folder]
    assert sweep.arrays_in_slurm() - before == {job}
    assert sweep.begun() == dict.fromkeys(range(4), 1)
    sweep.check_complete()


@pytest.mark.slow
def test_the_next_run_revokes_what_never_reached_the_controller(sweep: Sweep) -> None:
    before = sweep.arrays_in_slurm()
    sweep.write(4)
    kept = wrap_sbatch(sweep, submits=False)
    assert sweep.harness("run", "--executor", "slurm").status == -signal.SIGKILL
    sweep.environment = {}
    assert sweep.status() == (
        "ends: no results yet\n  an array that Slurm has not named yet (laptop), 4 tasks: 4 waiting\n"
    )
    sweep.complete()
    first, _ = sweep.folders()
    assert (first / "revoked").exists() and not (first / "job.json").exists()
    assert sweep.arrays_in_slurm() - before == {sweep.job()}
    # Should it come late after all, its tasks find that they are not wanted.
    late = sweep.cluster.submit(str(kept))
    sweep.cluster.wait_until(
        lambda: set(sweep.cluster.states(late).values()) == {"COMPLETED"}, 60, "the late array's end"
    )
    assert sweep.begun() == dict.fromkeys(range(4), 1)
    sweep.check_complete()


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_its_tasks_to_the_next_one(sweep: Sweep) -> None:
    sweep.write(4)
    sweep.order("wait", 0, 1)
    first = sweep.attached("--jobs", "2")
    sweep.wait_for("wait", 0, 1)
    job = sweep.job()
    first.kill()
    first.wait()
    second = sweep.attached("--jobs", "2")
    sweep.go()
    assert sweep.end() == "ends (laptop): 4 done, of 4\n" + array_line(job, "4 tasks", "4 finished")
    assert second.returncode == 0
    assert sweep.begun() == dict.fromkeys(range(4), 1)
    sweep.check_complete()


@pytest.mark.slow
@pytest.mark.parametrize("fresh", [False, True])
def test_a_local_run_and_one_on_slurm_share_the_trials_of_one_store(sweep: Sweep, fresh: bool) -> None:
    sweep.write(12, fresh=fresh)
    sweep.order("wait", *range(12))
    there = sweep.attached("--jobs", "2")
    sweep.wait_for("wait", 0)
    here = sweep.attached("--jobs", "2", executor="local")
    # Whoever is at a trial, two are begun here and two there.
    sweep.cluster.wait_until(lambda: len(sweep.begun()) >= 4, 60, "trials here and there")
    sweep.go()
    sweep.end()
    assert (there.returncode, here.returncode) == (0, 0)
    assert sweep.begun() == dict.fromkeys(range(12), 1)
    hosts = {bool(attempt["place"].get("job")) for attempt in sweep.attempts()}
    assert hosts == {True, False}
    sweep.check_complete()


@pytest.mark.slow
@pytest.mark.parametrize("fresh", [False, True])
def test_tasks_refuse_code_that_moved_while_they_waited(
    sweep: Sweep, following: str, fresh: bool, blocker: Callable[[], None]
) -> None:
    sweep.write(3, fresh=fresh)
    job = sweep.start(following, "--jobs", "1")
    module = sweep.workplace.folder / "ends_trials.py"
    module.write_text(module.read_text().replace("else float(index)", "else float(index) + 100"))
    blocker()
    text = sweep.end()
    if not fresh:
        assert text == "ends: no results yet\n" + array_line(job, "1 task", "1 code moved")
    elif following == "detached":
        assert text == "ends: no results yet\n" + array_line(job, "3 tasks", "3 code moved")
    else:
        # The driver takes what still waits out of the queue.
        assert text.startswith(f"ends: no results yet\n  Slurm job {job} (laptop), 3 tasks: ") and "code moved" in text
    if following == "attached":
        assert sweep.exit_statuses() == [3]
        assert "ends: the code changed while its trials waited; run the command again\n" in sweep.log.read_text()
    assert sweep.begun() == {}
    assert sweep.attempts() == []
    sweep.complete()
    assert sweep.values() == {0: 100.0, 1: 101.0, 2: 102.0}
