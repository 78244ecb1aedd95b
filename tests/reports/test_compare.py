"""Two stores side by side: both effects, both verdicts, what does not travel faint; and the whole is verified."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import TRIALS, Workplace

from harness.plan.design import make_design
from harness.plan.trials import expand
from harness.spec.load import load_experiment
from harness.store.attempt import read_attempt, read_samples, sample_names, write_attempt
from reports.cells import Cell, Heading, Table
from reports.compare import agreement, side_by_side
from reports.parts import OverviewRow

SPEC = """
experiment: timed
title: Systems timed
trial: small_trials:pair
claims:
  - {id: t.ratio, paper: Somebody et al., arxiv: 2101.00001v1, locator: Table 1, statement: Slow is slower,
     form: ratio, metric: latency_ms, unit: x, numerator: {system: slow}, denominator: {system: fast}}
  - {id: t.time, paper: Somebody et al., arxiv: 2101.00001v1, locator: Table 1, statement: Slow takes long,
     form: value, metric: latency_ms, unit: ms, arm: {system: slow}, at_least: 5, bound_reason: they say so}
factors:
  system: {blocked: true, levels: {fast: 1.0, slow: 10.0}}
replicates: 4
profiles:
  laptop: {fidelity: proxy}
report:
  tables:
    - title: Time
      rows: system
      columns:
        - {metric: latency_ms, label: time, unit: ms, digits: 3, published: {locator: Table 1, values: {fast: 9, slow: 100}}}
        - {metric: latency_ms, label: ratio, unit: x, digits: 2, ratio_to: fast}
"""


def compared_on(site: Path) -> str:
    """Return the part of a page that has both stores side by side."""
    found = re.search(r'<section id="compared".*?</section>', (site / "index.html").read_text(), re.S)
    assert found is not None
    return found[0]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("both"))
    place.write("small_trials.py", TRIALS)
    place.write("timed.yaml", SPEC)
    for store, replicates in (("results", "4"), ("other", "3")):
        found = place.harness("run", "timed.yaml", "--executor", "inline", "--store", store, "--replicates", replicates)
        assert found.status == 0, found.err
    found = place.harness("report", "timed.yaml", "--compare", "other")
    assert found.status == 0, found.err
    return place


def test_both_stores_stand_on_the_page(both: Workplace) -> None:
    page = (both.folder / "site" / "index.html").read_text()
    compared = page[page.index('id="compared"') :]
    assert "Beside other" in compared and "effect in other" in compared and "belong to their machines" in compared
    (ratio, time) = json.loads((both.folder / "site" / "claims.json").read_text())
    assert f"{ratio['effect']:.4g} x [{ratio['ci_low']:.4g}, {ratio['ci_high']:.4g}]" in compared
    assert f"{time['effect']:.4g} ms" in compared
    assert 'class="number faint"' in compared


def test_the_other_store_is_verified_too(both: Workplace) -> None:
    found = both.harness("verify")
    assert found.status == 2 and "'other'" in found.err and "--compare" in found.err
    found = both.harness("verify", "--compare", "other")
    assert found.status == 0, found.out
    assert "7 attempts" in found.out
    (attempt, *_) = sorted((both.folder / "other" / "timed" / "attempts").glob("*/*/attempt.json"))
    whole = attempt.read_bytes()
    attempt.write_bytes(whole.replace(b"e", b"a"))
    found = both.harness("verify", "--compare", "other")
    assert found.status == 4 and attempt.parent.name in found.out
    attempt.write_bytes(whole)


def test_a_store_that_is_not_there(both: Workplace) -> None:
    found = both.harness("report", "timed.yaml", "--compare", "nowhere")
    assert found.status == 2 and found.err == "harness: --compare nowhere: there is no such store\n"


def test_a_store_without_these_experiments(both: Workplace, tmp_path: Path) -> None:
    found = both.harness("report", "timed.yaml", "--compare", str(tmp_path), "--out", str(tmp_path / "site"))
    assert found.status == 0, found.err
    assert "not run" in (tmp_path / "site" / "index.html").read_text()


def test_a_store_of_another_commit_is_shown_as_it_was_made_and_says_so(both: Workplace, tmp_path: Path) -> None:
    """The trials' code changes after the other store was made: one's own results are stale, the other's are shown."""
    folder = both.folder
    code = (folder / "small_trials.py").read_text()
    try:
        (folder / "small_trials.py").write_text(code + "\nCHANGED = True\n")
        found = both.harness("run", "timed.yaml", "--executor", "inline", "--store", "newer", "--replicates", "2")
        assert found.status == 0, found.err
        made = both.harness("report", "timed.yaml", "--store", "newer", "--compare", "other", "--out", "commits")
        assert made.status == 0, made.err
        compared = compared_on(folder / "commits")
        assert "made with other code than today" in compared and "not run" not in compared
        manifest = json.loads((folder / "commits" / "manifest.json").read_text())
        assert len(manifest["compared"]["results"][0]["trials"]) == 3 and len(manifest["results"][0]["trials"]) == 2
        assert manifest["compared"]["results"][0]["other_code"] and not manifest["results"][0]["other_code"]
        verified = both.harness("verify", "commits", "--store", "newer", "--compare", "other")
        assert verified.status == 0, verified.out
    finally:
        (folder / "small_trials.py").write_text(code)


