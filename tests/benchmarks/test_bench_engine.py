"""What the engine costs a trial: planning, running, resuming, asking how far it is; each beside a floor that does as little.

Stores lie in memory where there is room, so that it is the harness that is timed; one benchmark writes to the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from beside import Beside, Rehearsal
from simulation import Large
from stores import SETTINGS, FinishedStore, Quick, empty_folder, files_of

from harness.execution.driver import run_sweep
from harness.plan.code import fingerprint
from harness.plan.design import Design, make_design
from harness.plan.state import due, examine, progress_of, state_of
from harness.plan.trials import expand
from harness.spec.load import load_experiment
from harness.store.atomic import COMPLETE
from harness.store.attempt import ATTEMPT_FILE, ATTEMPTS, Attempt, read_attempt, write_attempt
from harness.store.store import Store
from reports.bench.measured import Scale

GROUP = "The engine"
FILES = (ATTEMPT_FILE, COMPLETE)
ARMS = 100
REHEARSED = 1000
"""Trials of a sweep that is run before those that are timed."""
MOST_INLINE = 10_000
"""Trials of the largest sweep in this process."""
MOST_ATTEMPTS = 10_000
"""That are written or read alone: with more it is the same again, and 'run' and 'resume' have it too."""
ON_DISK = 20
"""Attempts that are flushed to the disk: where it is slow, each takes tens of milliseconds."""

EMPTY = """
experiment: empty
title: Nothing to do
trial: small_trials:draw
factors:
  index: [{indices}]
replicates: {replicates}
profiles:
  laptop: {{fidelity: proxy}}
"""


def same_number(ours: Any, theirs: Any) -> None:
    assert ours == theirs


def named(what: str, trials: int) -> str:
    return f"{what}, {trials:,} trials"


def test_bench_plan(beside: Beside, finished: FinishedStore, quick: Quick, trials: int) -> None:
    """From a design to its trials, beside the JSON of as many rows with a hash each."""
    rows = [{"arm": dict(entry.trial.arm), "replicate": entry.trial.replicate} for entry in finished.state.states]

    def floor() -> int:
        return len({hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest() for row in rows})

    beside(
        named("plan", trials),
        lambda: len(expand(finished.design)),
        floor,
        rival="JSON and a hash a row",
        group=GROUP,
        agree=same_number,
        scale=Scale(what="plan", trials=trials, files=quick.files),
    )


def empty_design(folder: Path, trials: int) -> Design:
    path = folder / f"empty-{trials}.yaml"
    path.write_text(EMPTY.format(indices=", ".join(map(str, range(ARMS))), replicates=trials // ARMS))
    return make_design(load_experiment(path))


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_bench_run_of_empty_trials(beside: Beside, workshop: Quick, trials: int, executor: Any) -> None:
    """A whole sweep of trials that do nothing, beside two flushed files, a rename and a line in a log for each."""
    if trials > REHEARSED and not os.environ.get("TRIALS"):
        pytest.skip("a minute, so only where TRIALS asks for it")
    if executor == "inline" and trials > MOST_INLINE:
        pytest.skip("a quarter of an hour; worker processes stand for it")
    few = min(trials, REHEARSED)
    what = f"run, {executor}"
    beside(
        named(what, trials),
        sweep_of(workshop.folder, trials, executor),
        floor_of_a_sweep(trials),
        rival="two flushed files",
        group=GROUP,
        agree=same_number,
        fresh=fresh_in(workshop.folder),
        rehearsal=Rehearsal(sweep_of(workshop.folder, few, executor), floor_of_a_sweep(few), few / trials),
        scale=Scale(what=what, trials=trials, files=workshop.files),
    )


def sweep_of(workshop: Path, trials: int, executor: Any) -> Callable[[Path], int]:
    """Return what runs a sweep of empty trials in an empty store, and counts those that it holds then."""
    design = empty_design(workshop, trials)
    code = fingerprint(design.function.name).digest

    def run(folder: Path) -> int:
        store = Store(folder)
        state = examine(design, expand(design), store, code)
        run_sweep(design, due(state, retry_failed=False, keep_stale=False), store, code, executor=executor)
        return len(store.trial_ids(design.name))

    return run


def floor_of_a_sweep(trials: int) -> Callable[[Path], int]:
    """Return what writes two flushed files and a line in a log for each trial."""

    def write(folder: Path) -> int:
        with (folder / "log").open("a") as log:
            for number in range(trials):
                write_flushed(folder, str(number), {name: b"x" * 1000 for name in FILES})
                log.write(f"{number}\n")
                log.flush()
        return len(os.listdir(folder)) - 1

    return write


def test_bench_resume(beside: Beside, finished: FinishedStore, quick: Quick, trials: int) -> None:
    """Finding that nothing is left to do: plan and state of a finished store, beside reading and hashing its files."""

    def ours() -> int:
        return state_of(finished.design, finished.store).count("done")

    def floor() -> int:
        return len([hashed(str(found.folder)) for found in finished.attempts])

    beside(
        named("resume", trials),
        ours,
        floor,
        rival="reading and hashing",
        group=GROUP,
        agree=same_number,
        scale=Scale(what="resume", trials=trials, files=quick.files),
    )


def test_bench_status(beside: Beside, finished: FinishedStore, quick: Quick, trials: int) -> None:
    """How far a sweep is, by the index, beside listing and looking at every trial's folder."""
    root = finished.store.root / finished.design.name / ATTEMPTS

    def ours() -> int:
        return progress_of(finished.design, finished.store).count("done")

    def floor() -> int:
        return sum(bool(os.listdir(entry.path)) and entry.stat().st_size > 0 for entry in os.scandir(root))

    beside(
        named("status", trials),
        ours,
        floor,
        rival="listing folders",
        group=GROUP,
        agree=same_number,
        scale=Scale(what="status", trials=trials, files=quick.files),
    )


