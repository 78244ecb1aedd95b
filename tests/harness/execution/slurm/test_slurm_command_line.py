"""The command line with and without Slurm: a mistake, or a silent controller, is one sentence and starts nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from slurm_fakes import Commands, configuration
from support import SMALL_SPEC, Finished, Workplace

from harness.cli.main import main
from harness.execution.slurm.controller import Controller
from harness.execution.slurm.submission import Submission, open_submissions, submissions
from harness.store.store import Store

PARTITION = "PartitionName=cpu Default=YES MaxTime=02:00:00 State=UP"
Harness = Callable[..., Finished]


@pytest.fixture
def harness(
    in_workplace: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Harness:
    """Call the command line in this process, where a limit can be shortened; the workplace holds ``small.yaml``."""
    in_workplace("small.yaml", SMALL_SPEC)
    for name in ("HARNESS_STORE", "HARNESS_SITE", "HARNESS_CONTINUED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(Path.cwd() / "no configuration"))

    def call(*arguments: str) -> Finished:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Finished(ended.value.code, told.out, told.err)

    return call


@pytest.fixture
def cluster(commands: Commands) -> Commands:
    """Fake commands of a cluster that takes everything and runs nothing."""
    for name in ("squeue", "scancel", "srun"):
        commands.says(name, "")
    commands.controller_says(config=configuration(), partition=PARTITION)
    commands.says("sbatch", "Submitted batch job 123")
    return commands


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up a silent controller soon: its default is bound when the class is made."""
    monkeypatch.setattr(Controller.__init__, "__defaults__", (1.0,))


def refused(found: Finished, *parts: str) -> None:
    """Make sure that a command ended as a mistake does: one sentence, and nothing started."""
    assert found.status == 2
    assert found.out == ""
    assert found.err.startswith("harness: ")
    assert found.err.count("\n") == 1 and found.err.endswith("\n")
    assert "Traceback" not in found.err
    for part in parts:
        assert part in found.err
    assert not (Path.cwd() / "results").exists()


