"""The page shows kept runs of the benchmarks, is made again when there is a new one, and verification finds what was edited."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import lxml.html
import numpy
import pytest
from benched import MACHINE, document, generator, measured, write
from click.testing import CliRunner

from harness.store.store import Store
from reports.bench.accepted import AcceptedRatio
from reports.bench.files import BenchFiles, bench_files
from reports.bench.judging import MARGIN
from reports.bench.kept import keep_run
from reports.bench.measured import Check, Scale
from reports.command import report_command
from reports.page import render
from reports.pictures.bench_history import changes, draw_histories
from reports.verify_command import verify_command

TITLE = "How fast the harness itself is"
NAMES = ("loss", "plan, 1,000 trials")


def keep(store: Store, day: int, factor: float = 1.0, processor: str = "Some Processor", accepted: Any = None) -> Path:
    """Keep a run of two comparisons and their checks, both slower by a factor than on other days."""
    random = generator(day)
    scale = Scale(what="plan", trials=1000, files="memory")
    found = [
        measured(NAMES[0], 0.4 * factor, random=random, group="Losses"),
        measured(NAMES[1], 1.5 * factor, random=random, group="The engine", scale=scale),
    ]
    check = Check(of="loss beside theirs", expected="as accepted")
    copies = [measured("a copy", 0.4, random=random, check=check) for _ in range(3)]
    whole = document([*found, *copies], when=f"2026-11-{day:02}T12:00:00+00:00")
    whole["machine_info"] = {**MACHINE, "cpu": {"model": processor}}
    path, _ = keep_run(write(store.root.parent / "bench.json", whole), store, accepted or {})
    return path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return Store(tmp_path / "results")


def report() -> str:
    found = CliRunner().invoke(report_command, [], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def verified() -> tuple[int, list[str]]:
    found = CliRunner().invoke(verify_command, [], catch_exceptions=False, standalone_mode=False)
    return found.return_value, found.output.splitlines()


def page_of(store: Store) -> Any:
    return lxml.html.fromstring(render([], None, 0.0, bench_files(store)))


def test_a_page_without_runs_is_the_same_to_the_byte(store: Store) -> None:
    without = render([], None, 0.0)
    assert without == render([], None, 0.0, bench_files(store)) == render([], None, 0.0, BenchFiles({}))
    assert TITLE not in without


def test_the_newest_run_stands_in_a_table_with_what_was_accepted(store: Store) -> None:
    accepted = {f"{name} beside theirs": AcceptedRatio(ratio=0.4, low=0.39, high=0.41, rounds=20) for name in NAMES}
    keep(store, 1)
    keep(store, 2, accepted=accepted)
    page = page_of(store)
    (section,) = page.xpath("//section[@id='bench']")
    assert section.xpath("./h2/text()") == [TITLE]
    table = section.xpath(".//table")[0]
    rows = {
        row.xpath("./th")[0].text_content(): [cell.text_content() for cell in row.xpath("./td")]
        for row in table.xpath(".//tbody/tr")
    }
    assert list(rows) == list(NAMES)
    loss, plan = rows[NAMES[0]], rows[NAMES[1]]
    assert loss[4:] == ["0.4 [0.39, 0.41]", "as accepted", "20"] and plan[5] == "slower than accepted"
    found = re.fullmatch(r"(\S+) \[(\S+), (\S+)\]", loss[3])
    assert found and float(found[2]) < 0.4 < float(found[3])
    text = " ".join(section.text_content().split())
    assert "newest of 2 runs" in text and "2026-11-02 12:00 UTC" in text and "1 is slower than accepted" in text
    assert "Had ours become twice as slow, 2 of 2 comparisons would have been flagged" in text
    assert "a copy: flagged as slower in 0 of 3 (none should be): as it should be" in text


def test_names_from_a_file_are_text_and_never_markup(store: Store) -> None:
    evil = "<img src=x onerror=alert(1)> {{ 7 * 7 }}"
    found = document([measured(evil, group="<script>", rival="</table>")])
    found["machine_info"]["cpu"]["model"] = "<b>bold</b>"
    keep_run(write(store.root.parent / "bench.json", found), store, {})
    page = page_of(store)
    assert not page.xpath("//img") and not page.xpath("//b") and len(page.xpath("//script")) == 1
    assert any(evil in cell.text_content() for cell in page.xpath("//section[@id='bench']//th"))


def test_a_damaged_run_is_named_on_the_page_and_hides_nothing_else(store: Store) -> None:
    keep(store, 1)
    keep(store, 2).write_text("[")
    text = page_of(store).xpath("//section[@id='bench']")[0].text_content()
    assert "Left out" in text and "is not JSON" in text and NAMES[0] in text
    for path in (store.root / "bench").iterdir():
        path.write_text("[")
    assert "Left out" in page_of(store).xpath("//section[@id='bench']")[0].text_content()


def test_pictures_have_the_numbers_that_they_draw(store: Store) -> None:
    for day, factor in ((1, 1.0), (2, 1.1), (3, 2.5)):
        keep(store, day, factor, "Another Processor" if day == 2 else "Some Processor")
    runs = list(bench_files(store).runs.values())
    losses, engine = draw_histories(runs)
    assert losses.title.startswith("Losses") and engine.title.startswith("The engine")
    assert [row[0].text for row in losses.numbers.rows] == [f"2026-11-0{day} 12:00 UTC" for day in (1, 2, 3)]
    drawn = [row[3].value for row in losses.numbers.rows]
    expected = [0.4, 0.44, 1.0]
    assert drawn == pytest.approx(expected, rel=0.06)
    logs = [numpy_log_ratio(run.measured[0]) for run in runs]
    assert [math.log(value) for value in drawn if value] == pytest.approx(logs)
    assert changes(runs) == [1, 2] and "another machine" in losses.caption and f"{MARGIN:g}" in losses.caption
    assert "<svg" in losses.svg and losses.svg == draw_histories(runs)[0].svg


def numpy_log_ratio(one: Any) -> float:
    return float(numpy.mean(numpy.log(one.ours.nanoseconds) - numpy.log(one.rival.nanoseconds)))


def test_a_picture_of_one_machine_says_nothing_of_others_and_many_runs_are_cut(store: Store) -> None:
    for day in range(1, 29):
        keep(store, day)
    files = bench_files(store)
    runs = list(files.runs.values())
    picture = draw_histories([*runs, *runs])[0]
    assert len(picture.numbers.rows) == 30 and "newest 30 runs" in picture.caption
    assert "another machine" not in draw_histories(runs)[0].caption


def test_a_new_run_has_the_page_written_again_and_an_old_one_does_not(store: Store) -> None:
    keep(store, 1)
    assert "nothing has changed" not in report()
    assert "nothing has changed" in report()
    assert verified()[0] == 0
    keep(store, 2)
    status, lines = verified()
    assert status == 4 and any("is a run of the benchmarks that is not in the report" in line for line in lines)
    assert "nothing has changed" not in report()
    assert verified() == (0, lines_of_a_verified_page())
    manifest = json.loads(Path("site/manifest.json").read_text())
    assert sorted(manifest["bench"]) == sorted(path.name for path in (store.root / "bench").iterdir())


def lines_of_a_verified_page() -> list[str]:
    (line,) = verified()[1]
    assert line.startswith("verified: ")
    return [line]


def test_verification_finds_an_edited_run_a_deleted_one_and_an_edited_cell(store: Store) -> None:
    first, second = keep(store, 1), keep(store, 2)
    report()
    whole = second.read_text()
    edited = json.loads(whole)
    times = edited["benchmarks"][0]["extra_info"]["beside"]["ours"]["nanoseconds"]
    edited["benchmarks"][0]["extra_info"]["beside"]["ours"]["nanoseconds"] = [value // 2 for value in times]
    second.write_text(json.dumps(edited))
    status, lines = verified()
    assert status == 4 and any(f"bench/{second.name}: its bytes are not those" in line for line in lines)
    assert any("loss" in line for line in lines[1:])
    second.write_text("{")
    assert verified()[0] == 4
    second.write_text(whole)
    assert verified()[0] == 0

    text = first.read_text()
    first.unlink()
    status, lines = verified()
    assert status == 4 and any(f"bench/{first.name}: is deleted, and the report shows it" in line for line in lines)
    first.write_text(text)

    page = Path("site/index.html")
    made = page.read_text()
    page.write_text(re.sub(r"(<td class=\"number faint\">)", r"\g<1>9", made, count=1))
    assert page.read_text() != made
    status, lines = verified()
    assert status == 4 and any("index.html: was edited" in line for line in lines) and len(lines) > 2


def test_a_report_that_was_made_before_there_were_runs_is_still_read(store: Store) -> None:
    report()
    manifest = Path("site/manifest.json")
    document = json.loads(manifest.read_text())
    assert document.pop("bench") == {}
    manifest.write_text(json.dumps(document))
    assert verified()[0] == 0
