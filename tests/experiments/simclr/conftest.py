"""Small trainings that take a second: what the SimCLR tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Finished, Workplace

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


@pytest.fixture(autouse=True)
def own_data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is drawn in a folder of this test run."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path_factory.getbasetemp() / "data"))


def called(name: str, run: Run, **changed: Any) -> Any:
    """Call a trial function with plain data, checked as the engine checks a spec's."""
    function = resolve(f"experiments.simclr.trial:{name}")
    given = {key: value for key, value in {**SMALL, **changed}.items() if value is not ...}
    return function.call(run=run, **{key: function.parameters[key].check(value) for key, value in given.items()})


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Any]:
    """Train and evaluate a small model; ``replicate`` and ``run`` may be given."""

    def trained(replicate: int = 0, run: Run | None = None, **changed: Any) -> Any:
        return called("train_and_evaluate", run or Run("small", replicate, threads=1), **changed)

    return trained


@pytest.fixture
def in_folder(tmp_path: Path) -> Callable[..., Finished]:
    """Call the command line in a folder of its own."""
    return Workplace(tmp_path).harness
