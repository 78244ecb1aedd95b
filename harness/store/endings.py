"""How an attempt can end other than well: every kind by name, and what becomes of its trial.

The kinds ``raised`` and ``wrong records`` lie in the trial itself: running it again would end the same. All others come
from outside, and the next run tries the trial again by itself; within one run there is a limit to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "raised",
    "wrong records",
    "killed",
    "out of memory",
    "time limit",
    "cancelled",
    "node failed",
    "preempted",
    "requeued",
    "vanished",
]


@dataclass(frozen=True)
class Ending:
    """What a kind of failure means.

    ``attempts`` is how many failures of this kind one run accepts before it leaves the trial as failed; ``outside``
    says that the next run tries again by itself; ``meaning`` is the sentence of the table in the documentation.
    """

    attempts: int
    outside: bool
    meaning: str


ENDINGS: dict[Kind, Ending] = {
    "raised": Ending(1, False, "the trial function raised an exception, or called sys.exit"),
    "wrong records": Ending(1, False, "the trial function returned something else than records"),
    "killed": Ending(2, True, "the process ended in the middle of the trial, without a word"),
    "out of memory": Ending(1, True, "the trial used more memory than its job was given"),
    "time limit": Ending(1, True, "the trial took longer than its resources, or its job's time limit, allow"),
    "cancelled": Ending(1, True, "somebody cancelled the job that was at the trial"),
    "node failed": Ending(5, True, "the node that the trial ran on failed"),
    "preempted": Ending(50, True, "another job took the node; the trial goes on, or starts again, in its requeued job"),
    "requeued": Ending(50, True, "its job was put back into the queue; the trial goes on, or starts again, there"),
    "vanished": Ending(2, True, "the job is unknown to Slurm, and nobody can say how it ended"),
}
RETRIED = tuple(kind for kind, ending in ENDINGS.items() if ending.outside)
"""Kinds of failure that come from outside the trial; the next run tries them again by itself."""


def gives_up(kinds: Sequence[str]) -> bool:
    """Say whether a run leaves a trial as failed whose attempts within this run failed with these kinds."""
    return any(kinds.count(kind) >= ENDINGS[kind].attempts if kind in ENDINGS else True for kind in set(kinds))  # type: ignore[index]
