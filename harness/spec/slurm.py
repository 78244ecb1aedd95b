"""What a spec, or a site's own file, asks of Slurm."""

from __future__ import annotations

from pydantic import Field, field_validator

from harness.spec.figures import Strict

OURS = {
    "array": "--jobs says how many tasks run at a time",
    "job-name": "jobs are found again by their names",
    "output": "logs lie beside the order in the store",
    "error": "logs lie beside the order in the store",
    "open-mode": "a requeued task appends to its log",
    "signal": "'signal_seconds' says how early the signal comes",
    "requeue": "tasks are always requeued",
    "no-requeue": "tasks are always requeued",
    "time": "'minutes' says how long a trial may take, 'max_minutes' a task",
    "mem": "'memory_gib' beside 'slurm' says it",
    "cpus-per-task": "'cpus' beside 'slurm' says it",
    "gpus-per-node": "'gpus' beside 'slurm' says it",
    "nodes": "a trial runs on one node",
    "ntasks": "a task is one process",
    "ntasks-per-node": "a task is one process",
    "parsable": "the job's number is read from what sbatch says",
    "quiet": "the job's number is read from what sbatch says",
    "wait": "the driver waits, and 'harness run --detach' does not",
    "clusters": "a sweep runs on the cluster that the command is given on",
    "test-only": "'harness plan' says what would run",
    "wrap": "the script is ours",
    "partition": "'partition' says it",
    "account": "'account' says it",
    "qos": "'qos' says it",
    "constraint": "'constraint' says it",
}
"""Options of sbatch that are set otherwise, and how."""


class SlurmOptions(Strict):
    """Resources of a sweep on a cluster. What is left out is Slurm's, or the site's, default."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    jobs: int | None = Field(default=None, ge=1, description="tasks at a time, where --jobs does not say")
    task_minutes: float = Field(default=10.0, gt=0, description="how long a task should run: trials are gathered so")
    max_minutes: float | None = Field(
        default=None, gt=0, description="longest time limit of a task; default: the partition's"
    )
    signal_seconds: int = Field(default=90, ge=2, description="how long before its end a task is told to stop")
    poll_seconds: float = Field(default=5.0, gt=0, description="how often the driver asks the controller")
    setup: tuple[str, ...] = Field(default=(), description="shell lines that run before Python, such as module load")
    sbatch: dict[str, str | int | float | bool] = Field(default={}, description="further options of sbatch, by name")

    @field_validator("sbatch")
    @classmethod
    def _not_ours(cls, value: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        for name in value:
            plain = name.strip("-").replace("_", "-")
            if plain in OURS:
                raise ValueError(f"'{name}' cannot be set here: {OURS[plain]}")
        return value
