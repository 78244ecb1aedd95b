"""Fixtures of Slurm's side: commands that are fakes, and an empty store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from slurm_fakes import Clock, Commands

from harness.store.store import Store


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the flushes: no machine fails here, and waiting for a disk would take most of the time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """A PATH with nothing in it but what the test adds; no variable of a Slurm around the tests is seen."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_", "SUBMITIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(folder))
    return Commands(folder)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def clock() -> Clock:
    return Clock()
