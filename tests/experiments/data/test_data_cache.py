"""The cache: made once, whole or not at all, by however many processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest

from experiments.data import load
from experiments.data.cache import cache_folder, is_whole
from experiments.data.settings import ScenesSettings
from harness.errors import UserError

SETTINGS = ScenesSettings(size=8, train=30, validation=5, test=5)
MAKER = """
import os, sys, time
from experiments.data import load, scenes
from experiments.data.settings import ScenesSettings
make = scenes.make
def slow(settings, seed):
    with open(sys.argv[1], "a") as file:
        file.write("made\\n")
    time.sleep(float(sys.argv[2]))
    return make(settings, seed)
scenes.make = slow
print(load(ScenesSettings(size=8, train=30, validation=5, test=5), 1).key)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def maker(log: Path, seconds: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, str(log), str(seconds)], env=environment, stdout=subprocess.PIPE, text=True
    )


def entry(cache: Path) -> Path:
    (found,) = cache.iterdir()
    return found


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("HARNESS_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/paper-claims-harness/data")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/paper-claims-harness/data"


def test_an_entry_is_made_once_and_mapped_read_only(cache: Path) -> None:
    first = load(SETTINGS, 1)
    written = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    second = load(SETTINGS, 1)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()} == written
    assert isinstance(second.train.images, numpy.memmap) and (first.train.images == second.train.images).all()
    with pytest.raises(ValueError, match="read-only"):
        second.train.images[0] = 0
    assert load(SETTINGS, 2).key != first.key and len(list(cache.iterdir())) == 2


def test_two_processes_make_one_entry(cache: Path, tmp_path: Path) -> None:
    makers = [maker(tmp_path / "log", 0.3) for _ in range(2)]
    keys = {process.communicate(timeout=60)[0].strip() for process in makers}
    assert all(process.returncode == 0 for process in makers)
    assert keys == {load(SETTINGS, 1).key}
    assert (tmp_path / "log").read_text() == "made\n"
    assert {path.name for path in entry(cache).iterdir()} == {"lock", "entry"}


def test_a_killed_maker_leaves_the_work_to_the_next(cache: Path, tmp_path: Path) -> None:
    process = maker(tmp_path / "log", 600)
    while not (tmp_path / "log").exists():
        assert process.poll() is None
        time.sleep(0.02)
    # What a maker that is killed while it writes leaves beside the entry.
    (entry(cache) / ".tmp-0123" / "train").mkdir(parents=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(load(SETTINGS, 1).train) == 30
    assert {path.name for path in entry(cache).iterdir()} == {"lock", "entry"}


@pytest.mark.parametrize("damage", ["file", "size", "marker", "rubbish", "all"])
def test_a_damaged_entry_is_made_again(cache: Path, damage: str) -> None:
    first = load(SETTINGS, 1)
    expected = numpy.array(first.test.images)
    folder = entry(cache) / "entry"
    if damage == "file":
        (folder / "train" / "factors" / "shape.npy").unlink()
    elif damage == "size":
        os.truncate(folder / "test" / "images.npy", 500)
    elif damage == "marker":
        (folder / "COMPLETE").unlink()
    elif damage == "rubbish":
        (folder / "COMPLETE").write_text('{"half": ')
    else:
        shutil.rmtree(folder)
    assert not is_whole(folder)
    again = load(SETTINGS, 1)
    assert is_whole(folder) and again.key == first.key and (again.test.images == expected).all()
    assert {path.name for path in entry(cache).iterdir()} == {"lock", "entry"}


def test_the_marker_lists_every_file_with_its_hash(cache: Path) -> None:
    import hashlib

    load(SETTINGS, 1)
    folder = entry(cache) / "entry"
    files = json.loads((folder / "COMPLETE").read_text())
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    del there["COMPLETE"]
    assert {name: file["sha256"] for name, file in files.items()} == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in there.items()
    }


def test_a_cache_that_cannot_be_written_gives_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "file"))
    with pytest.raises(
        UserError, match=r"The data cache .*file cannot be written \(Not a directory\); set HARNESS_DATA"
    ):
        load(SETTINGS, 1)


def test_a_full_disk_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(numpy, "save", full)
        with pytest.raises(UserError, match="No space left on device"):
            load(SETTINGS, 1)
    assert [path.name for path in entry(cache).iterdir()] == ["lock"]
    assert len(load(SETTINGS, 1).train) == 30
