"""Every number on the page is that of claims.json and of the exports, and no hand-edited copy passes for the report."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lxml.html
import pandas
import pytest
from small_report import SPECS, make_small_report
from support import Finished, Workplace


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    workplace = Workplace(tmp_path_factory.mktemp("numbers"))
    make_small_report(workplace)
    return workplace


@pytest.fixture(scope="module")
def page(place: Workplace) -> lxml.html.HtmlElement:
    return lxml.html.document_fromstring((place.folder / "site" / "index.html").read_text())


@pytest.fixture(scope="module")
def claims(place: Workplace) -> list[dict[str, Any]]:
    return list(json.loads((place.folder / "site" / "claims.json").read_text()))


@pytest.fixture(scope="module")
def records(place: Workplace) -> dict[str, pandas.DataFrame]:
    return {
        name: pandas.read_csv(io.StringIO(place.harness("export", name).out), keep_default_na=False) for name in SPECS
    }


def text_of(found: lxml.html.HtmlElement) -> str:
    return " ".join(found.text_content().split())


def effect_text(claim: dict[str, Any]) -> str:
    if claim["effect"] is None:
        return "–"
    unit = f" {claim['unit']}" if claim["unit"] else ""
    if claim["ci_low"] is None:
        return f"{claim['effect']:.4g}{unit}"
    return f"{claim['effect']:.4g}{unit} [{claim['ci_low']:.4g}, {claim['ci_high']:.4g}]"


def published_text(claim: dict[str, Any]) -> str:
    published = claim["published"]
    if published is None:
        return "no figure published"
    sd = published.get("sd", published.get("dispersion"))
    spread = f" ± {sd:g}" if isinstance(sd, int | float) else ""
    return f"{published['value']:.5g}{spread} {published.get('unit') or claim['unit']}".rstrip()


def test_the_first_screen_has_the_numbers_of_claims_json(
    page: lxml.html.HtmlElement, claims: list[dict[str, Any]]
) -> None:
    rows = page.xpath("//table[@id='overview']//tr[@class='claim']")
    assert len(rows) == len(claims)
    for row, claim in zip(rows, claims, strict=True):
        heading, verdict, _, measured, published, fidelity, n = row.xpath("./th|./td")
        assert claim["claim"] in text_of(heading) and claim["locator"] in text_of(heading)
        assert text_of(verdict.xpath("./a")[0]) == claim["verdict"] == row.get("data-verdict")
        assert text_of(measured) == effect_text(claim)
        assert text_of(published) == published_text(claim)
        assert text_of(fidelity).startswith(claim["fidelity"])
        assert text_of(n) == (str(claim["n"]) if claim["n"] else "–")
        sort_by = row.get("data-effect")
        assert float(sort_by) == claim["effect"] if sort_by else claim["effect"] is None


def test_counts_by_verdict(page: lxml.html.HtmlElement, claims: list[dict[str, Any]]) -> None:
    chips = {
        chip.xpath("./input/@value")[0]: int(text_of(chip.xpath("./strong")[0]))
        for chip in page.xpath("//label[@class='chip']")
    }
    verdicts = [claim["verdict"] for claim in claims]
    assert chips == {verdict: verdicts.count(verdict) for verdict in verdicts}


def test_cards_have_the_numbers_of_claims_json(page: lxml.html.HtmlElement, claims: list[dict[str, Any]]) -> None:
    cards = page.xpath("//article")
    assert len(cards) == len(claims)
    for card, claim in zip(cards, claims, strict=True):
        here, published = card.xpath("./dl/dd")[:2]
        counted = f", n {claim['n']}" if claim["n"] else ""
        assert text_of(here).startswith(f"{effect_text(claim)}{counted}; {claim['fidelity']} fidelity")
        assert text_of(published).startswith(published_text(claim))
        assert text_of(card.xpath(".//span[contains(@class, 'verdict')]")[0]) == claim["verdict"]
        trials = card.xpath(".//tr[th='Trials']/td")
        assert text_of(trials[0]) == (str(len(claim["trials"])) if claim["trials"] else "none")


def numbers_in(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path)]


def test_strips_are_drawn_to_scale(page: lxml.html.HtmlElement, claims: list[dict[str, Any]]) -> None:
    """What is drawn lies in the order of the numbers, at distances in their proportion (for ratios, of their logs)."""
    checked = 0
    for row, claim in zip(page.xpath("//table[@id='overview']//tr[@class='claim']"), claims, strict=True):
        strip = row.xpath(".//svg")
        if claim["effect"] is None:
            assert not row.xpath(".//circle")
            continue
        scale: Callable[[float], float] = math.log if claim["form"] == "ratio" else float
        places = {scale(claim["effect"]): float(strip[0].xpath("./circle/@cx")[0])}
        if claim["ci_low"] is not None:
            first, _, last = numbers_in(strip[0].xpath("./path[@class='interval']/@d")[0])
            places |= {scale(claim["ci_low"]): first, scale(claim["ci_high"]): last}
        if claim["published"] is not None:
            places[scale(claim["published"]["value"])] = numbers_in(strip[0].xpath("./path[@class='published']/@d")[0])[
                0
            ]
        values = sorted(places)
        assert [places[value] for value in values] == sorted(places.values())
        pixels = (places[values[-1]] - places[values[0]]) / (values[-1] - values[0]) if len(values) > 1 else 0.0
        for value in values:
            assert places[value] == pytest.approx(places[values[0]] + pixels * (value - values[0]), abs=0.15)
        checked += len(values) > 2
    assert checked >= 8


def exported(place: Workplace, name: str) -> list[tuple[str, list[list[str]]]]:
    """Return the tables of a spec as the export gives them in Markdown's sister form, HTML: title and cells."""
    found = place.harness("export", name, "--tables", "--format", "html")
    assert found.status in (0, 3), found.err
    return [
        (text_of(table.xpath("./caption/strong")[0]), cells_of(table))
        for table in lxml.html.fragment_fromstring(found.out, create_parent="div").xpath(".//table")
    ]


