"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
from support import SMALL_SPEC, TRIALS, Workplace

# These machines are noisy: how long an example takes says nothing of the code.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    (tmp_path / "small_trials.py").write_text(TRIALS)
    return Workplace(tmp_path)


@pytest.fixture
def small_spec(workplace: Workplace) -> Path:
    return workplace.write("small.yaml", SMALL_SPEC)


@pytest.fixture
def in_workplace(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make the workplace the current folder and return its ``write``."""
    monkeypatch.chdir(workplace.folder)
    monkeypatch.syspath_prepend(str(workplace.folder))
    sys.modules.pop("small_trials", None)
    return workplace.write
