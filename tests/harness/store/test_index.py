"""The index of attempts: what was read once is not read again, and nothing that is in it is believed over the folders."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.store import atomic, index
from harness.store import attempt as attempts_on_disk
from harness.store.atomic import COMPLETE
from harness.store.attempt import Attempt, Failure, write_attempt
from harness.store.index import AttemptSummary, index_path, indexed_attempts
from harness.store.store import Store

FAILURE = Failure("raised", "ValueError", "ValueError: no", "Traceback ...")


def write(store: Store, trial: str, name: str, **changes: Any) -> Path:
    folder = store.attempts_folder("small", trial)
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "id": name, "trial": trial, "experiment": "small", "identity": {}, "arm": {}, "replicate": 3,
        "records": ({"value": 1.5},), "failure": None, "started": 1.25, "seconds": 0.1, "code": "c", "environment": "e",
        "run": "r1", "worker": "w1",
    }  # fmt: skip
    return write_attempt(folder, Attempt(**{**values, **changes}), {}, None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of three trials: one with two attempts, one with a failure, one with an incomplete attempt."""
    store = Store(tmp_path / "results")
    write(store, "t1", "a1", code="older")
    write(store, "t1", "a2")
    write(store, "t2", "a1", failure=FAILURE, records=())
    (write(store, "t3", "a1") / COMPLETE).unlink()
    return store


TRIALS = ("t1", "t2", "t3", "t4")


def names(store: Store, trials: tuple[str, ...] = TRIALS) -> dict[str, list[str]]:
    return {
        trial: [entry.attempt.id for entry in found]
        for trial, found in indexed_attempts(store, "small", trials).items()
    }