def test_a_machine_without_slurms_commands_is_told_so(workplace: Workplace, small_spec: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    found = workplace.harness(
        "run", "small.yaml", "--executor", "slurm", environment={"PATH": str(empty), "XDG_CONFIG_HOME": str(empty)}
    )
    assert (found.status, found.out) == (2, "")
    assert found.err == (
        "harness: --executor slurm: this machine has no sbatch; run it where Slurm's commands are, "
        "or use --executor local\n"
    )
    assert not (workplace.folder / "results").exists()


@pytest.mark.parametrize("detach", [[], ["--detach"]])
def test_a_controller_that_is_silent_is_given_up_and_told(
    harness: Harness, cluster: Commands, impatient: None, detach: list[str]
) -> None:
    cluster.hangs("scontrol")
    found = harness("run", "small.yaml", "--executor", "slurm", *detach)
    refused(found, "the Slurm controller does not answer (scontrol gave no answer in 1 s)", "or use --executor local")


def test_a_controller_that_is_down_is_told(harness: Harness, cluster: Commands) -> None:
    cluster.controller_says(ping="Slurmctld(primary) at head is DOWN")
    refused(
        harness("run", "small.yaml", "--executor", "slurm"),
        "the Slurm controller does not answer (Slurmctld(primary) at head is DOWN)",
    )


def test_a_controller_that_falls_silent_before_anything_is_submitted_is_told(
    harness: Harness, cluster: Commands, impatient: None
) -> None:
    cluster.add(
        "scontrol",
        'case "$*" in\nping) echo "Slurmctld(primary) at head is UP";;\n"show config") echo "ClusterName = toy";;\n'
        "*) exec /bin/sleep 30;;\nesac",
    )
    refused(harness("run", "small.yaml", "--executor", "slurm"), "scontrol gave no answer in 1 s")


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_only_a_sweep_on_slurm_can_be_detached(harness: Harness, executor: str) -> None:
    refused(
        harness("run", "small.yaml", "--detach", "--executor", executor),
        f"--detach: goes with --executor slurm; trials of --executor {executor} end with their driver",
    )


def test_an_executor_that_is_not_there_is_told(harness: Harness) -> None:
    found = harness("run", "small.yaml", "--executor", "slrm")
    assert found.status == 2 and "'slrm' is not one of 'inline', 'local', 'slurm'" in found.err


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_tasks_at_a_time_are_at_least_one(harness: Harness, jobs: str) -> None:
    refused(harness("run", "small.yaml", "--executor", "slurm", "--jobs", jobs), "--jobs")


@pytest.mark.parametrize("command", ["run", "cancel"])
def test_a_profile_that_is_not_there_is_told(harness: Harness, cluster: Commands, command: str) -> None:
    executor = ["--executor", "slurm"] if command == "run" else []
    found = harness(command, "small.yaml", "--profile", "labtop", *executor)
    refused(found, "no profile 'labtop'", "laptop")
    assert not cluster.calls("sbatch") and not cluster.calls("scancel")


def test_a_site_file_that_is_not_there_is_told(
    harness: Harness, cluster: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_SITE", "/nowhere/site.yaml")
    refused(harness("run", "small.yaml", "--executor", "slurm"), "HARNESS_SITE: there is no file /nowhere/site.yaml")


def test_a_mistake_in_the_site_file_is_told(
    harness: Harness, cluster: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("slurm:\n  accuont: x\n")
    monkeypatch.setenv("HARNESS_SITE", str(path))
    refused(
        harness("run", "small.yaml", "--executor", "slurm"),
        f"{path}:2: slurm.accuont: unknown key; did you mean 'account'?",
    )


def test_a_mistake_in_the_specs_slurm_resources_is_told(
    harness: Harness, cluster: Commands, in_workplace: Callable[..., Path]
) -> None:
    in_workplace("small.yaml", SMALL_SPEC + "resources: {slurm: {sbatch: {output: x}}}\n")
    refused(
        harness("run", "small.yaml", "--executor", "slurm"),
        "small.yaml:10: resources.slurm.sbatch: 'output' cannot be set here: logs lie beside the order in the store",
    )


def test_a_partition_that_is_not_known_is_told(
    harness: Harness, cluster: Commands, in_workplace: Callable[..., Path]
) -> None:
    in_workplace("small.yaml", SMALL_SPEC + "resources: {slurm: {partition: nowhere}}\n")
    cluster.add(
        "scontrol",
        'case "$*" in\nping) echo "Slurmctld(primary) at head is UP";;\n"show config") echo "ClusterName = toy";;\n'
        "*) echo 'Partition nowhere not found'; exit 1;;\nesac",
    )
    refused(harness("run", "small.yaml", "--executor", "slurm"), "the partition 'nowhere' is not known here")


def test_cancelling_where_nothing_was_submitted_says_so_and_asks_nobody(harness: Harness, cluster: Commands) -> None:
    found = harness("cancel", "small.yaml")
    assert (found.status, found.out, found.err) == (0, "small: nothing of it is on a cluster\n", "")
    assert not any(cluster.calls(name) for name in ("scontrol", "squeue", "scancel", "sbatch"))
    assert not (Path.cwd() / "results").exists()


def test_cancelling_needs_no_slurm_where_nothing_was_submitted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert harness("cancel", "small.yaml").status == 0


def test_an_experiment_that_is_not_there_is_told_by_cancel(harness: Harness) -> None:
    refused(harness("cancel", "smal.yaml"), "smal.yaml: cannot be read: No such file or directory")


def detached(harness: Harness) -> Submission:
    """Submit ``small.yaml``, and return what then stands in the store."""
    found = harness("run", "small.yaml", "--executor", "slurm", "--detach", "--jobs", "4", "--device", "cpu")
    assert found.status == 0, found.err
    (submission,) = submissions(Store.at(None), "small")
    return submission


def in_queue(cluster: Commands, submission: Submission, *states: str, job: int = 123) -> None:
    lines = [f"{job}|{index}|{state}|Priority||{submission.name}" for index, state in enumerate(states)]
    cluster.says("squeue", "\n".join(lines))


def test_a_detached_sweep_is_submitted_and_its_command_says_what_to_do_next(
    harness: Harness, cluster: Commands
) -> None:
    found = harness("run", "small.yaml", "--executor", "slurm", "--detach", "--jobs", "4", "--device", "cpu")
    assert (found.status, found.out) == (0, "")
    assert "12 of 12 trials to run, as 4 Slurm tasks, at most 4 at a time, on cpu" in found.err
    assert "small: 4 tasks go on by themselves (job 123)" in found.err
    assert "'harness status small'" in found.err and "'harness cancel small'" in found.err
    (submission,) = open_submissions(Store.at(None), "small")
    assert (submission.job, submission.tasks, len(submission.trials)) == (123, 4, 12)
    assert submission.cluster == "toy"


def test_a_second_driver_submits_nothing_that_is_in_the_queue_already(harness: Harness, cluster: Commands) -> None:
    submission = detached(harness)
    in_queue(cluster, submission, *["PENDING"] * 4)
    again = harness("run", "small.yaml", "--executor", "slurm", "--detach", "--jobs", "4", "--device", "cpu")
    assert again.status == 0
    assert len(cluster.calls("sbatch")) == 1
    assert [found.token for found in submissions(Store.at(None), "small")] == [submission.token]


def test_what_sbatch_refuses_is_told_in_one_sentence_and_written_down(harness: Harness, cluster: Commands) -> None:
    cluster.refuses("sbatch", "sbatch: error: Batch job submission failed: Invalid qos specification")
    found = harness("run", "small.yaml", "--executor", "slurm", "--device", "cpu")
    assert found.status == 2
    assert found.err.splitlines()[-1] == (
        "harness: small: sbatch refuses the sweep: sbatch: error: Batch job submission failed: "
        "Invalid qos specification"
    )
    assert "Traceback" not in found.err
    (submission,) = submissions(Store.at(None), "small")
    assert set((submission.closed or {})["ends"].values()) == {"refused"}
    assert open_submissions(Store.at(None), "small") == []


def test_cancelling_ends_the_job_of_this_sweep_and_no_other(harness: Harness, cluster: Commands) -> None:
    submission = detached(harness)
    in_queue(cluster, submission, "RUNNING", "RUNNING", "PENDING", "COMPLETED")
    found = harness("cancel", "small.yaml")
    assert (found.status, found.err) == (0, "")
    assert found.out == "small: job 123 cancelled: 2 tasks that ran, 1 that waited\n"
    assert cluster.calls("scancel") == ["123"]
    assert submission.marked("cancelled")


def test_a_job_number_that_came_again_is_not_cancelled(harness: Harness, cluster: Commands) -> None:
    detached(harness)
    cluster.says("squeue", "123|0|RUNNING|None|node1|somebody-elses")
    assert harness("cancel", "small.yaml").out == "small: nothing of it is on a cluster\n"
    assert not cluster.calls("scancel")


def test_another_profile_is_not_cancelled(
    harness: Harness, cluster: Commands, in_workplace: Callable[..., Path]
) -> None:
    in_workplace("small.yaml", SMALL_SPEC + "  workstation: {fidelity: proxy}\n")
    submission = detached(harness)
    in_queue(cluster, submission, "RUNNING")
    assert "nothing of it" in harness("cancel", "small.yaml", "--profile", "workstation").out
    assert not submission.marked("cancelled")
    assert "job 123 cancelled" in harness("cancel", "small.yaml", "--profile", "laptop").out


def test_cancelling_while_slurm_is_silent_is_told_and_nothing_says_that_it_was_cancelled(
    harness: Harness, cluster: Commands, impatient: None
) -> None:
    submission = detached(harness)
    cluster.hangs("squeue")
    found = harness("cancel", "small.yaml")
    assert (found.status, found.out) == (2, "")
    assert found.err == (
        "harness: small: Slurm does not answer (squeue gave no answer in 1 s); try again, or see 'scancel'\n"
    )
    assert not submission.marked("cancelled")


def test_a_job_in_a_state_that_is_not_known_is_cancelled_too(harness: Harness, cluster: Commands) -> None:
    submission = detached(harness)
    in_queue(cluster, submission, "BRAND_NEW")
    harness("cancel", "small.yaml")
    assert cluster.calls("scancel") == ["123"]


def test_status_shows_the_array_as_slurm_tells(harness: Harness, cluster: Commands) -> None:
    submission = detached(harness)
    in_queue(cluster, submission, "RUNNING", "PENDING", "PENDING", "PENDING")
    found = harness("status", "small.yaml")
    assert (found.status, found.err) == (0, "")
    assert "Slurm job 123 (laptop), 4 tasks: 1 running, 3 waiting; Slurm's reason for waiting: Priority" in found.out


def test_status_gives_a_silent_controller_up_and_shows_what_the_store_says(
    harness: Harness, cluster: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    detached(harness)
    monkeypatch.setattr("harness.cli.progress.STATUS_SECONDS", 0.3)
    cluster.hangs("squeue")
    found = harness("status", "small.yaml")
    assert (found.status, found.err) == (0, "")
    assert "Slurm job 123 (laptop), 4 tasks: 4 waiting" in found.out
    assert "Slurm does not answer (squeue gave no answer in 0.3 s); this is what the store says" in found.out


def test_status_without_slurms_commands_shows_what_the_store_says(
    harness: Harness, cluster: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    detached(harness)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    found = harness("status", "small.yaml")
    assert found.status == 0
    assert "4 waiting" in found.out and "squeue: No such file or directory" in found.out


def test_status_of_an_array_whose_tasks_have_all_ended_writes_their_ends_down(
    harness: Harness, cluster: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = detached(harness)
    in_queue(cluster, submission, "NODE_FAIL", "CANCELLED", "CANCELLED", "FAILED")
    monkeypatch.setattr("harness.execution.slurm.fleet.SETTLING_SECONDS", 0.2)
    harness("status", "small.yaml")
    closed = json.loads((submission.folder / "closed.json").read_text())
    assert closed["ends"] == {"0": "node failed", "1": "cancelled", "2": "cancelled", "3": "failed"}
    found = harness("status", "small.yaml")
    assert "Slurm job 123 (laptop), 4 tasks: 2 cancelled, 1 failed, 1 node failed" in found.out
