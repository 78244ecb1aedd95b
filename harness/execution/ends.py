"""An attempt for a trial whose process could not write one: it was killed, cancelled, or is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.execution.orders import OrderedTrial
from harness.store.attempt import Attempt, Failure, write_attempt
from harness.store.store import Store


@dataclass(frozen=True)
class Unfinished:
    """A trial that a process was at when it ended.

    ``attempt`` is the id that the process had chosen for it, so that whoever writes down how it ended writes the same
    attempt, once; ``started`` is in seconds since the epoch, by that machine's clock.
    """

    trial: OrderedTrial
    attempt: str
    started: float
    worker: str
    place: Mapping[str, Any]


def overdue(minutes: float, output: str = "") -> Failure:
    """Return how a trial ended that took longer than its resources allow."""
    return Failure(
        "time limit", "time limit", f"took longer than the {minutes:g} minutes that its resources allow", output
    )


def record_end(store: Store, experiment: str, run: str, code: str, unfinished: Unfinished, failure: Failure) -> None:
    """Write down how an unfinished trial ended; nothing happens where somebody else has done so.

    Raises:
        OSError: the store cannot be written.
    """
    trial = unfinished.trial
    attempt = Attempt(
        id=unfinished.attempt,
        trial=trial.id,
        experiment=experiment,
        identity=trial.identity,
        arm=trial.arm,
        replicate=trial.replicate,
        records=(),
        failure=failure,
        started=unfinished.started,
        seconds=0.0,
        code=code,
        environment="",
        run=run,
        worker=unfinished.worker,
        place=unfinished.place,
    )
    folder = store.attempts_folder(experiment, trial.id)
    folder.mkdir(parents=True, exist_ok=True)
    for last in (False, False, True):
        try:
            if not (folder / attempt.id).exists():
                write_attempt(folder, attempt, {}, None)
            return
        except OSError:
            # Two that write it at once, one of which renames first; or a worker that has just taken the trial over, and
            # cleared away what it found half-written.
            if last and not (folder / attempt.id).exists():
                raise
