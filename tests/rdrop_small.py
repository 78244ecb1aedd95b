"""Small R-Drop trainings that take a moment, called as the engine calls a trial."""

from __future__ import annotations

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


def called(run: Run, **changed: Any) -> list[dict[str, Any]]:
    """Call the trial function with plain data, checked as the engine checks a spec's; ``...`` leaves a key out."""
    function = resolve("experiments.rdrop.trial:train_and_evaluate")
    given = {key: value for key, value in {**SMALL, **changed}.items() if value is not ...}
    found: list[dict[str, Any]] = function.call(
        run=run, **{key: function.parameters[key].check(value) for key, value in given.items()}
    )
    return found
