"""What the SimCLR tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import threadpoolctl
import torch
from simclr_small import called
from support import Finished, Workplace

from harness.execution.run import Run


@pytest.fixture(autouse=True)
def own_data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is drawn in a folder of this test run."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path_factory.getbasetemp() / "data"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread, as trials do: on so little data more of them only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        yield
    torch.set_num_threads(before)


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
