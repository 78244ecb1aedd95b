"""What the SimCLR tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simclr_small import called
from support import Finished, Workplace

from harness.execution.run import Run


@pytest.fixture
def train() -> Callable[..., Any]:
    """Train and evaluate a small model; ``replicate`` and ``run`` may be given."""

    def trained(replicate: int = 0, run: Run | None = None, **changed: Any) -> Any:
        return called("train_and_evaluate", run or Run("small", replicate, threads=1), **changed)

    return trained


@pytest.fixture
def in_folder(tmp_path: Path) -> Callable[..., Finished]:
    """Call the command line in a folder of its own."""
    return Workplace(tmp_path).harness
