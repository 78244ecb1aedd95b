"""What several rooms' tests share: small trial functions, and the command line as a user calls it."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from pathlib import Path

from preloaded import call

TRIALS = '''
"""Small trial functions for the tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any


def draw(*, run: Any, index: int = 0, alpha: float = 1.0, label: str = "") -> dict[str, Any]:
    """A number from a stream."""
    return {"value": float(run.stream("init").numpy.random()) + alpha * index}


def slow(*, run: Any, index: int, seconds: float = 0.01, gate: str = "") -> dict[str, Any]:
    """The tenth and all later ones stand before a gate, a file, until it is there."""
    while gate and index >= 9 and not os.path.exists(gate):
        time.sleep(0.02)
    time.sleep(seconds)
    return {"value": float(index)}


def fragile(*, run: Any, index: int, mode: str = "raise") -> dict[str, Any]:
    if index == 3:
        if mode == "raise":
            raise ValueError("three is not allowed")
        if mode == "exit":
            raise SystemExit(5)
        if mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "nan":
            return {"value": float("nan")}
        if mode == "hang":
            time.sleep(600)
        if mode == "records":
            return {"value": [1, 2]}
    return {"value": 1.0}


def arms(*, run: Any, arm: str = "a", level: float = 0.0, setting: str = "s") -> dict[str, Any]:
    """An arm of a synthetic sweep; the tests make its records up."""
    return {"value": float(run.stream("noise").numpy.normal())}


def pair(*, run: Any, system: Mapping[str, float], threads: int = 1) -> list[dict[str, Any]]:
    noise = run.stream("noise").numpy
    return [
        {"system": name, "latency_ms": cost * float(noise.lognormal(0, 0.01)), "threads_used": threads}
        for name, cost in system.items()
    ]
'''


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Workplace:
    """A folder with trial functions in which specs are written and commands are run."""

    folder: Path

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
        return path

    def harness(self, *arguments: str, environment: dict[str, str] | None = None) -> Finished:
        """Call the command line as a user does in this folder."""
        return Finished(*call(self.folder, arguments, {**os.environ, **(environment or {})}, timeout=240))


SMALL_SPEC = """
experiment: small
title: A small experiment
trial: small_trials:draw
factors:
  index: [0, 1, 2]
  alpha: [0.5, 2]
replicates: 2
profiles:
  laptop: {fidelity: proxy}
"""
