"""A folder for TensorBoard: a view of a store, made of what is in it, that can be thrown away and made again.

::

    <folder>/<experiment>/<levels>/replicate <n>[/<level of a blocked factor>]/events.out.tfevents...
    <folder>/<experiment>/profile/[<levels>/]<arm>      a link to the traces of the arm's newest profile

Of a trial the newest attempt that succeeded is shown, else the newest. Where that leaves two trials with one name, as
those of two profiles, each has the end of its id behind it. Nothing is written into the store.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from harness.spec.models import level_name
from harness.store.atomic import TEMPORARY, write_json
from harness.store.attempt import ATTEMPTS, PROFILES, Attempt, DamagedAttempt
from harness.store.event_files import Labels, step_scalars, write_events
from harness.store.store import Store, StoredAttempt, attempts_in, names_in

STATE = ".harness.json"
FORMAT = 1
TRACES = "files/traces"
TRACE = re.compile(r"\.pt\.trace\.json(\.gz)?$")
"""What torch-tb-profiler takes for a trace."""
LONGEST = 100
"""Characters of a folder's name; file systems take 255 bytes."""


@dataclass(frozen=True)
class Entry:
    """What was made of one source, an attempt or an arm's traces: its place, and its files below the folder."""

    place: str
    files: tuple[str, ...]


@dataclass
class Update:
    """What an update left: how many runs there are by kind, and what it changed."""

    runs: int = 0
    profiles: int = 0
    written: int = 0
    removed: int = 0
    damaged: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not self.runs and not self.profiles


_Attempts = dict[str, list[StoredAttempt]]
"""By trial, oldest first."""


@dataclass(frozen=True)
class _Source:
    """What an entry is made of: its key in the folder's state, where it wants to lie, and how its files are made."""

    key: str
    place: str
    make: Callable[[Path], tuple[str, ...]]


class LogFolder:
    """The view in a folder; only files that it made itself are ever removed from there."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self._entries = _read_state(folder / STATE, store)
        self._read: dict[Path, tuple[list[str], list[StoredAttempt]]] = {}

    def update(self, experiments: Sequence[str] | None = None) -> Update:
        """Make what is new or changed, and remove what is gone from the store or is no longer asked for.

        Args:
            experiments: by name; all of the store where it is None.

        Raises:
            OSError: the folder cannot be written.
        """
        update, entries = Update(), {}
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in names_in(self.store.root) if experiments is None else experiments:
            trials = _newest(self._attempts(name, ATTEMPTS, update))
            arms = _newest_arms(self._attempts(name, PROFILES, update))
            for source in (*self._scalars(name, trials), *self._profiles(name, arms)):
                entry = self._entry(source, update)
                if entry is None:
                    continue
                entries[source.key] = entry
                shown = len({str(PurePosixPath(file).parent) for file in entry.files})
                if source.key.split("/")[1] == PROFILES:
                    update.profiles += shown
                else:
                    update.runs += shown
        wanted = {file for entry in entries.values() for file in entry.files}
        for file in sorted({file for entry in self._entries.values() for file in entry.files} - wanted):
            _remove(self.folder, file)
            update.removed += 1
        if entries != self._entries:
            self._entries = entries
            kept = {key: asdict(entry) for key, entry in entries.items()}
            write_json(self.folder / STATE, {"format": FORMAT, "store": str(self.store.root), "entries": kept})
        return update

    def _attempts(self, experiment: str, kind: str, update: Update) -> _Attempts:
        """Return the complete attempts of an experiment by trial; what was read stands as long as its folder does."""
        found: _Attempts = {}
        for trial in names_in(self.store.root / experiment / kind):
            folder = self.store.root / experiment / kind / trial
            names = names_in(folder)
            if folder not in self._read or self._read[folder][0] != names:
                attempts, damaged = attempts_in(folder)
                self._read[folder] = (names, attempts)
                update.damaged += damaged
            found[trial] = self._read[folder][1]
        return found

    def _entry(self, source: _Source, update: Update) -> Entry | None:
        """Return what stands for a source already, or make it; None where it is damaged."""
        there = self._entries.get(source.key)
        if there and there.place == source.place and all((self.folder / file).exists() for file in there.files):
            return there
        try:
            files = source.make(self.folder / source.place)
        except DamagedAttempt as error:
            update.damaged.append(str(error))
            return None
        update.written += len(files)
        return Entry(source.place, tuple(f"{source.place}/{file}" for file in files))

    def _scalars(self, experiment: str, trials: Mapping[str, StoredAttempt]) -> Iterator[_Source]:
        def named(attempt: Attempt) -> tuple[str, ...]:
            number = attempt.replicate
            return (*_levels(attempt), f"replicate {number}" if number >= 0 else f"tuning {-number}")

        places = _places({trial: named(stored.attempt) for trial, stored in trials.items()})
        for trial, stored in trials.items():
            key = f"{experiment}/{ATTEMPTS}/{trial}/{stored.attempt.id}"
            place = "/".join(map(safe_name, (experiment, *places[trial])))
            yield _Source(key, place, lambda target, stored=stored: _write_runs(target, stored))  # type: ignore[misc]

    def _profiles(self, experiment: str, arms: Mapping[tuple[str, str], StoredAttempt]) -> Iterator[_Source]:
        trials = {trial: _levels(stored.attempt) for (trial, _), stored in arms.items()}
        # The levels of one trial's unblocked factors tell nothing apart.
        places = _places(trials) if len(trials) > 1 else dict.fromkeys(trials, ())
        for (trial, arm), stored in arms.items():
            key = f"{experiment}/{PROFILES}/{trial}/{stored.attempt.id}/{arm}"
            place = "/".join(map(safe_name, (experiment, "profile", *places[trial])))
            traces = stored.folder / TRACES / arm
            yield _Source(key, place, lambda target, arm=arm, traces=traces: _link(target, arm, traces))  # type: ignore[misc]


def _levels(attempt: Attempt) -> tuple[str, ...]:
    """Return the levels of an attempt's arm as one text, and nothing of a spec without factors."""
    return (",".join(f"{name}={level_name(level)}" for name, level in attempt.arm.items()),) if attempt.arm else ()


