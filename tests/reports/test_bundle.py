"""The zip of raw tables: the same tables make the same bytes, and every edit of it is named."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.bundle import README, bundle, bundle_differences, section_files
from reports.cells import Cell, Heading, Table

FILES = {"a-laptop/records.csv": b"x,y\n1,2\n3,4\n", "a-laptop/tables/t.md": "| é |\n".encode(), "empty.csv": b""}


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: dict[str, bytes], **more: bytes) -> bytes:
    """Return a zip as another program would make it."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for name, content in [*files.items(), *more.items()]:
            archive.writestr(name, content)
    return data.getvalue()


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?\.csv", fullmatch=True), st.binary(max_size=200)))
def test_a_zip_holds_its_files_and_differs_from_none_of_them(files: dict[str, bytes]) -> None:
    data = bundle(files)
    found = members(data)
    readme = found.pop(README).decode()
    assert found == files and all(name in readme for name in files)
    assert bundle(dict(reversed(files.items()))) == data
    assert list(bundle_differences(data, files)) == []


def test_another_packing_of_the_same_files_is_no_difference() -> None:
    assert list(bundle_differences(zipped(members(bundle(FILES))), FILES)) == []


def test_every_entry_is_compressed_and_of_no_time() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle(FILES))) as archive:
        assert archive.namelist() == sorted([*FILES, README])
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_DEFLATED and entry.date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            lambda f: {**f, "a-laptop/records.csv": b"x,y\n1,2\n3,5\n"},
            "tables.zip, a-laptop/records.csv: line 3 is '3,5', recomputed '3,4'",
        ),
        (
            lambda f: {**f, "a-laptop/records.csv": b"x,y\n1,2\n"},
            "tables.zip, a-laptop/records.csv: line 3 is '', recomputed '3,4'",
        ),
        (lambda f: {**f, "empty.csv": b"x" * 10**6}, f"tables.zip, empty.csv: line 1 is '{'x' * 90}…', recomputed ''"),
        (
            lambda f: {name: data for name, data in f.items() if name != "empty.csv"},
            "tables.zip, empty.csv: is missing",
        ),
        (lambda f: {**f, "more.csv": b""}, "tables.zip, more.csv: is there, and does not come out when recomputed"),
        (
            lambda f: {**f, README: f[README] + b"believe me"},
            "tables.zip, README.txt: line 15 is 'believe me', recomputed ''",
        ),
    ],
)
def test_an_edit_is_named(edit: Callable[[dict[str, bytes]], dict[str, bytes]], sentence: str) -> None:
    assert list(bundle_differences(zipped(edit(members(bundle(FILES)))), FILES)) == [sentence]


def test_a_name_that_stands_twice_is_named() -> None:
    data = io.BytesIO(zipped(members(bundle(FILES))))
    with zipfile.ZipFile(data, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("empty.csv", b"")
    assert list(bundle_differences(data.getvalue(), FILES)) == ["tables.zip, empty.csv: is there 2 times"]


def test_what_is_no_zip_gets_one_sentence() -> None:
    for data in (b"", b"no zip", bundle(FILES)[:-30]):
        (sentence,) = bundle_differences(data, FILES)
        assert sentence.startswith("tables.zip: cannot be read: ")


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_damage_never_stops_the_comparison(place: int, change: int) -> None:
    data = bytearray(bundle(FILES))
    data[place % len(data)] ^= change
    for sentence in bundle_differences(bytes(data), FILES):
        assert sentence.startswith("tables.zip") and "\n" not in sentence


def results(records: pandas.DataFrame, profile: str = "laptop") -> Any:
    design = SimpleNamespace(name="some_sums", profile_name=profile)
    return SimpleNamespace(design=design, table=records, judgements=())


def table(title: str) -> Table:
    return Table(title, "", [Heading("a"), Heading("b")], [[Cell(text="=x"), Cell(1 / 3, digits=1)]])


def test_a_section_has_its_records_claims_and_tables_in_three_forms() -> None:
    records = pandas.DataFrame({"trial": ["=t"], "value": [1 / 3]})
    found = section_files(results(records), [table("Time <b>"), table("time b"), table("../../etc/passwd")])
    assert set(found) == {"some_sums-laptop/records.csv", "some_sums-laptop/claims.csv"} | {
        f"some_sums-laptop/tables/{name}.{ending}"
        for name in ("time-b", "time-b-2", "etc-passwd")
        for ending in ("csv", "md", "tex")
    }
    assert found["some_sums-laptop/records.csv"].decode() == records.to_csv(index=False)
    assert found["some_sums-laptop/tables/time-b.csv"].decode() == f"a,b\n'=x,{1 / 3!r}\n"
    assert found["some_sums-laptop/claims.csv"].startswith(b"claim,statement,verdict,effect,")


def test_a_hostile_profile_leads_to_no_other_folder() -> None:
    names = list(section_files(results(pandas.DataFrame({"x": [1]}), "../../x"), []))
    assert all(name.count("/") == 1 and ".." not in name for name in names)


def test_ten_thousand_trials_fit_into_a_small_zip() -> None:
    numbers = pandas.Series(range(10_000))
    records = pandas.DataFrame(
        {"trial": numbers.map(lambda n: f"index={n}-r0-{n:016x}"), "value": (numbers * 0.6180339887498949) % 1}
    )
    files = section_files(results(records), [])
    assert len(bundle(files)) < len(files["some_sums-laptop/records.csv"]) / 2
