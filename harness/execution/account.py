"""Where the time of several commands went: in trials, or around them.

``HARNESS_ACCOUNT`` names a file that every command adds a line to when it ends; the report's then says what the whole
came to. ``make reproduce`` sets it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.execution.place import start_of

VARIABLE = "HARNESS_ACCOUNT"
Span = tuple[float, float]
"""From when to when, in seconds since the epoch."""


@dataclass(frozen=True)
class Spent:
    """One command: from when to when it ran, in seconds since the epoch, and seconds of it.

    ``sweeps`` is what its sweeps took, ``trials`` the part of it in which at least one trial was running.
    """

    command: str
    started: float
    ended: float
    sweeps: float
    trials: float


_sweeps: list[tuple[float, float]] = []
"""What the sweeps of this process took, and their trials."""


def covered(spans: Iterable[Span]) -> float:
    """Return how many seconds lie within at least one span."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        if end > reached:
            total += end - max(start, reached)
            reached = end
    return total


@contextlib.contextmanager
def sweeping(trials: Sequence[Span]) -> Iterator[None]:
    """Note what the block took as a sweep, whose ``trials`` are known at its end."""
    began = time.time()
    try:
        yield
    finally:
        ended = time.time()
        # A worker's clock on another machine may be a little off; no trial ran outside of its sweep.
        within = ((max(began, start), min(ended, end)) for start, end in trials)
        _sweeps.append((ended - began, covered(span for span in within if span[0] < span[1])))


def note_command(command: str) -> None:
    """Add this process to the account, if one is kept; an account that cannot be written is none."""
    file = os.environ.get(VARIABLE)
    if not file:
        return
    spent = Spent(command, _started(), time.time(), sum(s for s, _ in _sweeps), sum(t for _, t in _sweeps))
    with contextlib.suppress(OSError), open(file, "a") as account:
        account.write(json.dumps(asdict(spent)) + "\n")


def _started() -> float:
    """Return when this process started, in seconds since the epoch; its interpreter and its imports count."""
    begun = start_of(os.getpid())
    if not Path("/proc/self/stat").exists():
        return begun
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - begun / os.sysconf("SC_CLK_TCK"))


def read_account(file: Path) -> list[Spent]:
    """Return the commands of an account in the order in which they ended; lines that are none are left out."""
    found = []
    for line in file.read_text().splitlines():
        with contextlib.suppress(ValueError, TypeError):
            found.append(Spent(**json.loads(line)))
    return found


def told(commands: Sequence[Spent]) -> str:
    """Return a sentence: how long the commands took together, how much of it trials ran, and where the rest went."""
    from harness.execution.display import duration

    whole = max(one.ended for one in commands) - min(one.started for one in commands)
    trials = sum(one.trials for one in commands)
    runs = [one for one in commands if one.command == "run"]
    parts = {
        "starting workers and between trials": sum(one.sweeps - one.trials for one in commands),
        "plans and verdicts of sweeps": sum(one.ended - one.started - one.sweeps for one in runs),
        "the report": sum(one.ended - one.started for one in commands if one.command == "report"),
    }
    parts["the rest"] = max(0.0, whole - trials - sum(parts.values()))
    rest = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items())
    share = trials / whole if whole > 0 else 0.0
    return f"time: {duration(whole)}, {share:.1%} of it in trials; {rest}"


def account() -> str:
    """Return what the account that is kept says so far; empty where none is kept, or it cannot be read."""
    file = os.environ.get(VARIABLE)
    try:
        commands = read_account(Path(file)) if file else []
    except OSError:
        commands = []
    return told(commands) if commands else ""
