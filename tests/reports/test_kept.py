"""A second report makes only what has changed; what is kept is never taken for what it is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import TRIALS, Workplace

from harness.spec.find import find_experiment
from harness.store.store import Store
from reports import sections
from reports.command import report_command
from reports.kept import FOLDER, Kept, KeptSections, Wanted, kept_of, stamp
from reports.verify_command import verify_command

SPEC = """
experiment: {name}
title: Systems {name}
trial: small_trials:pair
claims:
  - {{id: {name}.ratio, paper: Somebody et al., arxiv: 2101.00001v1, locator: Table 1, statement: Slow is slower,
     form: ratio, metric: latency_ms, unit: x, numerator: {{system: slow}}, denominator: {{system: fast}}}}
factors:
  system: {{blocked: true, levels: {{fast: 1.0, slow: 10.0}}}}
replicates: 3
profiles:
  laptop: {{fidelity: proxy}}
report:
  pictures:
    - {{kind: function, function: "plots:plot", title: Our own}}
  tables:
    - {{title: Time, rows: system, columns: [{{metric: latency_ms, label: time, unit: ms, digits: 3}}]}}
"""
PLOTS = """
from matplotlib.figure import Figure


def plot(results):
    figure = Figure()
    figure.subplots().plot(results.table["latency_ms"])
    return figure
