"""What all benchmarks share: the comparing fixture, one thread, sizes, and the environment in pytest-benchmark's JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from beside import Beside
from pytest_benchmark.fixture import BenchmarkFixture
from simulation import prepared
from stores import FinishedStore, Quick, finished_store, quick_folder

from harness.measure.environment import describe_environment
from harness.plan.source import describe_source

DEFAULT_TRIALS = "1000 10000"
FEWEST_TRIALS, STEP = 200, 100
"""What there are where nothing is measured, and of what all sizes are multiples: a replicate of the finished sweep."""
_environment: dict[str, Any] = {}


@pytest.fixture
def beside(benchmark: BenchmarkFixture) -> Iterator[Beside]:
    """Compare on one thread, and note the environment as it is then."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    if not _environment and benchmark.enabled:
        _environment.update(describe_environment(), source=describe_source("reports.bench_command:bench_command"))
    yield Beside(benchmark)
    torch.set_num_threads(before)


def pytest_benchmark_generate_machine_info() -> dict[str, Any]:
    """Put in place of pytest-benchmark's own description what trials store of their environment."""
    return _environment


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a benchmark for each size of a module's ``SIZES`` and of ``trials``; where nothing is measured, for the first.

    ``SIZES`` has the values of parameters by their names.
    """
    disabled = metafunc.config.getoption("benchmark_disable")
    for name, values in getattr(metafunc.module, "SIZES", {}).items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values[:1] if disabled else values)
    if "trials" in metafunc.fixturenames:
        metafunc.parametrize("trials", [FEWEST_TRIALS] if disabled else sizes(), scope="session")


def sizes() -> list[int]:
    """Return the numbers of trials that the variable TRIALS asks for."""
    text = os.environ.get("TRIALS") or DEFAULT_TRIALS
    try:
        found = sorted({int(word.replace("_", "")) for word in text.replace(",", " ").split()})
    except ValueError:
        found = []
    if not found or any(size < FEWEST_TRIALS or size % STEP for size in found):
        raise pytest.UsageError(
            f"TRIALS='{text}': must be multiples of {STEP} from {FEWEST_TRIALS} on, such as '{DEFAULT_TRIALS}'"
        )
    return found


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quick]:
    """A folder whose files cost as little as they can."""
    with quick_folder(tmp_path_factory.mktemp("quick"), max(sizes())) as found:
        yield found


@pytest.fixture(scope="session")
def made_store(quick: Quick, trials: int) -> Iterator[FinishedStore]:
    with finished_store(quick, trials) as found:
        yield found


@pytest.fixture
def finished(made_store: FinishedStore, monkeypatch: pytest.MonkeyPatch) -> FinishedStore:
    """A store in which all trials of a sweep are done, made once a size; its trial function can be imported."""
    importable(made_store.folder, monkeypatch)
    return made_store


@pytest.fixture
def workshop(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> Quick:
    """The quick folder, with trial functions in it that can be imported."""
    prepared(quick.folder)
    importable(quick.folder, monkeypatch)
    return quick


def importable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "small_trials", raising=False)
