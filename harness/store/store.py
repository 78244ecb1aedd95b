"""The folder that results live in.

::

    <store>/environments/<digest>.json
    <store>/<experiment>/attempts/<trial>/<attempt>/    attempt.json, <samples>.parquet, files/, COMPLETE
    <store>/<experiment>/index.jsonl                    what the attempts came to; may be deleted (harness.store.index)
    <store>/<experiment>/claims/<trial>.json            who is at it now; advice, never the truth
    <store>/<experiment>/checkpoints/<trial>/           of trials that are not finished
    <store>/<experiment>/runs/<run>/                    orders, events and logs of one sweep
    <store>/<experiment>/profiles/<trial>/<attempt>/    what a profiler saw of it (harness.store.profiles)
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.store.atomic import TEMPORARY, to_json, write_bytes
from harness.store.attempt import ATTEMPTS, PROFILES, Attempt, DamagedAttempt, read_attempt

DEFAULT_STORE = "results"


@dataclass(frozen=True)
class StoredAttempt:
    """An attempt and the folder it was read from."""

    attempt: Attempt
    folder: Path


@dataclass(frozen=True)
class Store:
    """Results under one folder."""

    root: Path

    @classmethod
    def at(cls, folder: str | None) -> Store:
        """Return the store at ``folder``, or at ``HARNESS_STORE``, or at ``results``."""
        return cls(Path(folder or os.environ.get("HARNESS_STORE") or DEFAULT_STORE).absolute())

    def require_writable(self) -> None:
        """Make the folder and try to write in it.

        Raises:
            UserError: it cannot be written, or the disk is full.
        """
        problem = self.problem()
        if problem:
            raise UserError(problem)

    def problem(self) -> str:
        """Return the sentence that says why the store cannot be written; empty where it can."""
        probe = self.root / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"\0" * 65536)
            probe.unlink()
        except OSError as error:
            with contextlib.suppress(OSError):
                probe.unlink()
            return (
                f"the store {self.root} cannot be written: {error.strerror}; "
                "name another folder with --store or HARNESS_STORE, or make room"
            )
        return ""

    def attempts_folder(self, experiment: str, trial: str) -> Path:
        return self.root / experiment / ATTEMPTS / trial

    def profiles_folder(self, experiment: str, trial: str) -> Path:
        return self.root / experiment / PROFILES / trial

    def claims_folder(self, experiment: str) -> Path:
        return self.root / experiment / "claims"

    def checkpoint_folder(self, experiment: str, trial: str) -> Path:
        return self.root / experiment / "checkpoints" / trial

    def runs_folder(self, experiment: str) -> Path:
        return self.root / experiment / "runs"

    def keep_environment(self, environment: Mapping[str, Any]) -> str:
        """Store an environment under its digest, once, and return the digest."""
        data = to_json(environment)
        digest = hashlib.sha256(data).hexdigest()[:16]
        path = self.root / "environments" / f"{digest}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, data)
        return digest

    def environment(self, digest: str) -> dict[str, Any]:
        """Return a stored environment; an empty one where it is lost."""
        import json

        try:
            return dict(json.loads((self.root / "environments" / f"{digest}.json").read_bytes()))
        except (OSError, ValueError):
            return {}

    def attempt_ids(self, experiment: str, trial: str) -> list[str]:
        """Return the ids of a trial's attempts, in the order they were named."""
        return names_in(self.attempts_folder(experiment, trial))

    def attempts(self, experiment: str, trial: str) -> tuple[list[StoredAttempt], list[str]]:
        """Return the complete attempts of a trial in order, and a sentence for each one that is damaged."""
        return attempts_in(self.attempts_folder(experiment, trial))

    def trial_ids(self, experiment: str) -> set[str]:
        """Return the trials of an experiment that have an attempt folder."""
        try:
            return set(os.listdir(self.root / experiment / ATTEMPTS))
        except OSError:
            return set()


def names_in(folder: Path) -> list[str]:
    """Return the ids of the attempts in a folder, in the order they were named."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(name for name in names if not name.startswith("."))


def attempts_in(folder: Path) -> tuple[list[StoredAttempt], list[str]]:
    """Return the complete attempts in a folder in order, and a sentence for each one that is damaged."""
    found, damaged = [], []
    for name in names_in(folder):
        try:
            attempt = read_attempt(folder / name)
        except DamagedAttempt as error:
            damaged.append(str(error))
            continue
        if attempt is not None:
            found.append(StoredAttempt(attempt, folder / name))
    return found, damaged


def new_attempt_id(started: float) -> str:
    """Return a name that sorts by start and that nobody else will choose."""
    return attempt_id(started, uuid.uuid4().hex[:8])


def attempt_id(started: float, suffix: str) -> str:
    """Return a name that sorts by start, in seconds since the epoch."""
    import time

    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(started))
    return f"{stamp}.{int(started % 1 * 1e6):06d}-{suffix}"
