"""Small R-Drop trainings that take a moment, called as the engine calls a trial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.execution.run import Run
from harness.spec.signature import resolve

SMALL: dict[str, Any] = {
    "alpha": 1.0,
    "data": {
        "source": "procedural-text",
        "classes": 3,
        "vocabulary": 40,
        "topic_words": 10,
        "topic_share": 0.6,
        "length": 6,
        "train": 48,
        "validation": 40,
        "test": 60,
    },
    "model": {"kind": "transformer", "width": 8, "layers": 1, "heads": 2},
    "optimiser": {"learning_rate": 0.01},
    "steps": 12,
    "batch_size": 8,
    "evaluations": 4,
}
DIGITS: dict[str, Any] = {
    "data": {"source": "digits", "size": 8, "train": 96, "validation": 60, "test": 100},
    "model": {"kind": "perceptron", "widths": [16]},
}
"""In place of the texts and the Transformer."""


class Watched(Run):
    """A run that remembers the steps it was told of, and can be interrupted after one of them."""

    def __init__(self, folder: Path | None = None, replicate: int = 0, interrupt: int | None = None) -> None:
        super().__init__("translate", replicate, threads=1, checkpoint_folder=folder)
        self.steps: list[int] = []
        self.interrupt = interrupt

    def progress(self, done: int, total: int) -> None:
        self.steps.append(done)
        if done == self.interrupt:
            raise KeyboardInterrupt


def checked_call(name: str, run: Run, given: Mapping[str, Any]) -> Any:
    """Call a trial function with plain data, checked as the engine checks a spec's."""
    function = resolve(name)
    return function.call(run=run, **{key: function.parameters[key].check(value) for key, value in given.items()})


def called(run: Run, **changed: Any) -> list[dict[str, Any]]:
    """Train on the small texts; ``...`` leaves a key out."""
    given = {key: value for key, value in {**SMALL, **changed}.items() if value is not ...}
    found: list[dict[str, Any]] = checked_call("experiments.rdrop.trial:train_and_evaluate", run, given)
    return found
