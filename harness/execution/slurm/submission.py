"""Arrays that were submitted, as they stand in the store: nothing of them is known only to the driver that made them.

::

    <experiment>/runs/<run>/slurm/<token>/
        order.json         the trials, and what tasks need to run them
        submission.json    written before sbatch is called: how many tasks, under which job name
        job.json           written after it: the job's number
        events-<i>.jsonl   what task i reports, over all its restarts
        closed.json        how every task ended, once all have
        revoked, dismissed, cancelled, followed    see ``Mark``
        logs/              what the tasks printed, and submitit's own files
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from harness.execution.orders import Order, OrderedTrial
from harness.execution.place import Place
from harness.store.atomic import write_json, write_json_once
from harness.store.store import Store

FOLDER = "slurm"
Mark = Literal["revoked", "dismissed", "cancelled", "followed"]
"""``revoked``: its driver died before Slurm had it, and others have its trials; ``dismissed``: nothing is left to do;
``cancelled``: by ``harness cancel``. Tasks that find one of these end without work. ``followed``: a driver waits for
it, and begins the next stage itself."""


@dataclass(frozen=True)
class Submission:
    """An array of tasks over the trials of an order.

    ``minutes`` is the tasks' time limit, ``trial_minutes`` the longest that one trial may take; ``signal_seconds`` is
    how long before its end a task is told; ``expected_seconds`` is what a trial should take, if that is known.
    ``then`` is the command, in ``directory``, by which a detached sweep goes on once all of this is done.
    """

    token: str
    name: str
    experiment: str
    profile: str
    device: str
    run: str
    code: str
    cluster: str
    tasks: int
    minutes: float
    trial_minutes: float
    signal_seconds: float
    expected_seconds: float | None
    created: float
    driver: Place
    then: tuple[str, ...]
    directory: str
    folder: Path

    def announce(self, order: Order) -> None:
        """Write down what is about to be submitted.

        Raises:
            OSError: the store cannot be written.
        """
        self.folder.mkdir(parents=True)
        order.write(self.folder / "order.json")
        document = asdict(self)
        del document["folder"]
        write_json(self.folder / "submission.json", document)

    @classmethod
    def read(cls, folder: Path) -> Submission:
        """Return the submission in a folder.

        Raises:
            OSError, ValueError, KeyError, TypeError: there is none, or it cannot be read.
        """
        document = json.loads((folder / "submission.json").read_bytes())
        document |= {"driver": Place(**document["driver"]), "then": tuple(document["then"]), "folder": folder}
        return cls(**document)

    @cached_property
    def order(self) -> Order:
        """The trials of all tasks together."""
        return Order.read(self.folder / "order.json")

    @cached_property
    def trials(self) -> Mapping[str, OrderedTrial]:
        """The trials by id."""
        return {trial.id: trial for trial in self.order.trials}

    def own_trials(self, index: int) -> tuple[OrderedTrial, ...]:
        """Return the trials that are task ``index``'s own share."""
        return self.order.trials[self.order.share(index, self.tasks)]

    @property
    def job(self) -> int | None:
        """The job's number; None where nobody has written it down."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return int(json.loads((self.folder / "job.json").read_bytes())["job"])
        return None

    def set_job(self, job: int) -> None:
        """Write down the job's number; who comes first is right, since both know it from Slurm."""
        with contextlib.suppress(FileExistsError):
            write_json_once(self.folder / "job.json", {"job": job})

    def events_path(self, index: int) -> Path:
        return self.folder / f"events-{index}.jsonl"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def mark(self, mark: Mark) -> None:
        """Tell tasks that have not begun yet to end without work, and everybody why."""
        (self.folder / mark).touch()

    def unmark(self, mark: Mark) -> None:
        (self.folder / mark).unlink(missing_ok=True)

    def marked(self, mark: Mark) -> bool:
        return (self.folder / mark).exists()

    @property
    def closed(self) -> Mapping[str, Any] | None:
        """How every task ended; None while that is not known."""
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((self.folder / "closed.json").read_bytes()))
        return None

    def close(self, ends: Mapping[int, str], message: str = "") -> None:
        """Write down how every task ended; who comes first is right."""
        document = {"ends": {str(index): end for index, end in ends.items()}, "message": message}
        with contextlib.suppress(FileExistsError):
            write_json_once(self.folder / "closed.json", document)


def new_token() -> str:
    return uuid.uuid4().hex[:12]


def submissions(store: Store, experiment: str) -> Iterator[Submission]:
    """Yield every submission of an experiment, oldest first; what cannot be read is passed over."""
    found = []
    for path in store.runs_folder(experiment).glob(f"*/{FOLDER}/*/submission.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.append(Submission.read(path.parent))
    yield from sorted(found, key=lambda submission: (submission.run, submission.created))


def open_submissions(store: Store, experiment: str) -> list[Submission]:
    """Return the submissions of which it is not known how every task ended."""
    return [found for found in submissions(store, experiment) if not (found.folder / "closed.json").exists()]