def test_a_store_of_another_device_is_shown_and_says_so(both: Workplace) -> None:
    """Trials of a GPU stand beside those of a machine without one, unless a device is asked for."""
    here, there = both.folder / "other" / "timed" / "attempts", both.folder / "gpu" / "timed" / "attempts"
    planned = {"cpu": {}, "cuda": {}}
    for device, trials in planned.items():
        design = make_design(load_experiment(both.folder / "timed.yaml"), None, device=device)
        trials |= {trial.replicate: trial for trial in expand(design)}
    for replicate, trial in planned["cpu"].items():
        for folder in here.glob(f"{trial.id}/*"):
            attempt = read_attempt(folder)
            other = planned["cuda"][replicate]
            assert attempt is not None and other.id != trial.id
            samples = {name: read_samples(folder, name) for name in sample_names(folder)}
            write_attempt(there / other.id, replace(attempt, trial=other.id, identity=other.identity), samples, None)
    shutil.copytree(both.folder / "other" / "environments", both.folder / "gpu" / "environments")
    found = both.harness("report", "timed.yaml", "--compare", "gpu", "--out", "devices", "--device", "cpu")
    assert found.status == 0 and "not run" in compared_on(both.folder / "devices")
    found = both.harness("report", "timed.yaml", "--compare", "gpu", "--out", "devices")
    compared = compared_on(both.folder / "devices")
    assert found.status == 0 and "not run" not in compared and "in gpu on <code>cuda</code>" in compared
    verified = both.harness("verify", "devices", "--compare", "gpu")
    assert verified.status == 0, verified.out


HEADINGS = (
    Heading("system"),
    Heading("time", "ms"),
    Heading("paper", "ms", published=True),
    Heading("score", "points"),
)


def table(*rows: tuple[str, float, float, float]) -> Table:
    return Table("T", "", HEADINGS, [[Cell(text=name), *map(Cell, numbers)] for name, *numbers in rows])  # type: ignore[arg-type]


def test_each_column_stands_twice_and_the_papers_once() -> None:
    found = side_by_side(table(("a", 1.0, 5.0, 70.0), ("b", 2.0, 6.0, 80.0)), table(("b", 3.0, 6.0, 81.0)), "there")
    assert [heading.label for heading in found.headings] == [
        "system", "time, here", "time, there", "paper", "score, here", "score, there",
    ]  # fmt: skip
    assert [[cell.value for cell in row[1:]] for row in found.rows] == [
        [1.0, None, 5.0, 70.0, None],
        [2.0, 3.0, 6.0, 80.0, 81.0],
    ]
    assert [cell.faint for cell in found.rows[1]] == [False, True, True, True, False, False]


ROW = OverviewRow(
    anchor="a", section="s", claim="c", statement="", paper="", arxiv="", locator="", experiment="", profile="",
    fidelity="proxy", reading="", exploratory=False, verdict="inconclusive", order=3, reason="", effect="1 x", number=1.0,
    low=0.5, high=1.5, unit="x", strip="", n=3, published="", words="", beside=(),
)  # fmt: skip


@given(st.floats(-10, 10), st.floats(0, 5), st.floats(-10, 10), st.floats(0, 5))
def test_intervals_overlap_or_lie_apart_whichever_comes_first(
    one: float, half: float, other: float, width: float
) -> None:
    first = ROW.model_copy(update={"number": one, "low": one - half, "high": one + half})
    second = ROW.model_copy(update={"number": other, "low": other - width, "high": other + width})
    found = agreement(first, second)
    assert found == agreement(second, first)
    assert found == ("overlap" if first.low <= second.high and second.low <= first.high else "lie apart")  # type: ignore[operator]
    assert agreement(first, first) == "overlap"


def test_what_cannot_be_compared_is_said() -> None:
    assert agreement(ROW, None) == "cannot be compared"
    assert agreement(ROW, ROW.model_copy(update={"number": None})) == "cannot be compared"
    assert agreement(ROW.model_copy(update={"unit": "ms"}), ROW) == "belong to their machines"
    exact = ROW.model_copy(update={"low": None, "high": None})
    assert agreement(exact, exact) == "are equal"
    assert agreement(exact, exact.model_copy(update={"number": 2.0})) == "are not equal"
