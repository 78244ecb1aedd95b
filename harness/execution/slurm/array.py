"""An array of tasks through submitit: it writes the batch script, calls sbatch and reads the job's number."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.execution.slurm.submission import Submission
from harness.spec.models import Resources
from harness.spec.slurm import SlurmOptions

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
DEFAULTABLE = ("partition", "account", "qos", "constraint")


def submit(
    submission: Submission, resources: Resources, options: SlurmOptions, *, gpus: int, threads: int, jobs: int
) -> int:
    """Submit the tasks of a submission as one array, ``jobs`` at a time, and return the array's job number.

    Raises:
        UserError: sbatch refuses it.
    """
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    class Array(submitit.SlurmExecutor):  # type: ignore[misc]
        """submitit pickles what each task calls, and hands it over under the job's number once sbatch has told that.

        A driver that is killed in between leaves tasks that find nothing to do. So these tasks read an order that
        stands in the store before sbatch is called: they need no driver any more.
        """

        def submit_tasks(self, module: str, arguments: Sequence[str], count: int) -> int:
            self.parameters["map_count"] = count
            command = " ".join([self.python, "-u", "-m", module, *(shlex.quote(text) for text in arguments)])
            return int(self._submit_command(command).job_id)

    submission.logs.mkdir(exist_ok=True)
    executor = Array(submission.logs)
    executor.update_parameters(**parameters(submission, resources, options, gpus=gpus, threads=threads, jobs=jobs))
    try:
        with _own_environment(options):
            return executor.submit_tasks(
                "harness.execution.slurm.task", [str(submission.folder.absolute())], submission.tasks
            )
    except (FailedJobError, FailedSubmissionError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["it does not say why"]
        said = next((line for line in lines if "error" in line.lower()), lines[0])
        raise UserError(f"{submission.experiment}: sbatch refuses the sweep: {said}") from error


def parameters(
    submission: Submission, resources: Resources, options: SlurmOptions, *, gpus: int, threads: int, jobs: int
) -> dict[str, Any]:
    """Return what submitit's executor is given."""
    wanted: dict[str, Any] = {
        "job_name": submission.name,
        "time": math.ceil(submission.minutes),
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": resources.cpus,
        "mem": f"{math.ceil(resources.memory_gib * 1024)}M",
        "signal_delay_s": options.signal_seconds,
        "array_parallelism": jobs,
        # srun does not take over the job's CPUs a task by itself (since Slurm 22.05).
        "setup": [
            *options.setup,
            *(f"export {name}={threads}" for name in THREAD_VARIABLES),
            f"export SRUN_CPUS_PER_TASK={resources.cpus}",
        ],
        # A task that was preempted, or lost its node, comes back and goes on with what is left.
        "additional_parameters": {"requeue": True, **_flags(options)},
    }
    if gpus:
        wanted["gpus_per_node"] = gpus
    if resources.exclusive:
        wanted["exclusive"] = True
    for name in DEFAULTABLE:
        if (value := getattr(options, name)) is not None:
            wanted[name] = value
    return wanted


def _flags(options: SlurmOptions) -> dict[str, Any]:
    """Return the further options of sbatch; one that is false is left out."""
    return {name.strip("-").replace("_", "-"): value for name, value in options.sbatch.items() if value is not False}


@contextlib.contextmanager
def _own_environment(options: SlurmOptions) -> Iterator[None]:
    """Hide the variables of a job that the driver itself may run in: sbatch and srun would take them for the tasks'.

    A user's own defaults for sbatch stand over its script, so they are kept only for what nothing else says.
    """
    kept = {"SLURM_CONF"}
    kept |= {f"SBATCH_{name.upper()}" for name in DEFAULTABLE if getattr(options, name) is None}
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("SLURM_", "SBATCH_", "SRUN_", "SUBMITIT_")) and name not in kept
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def log_tail(submission: Submission, index: int, characters: int = 4000) -> str:
    """Return the end of what a task printed on standard error, over its restarts; empty where there is nothing."""
    texts = []
    for path in sorted(Path(submission.logs).glob(f"*_{index}_*_log.err")):
        with contextlib.suppress(OSError):
            texts.append(path.read_text(errors="replace"))
    return "".join(texts)[-characters:]
