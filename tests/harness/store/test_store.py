"""Attempts appear whole or not at all, and damage is noticed."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pandas
import pytest

from harness.store import atomic
from harness.store.atomic import COMPLETE, folder_written_once, write_json
from harness.store.attempt import (
    Attempt,
    DamagedAttempt,
    Failure,
    read_attempt,
    read_samples,
    sample_names,
    write_attempt,
)
from harness.store.store import Store, new_attempt_id


def attempt(**changes: object) -> Attempt:
    values: dict[str, object] = {
        "id": "a1",
        "trial": "t1",
        "experiment": "small",
        "identity": {"function": "m:f"},
        "arm": {"alpha": 0.5},
        "replicate": 0,
        "records": ({"value": 1.5, "name": "x", "none": None},),
        "failure": None,
        "started": 1.0,
        "seconds": 2.0,
        "code": "c",
        "environment": "e",
    }
    return Attempt(**{**values, **changes})  # type: ignore[arg-type]


def test_an_attempt_reads_as_it_was_written(tmp_path: Path) -> None:
    samples = {"latency": pandas.DataFrame({"round": [0, 1], "nanoseconds": [10, 20]})}
    written = attempt(records=({"value": math.nan, "count": 3, "ok": True},))
    folder = write_attempt(tmp_path, written, samples, None)
    found = read_attempt(folder)
    assert found is not None
    assert math.isnan(found.records[0]["value"]) and found.records[0]["count"] == 3
    assert found.diverged and found.succeeded
    assert sample_names(folder) == ["latency"]
    pandas.testing.assert_frame_equal(read_samples(folder, "latency"), samples["latency"])


def test_a_failure_reads_as_it_was_written(tmp_path: Path) -> None:
    failure = Failure("raised", "ValueError", "ValueError: no", "Traceback ...")
    found = read_attempt(write_attempt(tmp_path, attempt(records=(), failure=failure), {}, None))
    assert found is not None and found.failure == failure and not found.succeeded


def test_files_of_a_trial_are_kept(tmp_path: Path) -> None:
    files = tmp_path / "made"
    files.mkdir()
    (files / "trace.json").write_text("{}")
    folder = write_attempt(tmp_path, attempt(), {}, files)
    assert (folder / "files" / "trace.json").read_text() == "{}"
    assert "files/trace.json" in json.loads((folder / COMPLETE).read_text())


def test_an_attempt_is_written_once(tmp_path: Path) -> None:
    write_attempt(tmp_path, attempt(), {}, None)
    with pytest.raises(FileExistsError):
        write_attempt(tmp_path, attempt(seconds=9.0), {}, None)
    assert read_attempt(tmp_path / "a1").seconds == 2.0  # type: ignore[union-attr]
    assert [path.name for path in tmp_path.iterdir()] == ["a1"]


@pytest.mark.parametrize("at", range(1, 7))
def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Every flush in turn fails for want of room: there is no folder under the attempt's name, and no leftover."""
    calls = 0
    flush = os.fsync

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", full)
    samples = {"latency": pandas.DataFrame({"round": [0]})}
    if at <= 4:
        with pytest.raises(OSError, match="No space"):
            write_attempt(tmp_path, attempt(), samples, None)
        assert list(tmp_path.iterdir()) == []
    else:
        # The folder has its name by then; only the flush of its parent failed.
        try:
            write_attempt(tmp_path, attempt(), samples, None)
        except OSError:
            assert read_attempt(tmp_path / "a1") is not None


def test_a_folder_without_its_marker_is_not_read(tmp_path: Path) -> None:
    folder = write_attempt(tmp_path, attempt(), {}, None)
    (folder / COMPLETE).unlink()
    assert read_attempt(folder) is None
    assert read_attempt(tmp_path / "nothing") is None


@pytest.mark.parametrize("name", ["attempt.json", "latency.parquet"])
def test_a_flipped_byte_is_noticed(tmp_path: Path, name: str) -> None:
    folder = write_attempt(tmp_path, attempt(), {"latency": pandas.DataFrame({"round": [0]})}, None)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(DamagedAttempt, match=name):
        read_attempt(folder) if name == "attempt.json" else read_samples(folder, "latency")


def test_an_attempt_of_another_format_is_not_guessed_at(tmp_path: Path) -> None:
    with pytest.raises(DamagedAttempt, match="has the format 99, and this version reads 1"):
        read_attempt(write_attempt(tmp_path, attempt(format=99), {}, None))


def test_a_store_lists_complete_attempts_and_names_damaged_ones(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.attempts_folder("small", "t1")
    folder.mkdir(parents=True)
    for name in ("a1", "a2", "a3"):
        write_attempt(folder, attempt(id=name), {}, None)
    (folder / "a2" / "attempt.json").write_text("{}")
    (folder / "a3" / COMPLETE).unlink()
    found, damaged = store.attempts("small", "t1")
    assert [stored.attempt.id for stored in found] == ["a1"]
    assert len(damaged) == 1 and "a2" in damaged[0]


def test_environments_are_stored_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.keep_environment({"cpu": {"cores": 2}})
    assert digest == store.keep_environment({"cpu": {"cores": 2}}) != store.keep_environment({"cpu": {"cores": 3}})
    assert store.environment(digest) == {"cpu": {"cores": 2}}
    assert store.environment("lost") == {}


def test_attempt_ids_sort_by_start() -> None:
    starts = [0.5, 1.25, 1.75, 1e9, 1.7e9 + 0.000002]
    names = [new_attempt_id(start) for start in starts]
    assert names == sorted(names) and len(set(names)) == len(names)


def test_a_json_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_nothing_is_left_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), folder_written_once(tmp_path / "x") as folder:
        (folder / "half").write_text("written")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
