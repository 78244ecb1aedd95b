"""How far a sweep is: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any, TextIO

PLAIN_SECONDS = 30.0


@dataclass
class Tally:
    """What a sweep has come to. ``within`` is how far the running trials are, as (done, total) by trial.

    ``elsewhere`` counts trials that another driver is at; ``note`` is what else there is to say, such as of a queue.
    """

    total: int
    finished: int = 0
    failed: int = 0
    elsewhere: int = 0
    note: str = ""
    running: set[str] = field(default_factory=set)
    within: dict[str, tuple[int, int]] = field(default_factory=dict)
    predicted: float | None = None
    started: float = field(default_factory=time.monotonic)
    pace: list[tuple[float, float]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The share of the work that is done, parts of running trials included."""
        parts = sum(done / total for done, total in self.within.values() if total)
        return min(1.0, (self.finished + parts) / self.total) if self.total else 1.0

    def seconds_left(self) -> float | None:
        """Return the time left at the pace since the first sign of progress, or what was predicted while there is none.

        What came before that sign (starting workers, building models) is not part of the pace. A trial that begins
        another part of its work goes back to nothing, and the pace is that of the new part.
        """
        now = time.monotonic()
        if self.pace and self.share < self.pace[-1][1]:
            self.pace.clear()
        if (self.within or self.finished) and (not self.pace or self.pace[-1][1] != self.share):
            self.pace.append((now, self.share))
        if len(self.pace) < 2:
            return max(0.0, self.predicted - (now - self.started)) if self.predicted else None
        (first, before), (last, share) = self.pace[0], self.pace[-1]
        return max(0.0, (1 - share) * (last - first) / (share - before) - (now - last))

    def line(self) -> str:
        """Return done of total, failures, running and time left, as one line of text."""
        parts = [f"{self.finished}/{self.total} trials done"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.running:
            inside = ", ".join(f"{done}/{total}" for done, total in self.within.values() if total)
            parts.append(f"{len(self.running)} running" + (f" (at {inside})" if inside else ""))
        if self.elsewhere:
            parts.append(f"{self.elsewhere} running for another driver")
        if self.note:
            parts.append(self.note)
        left = self.seconds_left()
        if left is not None and self.finished < self.total:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a duration as people say it: ``42 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = int(round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Display:
    """Shows a tally. The terminal's live line is refreshed only when it is told to, never from a thread of its own."""

    def __init__(self, title: str, tally: Tally, stream: TextIO | None = None) -> None:
        self.tally = tally
        self._title = title
        self._stream = stream or sys.stderr
        self._shown = ""
        self._shown_at = 0.0
        self._live: Any = None

    def __enter__(self) -> Display:
        if self._stream.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self._stream), auto_refresh=False, transient=True)
            self._live.__enter__()
        self.update(force=True)
        return self

    def __exit__(self, *details: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*details)
            self._live = None
        self._print(self.tally.line())

    def update(self, force: bool = False) -> None:
        """Show the tally if it is time to."""
        now = time.monotonic()
        if self._live is not None:
            if force or now - self._shown_at > 0.2:
                self._shown_at = now
                self._live.update(self._bar(), refresh=True)
            return
        if force or now - self._shown_at > PLAIN_SECONDS:
            self._print(self.tally.line())

    def _print(self, line: str) -> None:
        if line == self._shown:
            return
        self._shown, self._shown_at = line, time.monotonic()
        print(f"{self._title}: {line}", file=self._stream, flush=True)

    def _bar(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        row = Table.grid(padding=(0, 1))
        row.add_row(self._title, ProgressBar(total=1.0, completed=self.tally.share, width=30), self.tally.line())
        return row