WHOLE = {"t1": ["a1", "a2"], "t2": ["a1"]}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of attempts that were opened, as ``trial/attempt/file``."""
    found: list[str] = []
    read = attempts_on_disk._bytes

    def noted(path: Path | str) -> bytes:
        found.append("/".join(Path(path).parts[-3:]))
        return read(path)

    monkeypatch.setattr(attempts_on_disk, "_bytes", noted)
    return found


def cached(store: Store) -> dict[str, Any]:
    return dict(json.loads(index_path(store, "small").read_bytes().partition(b"\n")[2]))


def test_no_attempt_is_opened_a_second_time(store: Store, opened: list[str]) -> None:
    assert names(store) == WHOLE
    assert sorted(name for name in opened if name.endswith("attempt.json")) == [
        "t1/a1/attempt.json", "t1/a2/attempt.json", "t2/a1/attempt.json",
    ]  # fmt: skip
    opened.clear()
    assert names(store) == WHOLE
    # Whether the incomplete one has become complete is looked at each time.
    assert opened == ["t3/a1/COMPLETE"]


def test_the_index_is_not_written_again_where_nothing_is_new(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names(store)
    monkeypatch.setattr(index, "write_bytes", lambda *_: pytest.fail("written again"))
    assert names(store) == WHOLE


def test_only_new_attempts_are_opened(store: Store, opened: list[str]) -> None:
    names(store)
    write(store, "t2", "a2")
    write(store, "t4", "a1")
    opened.clear()
    assert names(store) == {**WHOLE, "t2": ["a1", "a2"], "t4": ["a1"]}
    assert [name for name in opened if name.endswith("attempt.json")] == ["t2/a2/attempt.json", "t4/a1/attempt.json"]


def test_what_the_index_says_is_what_the_attempts_say(store: Store) -> None:
    for _ in range(2):
        found = indexed_attempts(store, "small", TRIALS)
        for trial in WHOLE:
            whole, _damaged = store.attempts("small", trial)
            for stored, entry in zip(whole, found[trial], strict=True):
                for field in AttemptSummary._fields:
                    if field != "failure":
                        assert getattr(entry.attempt, field) == getattr(stored.attempt, field)
                assert entry.attempt.succeeded == stored.attempt.succeeded
        assert found["t2"][0].attempt.failure == Failure("raised", "ValueError", "ValueError: no", "")
    assert not hasattr(found["t1"][0].attempt, "records")


@given(
    st.builds(
        AttemptSummary,
        st.text(),
        st.text(),
        st.text(),
        st.none() | st.builds(Failure, st.text(), st.text(), st.text()),
        st.floats(allow_nan=False),
        st.floats(allow_nan=False),
        st.integers(-5, 5),
        st.text(),
        st.text(),
    )
)
def test_a_summary_reads_as_it_was_written(summary: AttemptSummary) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.jsonl"
        known = {summary.trial: {summary.id: summary}}
        path.write_bytes(index._to_bytes(known, 7))
        assert index._read(path, 7) == known


def test_incomplete_and_damaged_attempts_are_not_kept(store: Store) -> None:
    damaged = write(store, "t4", "a1")
    whole = (damaged / "attempt.json").read_bytes()
    (damaged / "attempt.json").write_bytes(whole.replace(b"1.5", b"1.6"))
    assert names(store) == WHOLE
    assert cached(store).keys() == {"t1", "t2"}
    (damaged / "attempt.json").write_bytes(whole)
    assert names(store) == {**WHOLE, "t4": ["a1"]}


def test_what_was_removed_by_hand_vanishes(store: Store) -> None:
    names(store)
    shutil.rmtree(store.attempts_folder("small", "t1") / "a2")
    assert names(store) == {**WHOLE, "t1": ["a1"]}
    assert cached(store)["t1"].keys() == {"a1"}
    shutil.rmtree(store.attempts_folder("small", "t1"))
    assert names(store) == {"t2": ["a1"]} and cached(store).keys() == {"t2"}
    shutil.rmtree(store.root / "small" / "attempts")
    assert names(store) == {}


def test_trials_that_are_not_asked_for_stay_known(store: Store, opened: list[str]) -> None:
    names(store)
    write(store, "t4", "a1")
    assert names(store, ("t4",)) == {"t4": ["a1"]}
    opened.clear()
    assert names(store, ("t1", "t2", "t4")) == {**WHOLE, "t4": ["a1"]}
    assert opened == []
    shutil.rmtree(store.attempts_folder("small", "t1"))
    names(store, ("t2",))
    assert cached(store).keys() == {"t2", "t4"}


def test_temporary_folders_and_stray_files_are_no_attempts(store: Store) -> None:
    shutil.copytree(store.attempts_folder("small", "t1") / "a2", store.attempts_folder("small", "t1") / ".tmp-1")
    (store.root / "small" / "attempts" / "t4").write_text("a file")
    (store.attempts_folder("small", "t1") / "note.txt").write_text("a file")
    for _ in range(2):
        assert names(store) == WHOLE


def test_a_store_that_is_not_there_has_no_attempts_and_is_not_made(tmp_path: Path) -> None:
    assert names(Store(tmp_path / "nowhere")) == {}
    assert list(tmp_path.iterdir()) == []


def spoil_header(**changes: Any) -> Callable[[bytes], bytes]:
    def spoil(data: bytes) -> bytes:
        header, _, body = data.partition(b"\n")
        return json.dumps(json.loads(header) | changes).encode() + b"\n" + body

    return spoil


def foreign_body(text: str) -> Callable[[bytes], bytes]:
    """Another body under a header that fits it, as a version that forgot to count up its format would write."""

    def spoil(data: bytes) -> bytes:
        body = text.encode() + b"\n"
        folder = json.loads(data.partition(b"\n")[0])["folder"]
        return json.dumps(index._header(body, folder)).encode() + b"\n" + body

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[: data.index(b"\n")],
        lambda data: data[: data.index(b"\n") + 1],
        lambda data: data[: len(data) // 2 + data.index(b"\n")],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data.replace(b'"a2"', b'"a9"'),
        lambda data: data.replace(b"older", b"newer"),
        lambda data: b"\xff\xfe" + data,
        lambda data: b"[" * 100_000,
        lambda data: data.replace(b"\n", b" "),
        spoil_header(sha256=""),
        foreign_body("[]"),
        foreign_body("null"),
        foreign_body('{"t1": ["a1", "a2"]}'),
        foreign_body('{"t1": {"a1": ["c", null, 1.0]}}'),
        foreign_body('{"t1": {"a1": ["c", 5, 1.0, 1.0, 0, "", ""]}}'),
        foreign_body("[" * 100_000),
    ],
)
def test_an_index_that_cannot_be_used_is_written_anew(
    store: Store, opened: list[str], spoil: Callable[[bytes], bytes]
) -> None:
    names(store)
    path = index_path(store, "small")
    whole = path.read_bytes()
    spoiled = spoil(whole)
    assert spoiled != whole
    path.write_bytes(spoiled)
    opened.clear()
    assert names(store) == WHOLE
    assert "t1/a2/attempt.json" in opened
    assert path.read_bytes() == whole


@pytest.mark.parametrize("module", [index, attempts_on_disk])
def test_an_index_of_another_version_is_not_read(
    store: Store, opened: list[str], monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    """Of another version of the index, or from before a version that reads attempts in another way."""
    names(store)
    opened.clear()
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    found = names(store)
    assert "t1/a2/attempt.json" in opened
    # The attempts themselves have the format of before, so a version that reads another one finds them damaged.
    assert found == (WHOLE if module is index else {})


@given(data=st.data())
def test_no_flipped_bit_is_believed(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.jsonl"
        summary = AttemptSummary("a1", "t1", "c", None, 1.0, 2.0, 0, "r", "w")
        known = {"t1": {"a1": summary}}
        whole = bytearray(index._to_bytes(known, 7))
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(bytes(whole))
        assert index._read(path, 7) in ({}, known)


def test_the_index_of_a_copied_store_is_not_believed(store: Store, tmp_path: Path) -> None:
    """Somebody copies a store, and the copy is given up half-way: folders are there, what lay in them is not."""
    names(store)
    copy = Store(tmp_path / "copy")
    shutil.copytree(store.root, copy.root)
    (copy.attempts_folder("small", "t1") / "a2" / COMPLETE).unlink()
    assert names(copy) == {"t1": ["a1"], "t2": ["a1"]}
    assert names(store) == WHOLE


def test_a_folder_in_the_place_of_the_index_is_harmless(store: Store) -> None:
    index_path(store, "small").mkdir()
    for _ in range(2):
        assert names(store) == WHOLE
    assert sorted(path.name for path in (store.root / "small").iterdir()) == ["attempts", "index.jsonl"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_store_that_cannot_be_written_is_read_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, "fsync", refuse)
    for _ in range(2):
        assert names(store) == WHOLE
    assert [path.name for path in (store.root / "small").iterdir()] == ["attempts"]


@pytest.fixture
def colleagues_store() -> Iterator[Store]:
    """A store that this process may read and not write; a superuser lays the right to write down for a while."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        store = Store(Path(folder) / "results")
        write(store, "t1", "a1")
        write(store, "t1", "a2")
        write(store, "t2", "a1")
        experiment = store.root / "small"
        experiment.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            assert not os.access(experiment, os.W_OK, effective_ids=True)
            yield store
        finally:
            os.seteuid(user)
            experiment.chmod(0o755)


