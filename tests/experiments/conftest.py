"""What the tests of all papers' rooms share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import threadpoolctl
import torch


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