def cells_of(table: lxml.html.HtmlElement) -> list[list[str]]:
    return [[text_of(cell) for cell in row.xpath("./th|./td")] for row in table.xpath(".//tr")]


@pytest.mark.parametrize("name", SPECS)
def test_tables_are_those_of_the_export(place: Workplace, page: lxml.html.HtmlElement, name: str) -> None:
    section = page.xpath(f"//section[@id='{name.removesuffix('.yaml')}-laptop']")[0]
    shown = {
        text_of(heading): cells_of(heading.getnext().xpath(".//table")[0])
        for heading in section.xpath("./h4")
        if heading.getnext() is not None and heading.getnext().xpath(".//table")
    }
    tables = [(title, cells) for title, cells in exported(place, name) if title != "Claims"]
    assert tables and {title for title, _ in tables} <= shown.keys()
    for title, cells in tables:
        assert shown[title] == cells, title


def table_of(page: lxml.html.HtmlElement, title: str) -> list[list[str]]:
    heading = page.xpath(f"//section/h4[.='{title}']")[0]
    return cells_of(heading.getnext().xpath(".//table")[0])


def test_a_table_recomputed_from_the_records(page: lxml.html.HtmlElement, records: dict[str, pandas.DataFrame]) -> None:
    heads, labels = (
        records["heads.yaml"],
        {"none": "no head", "linear": "a linear head", "nonlinear": "a nonlinear head"},
    )
    medians = heads.groupby(["head", "dimension"])[["accuracy", "parameters"]].median()
    rows = table_of(page, "Accuracy by head and dimension")
    assert len(rows) == 1 + len(medians)
    for (head, dimension), own in medians.iterrows():
        wanted = [f"{labels[head]}, {dimension}", f"{own['accuracy']:,.2f}", f"{own['parameters']:,.0f}"]
        assert wanted in rows


