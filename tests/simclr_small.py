"""Small SimCLR trainings that take a second, called as the engine calls a trial."""

from __future__ import annotations

from typing import Any

from harness.execution.run import Run
from harness.spec.signature import resolve

SMALL: dict[str, Any] = {
    "data": {"source": "glyphs", "size": 12, "letters": 3, "train": 96, "validation": 40, "test": 40},
    "encoder": {"kind": "small", "widths": [4, 8], "strides": [2, 2]},
    "optimiser": {"kind": "adamw", "learning_rate": 0.003, "warmup_fraction": 0.2},
    "augmentation": {"crop": {"scale": [0.3, 1.0]}, "blur": None},
    "epochs": 2,
    "batch_size": 16,
    "temperature": 0.2,
    "output_dimension": 8,
    "probe": {"labelled": 60},
}


def called(name: str, run: Run, **changed: Any) -> Any:
    """Call a trial function with plain data, checked as the engine checks a spec's; ``...`` leaves a key out."""
    function = resolve(f"experiments.simclr.trial:{name}")
    given = {key: value for key, value in {**SMALL, **changed}.items() if value is not ...}
    return function.call(run=run, **{key: function.parameters[key].check(value) for key, value in given.items()})
