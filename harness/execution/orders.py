"""What a driver tells its workers, and what they tell it: files in the folder of one run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.execution.place import start_of
from harness.store.atomic import write_json


@dataclass(frozen=True)
class OrderedTrial:
    """A trial to run: what its function is called with, and the attempts that were there when it was ordered."""

    id: str
    arm: Mapping[str, Any]
    blocked: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, Any]
    replicate: int
    identity: Mapping[str, Any]
    known_attempts: tuple[str, ...]


@dataclass(frozen=True)
class ProcessName:
    """A process that can be told from a later one with the same number."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessName:
        """Return the name of the process that has this number now.

        Raises:
            psutil.NoSuchProcess: there is none.
        """
        return cls(pid, start_of(pid))


@dataclass(frozen=True)
class Order:
    """Trials for one or more workers, and all that they need to run them.

    ``driver`` is set where a worker must end with it. ``exclusive`` trials are timed, so what interrupts one discards
    it; of ``one_each`` every one needs a fresh process. ``dead_claims`` are ids of claims whose processes the driver
    knows to be gone.
    """

    run: str
    experiment: str
    store: str
    function: str
    search: tuple[str, ...]
    code: str
    device: str
    threads: int
    exclusive: bool
    one_each: bool
    driver: ProcessName | None
    trials: tuple[OrderedTrial, ...]
    dead_claims: tuple[str, ...] = ()

    def share(self, index: int, tasks: int) -> slice:
        """Return where the trials stand that are task ``index``'s own, of ``tasks``; with ``one_each`` it is one."""
        start, end = (len(self.trials) * number // tasks for number in (index, index + 1))
        return slice(start, end)

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Order:
        document = json.loads(path.read_bytes())
        driver = document.pop("driver")
        trials = tuple(
            OrderedTrial(
                **{
                    **entry,
                    "blocked": {name: tuple(levels) for name, levels in entry["blocked"].items()},
                    "known_attempts": tuple(entry["known_attempts"]),
                }
            )
            for entry in document.pop("trials")
        )
        for name in ("search", "dead_claims"):
            document[name] = tuple(document[name])
        return cls(driver=ProcessName(**driver) if driver else None, trials=trials, **document)


class EventWriter:
    """Appends events, one JSON line each, to a worker's own file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8")
        # A worker that was killed in the middle of a line must not take the next one's first event with it.
        if not _ends_a_line(path):
            self._file.write("\n")

    def write(self, event: str, **details: Any) -> None:
        self._file.write(json.dumps({"event": event, "time": time.time(), **details}) + "\n")

    def close(self) -> None:
        self._file.close()


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


class EventReader:
    """Reads what was appended to an event file since the last look; a line still being written waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self._offset += end
        events = []
        for line in data[:end].splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                continue
        return events
