"""Every state of a Slurm job in one table: whether its task waits, runs or has ended, and how a trial in it ended.

The names are those of ``squeue`` and ``sacct`` (their manual pages, "JOB STATE CODES"), up to Slurm 25.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.store.endings import Kind

Phase = Literal["waiting", "running", "ended", "unknown"]
UNKNOWN_SECONDS = 600.0
"""How long a task may stay in a state that is not in the table before it is taken for vanished, and reported."""


@dataclass(frozen=True)
class State:
    """What a state means.

    ``paused`` says that its processes do not run for a while. ``kind`` is how a trial ended that the task was at and
    did not finish: a task that ended in order has none. ``name`` is what the task's own end is called where it had no
    trial in hand.
    """

    phase: Phase
    kind: Kind = "vanished"
    name: str = ""
    paused: bool = False


STATES: dict[str, State] = {
    # A trial that is unfinished in a completed job lost its process without Slurm noticing, as when slurmstepd dies.
    "COMPLETED": State("ended", "killed", "finished"),
    "FAILED": State("ended", "killed", "failed"),
    "OUT_OF_MEMORY": State("ended", "out of memory", "out of memory"),
    "TIMEOUT": State("ended", "time limit", "time limit"),
    "DEADLINE": State("ended", "time limit", "time limit"),
    "CANCELLED": State("ended", "cancelled", "cancelled"),
    "REVOKED": State("ended", "cancelled", "cancelled"),
    "NODE_FAIL": State("ended", "node failed", "node failed"),
    "BOOT_FAIL": State("ended", "node failed", "node failed"),
    "LAUNCH_FAILED": State("ended", "node failed", "node failed"),
    "RECONFIG_FAIL": State("ended", "node failed", "node failed"),
    "PREEMPTED": State("ended", "preempted", "preempted"),
    "PENDING": State("waiting"),
    "CONFIGURING": State("waiting"),
    "POWER_UP_NODE": State("waiting"),
    "REQUEUED": State("waiting"),
    "REQUEUE_FED": State("waiting"),
    "REQUEUE_HOLD": State("waiting"),
    "RESV_DEL_HOLD": State("waiting"),
    "SPECIAL_EXIT": State("waiting"),
    "UPDATE_DB": State("waiting"),
    "EXPEDITING": State("waiting"),
    "RUNNING": State("running"),
    "COMPLETING": State("running"),
    "STAGE_OUT": State("running"),
    "SIGNALING": State("running"),
    "RESIZING": State("running"),
    "STOPPED": State("running", paused=True),
    "SUSPENDED": State("running", paused=True),
}
UNKNOWN = State("unknown")


def state_called(name: str) -> State:
    """Return what a state means; ``CANCELLED by 1000`` and ``CANCELLED+`` are ``CANCELLED``.

    A name that is not in the table has the phase ``unknown``: it gets a deadline, and is reported.
    """
    first = name.strip().split(" ")[0].rstrip("+").upper()
    return STATES.get(first, UNKNOWN)
