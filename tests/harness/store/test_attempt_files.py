"""No byte of a complete attempt changes, and no file comes or goes, without being named."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.store.atomic import COMPLETE, to_json
from harness.store.attempt import (
    Attempt,
    DamagedAttempt,
    check_files,
    read_attempt,
    read_samples,
    sample_names,
    write_attempt,
)

FILES = ("attempt.json", "latency.parquet", "items.parquet", "files/log.txt", "files/deep/empty", COMPLETE)


def write(folder: Path) -> Path:
    kept = folder / "kept"
    (kept / "deep").mkdir(parents=True)
    (kept / "log.txt").write_text("a line\n")
    (kept / "deep" / "empty").write_text("")
    attempt = Attempt("a", "t", "e", {}, {}, 0, ({"value": 1.5},), None, 0.0, 1.0, "code", "")
    tables = {name: pandas.DataFrame({"nanoseconds": [1, 2, 3]}) for name in ("latency", "items")}
    return write_attempt(folder, attempt, tables, kept)


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    return write(tmp_path)


@pytest.fixture(scope="module")
def one_for_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("attempt"))


def forged(attempt: Path, name: str, data: bytes) -> None:
    """Write other bytes and the hash that belongs to them."""
    (attempt / name).write_bytes(data)
    marker = json.loads((attempt / COMPLETE).read_bytes())
    marker[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (attempt / COMPLETE).write_bytes(to_json(marker))


def test_an_attempt_as_it_was_written(attempt: Path) -> None:
    assert {path.relative_to(attempt).as_posix() for path in attempt.rglob("*") if path.is_file()} == set(FILES)
    assert check_files(attempt) == []


@given(data=st.data(), mask=st.integers(1, 255))
def test_one_changed_byte_of_any_file_is_named(one_for_all: Path, data: st.DataObject, mask: int) -> None:
    name = data.draw(st.sampled_from([name for name in FILES if name != "files/deep/empty"]))
    path = one_for_all / name
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[position] ^= mask
    path.write_bytes(changed)
    try:
        found = check_files(one_for_all)
        readable = True
        try:
            read_attempt(one_for_all)
            for table in sample_names(one_for_all):
                read_samples(one_for_all, table)
        except DamagedAttempt:
            readable = False
    finally:
        path.write_bytes(original)
    assert found and all("\n" not in sentence for sentence in found)
    # Where the marker changed, the file is named that it no longer fits.
    assert any(sentence.startswith(f"{path}: ") for sentence in found) or name == COMPLETE
    if name.endswith((".json", ".parquet")):
        assert not readable


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing(attempt: Path, name: str) -> None:
    (attempt / name).unlink()
    assert check_files(attempt) == [f"{attempt / name}: No such file or directory"]


@pytest.mark.parametrize("name", ["more.parquet", "files/deep/more", ".tmp-abc"])
def test_a_file_that_is_not_listed(attempt: Path, name: str) -> None:
    (attempt / name).write_text("more")
    assert check_files(attempt) == [f"{attempt / name}: is not listed in COMPLETE"]


def test_each_file_is_named_once(attempt: Path) -> None:
    (attempt / "latency.parquet").write_bytes(b"")
    (attempt / "files" / "log.txt").unlink()
    shutil.rmtree(attempt / "files" / "deep")
    found = check_files(attempt)
    assert [sentence.partition(": ")[0] for sentence in found] == [
        str(attempt / name) for name in ("files/deep/empty", "files/log.txt", "latency.parquet")
    ]


@pytest.mark.parametrize(
    "marker",
    [b"", b"\xff", b"[]", b"7", b"null", b'{"attempt.json": 7}', b'{"attempt.json": {"sha256": 7, "bytes": 1}}'],
)
def test_a_marker_that_is_none(attempt: Path, marker: bytes) -> None:
    (attempt / COMPLETE).write_bytes(marker)
    assert check_files(attempt) == [f"{attempt / COMPLETE}: is damaged"]
    for read in (read_attempt, sample_names, lambda folder: read_samples(folder, "latency")):
        with pytest.raises(DamagedAttempt, match="COMPLETE: is damaged"):
            read(attempt)  # type: ignore[operator]


@pytest.mark.parametrize("change", [lambda text: text.replace("\n ", "\n  "), lambda text: text.rstrip()])
def test_a_marker_with_other_white_space(attempt: Path, change: Callable[[str], str]) -> None:
    (attempt / COMPLETE).write_text(change((attempt / COMPLETE).read_text()))
    assert check_files(attempt) == [f"{attempt / COMPLETE}: is damaged"]


@pytest.mark.parametrize("data", [b"", b"7", b"[]", b'{"format": 1}', b'{"format": 1, "failure": null, "records": []}'])
def test_a_forged_attempt_of_another_shape_is_damaged(attempt: Path, data: bytes) -> None:
    forged(attempt, "attempt.json", data)
    assert check_files(attempt) == [], "whoever writes the hashes anew is found by the report's manifest"
    with pytest.raises(DamagedAttempt, match=r"attempt\.json: does not hold an attempt"):
        read_attempt(attempt)


def test_a_forged_table_of_another_shape_is_damaged(attempt: Path) -> None:
    forged(attempt, "latency.parquet", b"PAR1 is not enough")
    with pytest.raises(DamagedAttempt, match=r"latency\.parquet: does not hold a table"):
        read_samples(attempt, "latency")
