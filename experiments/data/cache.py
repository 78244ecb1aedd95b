"""The folder in which data sets are made once and shared by all processes.

``$HARNESS_DATA``, else ``$XDG_CACHE_HOME/paper-claims-harness/data``, else ``~/.cache/paper-claims-harness/data``.
An entry is ``<source>-<hash of what identifies it>/entry``; it appears under that name only when it is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import UserError
from harness.store.atomic import COMPLETE, TEMPORARY, folder_written_once

ENTRY = "entry"

T = TypeVar("T")


def cache_folder() -> Path:
    """Return the cache's folder; it need not exist."""
    if chosen := os.environ.get("HARNESS_DATA"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "paper-claims-harness" / "data"


def made_once(
    source: str, identity: Mapping[str, Any], make: Callable[[], T], write: Callable[[T, Path], None]
) -> Path:
    """Return the folder of an entry; make it if it is not there, or not whole.

    ``identity`` is all that decides the entry's content, as JSON; ``make`` makes the content, and ``write`` writes it
    into an empty folder. Of several processes that ask at once, one makes it and the others wait.

    Raises:
        UserError: the cache's folder cannot be written.
    """
    target = entry_of(source, identity)
    home = target.parent
    if is_whole(target):
        return target
    with _alone(home):
        if is_whole(target):
            return target
        with _explained(home):
            _clear(home)
        content = make()
        with _explained(home), folder_written_once(target) as folder:
            write(content, folder)
    return target


def entry_of(source: str, identity: Mapping[str, Any]) -> Path:
    """Return the folder in which an entry lies, or would lie."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return cache_folder() / f"{source}-{digest[:32]}" / ENTRY


def is_whole(target: Path) -> bool:
    """Return whether an entry is complete and every file of it has its size."""
    try:
        files = json.loads((target / COMPLETE).read_text())
        return all((target / name).stat().st_size == file["bytes"] for name, file in files.items())
    except (OSError, ValueError):
        return False


def content_hash(target: Path) -> str:
    """Return the SHA-256 over the hashes of all files of an entry."""
    files = json.loads((target / COMPLETE).read_text())
    return hashlib.sha256(json.dumps({name: files[name]["sha256"] for name in sorted(files)}).encode()).hexdigest()


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the entry's lock; the system lets go of it when the process ends, however it ends."""
    with _explained(home):
        home.mkdir(parents=True, exist_ok=True)
        file = (home / "lock").open("a")
    with file:
        with _explained(home):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _clear(home: Path) -> None:
    """Remove a damaged entry and what a killed maker left. Only the holder of the lock may.

    The damaged entry is renamed first: a process that was killed while removing it must not leave half of it there.
    """
    if (home / ENTRY).exists():
        (home / ENTRY).rename(home / f"{TEMPORARY}{uuid.uuid4().hex}")
    for left in home.glob(f"{TEMPORARY}*"):
        shutil.rmtree(left)


@contextlib.contextmanager
def _explained(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The data cache {home.parent} cannot be written ({error.strerror or error}); set HARNESS_DATA to a folder "
            "that can be, with enough room."
        ) from error
