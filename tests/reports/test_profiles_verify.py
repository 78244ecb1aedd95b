"""Verification makes every cell of a profile again from its stored tables, and finds what was changed in them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pandas
import pytest
from profiled import Place, entered, make_place, table_of
from support import Workplace


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A sweep, a profile with a trace, and their report; tests work on copies."""
    workplace = make_place(tmp_path_factory.mktemp("original"))
    trace = tmp_path_factory.mktemp("files") / "files" / "traces" / "fast"
    trace.mkdir(parents=True)
    (trace / "worker.pt.trace.json.gz").write_bytes(b"a trace")
    with pytest.MonkeyPatch.context() as monkeypatch:
        place = entered(workplace, monkeypatch)
        place.profile(files=trace.parent.parent)
        place.report()
        assert place.verified() == []
    return workplace


@pytest.fixture
def place(original: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return entered(Workplace(shutil.copytree(original.folder, tmp_path / "copy")), monkeypatch)


def profile_of(place: Place) -> Path:
    (folder,) = (path.parent for path in place.store.root.glob("timed/profiles/*/*/COMPLETE"))
    return folder


def name_of(place: Place) -> str:
    return profile_of(place).relative_to(place.store.root).as_posix()


def test_profiles_are_counted(place: Place) -> None:
    assert place.call("verify").out.rstrip().endswith("3 attempts, 1 profile")


def rewrite(profile: Path, table: str, *, with_hash: bool) -> None:
    """Double the times of one arm's eye in a table; ``with_hash`` writes the marker anew too."""
    path = profile / f"{table}.parquet"
    frame = pandas.read_parquet(path)
    frame.loc[(frame["arm"] == "fast") & (frame["stage"] == "eye"), "us"] *= 2
    frame.to_parquet(path, index=False)
    if with_hash:
        marker = json.loads((profile / "COMPLETE").read_text())
        data = path.read_bytes()
        marker[path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        (profile / "COMPLETE").write_text(json.dumps(marker, indent=1, sort_keys=True) + "\n")


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ("profile_stages", "Time by stage: Fast one"),
        ("timed_stages", "Time by stage: Fast one"),
        ("profile_operators", "Time by kind of work"),
    ],
)
def test_a_table_changed_together_with_its_hash(place: Place, table: str, part: str) -> None:
    rewrite(profile_of(place), table, with_hash=True)
    first, *rest = place.verified()
    assert first == (
        f"{name_of(place)}/COMPLETE: is not the one that the report was made from: "
        "files of the profile were changed and their hashes written anew"
    )
    assert any(f"section '{part}'" in line and "stands there, recomputed" in line for line in rest)
    assert any(line.startswith("tables.zip, timed-laptop/tables/") for line in rest)


def test_a_table_changed_without_its_hash(place: Place) -> None:
    rewrite(profile_of(place), "profile_stages", with_hash=False)
    first, *rest = place.verified()
    assert first == f"{name_of(place)}/profile_stages.parquet: its bytes are not those that were written"
    assert first not in rest


def test_an_edited_trace(place: Place) -> None:
    (profile_of(place) / "files" / "traces" / "fast" / "worker.pt.trace.json.gz").write_bytes(b"another")
    (sentence,) = place.verified()
    assert sentence.endswith("worker.pt.trace.json.gz: its bytes are not those that were written")


def test_a_deleted_profile(place: Place) -> None:
    name = name_of(place)
    shutil.rmtree(profile_of(place))
    first, *rest = place.verified()
    assert first == f"{name}: the profile is deleted, and the report shows it"
    assert any("does not come out when recomputed" in line for line in rest)


def test_a_profile_that_was_not_there(place: Place) -> None:
    later = place.profile({"slow": 11.0}, number=1)
    first, *rest = place.verified()
    assert (
        first == f"{later.relative_to(place.store.root).as_posix()}: the profile is shown now, and is not in the report"
    )
    assert any("row 'Slow one'" in line for line in rest) and not any("row 'Fast one'" in line for line in rest)


@pytest.mark.parametrize(
    "title",
    ["Profiled arms", "Time by kind of work", "Share by kind of work", "Time by stage: Slow one", "Operators that take most time: Slow one"],
)  # fmt: skip
def test_a_cell_edited_on_the_page(place: Place, title: str) -> None:
    _, (_, *rows) = table_of(place.page(), title)
    page = place.folder / "site" / "index.html"
    whole = page.read_text()
    # The last of the tables of this name, so not the one below the picture.
    start = whole.rindex(f">{title}</h")
    cell = re.compile(r'(<td class="number">)([\d.,+]+)(</td>)').search(whole, start)
    assert cell is not None and cell[2] == rows[0][1]
    page.write_text(whole[: cell.start()] + f"{cell[1]}123.4{cell[3]}" + whole[cell.end() :])
    edited, *rest = place.verified()
    assert edited.startswith("index.html: was edited after it was written")
    (sentence,) = rest
    assert f"section '{title}'" in sentence and sentence.endswith(f"'123.4' stands there, recomputed '{cell[2]}'")


def test_a_sentence_edited_on_the_page(place: Place) -> None:
    page = place.folder / "site" / "index.html"
    whole = page.read_text()
    assert "beyond the 5 points" not in whole
    page.write_text(whole.replace("within the 5 points", "within the 2 points", 1))
    assert any("within the 2 points" in line and "recomputed" in line for line in place.verified())


def test_a_changed_environment_of_a_profile(place: Place) -> None:
    digest = place.store.keep_environment({"cpu": {"model": "Another processor"}})
    place.profile(number=2, environment=digest)
    place.report()
    assert "Another processor" in (place.folder / "site" / "index.html").read_text()
    path = place.store.root / "environments" / f"{digest}.json"
    path.write_text(path.read_text().replace("Another", "A better"))
    assert f"environments/{digest}.json: its bytes are not those that were written" in place.verified()
