"""The private cluster itself: it runs jobs, keeps them over a restart, preempts them, and leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
from slurm.private_cluster import Cluster, Task, require_slurm

# Notes every signal and start in one file. The first run waits to be preempted, the second one ends at once.
PREEMPTED = """
import os, pathlib, signal, subprocess, sys, time
notes = pathlib.Path(sys.argv[1])
def note(text):
    with notes.open("a") as file:
        file.write(text + "\\n")
def preempted(number, frame):
    note(signal.Signals(number).name)
    if sys.argv[2] == "requeues":
        element = os.environ["SLURM_ARRAY_JOB_ID"] + "_" + os.environ["SLURM_ARRAY_TASK_ID"]
        subprocess.run(["scontrol", "requeue", element], check=True)
signal.signal(signal.SIGUSR2, preempted)
note("start")
while "SLURM_RESTART_COUNT" not in os.environ:
    time.sleep(0.1)
note("end")
"""


def write_job(folder: Path, body: str) -> str:
    """A batch script that runs one Python program as a job step, as submitit does, and that program's arguments."""
    program = folder / "program.py"
    program.write_text(body)
    script = folder / "job.sh"
    script.write_text(f'#!/bin/bash\nexec srun --output=/dev/null {sys.executable} {program} "$@"\n')
    return str(script)


def ended(cluster: Cluster, job: int) -> bool:
    states = cluster.states(job)
    return bool(states) and set(states.values()) == {"COMPLETED"}


def test_a_job_runs(cluster: Cluster, tmp_path: Path) -> None:
    script = write_job(tmp_path, "import pathlib, sys\npathlib.Path(sys.argv[1]).write_text('here')\n")
    job = cluster.submit("--output=/dev/null", "--job-name=a|name", script, str(tmp_path / "result"))
    cluster.wait_until(lambda: ended(cluster, job), 30, "the job's end")
    assert (tmp_path / "result").read_text() == "here"
    assert cluster.tasks(job) == [Task(job, None, "COMPLETED", "a|name", "None", job)]
    if cluster.accounting:
        # slurmdbd hears of the end a little later than squeue.
        query = ("sacct", "-n", "-P", "-X", "-j", str(job), "-o", "State")
        cluster.wait_until(lambda: cluster.run(*query).stdout.strip() == "COMPLETED", 30, "the job's end in sacct")


@pytest.mark.slow
def test_a_job_outlives_restarts_of_controller_and_node(cluster: Cluster, tmp_path: Path) -> None:
    script = write_job(
        tmp_path, "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.1)\n"
    )
    job = cluster.submit("--output=/dev/null", "--array=0-1", script, str(tmp_path / "go"))
    cluster.wait_until(lambda: len(cluster.job_processes(job)) == 2, 30, "two running elements")
    (before,) = cluster.job_processes(job, 1)
    assert len(cluster.stepd_processes(job, 1)) == 2
    assert len(cluster.stepd_processes(job)) == 4
    cluster.stop_controller()
    assert cluster.job_processes(job, 1) == [before]
    cluster.start_controller()
    cluster.restart_node()
    assert cluster.states(job) == {0: "RUNNING", 1: "RUNNING"}
    assert cluster.job_processes(job, 1) == [before]
    (tmp_path / "go").touch()
    cluster.wait_until(lambda: ended(cluster, job), 30, "the array's end")
    assert cluster.left_processes() == []


@pytest.mark.slow
# Preemption is the controller's work, with accounting or without; each way to answer it takes its time, so one of each.
@pytest.mark.parametrize(("cluster", "answer"), [("none", "waits"), ("dbd", "requeues")], indirect=["cluster"])
def test_a_preempted_job_is_signalled_and_requeued(cluster: Cluster, tmp_path: Path, answer: str) -> None:
    notes = tmp_path / "notes"
    script = write_job(tmp_path, PREEMPTED)
    # With a time limit of a minute or two, the signal would come near the start, preempted or not.
    job = cluster.submit(
        "--output=/dev/null",
        "--array=0",
        "--cpus-per-task=8",
        "--time=60",
        "--signal=USR2@90",
        script,
        str(notes),
        answer,
    )
    cluster.wait_until(notes.exists, 30, "the job's start")
    urgent = cluster.submit("--output=/dev/null", "--partition=urgent", "--wrap=true")
    cluster.wait_until(lambda: ended(cluster, urgent), 60, "the urgent job's end")
    assert notes.read_text().splitlines() == ["start", "SIGUSR2"]
    cluster.wait_until(lambda: ended(cluster, job), 60, "the preempted job's end")
    assert notes.read_text().splitlines() == ["start", "SIGUSR2", "start", "end"]


@pytest.mark.slow
def test_two_nodes() -> None:
    require_slurm()
    with Cluster.start(accounting=False, nodes=2) as cluster:
        done = cluster.run("srun", "--nodes=2", "--ntasks=2", "sh", "-c", "echo $SLURMD_NODENAME")
        assert sorted(done.stdout.split()) == ["node1", "node2"]


@pytest.mark.slow
def test_stop_leaves_nothing(tmp_path: Path) -> None:
    require_slurm()
    cluster = Cluster.start(accounting=False)
    # Deaf to SIGTERM, with a child that has left its session.
    script = write_job(
        tmp_path,
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if len(sys.argv) == 1: subprocess.Popen([sys.executable, __file__, 'child'], start_new_session=True)\n"
        "time.sleep(600)\n",
    )
    job = cluster.submit("--output=/dev/null", script)
    cluster.wait_until(lambda: len(cluster.job_processes(job)) == 2, 30, "both processes")
    cluster.stop()
    cluster.stop()
    assert not cluster.folder.exists()
    assert cluster.left_processes() == []
    assert not [line for line in command_lines() if str(cluster.folder) in line or str(tmp_path) in line]


def command_lines() -> list[str]:
    """The command line of every process, this one and those that it was started from apart."""
    spared = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    lines = []
    for process in psutil.process_iter():
        try:
            lines += [" ".join(process.cmdline())] if process.pid not in spared else []
        except psutil.Error:
            continue
    return lines