def test_a_colleagues_store_is_read_without_a_word(colleagues_store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert names(colleagues_store) == WHOLE
    assert [path.name for path in (colleagues_store.root / "small").iterdir()] == ["attempts"]
    assert capfd.readouterr() == ("", "")


LOOKER = """
import sys
from pathlib import Path
from harness.store.index import index_path, indexed_attempts
from harness.store.store import Store

store = Store(Path(sys.argv[1]))
trials = [f"t{number}" for number in range(40)]
print("ready", flush=True)
for turn in range(60):
    if turn % 7 == 3:
        index_path(store, "small").unlink(missing_ok=True)
    before = {(t, a) for t in trials for a in store.attempt_ids("small", t)}
    found = {(t, e.attempt.id) for t, es in indexed_attempts(store, "small", trials).items() for e in es}
    after = {(t, a) for t in trials for a in store.attempt_ids("small", t)}
    assert before <= found <= after, (before - found, found - after)
"""


def test_several_who_look_while_attempts_are_written_are_all_right(tmp_path: Path) -> None:
    """Three processes look, write the index and delete it, while a fourth adds attempts."""
    store = Store(tmp_path / "results")
    for number in range(10):
        write(store, f"t{number}", "a1")
    command = [sys.executable, "-c", LOOKER, str(store.root)]
    lookers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for looker in lookers:
        assert looker.stdout is not None and looker.stdout.readline() == "ready\n"
    for number in range(40):
        write(store, f"t{number}", "a2", failure=FAILURE if number % 3 else None)
    for looker in lookers:
        _out, err = looker.communicate(timeout=120)
        assert (looker.returncode, err) == (0, "")
    expected = {f"t{number}": ["a1", "a2"] if number < 10 else ["a2"] for number in range(40)}
    assert names(store, tuple(expected)) == expected
    assert sorted(path.name for path in (store.root / "small").iterdir()) == ["attempts", "index.jsonl"]