def skip_beyond(trials: int) -> None:
    if trials > MOST_ATTEMPTS:
        pytest.skip(f"as with {MOST_ATTEMPTS:,}")


def test_bench_read_attempts(beside: Beside, finished: FinishedStore, quick: Quick, trials: int) -> None:
    skip_beyond(trials)

    def ours() -> int:
        return sum(read_attempt(str(found.folder)) is not None for found in finished.attempts)

    def floor() -> int:
        return sum(bool(json.loads(hashed(str(found.folder)))) for found in finished.attempts)

    beside(
        named("read attempts", trials),
        ours,
        floor,
        rival="reading, hashing, JSON",
        group=GROUP,
        agree=same_number,
        scale=Scale(what="read attempts", trials=trials, files=quick.files),
    )


def test_bench_write_attempts(beside: Beside, finished: FinishedStore, quick: Quick, trials: int) -> None:
    skip_beyond(trials)
    attempts = [found.attempt for found in finished.attempts]
    few = attempts[:REHEARSED]
    beside(
        named("write attempts", trials),
        writer(attempts),
        flusher(attempts),
        rival="two flushed files",
        group=GROUP,
        agree=same_number,
        fresh=fresh_in(quick.folder),
        rehearsal=Rehearsal(writer(few), flusher(few), len(few) / trials),
        scale=Scale(what="write attempts", trials=trials, files=quick.files),
    )


def test_bench_write_attempts_to_the_disk(beside: Beside, tmp_path: Path) -> None:
    """What an attempt costs where flushing does: nearly all of it is the disk's."""
    states = Large(tmp_path, SETTINGS, 2).state.states[:ON_DISK]
    attempts = [entry.counted.attempt for entry in states if entry.counted is not None]
    beside(
        f"write {ON_DISK} attempts to the disk",
        writer(attempts),
        flusher(attempts),
        rival="two flushed files",
        group=GROUP,
        agree=same_number,
        fresh=fresh_in(tmp_path),
    )


def writer(attempts: Sequence[Attempt]) -> Callable[[Path], int]:
    """Return what writes attempts into a folder, as a worker does."""

    def write(folder: Path) -> int:
        for number, attempt in enumerate(attempts):
            write_attempt(folder, replace(attempt, id=str(number)), {}, None)
        return len(os.listdir(folder))

    return write


def flusher(attempts: Sequence[Attempt]) -> Callable[[Path], int]:
    """Return what writes the same bytes by hand."""
    contents = [files_of(attempt) for attempt in attempts]

    def write(folder: Path) -> int:
        for place, files in enumerate(contents):
            write_flushed(folder, str(place), files)
        return len(os.listdir(folder))

    return write


def write_flushed(folder: Path, name: str, files: dict[str, bytes]) -> None:
    """Write files into a temporary folder, flush them and the folders, and give it its name."""
    temporary = f"{folder}/.{name}"
    os.mkdir(temporary)
    for file_name, data in files.items():
        with open(f"{temporary}/{file_name}", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    flush(temporary)
    os.rename(temporary, f"{folder}/{name}")
    flush(str(folder))


def flush(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def hashed(folder: str) -> bytes:
    """Read both files of an attempt and hash the larger; return its bytes."""
    found = b""
    for name in FILES:
        with open(f"{folder}/{name}", "rb", buffering=0) as file:
            data = file.read()
        if name == ATTEMPT_FILE:
            found = data
            hashlib.sha256(data).hexdigest()
    return found


def fresh_in(folder: Path) -> Callable[[], Any]:
    """Return what yields an empty folder for each call."""

    @contextmanager
    def fresh() -> Iterator[tuple[Path]]:
        with empty_folder(folder) as found:
            yield (found,)

    return fresh
