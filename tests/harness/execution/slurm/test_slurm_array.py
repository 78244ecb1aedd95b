"""What a sweep asks of sbatch: the lines of its batch script, its command, and the environment it is called in."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from slurm_fakes import Commands, a_submission

from harness.errors import UserError
from harness.execution.slurm.array import log_tail, parameters, submit
from harness.execution.slurm.submission import Submission
from harness.spec.models import Resources
from harness.spec.slurm import SlurmOptions
from harness.store.store import Store


@pytest.fixture
def sbatch(commands: Commands) -> Commands:
    """An sbatch that keeps the script and its environment, and an srun, which submitit looks for."""
    commands.says("srun", "")
    commands.add(
        "sbatch",
        f'/bin/cp "$1" {commands.folder}/script\n/usr/bin/env > {commands.folder}/environment\n'
        "echo 'Submitted batch job 123'",
    )
    return commands


def asked(
    submission: Submission, resources: dict[str, Any] | None = None, options: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    given = {"gpus": 0, "threads": 1, "jobs": 4, **more}
    return parameters(submission, Resources(**(resources or {})), SlurmOptions(**(options or {})), **given)


def submitted(
    commands: Commands,
    submission: Submission,
    resources: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    **more: Any,
) -> list[str]:
    """Submit, and return the lines of the batch script."""
    given = {"gpus": 0, "threads": 1, "jobs": 4, **more}
    job = submit(submission, Resources(**(resources or {})), SlurmOptions(**(options or {})), **given)
    assert job == 123
    return (commands.folder / "script").read_text().splitlines()


def flags(script: list[str]) -> dict[str, str]:
    """Return the options that a script gives sbatch, each of which stands once."""
    found = [shlex.split(line.removeprefix("#SBATCH --")) for line in script if line.startswith("#SBATCH")]
    assert all(len(words) == 1 for words in found)
    pairs = [words[0].partition("=")[::2] for words in found]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_what_a_trial_needs_is_asked_for(store: Store) -> None:
    found = asked(a_submission(store), {"cpus": 3, "memory_gib": 2.5}, threads=3, jobs=5)
    assert found["cpus_per_task"] == 3
    assert found["mem"] == "2560M"
    assert (found["nodes"], found["ntasks_per_node"]) == (1, 1)
    assert found["array_parallelism"] == 5
    assert found["time"] == 30
    assert found["setup"] == [
        "export OMP_NUM_THREADS=3",
        "export MKL_NUM_THREADS=3",
        "export OPENBLAS_NUM_THREADS=3",
        "export SRUN_CPUS_PER_TASK=3",
    ]
    assert found["additional_parameters"] == {"requeue": True}


def test_memory_and_time_are_rounded_up(store: Store) -> None:
    found = asked(a_submission(store, changes={"minutes": 30.2}), {"memory_gib": 0.0001})
    assert (found["mem"], found["time"]) == ("1M", 31)


def test_what_is_not_asked_for_is_left_to_slurm(store: Store) -> None:
    found = asked(a_submission(store))
    assert found.keys().isdisjoint({"partition", "account", "qos", "constraint", "gpus_per_node", "exclusive"})


def test_the_options_of_spec_and_site_are_handed_on(store: Store) -> None:
    options = {"partition": "cpu", "account": "vision", "qos": "high", "constraint": "avx512&ib", "signal_seconds": 120}
    found = asked(a_submission(store), options=options)
    assert {name: found[name] for name in ("partition", "account", "qos", "constraint")} == {
        name: options[name] for name in ("partition", "account", "qos", "constraint")
    }
    assert found["signal_delay_s"] == 120


def test_gpus_and_a_node_of_its_own_are_asked_for_where_they_are_needed(store: Store) -> None:
    found = asked(a_submission(store), {"exclusive": True}, gpus=2)
    assert (found["gpus_per_node"], found["exclusive"]) == (2, True)


def test_lines_of_the_site_come_before_ours(store: Store) -> None:
    found = asked(a_submission(store), options={"setup": ["module load python/3.11", "ulimit -n 4096"]}, threads=2)
    assert found["setup"][:3] == ["module load python/3.11", "ulimit -n 4096", "export OMP_NUM_THREADS=2"]


def test_further_options_of_sbatch_are_handed_on_and_false_ones_left_out(store: Store) -> None:
    options = {"--nice": 100, "gpu_bind": "closest", "no-kill": True, "hold": False, "--licenses": "a:1"}
    found = asked(a_submission(store), options={"sbatch": options})
    assert found["additional_parameters"] == {
        "requeue": True,
        "nice": 100,
        "gpu-bind": "closest",
        "no-kill": True,
        "licenses": "a:1",
    }


def test_the_batch_script_says_all_of_it(sbatch: Commands, store: Store) -> None:
    submission = a_submission(store, tasks=6, job=None)
    script = submitted(
        sbatch,
        submission,
        {"cpus": 2, "memory_gib": 3, "exclusive": True},
        {
            "partition": "a100",
            "account": "vision",
            "qos": "high",
            "constraint": "avx512",
            "signal_seconds": 77,
            "setup": ["module load python/3.11"],
            "sbatch": {"mail-user": "somebody@example.org", "comment": "two words"},
        },
        gpus=1,
        threads=2,
    )
    found = flags(script)
    wanted = {
        "array": "0-5%4",
        "job-name": submission.name,
        "time": "30",
        "nodes": "1",
        "ntasks-per-node": "1",
        "cpus-per-task": "2",
        "mem": "3072M",
        "gpus-per-node": "1",
        "exclusive": "",
        "partition": "a100",
        "account": "vision",
        "qos": "high",
        "constraint": "avx512",
        "signal": "USR2@77",
        "requeue": "",
        "open-mode": "append",
        "mail-user": "somebody@example.org",
        "comment": "two words",
        "output": f"{submission.logs}/%A_%a_0_log.out",
        "error": f"{submission.logs}/%A_%a_0_log.err",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    body = script.index("module load python/3.11")
    last = max(number for number, line in enumerate(script) if line.startswith("#SBATCH"))
    assert last < body < script.index("export OMP_NUM_THREADS=2")


def test_the_batch_script_runs_our_task_with_this_python(sbatch: Commands, store: Store) -> None:
    script = submitted(sbatch, a_submission(store, job=None))
    command = next(line for line in script if line.startswith("srun"))
    words = shlex.split(command)
    folder = str(a_folder(store))
    assert words[-5:] == [sys.executable, "-u", "-m", "harness.execution.slurm.task", folder]
    assert Path(folder).is_absolute()


def a_folder(store: Store) -> Path:
    return next(store.runs_folder("small").glob("*/slurm/*")).absolute()


def test_a_store_with_blanks_in_its_name_is_quoted(sbatch: Commands, tmp_path: Path) -> None:
    store = Store(tmp_path / "my results; rm -r x")
    script = submitted(sbatch, a_submission(store, job=None))
    command = next(line for line in script if line.startswith("srun"))
    assert shlex.split(command)[-1] == str(a_folder(store))
    assert flags(script)["output"].startswith(str(store.root))


def test_fewer_tasks_than_may_run_at_a_time_need_no_more_than_they_are(sbatch: Commands, store: Store) -> None:
    script = submitted(sbatch, a_submission(store, tasks=2, job=None), jobs=64)
    assert flags(script)["array"] == "0-1%2"


def test_the_step_that_runs_the_task_has_all_of_its_cpus(sbatch: Commands, store: Store) -> None:
    script = submitted(sbatch, a_submission(store, job=None), {"cpus": 4}, threads=4)
    command = next(line for line in script if line.startswith("srun"))
    named = "--cpus-per-task=4" in command or "-c 4" in command or "--cpus-per-task 4" in command
    assert named or any(line.startswith("export SRUN_CPUS_PER_TASK=") for line in script)


def test_variables_of_a_job_around_the_driver_are_hidden_from_sbatch_and_come_back(
    sbatch: Commands, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = {
        "SLURM_JOB_ID": "55",
        "SLURM_MEM_PER_NODE": "1024",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_ARRAY_TASK_ID": "3",
        "SUBMITIT_EXECUTOR": "slurm",
    }
    for name, value in {**outer, "SLURM_CONF": "/somewhere/slurm.conf", "MY_VARIABLE": "kept"}.items():
        monkeypatch.setenv(name, value)
    submitted(sbatch, a_submission(store, job=None))
    seen = dict(
        line.partition("=")[::2] for line in (sbatch.folder / "environment").read_text().splitlines() if "=" in line
    )
    assert seen.keys().isdisjoint(outer)
    assert (seen["SLURM_CONF"], seen["MY_VARIABLE"]) == ("/somewhere/slurm.conf", "kept")
    assert {name: os.environ[name] for name in outer} == outer


def test_variables_come_back_after_a_refusal_too(
    sbatch: Commands, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "55")
    sbatch.refuses("sbatch", "sbatch: error: no")
    with pytest.raises(UserError):
        submitted(sbatch, a_submission(store, job=None))
    assert os.environ["SLURM_JOB_ID"] == "55"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "sbatch: error: invalid partition specified: nowhere\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified",
            "sbatch: error: invalid partition specified: nowhere",
        ),
        (
            "sbatch: warning: something\nsbatch: error: Batch job submission failed: Unable to contact slurm controller",
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller",
        ),
    ],
)
def test_what_sbatch_refuses_is_one_sentence(sbatch: Commands, store: Store, said: str, told: str) -> None:
    sbatch.refuses("sbatch", said)
    with pytest.raises(UserError) as refused:
        submitted(sbatch, a_submission(store, job=None))
    assert str(refused.value) == f"small: sbatch refuses the sweep: {told}"


@pytest.mark.parametrize("said", ["sbatch: please ask your administrator", ""])
def test_a_refusal_without_the_word_error_is_one_sentence_too(sbatch: Commands, store: Store, said: str) -> None:
    sbatch.refuses("sbatch", said)
    with pytest.raises(UserError) as refused:
        submitted(sbatch, a_submission(store, job=None))
    assert str(refused.value).startswith("small: sbatch refuses the sweep: ")
    assert "\n" not in str(refused.value)
    assert said in str(refused.value)


def test_an_answer_of_sbatch_that_names_no_job_is_told(sbatch: Commands, store: Store) -> None:
    sbatch.says("sbatch", "Thank you")
    with pytest.raises(UserError, match=r"^small: sbatch refuses the sweep: Could not make sense of .*Thank you"):
        submitted(sbatch, a_submission(store, job=None))


def test_the_end_of_what_a_task_printed_is_found_over_its_restarts_and_no_other_tasks(store: Store) -> None:
    submission = a_submission(store, tasks=12)
    submission.logs.mkdir()
    for name, text in {
        "7_1_0_log.err": "one\n",
        "7_1_1_log.err": "one again\n",
        "7_11_0_log.err": "eleven\n",
        "1_10_0_log.err": "ten\n",
        "7_1_0_log.out": "printed\n",
        "7_2_0_log.err": "x" * 5000 + "end",
    }.items():
        (submission.logs / name).write_text(text)
    assert log_tail(submission, 1) == "one\none again\n"
    assert log_tail(submission, 0) == ""
    assert log_tail(submission, 2) == "x" * 3997 + "end"


def test_a_task_that_printed_nothing_and_has_no_folder_has_no_log(store: Store) -> None:
    assert log_tail(a_submission(store), 0) == ""