def test_means_and_intervals_recomputed_from_the_records(
    page: lxml.html.HtmlElement, records: dict[str, pandas.DataFrame]
) -> None:
    from scipy import stats

    by_replicate = records["heads.yaml"].groupby(["head", "replicate"])["accuracy"].mean()
    rows = {row[0]: row for row in table_of(page, "Accuracy by head")}
    for head, label in (("none", "no head"), ("linear", "a linear head"), ("nonlinear", "a nonlinear head")):
        values = by_replicate[head]
        half = stats.t.ppf(0.975, len(values) - 1) * values.std() / math.sqrt(len(values))
        assert rows[label][1] == f"{values.mean():.2f} [{values.mean() - half:.2f}, {values.mean() + half:.2f}]"
    ours = by_replicate["nonlinear"].mean()
    assert rows["a nonlinear head"][2:4] == ["63.5", f"{100 * (ours / 63.5 - 1):+.1f}"]


def test_ratios_recomputed_from_the_records(page: lxml.html.HtmlElement, records: dict[str, pandas.DataFrame]) -> None:
    medians = records["timed.yaml"].groupby("system")["latency_ms"].median()
    rows = {row[0]: row for row in table_of(page, "Time of a request")}
    for system, label in (("fast", "Fast one"), ("middle", "Middle one"), ("slow", "Slow one")):
        assert rows[label][1].startswith(f"{medians[system]:.3f} [")
        assert rows[label][-1] == f"{medians[system] / medians['fast']:.2f}"


@pytest.mark.parametrize("name", SPECS)
def test_every_trial_stands_in_the_list(
    page: lxml.html.HtmlElement, records: dict[str, pandas.DataFrame], name: str
) -> None:
    listed = page.xpath(f"//details[@id='trials-{name.removesuffix('.yaml')}-laptop']//tbody/tr/th")
    assert sorted(map(text_of, listed)) == sorted(records[name]["trial"].unique())


def test_the_zip_holds_what_the_export_writes(place: Workplace, records: dict[str, pandas.DataFrame]) -> None:
    with zipfile.ZipFile(place.folder / "site" / "tables.zip") as archive:
        for name in SPECS:
            stem = name.removesuffix(".yaml")
            assert archive.read(f"{stem}-laptop/records.csv").decode() == place.harness("export", name).out
        rows = list(
            csv.DictReader(io.StringIO(archive.read("heads-laptop/tables/accuracy-by-head-and-dimension.csv").decode()))
        )
    assert len(rows) == 9
    medians = records["heads.yaml"].groupby(["head", "dimension"])["accuracy"].median()
    found = sorted(float(row["accuracy (%)"]) for row in rows)
    assert found == pytest.approx(sorted(medians), rel=1e-12)


def test_the_report_verifies(place: Workplace) -> None:
    found = place.harness("verify")
    assert found.status == 0 and found.out.startswith("verified: "), found.out + found.err


def edited_text(site: Path, name: str, pattern: str, change: Callable[[re.Match[str]], str]) -> None:
    text = (site / name).read_text()
    edited, count = re.subn(pattern, change, text, count=1, flags=re.DOTALL)
    assert count == 1 and edited != text, pattern
    (site / name).write_text(edited)


def other_digit(found: re.Match[str]) -> str:
    return found[1] + str((int(found[2]) + 1) % 10) + found[3]


