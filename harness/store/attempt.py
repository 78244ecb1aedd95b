"""One execution of a trial, as it stands on disk."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.atomic import COMPLETE, folder_written_once, to_json

if TYPE_CHECKING:
    import pandas

FORMAT = 1
ATTEMPT_FILE = "attempt.json"


class DamagedAttempt(Exception):
    """A file of a complete attempt is missing or has other bytes than were written."""


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
    code, ``run`` the sweep that made it. Times are seconds since the epoch and seconds.
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
        (temporary / ATTEMPT_FILE).write_bytes(to_json(asdict(attempt)))
    return target


def read_attempt(folder: Path) -> Attempt | None:
    """Return the attempt in a folder, or None where the folder is not complete.

    Raises:
        DamagedAttempt: the marker is there, but the attempt's bytes are not those that were written.
    """
    try:
        marker = (folder / COMPLETE).read_bytes()
    except OSError:
        return None
    try:
        expected = json.loads(marker)[ATTEMPT_FILE]["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedAttempt(f"{folder / COMPLETE}: is damaged") from error
    data = _checked_bytes(folder / ATTEMPT_FILE, expected)
    document = json.loads(data)
    if document.get("format") != FORMAT:
        raise DamagedAttempt(f"{folder}: has the format {document.get('format')}, and this version reads {FORMAT}")
    failure = document.pop("failure")
    document["records"] = tuple(document["records"])
    return Attempt(failure=Failure(**failure) if failure else None, **document)


def read_samples(folder: Path, name: str) -> pandas.DataFrame:
    """Return a table of raw samples of a complete attempt, its bytes checked against the hash written with it.

    Raises:
        DamagedAttempt: the table is missing or has other bytes.
    """
    import io

    import pandas

    file = f"{name}.parquet"
    hashes = json.loads((folder / COMPLETE).read_bytes())
    if file not in hashes:
        raise DamagedAttempt(f"{folder}: has no samples '{name}'")
    return pandas.read_parquet(io.BytesIO(_checked_bytes(folder / file, hashes[file]["sha256"])))


def sample_names(folder: Path) -> list[str]:
    """Return the names of the sample tables in a complete attempt."""
    hashes = json.loads((folder / COMPLETE).read_bytes())
    return [name.removesuffix(".parquet") for name in hashes if name.endswith(".parquet") and "/" not in name]


def _checked_bytes(path: Path, expected: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedAttempt(f"{path}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise DamagedAttempt(f"{path}: its bytes are not those that were written")
    return data
