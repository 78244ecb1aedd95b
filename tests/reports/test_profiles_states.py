"""Profiles that are old, damaged, alone in a store or oddly named: what the page says of them, and when it is made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import lxml.html
import pytest
from drawn_profile import write_drawn_profile
from profiled import ARMS, SPEC, STAGES, Place, entered, make_place, part_of, stored_tables, table_of, text_of
from support import Workplace

from harness.store.store import Store

STALE = "Profiled with other code than today's"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A sweep that is run, with no profile."""
    return make_place(tmp_path_factory.mktemp("states"))


@pytest.fixture
def place(swept: Workplace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    found = entered(swept, monkeypatch)
    yield found
    shutil.rmtree(found.folder / "results" / "timed" / "profiles", ignore_errors=True)


def steps_of(page: lxml.html.HtmlElement) -> dict[str, str]:
    """Return the time of a profiled step by the name of its arm, as it is shown."""
    _, (_, *rows) = table_of(page, "Time by kind of work")
    return {row[0]: row[1] for row in rows}


def test_without_profiles_nothing_is_said_of_them(place: Place) -> None:
    page = place.report()
    assert not page.xpath("//div[@class='profiles']") and "profiled" not in text_of(page.xpath("//section")[-1]).lower()
    assert all(found["profiles"] == {} for found in json.loads(Path("site/manifest.json").read_text())["results"])
    assert place.verified() == []


def test_of_each_arm_the_newest_profile_counts(place: Place) -> None:
    first = place.profile({"fast": 1.0, "slow": 10.0}, number=1)
    second = place.profile({"fast": 2.0}, number=2)
    page = place.report()
    steps = steps_of(page)
    assert list(steps) == ["Fast one", "Slow one"]
    assert float(steps["Fast one"]) == pytest.approx(2.4, rel=0.05) and float(steps["Slow one"]) == pytest.approx(
        12, rel=0.05
    )
    text = text_of(part_of(page))
    assert text.count(first.name) == 1 and text.count(second.name) == 1
    manifest = json.loads(Path("site/manifest.json").read_text())
    assert sorted(manifest["results"][0]["profiles"]) == sorted(
        folder.relative_to(place.store.root).as_posix() for folder in (first, second)
    )
    assert STALE not in text and place.verified() == []


def test_arms_stand_in_the_order_of_the_spec(place: Place) -> None:
    place.profile({"slow": 10.0}, number=1)
    place.profile({"middle": 1.5, "fast": 1.0}, number=2)
    assert list(steps_of(place.report())) == ["Fast one", "Middle one", "Slow one"]


def test_on_a_gpu_kernels_are_what_counts(place: Place) -> None:
    """They run side by side: their shares may add up to more than the step, and nothing is left for Python."""
    folder = place.profile({"fast": 1.0}, device="cuda")
    page = place.report()
    kernels = stored_tables(folder)["profile_kernels"].groupby("kind")["us"].sum()
    step = stored_tables(folder)["profile_steps"]["us"].mean()
    _, (headings, row) = table_of(page, "Share by kind of work")
    shown = {heading.removesuffix(" (%)"): float(cell) for heading, cell in zip(headings[1:], row[1:], strict=True)}
    assert shown == pytest.approx({**(100 * kernels / step), "Python and launching": 0.0}, abs=0.0501)
    assert sum(shown.values()) > 110
    assert "kernels that it launches itself" in table_of(page, "Operators that take most time: Fast one")[0]
    assert place.verified() == []


def test_a_profile_made_with_other_code_is_shown_and_said_to_be_stale(place: Place) -> None:
    place.profile({"fast": 1.0}, number=1)
    place.profile({"slow": 10.0}, number=2, code="another")
    page = place.report()
    assert f"{STALE}: Slow one." in text_of(part_of(page))
    fast, slow = part_of(page).xpath("./ul/li")
    assert "other code" not in text_of(fast) and text_of(slow).startswith("Slow one (other code than today's)")
    assert place.verified() == []


def test_a_profile_made_with_todays_code_goes_before_a_newer_one_that_was_not(place: Place) -> None:
    place.profile({"fast": 1.0}, number=1)
    place.profile({"fast": 3.0}, number=2, code="another")
    page = place.report()
    assert float(steps_of(page)["Fast one"]) == pytest.approx(1.2, rel=0.05)
    assert STALE not in text_of(part_of(page))


def test_changed_code_makes_a_profile_stale(place: Place) -> None:
    place.profile({"fast": 1.0})
    source = place.folder / "small_report_trials.py"
    before = source.read_text()
    assert STALE not in text_of(part_of(place.report()))
    try:
        source.write_text(before.replace("drift = noise.lognormal(0, 0.1)", "drift = noise.lognormal(0, 0.2)"))
        assert f"{STALE}: Fast one." in text_of(part_of(place.report()))
    finally:
        source.write_text(before)


@pytest.mark.parametrize("broken", ["profile_kernels.parquet", "attempt.json", "COMPLETE"])
def test_a_damaged_profile_is_left_out_and_the_one_before_it_counts(place: Place, broken: str) -> None:
    place.profile({"fast": 1.0}, number=1)
    later = place.profile({"fast": 3.0}, number=2)
    (later / broken).write_bytes(b"{nothing}")
    page = place.report()
    assert float(steps_of(page)["Fast one"]) == pytest.approx(1.2, rel=0.05)
    (heading,) = page.xpath("//h3[.='Damaged profiles, left out']")
    (sentence,) = (text_of(entry) for entry in heading.getnext().xpath("./li"))
    assert sentence.startswith(later.relative_to(place.store.root).as_posix()) and "results/" not in sentence
    # As with a damaged attempt, a report that had to leave one out is never called verified.
    assert place.verified() == [sentence]


def test_where_every_profile_is_damaged_the_rest_of_the_section_stands(place: Place) -> None:
    (place.profile() / "profile_steps.parquet").unlink()
    page = place.report()
    assert not page.xpath("//div[@class='profiles']") and page.xpath("//h3[.='Damaged profiles, left out']")
    assert page.xpath("//h4[.='Time of a request']")


def test_tables_of_another_shape_are_damage_and_no_traceback(place: Place) -> None:
    folder = place.profile()
    import hashlib

    import pandas

    table = folder / "profile_operators.parquet"
    pandas.DataFrame({"something": [1.0]}).to_parquet(table)
    marker = json.loads((folder / "COMPLETE").read_text())
    data = table.read_bytes()
    marker[table.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "COMPLETE").write_text(json.dumps(marker, indent=1, sort_keys=True) + "\n")
    (sentence,) = place.report().xpath("//h3[.='Damaged profiles, left out']/following-sibling::ul[1]/li")
    assert text_of(sentence).endswith("does not hold a profile that can be read")


def test_a_new_profile_makes_the_section_anew_and_nothing_else_does(place: Place) -> None:
    place.report()
    assert "nothing has changed" in place.call("report", place.spec).out
    place.profile(number=1)
    assert "nothing has changed" not in place.call("report", place.spec).out
    assert place.page().xpath("//div[@class='profiles']")
    assert "nothing has changed" in place.call("report", place.spec).out
    place.profile(number=2)
    assert "nothing has changed" not in place.call("report", place.spec).out


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An experiment that was never run."""
    return entered(make_place(tmp_path, run=False), monkeypatch)


def test_a_store_with_profiles_and_no_trials(planned: Place) -> None:
    planned.profile()
    page = planned.report()
    assert "0 of 3 planned trials done" in text_of(page.xpath("//section[@class='experiment']")[0])
    assert list(steps_of(page)) == ["Fast one", "Slow one"]
    # There is no sweep to be held against, so nothing is said of it.
    caption, (headings, *rows) = table_of(page, "Time by stage: Fast one")
    assert "sweep" not in caption and headings[-1] == "share, sweep (%)" and {row[-1] for row in rows} == {"–"}
    assert planned.verified() == []
    assert "### Time by stage: Slow one" in planned.call("export", "timed.yaml", "--tables", "--format", "markdown").out


def test_experiments_of_the_project_are_shown_without_being_named(
    planned: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.spec.find import find_experiment
    from reports import sections

    monkeypatch.setattr(sections, "all_experiments", lambda: [find_experiment("timed.yaml")])
    planned.call("report")
    assert not planned.page().xpath("//section[@class='experiment']")
    planned.profile()
    planned.call("report")
    assert list(steps_of(planned.page())) == ["Fast one", "Slow one"]


HOSTILE = {
    '<b>&amp; "quoted"</b>': 1.0,
    "../../up": 2.0,
    "x" * 300: 3.0,
    "\u202eturned": 4.0,
    "=1+1": 5.0,
}


def test_names_that_are_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SPEC.replace("levels: {fast: 1.0, middle: 1.5, slow: 10.0}", f"levels: {json.dumps(HOSTILE)}")
    spec = spec[: spec.index("claims:")] + spec[spec.index("factors:") : spec.index("report:")]
    place = entered(make_place(tmp_path, spec, run=False), monkeypatch)
    stages = {"<script>alert(1)</script>": 0.5, "y" * 200: 0.3, "_": 0.2}
    place.profile(HOSTILE, stages)
    page = place.report()
    part = part_of(page)
    assert not part.xpath(".//b | .//script | .//img")
    _, (_, *rows) = table_of(page, "Time by kind of work")
    assert [row[0] for row in rows] == list(HOSTILE)
    _, (_, *rows) = table_of(page, f"Time by stage: {'x' * 300}")
    assert [row[0] for row in rows] == [stage.replace("_", " ").strip() for stage in stages]
    assert place.verified() == []
    for form in ("csv", "markdown", "latex", "html"):
        place.call("export", place.spec, "--tables", "--format", form, "--output", str(tmp_path))


def test_levels_of_one_label_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = entered(make_place(tmp_path, SPEC.replace("slow: Slow one}", "slow: Fast one}"), run=False), monkeypatch)
    place.profile()
    page = place.report()
    assert list(steps_of(page)) == ["Fast one", "Fast one (system slow)"]
    assert table_of(page, "Time by stage: Fast one (system slow)")[1]


ALONE = """
experiment: timed
title: No blocked factor
trial: small_report_trials:fragile
factors: {arm: [a, b], index: [0]}
profiles: {laptop: {fidelity: proxy}}
"""


def test_without_a_blocked_factor_each_setting_is_an_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.plan.trials import expand

    place = entered(make_place(tmp_path, ALONE, run=False), monkeypatch)
    for number, trial in enumerate(expand(place.design), 1):
        place.profile({"": float(number)}, number=number, trial=trial)
    assert list(steps_of(place.report())) == ["a, 0", "b, 0"]
    assert place.verified() == []


def test_a_manifest_from_before_there_were_profiles_can_be_read(place: Place) -> None:
    place.report()
    path = place.folder / "site" / "manifest.json"
    document = json.loads(path.read_text())
    for results in document["results"]:
        del results["profiles"]
    path.write_text(json.dumps(document))
    assert place.verified() == []


def test_another_stores_profiles_stand_beside(place: Place, tmp_path: Path) -> None:
    place.profile(number=1)
    shutil.copytree("results", tmp_path / "there")
    (theirs,) = (tmp_path / "there" / "timed" / "profiles").glob("*/*")
    shutil.rmtree(theirs)
    write_drawn_profile(Store(tmp_path / "there"), place.design, {**ARMS, "middle": 2.0}, STAGES, code="code", number=3)
    place.call("report", place.spec, "--compare", str(tmp_path / "there"))
    (table,) = place.page().xpath("//section[@id='compared']//details[summary='Time by kind of work']//table")
    rows = [[text_of(cell) for cell in row.xpath("./th|./td")] for row in table.xpath(".//tbody/tr")]
    assert [row[0] for row in rows] == ["Fast one", "Slow one", "Middle one"]
    assert rows[2][1] == "–" and float(rows[2][2]) == pytest.approx(2.4, rel=0.05)
    shown = [cell for cell in table.xpath(".//tbody//td") if text_of(cell) != "–"]
    assert len(shown) > 20 and all("faint" in cell.get("class") for cell in shown)
    assert place.verified("--compare", str(tmp_path / "there")) == []
