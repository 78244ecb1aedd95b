"""The page and claims.json: the same numbers as the store, hostile text as text, and a sensible page for every state."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from support import Workplace

from reports.cells import Cell

SPEC = """
experiment: timed
title: Systems <b>timed</b> & "compared"
description: "<script>alert(1)</script>"
trial: small_trials:pair
claims:
  - {id: t.ratio, paper: Somebody et al., arxiv: 2101.00001v1, locator: Table 1, statement: "Slow is slower <i>by far</i>",
     form: ratio, metric: latency_ms, unit: x, numerator: {system: slow}, denominator: {system: fast}, at_least: 5,
     bound_reason: they say so, published: {ratio_of: [100, 9], locator: Table 1, basis: source},
     margin: {relative: 0.2, reason: rounding}}
factors:
  system: {blocked: true, levels: {fast: 1.0, slow: 10.0}}
replicates: 4
profiles:
  laptop: {fidelity: proxy, deviations: ["a <toy>"]}
report:
  labels: {fast: "Fast & light", slow: "Slow <img src=x onerror=alert(1)>"}
  pictures:
    - {kind: beside-published, title: "Time <u>", rows: system, unit: ms, metrics: {latency_ms: measured}, logarithmic: true}
  tables:
    - title: Time
      rows: system
      columns:
        - {metric: latency_ms, label: time, unit: ms, digits: 3, published: {locator: Table 1, digits: 1, values: {fast: 9, slow: 100.25}}, difference: true}
        - {metric: latency_ms, label: ratio, unit: x, digits: 2, ratio_to: fast}
        - {metric: nothing, label: absent}
"""


class Text(HTMLParser):
    """Collects tags and the text of a page; complains of nothing, so the tests look at what it found."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def report(workplace: Workplace, *arguments: str) -> tuple[Text, list[dict[str, object]]]:
    found = workplace.harness("report", "timed.yaml", *arguments)
    assert found.status == 0, found.err
    page = Text()
    page.feed((workplace.folder / "site" / "index.html").read_text())
    return page, json.loads((workplace.folder / "site" / "claims.json").read_text())


@pytest.fixture
def done(workplace: Workplace) -> Workplace:
    workplace.write("timed.yaml", SPEC)
    assert workplace.harness("run", "timed.yaml", "--executor", "inline").status == 0
    return workplace


def test_the_page_says_what_claims_json_says(done: Workplace) -> None:
    page, (row,) = report(done)
    assert row["verdict"] == "direction only" and row["n"] == 4
    assert f"{row['effect']:.4g} x [{row['ci_low']:.4g}, {row['ci_high']:.4g}]" in page.text
    assert row["published"]["value"] == 100 / 9  # type: ignore[index]
    assert "published uncertainty not stated" in page.text
    assert len(row["trials"]) == 4  # type: ignore[arg-type]


def test_tables_show_the_medians_of_the_records(done: Workplace) -> None:
    import csv
    import io
    import statistics

    page, _ = report(done)
    rows = list(csv.DictReader(io.StringIO(done.harness("export", "timed.yaml").out)))
    medians = {
        name: statistics.median(float(row["latency_ms"]) for row in rows if row["system"] == name)
        for name in ("fast", "slow")
    }
    for name, published in (("fast", 9), ("slow", 100.25)):
        assert f"{medians[name]:.3f}" in page.text
        assert f"{100 * (medians[name] / published - 1):+.1f}" in page.text
    assert f"{medians['slow'] / medians['fast']:.2f}" in page.text
    assert "9.0" in page.text and "100.25" in page.text


def test_text_from_specs_stays_text_and_nothing_is_fetched(done: Workplace) -> None:
    page, _ = report(done)
    assert not {"b", "i", "u", "toy", "img", "iframe", "link"} & set(page.tags) and page.tags.count("script") == 1
    assert "<script>alert(1)</script>" in page.text and "Slow is slower <i>by far</i>" in page.text
    assert all(link.startswith("#") for link in page.links), page.links
    assert "@import" not in (done.folder / "site" / "index.html").read_text()