def edited_zip(site: Path) -> None:
    with zipfile.ZipFile(site / "tables.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = "heads-laptop/tables/accuracy-by-head.csv"
    files[name] = re.sub(rb"(\d)(?=,)", lambda found: b"7" if found[1] != b"7" else b"8", files[name], count=1)
    with zipfile.ZipFile(site / "tables.zip", "w") as archive:
        for entry, data in files.items():
            archive.writestr(entry, data)


EDITS: dict[str, Callable[[Path], None]] = {
    "a number in a table": lambda site: edited_text(site, "index.html", r'(<a href="#trials-heads-laptop" data-trials="[^"]*">\d+\.)(\d)(\d \[)', other_digit),
    "an effect on the first screen": lambda site: edited_text(site, "index.html", r'(<td class="number">\d)(\.)(\d+ points \[)', lambda found: f"{found[1]}1.{found[3]}"),
    "a verdict's badge": lambda site: edited_text(site, "index.html", r'<a class="verdict inconclusive" href="([^"]*)">inconclusive</a>', lambda found: f'<a class="verdict reproduced" href="{found[1]}">reproduced</a>'),
    "a verdict's colour only": lambda site: edited_text(site, "index.html", r'<a class="verdict inconclusive" (href="[^"]*">inconclusive</a>)', lambda found: f'<a class="verdict reproduced" {found[1]}'),
    "where an effect is drawn": lambda site: edited_text(site, "index.html", r'(<circle class="effect" cx="\d+)(\d)(\.)', other_digit),
    "what a strip says aloud": lambda site: edited_text(site, "index.html", r'(aria-label="measured \d+\.\d*)(\d)(\d, interval)', other_digit),
    "a line of a picture": lambda site: edited_text(site, "index.html", r'(<path d="M ?-?\d+\.)(\d)(\d* )', other_digit),
    "which trials are behind a number": lambda site: edited_text(site, "index.html", r'(data-trials="[^"]*?)(\d)(")', other_digit),
    "a claim's place in the order": lambda site: edited_text(site, "index.html", r'(data-effect="\d+\.)(\d)(\d*")', other_digit),
    "the script": lambda site: edited_text(site, "index.html", r"(const LONGEST = )(5)(00)", other_digit),
    "the policy": lambda site: edited_text(site, "index.html", r"default-src 'none'", lambda _: "default-src *"),
    "something added at the end": lambda site: edited_text(site, "index.html", r"</body>", lambda _: "<p>All of it is true.</p></body>"),
    "claims.json": lambda site: edited_text(site, "claims.json", r'("effect": \d+\.)(\d)(\d+)', other_digit),
    "a file in the zip": edited_zip,
    "a missing zip": lambda site: (site / "tables.zip").unlink(),
}  # fmt: skip


@pytest.fixture
def site(place: Workplace) -> Iterator[Path]:
    """A copy of the report, beside the store that it was made from."""
    copy = shutil.copytree(place.folder / "site", place.folder / "copy")
    yield copy
    shutil.rmtree(copy)


def verified(place: Workplace, site: Path, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """Call the command in this process, which need not be started for every edit."""
    import sys

    import click.testing

    from reports.verify_command import verify_command

    monkeypatch.chdir(place.folder)
    monkeypatch.syspath_prepend(str(place.folder))
    monkeypatch.delitem(sys.modules, "small_report_trials", raising=False)
    found = click.testing.CliRunner().invoke(verify_command, [str(site)], standalone_mode=False)
    assert found.exception is None, found.exception
    return Finished(int(found.return_value), found.output, "")


COMMON = ("a number in a table", "where an effect is drawn", "a file in the zip")
"""The edits that are tried every time; the others belong to the slow tests."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in COMMON else [pytest.mark.slow]) for name in EDITS]
)
def test_a_hand_edited_copy_is_found(place: Workplace, site: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    EDITS[name](site)
    found = verified(place, site, monkeypatch)
    assert found.status == 4
    assert "was edited after it was written" in found.out or "is missing" in found.out
    # The edit itself is named, not only that there was one.
    assert "not verified: 1 difference" not in found.out or name == "a missing zip"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["a number in a table", "where an effect is drawn", "claims.json", "a file in the zip"]
)
def test_a_forged_manifest_hides_no_edit(
    place: Workplace, site: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from reports.manifest import digest

    EDITS[name](site)
    manifest = json.loads((site / "manifest.json").read_text())
    manifest["files"] = {file: digest((site / file).read_bytes()) for file in manifest["files"]}
    (site / "manifest.json").write_text(json.dumps(manifest))
    found = verified(place, site, monkeypatch)
    assert found.status == 4 and "was edited after it was written" not in found.out
