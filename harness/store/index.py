"""A cache of what the attempts of an experiment came to, so that asking how far a sweep is need not open them all.

::

    <store>/<experiment>/index.jsonl    a line with format, folder and hash, and a line with the attempts

The folders of the attempts are the truth, and the cache is never believed about what there is: the folders are listed
each time, and only an attempt whose folder stands there is looked up. Attempts are written once and never change, so
what was read of one holds as long as its folder stands. Whoever finds an attempt that the cache does not know reads it
and writes the cache anew, whole; of two who do so at once the last one stays, and what it lacks is read again. The file
may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from harness.store import attempt as attempts_on_disk
from harness.store.atomic import write_bytes
from harness.store.attempt import ATTEMPTS, Attempt, DamagedAttempt, Failure, read_attempt
from harness.store.store import Store

FORMAT = 1
INDEX_FILE = "index.jsonl"


class AttemptSummary(NamedTuple):
    """What the cache keeps of a complete attempt; its fields are those of ``Attempt``.

    ``id`` and ``trial`` are the names of its folders. A failure is kept without its traceback. Records are left out.
    """

    id: str
    trial: str
    code: str
    failure: Failure | None
    started: float
    seconds: float
    replicate: int
    run: str
    worker: str

    @property
    def succeeded(self) -> bool:
        return self.failure is None


class IndexedAttempt(NamedTuple):
    """A summary in the place that a ``StoredAttempt`` has where attempts are read whole."""

    attempt: AttemptSummary


_Known = dict[str, dict[str, AttemptSummary]]
"""Summaries by trial and attempt."""


def index_path(store: Store, experiment: str) -> Path:
    return store.root / experiment / INDEX_FILE


def indexed_attempts(store: Store, experiment: str, trials: Collection[str]) -> dict[str, list[IndexedAttempt]]:
    """Return the complete attempts of some trials, in the order they were named; trials without any are left out.

    Only attempts that the cache does not know are opened, and checked against their hashes; damaged ones are left out,
    as incomplete ones are, and looked at again the next time. The cache is brought up to date where it can be written;
    where it cannot, nothing is said, and the next call is as slow as this one.
    """
    root = str(store.root / experiment / ATTEMPTS)
    present = store.trial_ids(experiment)
    if not present:
        return {}
    path = index_path(store, experiment)
    folder = _identity(root)
    known = _read(path, folder)
    changed = False
    # A trial that is not asked for keeps what is known of it, as long as its folder stands.
    for gone in known.keys() - present:
        del known[gone]
        changed = True
    found = {}
    for trial in trials:
        if trial not in present:
            continue
        names = _listed(f"{root}/{trial}")
        before = known.get(trial, {})
        summaries = {}
        for name in names:
            summary = before.get(name) or _summary(root, trial, name)
            if summary is not None:
                summaries[name] = summary
        if summaries.keys() != before.keys():
            known[trial] = summaries
            changed = True
        if summaries:
            found[trial] = [IndexedAttempt(summary) for summary in summaries.values()]
    if changed:
        # A colleague's store, a full disk: the answer is right all the same.
        with contextlib.suppress(OSError):
            write_bytes(path, _to_bytes(known, folder))
    return found


def _listed(folder: str) -> list[str]:
    """Return the names of a trial's attempts in order, as ``Store.attempt_ids`` does, without a path for each."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(name for name in names if not name.startswith("."))


def _summary(root: str, trial: str, name: str) -> AttemptSummary | None:
    """Read an attempt; None where it is incomplete or damaged."""
    try:
        attempt = read_attempt(f"{root}/{trial}/{name}")
    except DamagedAttempt:
        return None
    return summary_of(attempt, trial, name) if attempt is not None else None


def summary_of(attempt: Attempt, trial: str, name: str) -> AttemptSummary:
    """Return what the cache keeps of an attempt in the folder ``name`` of ``trial``."""
    failure = attempt.failure
    if failure is not None:
        failure = Failure(failure.kind, failure.type, failure.message)
    return AttemptSummary(
        name,
        trial,
        attempt.code,
        failure,
        attempt.started,
        attempt.seconds,
        attempt.replicate,
        attempt.run,
        attempt.worker,
    )


def _identity(root: str) -> int:
    """Return what tells a store from a copy of it; 0 where the folder is gone.

    The cache of a store may be copied before its attempts are, and a copy may be given up half-way: then folders stand
    there without what the cache says of them.
    """
    try:
        return os.stat(root).st_ino
    except OSError:
        return 0


def _read(path: Path, folder: int) -> _Known:
    """Return what the cache knows; nothing where it is missing, damaged, of another version or of another folder."""
    try:
        header, _, body = path.read_bytes().partition(b"\n")
        if json.loads(header) != _header(body, folder):
            return {}
        return {
            trial: {name: _from_row(trial, name, row) for name, row in attempts.items()}
            for trial, attempts in json.loads(body).items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _from_row(trial: str, name: str, row: list[Any]) -> AttemptSummary:
    code, failure, started, seconds, replicate, run, worker = row
    found = Failure(*failure) if failure is not None else None
    return AttemptSummary(name, trial, code, found, started, seconds, replicate, run, worker)


def _to_bytes(known: _Known, folder: int) -> bytes:
    rows = {
        trial: {name: _to_row(summary) for name, summary in attempts.items()}
        for trial, attempts in known.items()
        if attempts
    }
    body = json.dumps(rows, separators=(",", ":")).encode() + b"\n"
    return json.dumps(_header(body, folder)).encode() + b"\n" + body


def _to_row(summary: AttemptSummary) -> list[Any]:
    failure = summary.failure
    told = [failure.kind, failure.type, failure.message] if failure is not None else None
    return [
        summary.code,
        told,
        summary.started,
        summary.seconds,
        summary.replicate,
        summary.run,
        summary.worker,
    ]


def _header(body: bytes, folder: int) -> dict[str, Any]:
    """Return what must stand before a body: the versions that it was written and its attempts were read with."""
    return {
        "format": FORMAT,
        "attempts": attempts_on_disk.FORMAT,
        "folder": folder,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