def test_pictures_have_names_of_their_own(done: Workplace) -> None:
    page = (done.folder / "site" / "index.html") if report(done) else None
    assert page is not None
    ids = re.findall(r'\bid="([^"]+)"', page.read_text())
    assert len(ids) == len(set(ids))
    assert 'role="img" aria-label="Time &lt;u&gt;"' in page.read_text()


def test_the_same_store_gives_the_same_page(done: Workplace) -> None:
    report(done)
    first = (done.folder / "site" / "index.html").read_text()
    report(done)
    second = (done.folder / "site" / "index.html").read_text()
    clock = re.compile(r"Made [^<]* from")
    assert clock.sub("", first) == clock.sub("", second)


def test_an_empty_store_gives_a_sensible_page(workplace: Workplace) -> None:
    workplace.write("timed.yaml", SPEC)
    page, (row,) = report(workplace)
    assert row["verdict"] == "not run" and row["effect"] is None
    assert "0 of 4 planned trials done" in page.text
    found = workplace.harness("report", "--out", "all")
    assert found.status == 0 and "the store holds no results yet" in found.out
    assert "run an experiment first" in (workplace.folder / "all" / "index.html").read_text()


def test_failures_are_rows(workplace: Workplace) -> None:
    text = SPEC.replace("small_trials:pair", "small_trials:break_down")
    workplace.write("timed.yaml", text)
    source = workplace.folder / "small_trials.py"
    source.write_text(
        source.read_text()
        + "\n\ndef break_down(*, run: Any, system: Mapping[str, float]) -> list[dict[str, Any]]:\n"
        + "    raise ValueError('<h1>no</h1>')\n"
    )
    assert workplace.harness("run", "timed.yaml").status == 3
    page, (row,) = report(workplace)
    assert row["verdict"] == "not run" and "4 of 4 trials failed" in str(row["reason"])
    assert "ValueError: <h1>no</h1>" in page.text and page.tags.count("h1") == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("ratio_to: fast", "ratio_too: fast"), "unknown key; did you mean 'ratio_to'?"),
        (
            ("kind: beside-published", "kind: besides-published"),
            "report.pictures.0.kind: there is no 'besides-published'; did you mean 'beside-published'?",
        ),
        (
            ("unit: ms, metrics", "unti: ms, metrics"),
            "report.pictures.0.unti: unknown key; did you mean 'unit'? (known: caption, kind, logarithmic, metrics",
        ),
    ],
)
def test_a_mistake_in_the_report_key(workplace: Workplace, change: tuple[str, str], sentence: str) -> None:
    workplace.write("timed.yaml", SPEC.replace(*change))
    found = workplace.harness("report", "timed.yaml")
    assert found.status == 2 and sentence in found.err and found.err.count("\n") == 1


def test_an_output_folder_that_cannot_be_made(done: Workplace) -> None:
    (done.folder / "taken").write_text("")
    found = done.harness("report", "timed.yaml", "--out", "taken")
    assert found.status == 2 and "--out taken: cannot be written" in found.err


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(1234.5678, digits=1), "1,234.6"),
        (Cell(1.0, 0.5, 1.5, digits=2), "1.00 [0.50, 1.50]"),
        (Cell(None), "–"),
        (Cell(float("nan")), "–"),
        (Cell(float("inf")), "–"),
        (Cell(950.0, digits=0, published=True, approximate=True), "~950"),
        (Cell(1023.3, published=True), "1,023.3"),
        (Cell(0.05, signed=True, digits=1), "+0.1"),
        (Cell(text="words"), "words"),
    ],
)
def test_cells_are_shown_as_people_read_them(cell: Cell, text: str) -> None:
    assert cell.shown() == text
