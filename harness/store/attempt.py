"""One execution of a trial, as it stands on disk."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.atomic import COMPLETE, folder_written_once, to_json

if TYPE_CHECKING:
    import pandas

FORMAT = 1
ATTEMPT_FILE = "attempt.json"
ATTEMPTS = "attempts"
"""The folder of an experiment in a store that its attempts lie in."""
PROFILES = "profiles"
"""The one that its profiles lie in, which have the shape of attempts."""


class DamagedAttempt(Exception):
    """A file of a complete attempt is missing or has other bytes than were written.

    The sentence names the path below the store, so that it reads alike wherever the store lies.
    """

    def __init__(self, path: Path, problem: str) -> None:
        parts = path.parts
        start = max([0, *(place - 1 for place, part in enumerate(parts) if part in (ATTEMPTS, PROFILES))])
        super().__init__(f"{Path(*parts[start:])}: {problem}")


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed: the kind, and the exception as text (exceptions do not always unpickle)."""

    kind: str
    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Attempt:
    """What one execution of a trial left: its records, or its failure, and under which circumstances.

    ``records`` are flat mappings: levels of blocked factors under the factors' names, and metrics. ``environment`` is
    the digest of a stored environment, ``moment`` what changes from minute to minute, ``code`` the fingerprint of the
    code, ``run`` the sweep that made it, ``place`` the host and the Slurm job, if there was one. Times are seconds
    since the epoch and seconds.
    """

    id: str
    trial: str
    experiment: str
    identity: Mapping[str, Any]
    arm: Mapping[str, Any]
    replicate: int
    records: tuple[Mapping[str, Any], ...]
    failure: Failure | None
    started: float
    seconds: float
    code: str
    environment: str
    moment: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""
    worker: str = ""
    place: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def succeeded(self) -> bool:
        return self.failure is None

    @property
    def diverged(self) -> bool:
        """Say whether a metric is not a finite number."""
        numbers = (value for record in self.records for value in record.values() if isinstance(value, float))
        return any(not math.isfinite(number) for number in numbers)


def write_attempt(folder: Path, attempt: Attempt, samples: Mapping[str, pandas.DataFrame], files: Path | None) -> Path:
    """Write an attempt with its raw sample tables and any files the trial kept; return its folder.

    Raises:
        OSError: the disk is full or cannot be written; nothing is left then.
    """
    target = folder / attempt.id
    with folder_written_once(target) as temporary:
        for name, table in samples.items():
            table.to_parquet(temporary / f"{name}.parquet", index=False)
        if files is not None and any(files.iterdir()):
            files.rename(temporary / "files")
        (temporary / ATTEMPT_FILE).write_bytes(attempt_bytes(attempt))
    return target


def attempt_bytes(attempt: Attempt) -> bytes:
    """Return what stands in an attempt's file."""
    # As 'asdict' has it, which copies every value of every mapping and takes longer than all else here.
    failure = asdict(attempt.failure) if attempt.failure is not None else None
    return to_json({**vars(attempt), "failure": failure})


def read_attempt(folder: Path | str) -> Attempt | None:
    """Return the attempt in a folder, or None where the folder is not complete.

    Raises:
        DamagedAttempt: the marker is there, but the attempt's bytes are not those that were written.
    """
    # Thousands of attempts are read for one answer: names are put together as text, which takes a Path far longer.
    try:
        marker = _bytes(f"{folder}/{COMPLETE}")
    except OSError:
        return None
    hashes = _hashes(folder, marker)
    if ATTEMPT_FILE not in hashes:
        raise DamagedAttempt(Path(folder, COMPLETE), "is damaged")
    data = _checked_bytes(f"{folder}/{ATTEMPT_FILE}", hashes[ATTEMPT_FILE]["sha256"])
    try:
        document = json.loads(data)
        if document.get("format") != FORMAT:
            problem = f"has the format {document.get('format')}, and this version reads {FORMAT}"
            raise DamagedAttempt(Path(folder), problem)
        failure = document.pop("failure")
        document["records"] = tuple(document["records"])
        return Attempt(failure=Failure(**failure) if failure else None, **document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # Its hash is right, so somebody wrote both.
        raise DamagedAttempt(Path(folder, ATTEMPT_FILE), "does not hold an attempt") from error


def read_samples(folder: Path, name: str) -> pandas.DataFrame:
    """Return a table of raw samples of a complete attempt, its bytes checked against the hash written with it.

    Raises:
        DamagedAttempt: the table is missing or has other bytes.
    """
    import io

    import pandas

    file = f"{name}.parquet"
    hashes = _hashes(folder, (folder / COMPLETE).read_bytes())
    if file not in hashes:
        raise DamagedAttempt(folder, f"has no samples '{name}'")
    data = _checked_bytes(folder / file, hashes[file]["sha256"])
    try:
        return pandas.read_parquet(io.BytesIO(data))
    except (ValueError, OSError) as error:
        raise DamagedAttempt(folder / file, "does not hold a table") from error


def sample_names(folder: Path) -> list[str]:
    """Return the names of the sample tables in a complete attempt.

    Raises:
        DamagedAttempt: the marker is damaged.
    """
    hashes = _hashes(folder, (folder / COMPLETE).read_bytes())
    return [name.removesuffix(".parquet") for name in hashes if name.endswith(".parquet") and "/" not in name]


def check_files(folder: Path) -> list[str]:
    """Return a sentence for each file of a complete attempt that is missing, has other bytes, or is not listed.

    The whole folder is read. The marker itself must stand as it was written, to the byte: nothing can change unseen,
    except by whoever writes a marker anew; a report's manifest holds the markers' own hashes for that.
    """
    try:
        marker = (folder / COMPLETE).read_bytes()
        hashes = _hashes(folder, marker)
    except OSError as error:
        return [f"{folder / COMPLETE}: {error.strerror}"]
    except DamagedAttempt as error:
        return [str(error)]
    found = [] if marker == to_json(hashes) else [f"{folder / COMPLETE}: is damaged"]
    for name, expected in hashes.items():
        try:
            data = _checked_bytes(folder / name, expected["sha256"])
        except DamagedAttempt as error:
            found.append(str(error))
            continue
        if len(data) != expected["bytes"]:
            found.append(f"{folder / COMPLETE}: gives another size for {name} than it has")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    found += [f"{folder / name}: is not listed in {COMPLETE}" for name in sorted(present - hashes.keys() - {COMPLETE})]
    return found


def _hashes(folder: Path | str, marker: bytes) -> dict[str, dict[str, Any]]:
    """Return what a marker says of each file: its SHA-256 and its size in bytes.

    Raises:
        DamagedAttempt: the marker does not say so.
    """
    try:
        hashes: dict[str, dict[str, Any]] = json.loads(marker)
        usable = all(isinstance(entry["sha256"], str) and isinstance(entry["bytes"], int) for entry in hashes.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedAttempt(Path(folder, COMPLETE), "is damaged") from error
    if not usable:
        raise DamagedAttempt(Path(folder, COMPLETE), "is damaged")
    return hashes


def _checked_bytes(path: Path | str, expected: str) -> bytes:
    try:
        data = _bytes(path)
    except OSError as error:
        raise DamagedAttempt(Path(path), str(error.strerror)) from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise DamagedAttempt(Path(path), "its bytes are not those that were written")
    return data


def _bytes(path: Path | str) -> bytes:
    """Return a file's bytes, in half the time that Python's file objects take for a small one."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        pieces = []
        while piece := os.read(descriptor, _PIECE):
            pieces.append(piece)
    finally:
        os.close(descriptor)
    return b"".join(pieces)


_PIECE = 1 << 20
