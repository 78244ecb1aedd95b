from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from harness.measure.settings import TimingSettings


def test_defaults_are_the_published_rules() -> None:
    settings = TimingSettings()
    assert settings.minimum_rounds == 20
    assert settings.target_half_width == 0.02
    assert settings.warmup_quartile_tolerance == 0.05
    assert settings.warmup_mad_tolerance == 0.10


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"minimum_rounds": 0}, "must be 1 or more"),
        ({"minimum_rounds": 30, "maximum_rounds": 10}, "maximum_rounds (10) is below minimum_rounds (30)"),
        ({"minimum_rounds": 3, "minimum_kept_rounds": 4}, "minimum_kept_rounds (4) is above"),
        (
            {"slow_round_seconds": 5.0, "minimum_rounds_slow": 4},
            "minimum_kept_rounds (6) is above the rounds that may be run (4)",
        ),
        ({"slow_round_seconds": 5.0, "minimum_rounds_slow": 40}, "slow rounds may ask for fewer rounds"),
        ({"minimum_seconds": 10.0, "timeout_seconds": 10.0}, "must be longer than minimum_seconds"),
        ({"minimum_iterations": 5, "maximum_iterations": 4}, "maximum_iterations (4) is below"),
        ({"warmup_window": 2}, "a window needs 3"),
        ({"busy_fraction": 1.5}, "must be a fraction above 0 and at most 1"),
        ({"busy_fraction": 0.0}, "must be a fraction above 0"),
        ({"timeout_seconds": float("inf")}, "must be a finite number above 0"),
        ({"visit_seconds": float("nan")}, "must be a finite number, 0 or more"),
        ({"target_half_width": -0.1}, "must be a finite number above 0"),
        ({"minimum_round": 5}, "Extra inputs are not permitted"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(values: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TimingSettings(**values)  # type: ignore[arg-type]
    assert caught.value.error_count() == 1
    assert sentence in caught.value.errors()[0]["msg"]


def test_settings_are_frozen_and_survive_json() -> None:
    settings = TimingSettings(probe_dtypes=("float32", "bfloat16"), target_half_width=None)
    with pytest.raises(ValidationError):
        settings.minimum_rounds = 1  # type: ignore[misc]
    assert TimingSettings.model_validate_json(settings.model_dump_json()) == settings


def test_slow_rounds_ask_for_fewer_only_when_switched_on() -> None:
    assert TimingSettings().rounds_wanted(60.0) == 20
    slow = TimingSettings(slow_round_seconds=5.0)
    assert slow.rounds_wanted(4.9) == 20
    assert slow.rounds_wanted(5.1) == 6


def test_modules_that_need_no_torch_do_not_import_it() -> None:
    modules = (
        "settings devices stages visits warmup order_statistics load gpu probes busy stopping samples rounds "
        "summaries machine torch_state environment memory"
    )
    code = (
        "import importlib, sys\n"
        f"[importlib.import_module('harness.measure.' + name) for name in '{modules}'.split()]\n"
        "from harness.measure.environment import describe_environment\n"
        "assert describe_environment()['torch'] is None\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_nothing_else() -> None:
    code = (
        "import sys, harness.measure\n"
        "heavy = {'torch', 'pandas', 'numpy', 'scipy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
