"""Sections that are kept beside a report, so that the next one makes anew only what has changed.

A section stands for as long as everything it was made from has the size and the time of change that it had: the
experiment's folder in the store, the files of the specs and of the trial's code, and the code that judges and renders.
``harness verify`` never reads what is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from pydantic import ValidationError

from harness.plan.code import source_files
from harness.spec.load import Experiment
from harness.store.atomic import write_bytes
from harness.store.store import Store
from reports.parts import Part, Section

FOLDER = ".kept"
PASSING = ("claims", "index.jsonl", "__pycache__")
"""Names in an experiment's folder of the store that say nothing of results, and in ours what Python keeps."""
Stamp = tuple[int, int]


class Kept(Part):
    """A section with what it was made from; ``section`` is None where the store had no results to show."""

    inputs: str
    watched: dict[str, Stamp | None]
    section: Section | None

    def still(self) -> bool:
        """Say whether the watched files are as they were."""
        return all(found is not None and stamp(Path(file)) == found for file, found in self.watched.items())


@dataclass(frozen=True)
class Wanted:
    """A section that a report shall have. ``named`` is false where it is wanted only if it has any results.

    ``beside`` says that it is shown beside another, and may be of another device and made with other code.
    """

    experiment: Experiment
    profile: str | None
    device: str | None
    store: Store
    named: bool
    beside: bool = False

    @property
    def name(self) -> str:
        """What it is kept under: the same for the same spec, profile, device, store and use."""
        asked = [str(self.experiment.source.path.resolve()), self.profile, self.device, str(self.store.root.resolve())]
        return _digest([json.dumps([*asked, self.named, self.beside])])[:32]


class KeptSections:
    """The sections kept in a report's folder; those made anew are written by ``keep``, once the report is there."""

    def __init__(self, site: Path) -> None:
        self._folder = site / FOLDER
        self._new: dict[str, Kept] = {}
        self._used: set[str] = set()
        self._digests: dict[Path, str] = {}

    @property
    def made(self) -> int:
        """How many sections had to be made anew."""
        return len(self._new)

    def find(self, wanted: Wanted) -> Kept | None:
        """Return what is kept of a section; None where it has to be made, as what it is made from has changed."""
        self._used.add(wanted.name)
        kept = _read(self._path(wanted.name))
        return kept if kept is not None and kept.inputs == self.inputs(wanted) and kept.still() else None

    def add(self, wanted: Wanted, kept: Kept) -> None:
        """Note a section that was made anew."""
        self._new[wanted.name] = kept

    def inputs(self, wanted: Wanted) -> str:
        """Return a digest of all that a section is made from but the files of the spec and the trial's code.

        It is taken before the section is made, so that what changes meanwhile is found changed the next time.
        """
        root, folder = wanted.store.root, wanted.store.root / wanted.experiment.name
        # Profiles of an experiment share a folder, and what is not kept is asked for twice.
        if root not in self._digests:
            self._digests[root] = _digest([*_surroundings(), *_of_store(wanted.store)])
        if folder not in self._digests:
            self._digests[folder] = _digest([self._digests[root], *_listing(folder)])
        return self._digests[folder]

    def keep(self) -> None:
        """Write what was made anew, and remove what was not asked for.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, new in self._new.items():
            write_bytes(self._path(name), new.model_dump_json().encode())
        for path in self._folder.glob("*.json"):
            if path.stem not in self._used:
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def kept_of(wanted: Wanted, inputs: str, section: Section | None, began: int) -> Kept:
    """Return a section with what it was made from since ``began``, in nanoseconds since the epoch."""
    # Where the code lies is known once it has been loaded; a file that changed since is made from again.
    watched = {str(file.resolve()): stamp(file) for file in _watched_files(wanted.experiment)}
    unchanged = {file: found if found and found[0] < began else None for file, found in watched.items()}
    return Kept(inputs=inputs, watched=unchanged, section=section)


def _watched_files(experiment: Experiment) -> Iterator[Path]:
    """Yield the spec's files and those of its trial's code."""
    registered = (*experiment.claims, *experiment.registry)
    yield from dict.fromkeys((experiment.source.path, *(entry.source.path for entry in registered)))
    spec = experiment.spec
    functions = [spec.trial, *(named for named in (spec.operations, spec.ready, spec.profiled) if named)]
    functions += _plot_functions(experiment)
    for function in functions:
        yield from source_files(function)


def stamp(path: Path) -> Stamp | None:
    """Return a file's time of change in nanoseconds and its size in bytes; None where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _plot_functions(experiment: Experiment) -> list[str]:
    pictures = experiment.spec.report.get("pictures") or ()
    found = [entry.get("function") for entry in pictures if isinstance(entry, dict)]
    return [name for name in found if isinstance(name, str)]


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()


def _surroundings() -> Iterator[str]:
    """Yield what any section depends on: Python, its libraries, the machine's devices, our own code."""
    yield from (sys.version, platform.node(), os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    yield from _libraries()
    for package in ("harness", "reports"):
        file = sys.modules[package].__file__
        assert file is not None
        yield from _listing(Path(file).parent)


def _of_store(store: Store) -> Iterator[str]:
    yield from _listing(store.root / "certificates")
    yield from _listing(store.root / "environments")


def _libraries() -> Iterator[str]:
    """Yield what is installed, by the names of its metadata, which have the versions in them."""
    yield from sorted(str(getattr(found, "_path", found.metadata["Name"])) for found in distributions())


def _listing(folder: Path) -> Iterator[str]:
    """Yield a line for each file below a folder, in order: its path, time of change and size."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name in PASSING:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _listing(Path(entry.path))
        else:
            try:
                found = entry.stat()
            except OSError:
                continue
            yield f"{entry.path} {found.st_mtime_ns} {found.st_size}"


def _read(path: Path) -> Kept | None:
    try:
        return Kept.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
