"""Profiles in a store: beside the attempts, in their shape, found in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import pytest

from harness.store.attempt import Attempt, DamagedAttempt, check_files, read_samples, write_attempt
from harness.store.profiles import latest_profile, profiles_of
from harness.store.store import Store, attempt_id


def keep(store: Store, started: float, *arms: str, **changes: Any) -> Path:
    values: dict[str, Any] = {
        "id": attempt_id(started, "00000000"), "trial": "r0-abc", "experiment": "small", "identity": {"replicate": 0},
        "arm": {}, "replicate": 0, "records": tuple({"system": arm, "step_us": started} for arm in arms),
        "failure": None, "started": started, "seconds": 1.0, "code": "c", "environment": "e",
    }  # fmt: skip
    files = store.root / "traces"
    (files / "traces" / "a").mkdir(parents=True)
    (files / "traces" / "a" / "x.1.pt.trace.json.gz").write_bytes(b"trace")
    table = pandas.DataFrame({"arm": list(arms), "us": [started] * len(arms)})
    return write_attempt(
        store.profiles_folder("small", "r0-abc"), Attempt(**values | changes), {"profile_steps": table}, files
    )


def test_profiles_are_found_oldest_first_and_are_no_attempts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert profiles_of(store, "small", "r0-abc") == ([], []) and latest_profile(store, "small", "r0-abc") is None
    later, earlier = keep(store, 2000.0, "a"), keep(store, 1000.0, "a", "b")
    found, damaged = profiles_of(store, "small", "r0-abc")
    assert [one.folder for one in found] == [earlier, later] and damaged == []
    assert earlier.parent == tmp_path / "small" / "profiles" / "r0-abc"
    assert store.attempts("small", "r0-abc") == ([], []) and store.trial_ids("small") == set()
    assert all(check_files(one.folder) == [] for one in found)
    assert list(read_samples(earlier, "profile_steps")["arm"]) == ["a", "b"]


def test_the_newest_profile_of_an_arm_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    older, newer = keep(store, 1000.0, "a", "b"), keep(store, 2000.0, "a")

    def folder(*arm: str) -> Path | None:
        found = latest_profile(store, "small", "r0-abc", *arm)
        return found.folder if found else None

    assert (folder(), folder("system", "a"), folder("system", "b"), folder("system", "c")) == (
        newer,
        newer,
        older,
        None,
    )


def test_one_that_is_unfinished_or_damaged_does_not_count(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good, damaged, unfinished = (keep(store, started, "a") for started in (1000.0, 2000.0, 3000.0))
    (unfinished / "COMPLETE").unlink()
    (damaged / "attempt.json").write_text("{}")
    found, sentences = profiles_of(store, "small", "r0-abc")
    assert [one.folder for one in found] == [good]
    # It reads alike wherever the store lies.
    assert sentences == [
        f"small/profiles/r0-abc/{damaged.name}/attempt.json: its bytes are not those that were written"
    ]
    (good / "profile_steps.parquet").write_bytes(b"")
    with pytest.raises(DamagedAttempt, match="^small/profiles/r0-abc/"):
        read_samples(good, "profile_steps")
    (good / "files" / "traces" / "a" / "x.1.pt.trace.json.gz").unlink()
    assert len(check_files(good)) == 2