"""


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = Workplace(tmp_path_factory.mktemp("reported"))
    place.write("small_trials.py", TRIALS)
    place.write("plots.py", PLOTS)
    for name in ("one", "two"):
        place.write(f"{name}.yaml", SPEC.format(name=name))
        found = place.harness("run", f"{name}.yaml", "--executor", "inline")
        assert found.status == 0, found.err
    # Files as old as those of anybody's project: what changed in the very moment of a report is made again.
    for path in place.folder.glob("*.*"):
        os.utime(path, (time.time() - 60, time.time() - 60))
    return place.folder


@pytest.fixture
def place(reported: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """The one place, its report anew: paths and times of change are part of what is kept."""
    monkeypatch.chdir(reported)
    monkeypatch.syspath_prepend(str(reported))
    # One process, this one: the tests make many reports.
    monkeypatch.setattr(sections, "available_cpus", lambda: 1)
    for name in ("small_trials", "plots"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return Workplace(reported)


def report(*arguments: str) -> str:
    found = CliRunner().invoke(report_command, arguments or ("one.yaml", "two.yaml"))
    assert found.exit_code == 0, found.output
    return found.output


def kept_files(place: Workplace, site: str = "site") -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (place.folder / site / FOLDER).glob("*.json")}


def remade(place: Workplace, change: Callable[[], object]) -> tuple[int, bool]:
    """Return how many sections a report makes after a change, and whether it writes the page."""
    report()
    before, page = kept_files(place), (place.folder / "site" / "index.html").stat().st_mtime_ns
    change()
    said = report()
    after = kept_files(place)
    written = (place.folder / "site" / "index.html").stat().st_mtime_ns != page
    assert written == ("nothing has changed" not in said)
    return sum(after[name] != before.get(name) for name in after), written


def touch(path: Path) -> None:
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000))


def test_nothing_is_made_where_nothing_has_changed(place: Workplace) -> None:
    report()
    before = {name: (place.folder / "site" / name).read_bytes() for name in ("index.html", "claims.json", "tables.zip")}
    assert remade(place, lambda: None) == (0, False)
    assert before == {name: (place.folder / "site" / name).read_bytes() for name in before}


@pytest.mark.parametrize(
    ("changed", "sections"),
    [("one.yaml", 1), ("small_trials.py", 2), ("plots.py", 2)],
)
def test_only_what_a_changed_file_concerns_is_made_anew(place: Workplace, changed: str, sections: int) -> None:
    assert remade(place, lambda: touch(place.folder / changed)) == (sections, True)


def test_an_edited_attempt_is_seen(place: Workplace) -> None:
    (attempt, *_) = sorted((place.folder / "results" / "two" / "attempts").glob("*/*/attempt.json"))
    whole = attempt.read_bytes()
    assert remade(place, lambda: attempt.write_bytes(whole.replace(b"e", b"a"))) == (1, True)
    assert "Damaged attempts" in (place.folder / "site" / "index.html").read_text()
    assert remade(place, lambda: attempt.write_bytes(whole)) == (1, True)
    assert "Damaged attempts" not in (place.folder / "site" / "index.html").read_text()


def test_an_edited_page_is_written_anew_from_what_is_kept(place: Workplace) -> None:
    page = place.folder / "site" / "index.html"
    assert remade(place, lambda: page.write_text("gone")) == (0, True)
    assert "Slow is slower" in page.read_text()


@pytest.mark.parametrize("content", ["", "{}", "[1", '{"inputs": 1}', "\udcff"])
def test_what_is_kept_and_cannot_be_read_is_made_anew(place: Workplace, content: str) -> None:
    def spoil() -> None:
        for path in (place.folder / "site" / FOLDER).glob("*.json"):
            path.write_bytes(content.encode(errors="surrogateescape"))

    assert remade(place, spoil) == (2, True)


def test_fewer_specs_give_another_page_and_drop_the_rest(place: Workplace) -> None:
    report()
    assert "nothing has changed" not in report("one.yaml")
    assert len(kept_files(place)) == 1
    claims = json.loads((place.folder / "site" / "claims.json").read_text())
    assert [claim["claim"] for claim in claims] == ["one.ratio"]
    report()
    assert len(kept_files(place)) == 2


def test_what_is_kept_gives_the_page_that_is_made_without(place: Workplace) -> None:
    """Its date apart; and the folder of what is kept may be deleted at any time."""
    report()
    shutil.rmtree(place.folder / "site" / FOLDER)
    (place.folder / "site" / "index.html").unlink()
    report()
    first = (place.folder / "site" / "index.html").read_text()
    (place.folder / "site" / "index.html").unlink()
    report()
    second = (place.folder / "site" / "index.html").read_text()
    moment = re.compile(r"Made [^<]* from")
    assert moment.sub("", first) == moment.sub("", second)
    found = CliRunner().invoke(verify_command, ())
    assert found.output.startswith("verified: 2 claims")


def test_a_file_that_changed_while_the_section_was_made_is_not_trusted(place: Workplace) -> None:
    wanted = Wanted(find_experiment("one.yaml"), None, None, Store.at("results"), named=True)
    spec = str((place.folder / "one.yaml").resolve())
    before = kept_of(wanted, "inputs", None, time.time_ns())
    assert before.watched[spec] == stamp(Path(spec)) and before.still()
    assert not kept_of(wanted, "inputs", None, stamp(Path(spec))[0]).still()  # type: ignore[index]


def test_another_profile_device_or_store_is_another_section(place: Workplace, tmp_path: Path) -> None:
    experiment, store = find_experiment("one.yaml"), Store.at("results")
    wanted = [
        Wanted(experiment, None, None, store, named=True),
        Wanted(experiment, None, None, store, named=False),
        Wanted(experiment, "laptop", None, store, named=True),
        Wanted(experiment, None, "cpu", store, named=True),
        Wanted(experiment, None, None, Store(tmp_path), named=True),
        Wanted(find_experiment("two.yaml"), None, None, store, named=True),
    ]
    assert len({one.name for one in wanted}) == len(wanted)
    kept = KeptSections(tmp_path / "site")
    assert len({kept.inputs(one) for one in wanted}) == 3
    kept.add(wanted[0], Kept(inputs=kept.inputs(wanted[0]), watched={}, section=None))
    assert kept.made == 1 and kept.find(wanted[0]) is None
    kept.keep()
    assert kept.find(wanted[0]) is not None and kept.find(wanted[1]) is None
