"""Sweeps for the benchmarks of the engine: a finished store in its true format, written fast, and empty trials."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from simulation import ARMS, Large

from harness.plan.code import fingerprint
from harness.plan.design import Design
from harness.plan.state import PlanState, TrialState
from harness.store.atomic import COMPLETE, to_json
from harness.store.attempt import ATTEMPT_FILE, ATTEMPTS, Attempt, attempt_bytes
from harness.store.store import Store, StoredAttempt, attempt_id

MEMORY = Path("/dev/shm")
BYTES_A_TRIAL = 2 * 16 * 1024
"""Of a finished store and of one that a sweep writes meanwhile: two files and two folders each, in whole pages."""
STARTED = 1_780_000_000.0
SETTINGS = 20
"""Of the finished sweep, with five arms: a hundred trials a replicate."""


@dataclass(frozen=True)
class Quick:
    """A folder, and whether its files lie in memory: what flushing costs there is the harness's, not the disk's."""

    folder: Path
    files: Literal["memory", "disk"]


@contextmanager
def quick_folder(otherwise: Path, trials: int) -> Iterator[Quick]:
    """Yield a folder in memory that has room for so many trials, or else ``otherwise``."""
    room = shutil.disk_usage(MEMORY).free if os.access(MEMORY, os.W_OK) else 0
    if room < 2 * trials * BYTES_A_TRIAL:
        yield Quick(otherwise, "disk")
        return
    folder = Path(tempfile.mkdtemp(prefix="harness-bench-", dir=MEMORY))
    try:
        yield Quick(folder, "memory")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class FinishedStore:
    """A sweep with a claim of every form and all its trials done, one record each; its trial function lies in ``folder``."""

    folder: Path
    store: Store
    state: PlanState
    sweep: Large

    @property
    def design(self) -> Design:
        return self.state.design

    @cached_property
    def attempts(self) -> list[StoredAttempt]:
        """The attempts, one a trial."""
        return [entry.counted for entry in self.state.states if entry.counted is not None]


@contextmanager
def finished_store(quick: Quick, trials: int) -> Iterator[FinishedStore]:
    """Yield a finished store of so many trials, in a folder of its own."""
    folder = quick.folder / f"finished-{trials}"
    folder.mkdir()
    # The function that an earlier sweep imported may lie in a folder that is gone.
    sys.modules.pop("small_trials", None)
    try:
        sweep = Large(folder, SETTINGS, trials // (len(ARMS) * SETTINGS))
        store, code = Store(folder / "results"), fingerprint(sweep.design.function.name).digest
        environment = store_environment(store)
        states = [_written(entry, store, code, environment) for entry in sweep.state.states]
        yield FinishedStore(folder, store, replace(sweep.state, code=code, states=states), sweep)
    finally:
        sys.modules.pop("small_trials", None)
        shutil.rmtree(folder, ignore_errors=True)


def _written(entry: TrialState, store: Store, code: str, environment: str) -> TrialState:
    """Write what counts for a trial as an attempt of the present code, without flushing."""
    assert entry.counted is not None
    attempt = replace(
        entry.counted.attempt,
        id=attempt_id(STARTED, "00000001"),
        code=code,
        environment=environment,
        started=STARTED,
    )
    target = f"{store.root}/{attempt.experiment}/{ATTEMPTS}/{attempt.trial}/{attempt.id}"
    os.makedirs(target)
    for name, data in files_of(attempt).items():
        with open(f"{target}/{name}", "wb") as file:
            file.write(data)
    return replace(entry, counted=StoredAttempt(attempt, Path(target)))


def store_environment(store: Store) -> str:
    store.root.mkdir(parents=True)
    return store.keep_environment({"python": sys.version.split()[0]})


def files_of(attempt: Attempt) -> dict[str, bytes]:
    """Return the files of an attempt without samples, its marker last, as ``write_attempt`` leaves them."""
    data = attempt_bytes(attempt)
    return {
        ATTEMPT_FILE: data,
        COMPLETE: to_json({ATTEMPT_FILE: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}}),
    }


@contextmanager
def empty_folder(inside: Path) -> Iterator[Path]:
    """Yield a new folder, which is gone afterwards."""
    folder = inside / uuid.uuid4().hex
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
