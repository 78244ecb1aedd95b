"""Writing that survives kill -9 and a full disk: all of it is there under its name, or none."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp-"
COMPLETE = "COMPLETE"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name with a uuid, flush it to the disk, and give it its name."""
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        _write_through(temporary, data)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinities are kept, as Python's JSON reads them."""
    write_bytes(path, to_json(value))


def write_json_once(path: Path, value: Any) -> None:
    """Write JSON under a name that nobody has taken; the file is there whole or not at all.

    Raises:
        FileExistsError: the file is there already; it is left as it is.
    """
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        _write_through(temporary, to_json(value))
        os.link(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


@contextlib.contextmanager
def folder_written_once(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``target`` when the block ends without an exception.

    Every file is flushed to the disk, then the marker ``COMPLETE`` with the SHA-256 and size of each file, then the
    folder gets its name. Nothing of it is left after an exception.

    Raises:
        FileExistsError: ``target`` is there already.
    """
    temporary = target.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    temporary.mkdir(parents=True)
    try:
        yield temporary
        hashes = {}
        for path in sorted(p for p in temporary.rglob("*") if p.is_file()):
            _flush(path)
            data = path.read_bytes()
            hashes[path.relative_to(temporary).as_posix()] = {
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
            }
        _write_through(temporary / COMPLETE, to_json(hashes))
        _flush(temporary)
        if target.exists():
            raise FileExistsError(f"{target} is written already")
        os.rename(temporary, target)
        _flush(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