def _places(named: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the parts of each trial's place; those that would be another's too end with the end of the trial's id."""
    often = Counter(named.values())

    def place(trial: str, parts: tuple[str, ...]) -> tuple[str, ...]:
        if often[parts] == 1:
            return parts
        *before, last = parts or ("",)
        return (*before, f"{last} ({trial[-8:]})".strip())

    return {trial: place(trial, parts) for trial, parts in named.items()}


def _newest(attempts: _Attempts) -> dict[str, StoredAttempt]:
    """Return by trial the newest attempt that succeeded, or else the newest."""
    return {
        trial: next((one for one in reversed(found) if one.attempt.succeeded), found[-1])
        for trial, found in attempts.items()
        if found
    }


def _newest_arms(profiles: _Attempts) -> dict[tuple[str, str], StoredAttempt]:
    """Return by trial and folder of traces the newest profile that has it."""
    newest: dict[tuple[str, str], StoredAttempt] = {}
    for trial, found in profiles.items():
        for stored in found:
            traces = stored.folder / TRACES
            arms = {path.parent.relative_to(traces).as_posix() for path in traces.rglob("*") if _is_trace(path)}
            newest |= {(trial, arm): stored for arm in sorted(arms)}
    return newest


def _is_trace(path: Path) -> bool:
    return TRACE.search(path.name) is not None and path.is_file()


def _write_runs(target: Path, stored: StoredAttempt) -> tuple[str, ...]:
    """Write an event file for each of an attempt's runs; return their paths below the target."""
    files = []
    for labels, scalars in step_scalars(stored.folder).items():
        name = f"events.out.tfevents.{int(stored.attempt.started)}.{stored.attempt.id}"
        path = target.joinpath(*_below(labels), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
        try:
            write_events(temporary, scalars, stored.attempt.started)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        files.append(path.relative_to(target).as_posix())
    return tuple(files)


def _below(labels: Labels) -> tuple[str, ...]:
    return (safe_name(",".join(f"{name}={value}" for name, value in labels)),) if labels else ()


def _link(target: Path, arm: str, traces: Path) -> tuple[str, ...]:
    """Link to a folder of traces, or copy it where there are no links; return its path below the target."""
    name = "all" if arm == "." else safe_name(arm)
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
    try:
        temporary.symlink_to(traces.absolute(), target_is_directory=True)
    except OSError:
        shutil.copytree(traces, temporary)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    os.replace(temporary, path)
    return (name,)


def _remove(folder: Path, file: str) -> None:
    """Remove a file, a link or a copied folder of traces, and the folders that are empty without it."""
    path = folder / file
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for parent in path.parents:
            if parent == folder:
                return
            parent.rmdir()


def _read_state(path: Path, store: Store) -> dict[str, Entry]:
    """Return what is known of a folder's entries; nothing where the state is lost, damaged or of another format.

    What was made of another store has no place any more. A path that leads out of the folder is none of ours.
    """
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            return {}
        same = document["store"] == str(store.root)
        entries = document["entries"].items()
        found = {key: Entry(one["place"] if same else "", tuple(one["files"])) for key, one in entries}
        return found if all(_inside(file) for entry in found.values() for file in entry.files) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _inside(file: str) -> bool:
    return not PurePosixPath(file).is_absolute() and ".." not in PurePosixPath(file).parts


_PLAIN = re.compile(r"[^A-Za-z0-9 ._=,+()-]+")


def safe_name(text: str) -> str:
    """Return a folder's name for any text: itself where it is plain, else what is left of it and a hash of it."""
    import hashlib

    left = _PLAIN.sub("_", text).strip(" .")
    if left == text and left and len(left) <= LONGEST:
        return left
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{left[: LONGEST - 11].strip(' .')}~{digest}"
