"""Verification finds each forgery by name, is silent where nothing changed, and writes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import TRIALS, Workplace

TIMING = '''

def timing(*, run: Any, system: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rounds of samples with a whole and a stage, and the median of each system as its record."""
    noise, rows = run.stream("noise").numpy, []
    for number in range(8):
        drift = noise.lognormal(0, 0.2)
        for name, cost in system.items():
            whole = 1e6 * cost * drift * noise.lognormal(0, 0.01)
            rows += [(number, name, "request", "", int(whole), True), (number, name, "request", "eye", int(whole * 0.8), True)]
    columns = ("round", "arm", "quantity", "stage", "nanoseconds", "kept")
    run.samples("latency", dict(zip(columns, map(list, zip(*rows)))))
    times = {name: sorted(row[4] for row in rows if row[1] == name and not row[3]) for name in system}
    return [{"system": name, "latency_ms": values[len(values) // 2] / 1e6} for name, values in times.items()]
'''

HEAD = """
experiment: {name}
title: Systems {name}
trial: small_trials:{trial}
claims:
  - {{id: {name}.ratio, paper: Somebody et al., arxiv: 2101.00001v1, locator: Table 1, statement: Slow is slower,
     form: ratio, metric: latency_ms, unit: x, numerator: {{system: slow}}, denominator: {{system: fast}}, at_least: 5,
     bound_reason: they say so, published: {{ratio_of: [100, 9], locator: Table 1, basis: source}},
     margin: {{relative: 0.2, reason: rounding}}{extra}}}
factors:
  system: {{blocked: true, levels: {{fast: 1.0, slow: 10.0}}}}
replicates: {replicates}
profiles:
  laptop: {{fidelity: proxy}}
report:
  labels: {{fast: Fast one, slow: Slow one}}
  pictures:
    - {{kind: {picture}, title: Picture of {name}{keys}}}
  tables:
    - title: Time of a request
      rows: system
      columns:
        - {{metric: latency_ms, label: time, unit: ms, digits: 3}}
        - {{metric: latency_ms, label: ratio, unit: x, digits: 2, ratio_to: fast}}
"""
MEASURED = ", rows: system, metrics: {latency_ms: measured}, unit: ms"
TIMED = HEAD.format(name="timed", trial="pair", replicates=3, picture="beside-published", extra="", keys=MEASURED)
SAMPLED = HEAD.format(
    name="sampled", trial="timing", replicates=2, picture="round-ratios", extra=", samples: latency", keys=""
)


DRAWN = 'aria-label="Picture of timed" width="'
"""Where a picture begins: a digit more, and it has another width."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experiments, run and reported; tests work on copies."""
    workplace = Workplace(tmp_path_factory.mktemp("original"))
    workplace.write("small_trials.py", TRIALS + TIMING)
    workplace.write("timed.yaml", TIMED)
    workplace.write("sampled.yaml", SAMPLED)
    for name in ("timed", "sampled"):
        found = workplace.harness("run", f"{name}.yaml", "--executor", "inline")
        assert found.status == 0, found.err
    found = workplace.harness("report", "timed.yaml", "sampled.yaml")
    assert found.status == 0, found.err
    return workplace.folder


@pytest.fixture
def place(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A copy of the two experiments, which is the current folder and the place that trial functions come from."""
    workplace = Workplace(shutil.copytree(original, tmp_path / "copy"))
    monkeypatch.chdir(workplace.folder)
    monkeypatch.syspath_prepend(str(workplace.folder))
    monkeypatch.delitem(sys.modules, "small_trials", raising=False)
    return workplace


def attempts(place: Workplace, experiment: str) -> list[Path]:
    return sorted(path.parent for path in (place.folder / "results" / experiment).glob("attempts/*/*/COMPLETE"))


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text()
    after = change(before)
    assert before != after, f"{path} stays as it was"
    path.write_text(after)


def verified(place: Workplace, *arguments: str) -> tuple[int, list[str]]:
    """Call the command as a user does; return its exit status and lines."""
    found = place.harness("verify", *arguments)
    assert found.err == "", found.err
    return found.status, found.out.splitlines()


def verified_here(place: Workplace, *arguments: str) -> tuple[int, list[str]]:
    """The same in this process, which need not be started; return the exit status and lines."""
    from reports.verify_command import verify_command

    assert Path.cwd() == place.folder
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = verify_command.main(list(arguments), standalone_mode=False)
    return status, printed.getvalue().splitlines()


def differences(place: Workplace, verify: Callable[..., tuple[int, list[str]]] = verified_here) -> list[str]:
    """Verify a report that differs, and return the differences; none is named twice, and their count is right."""
    status, lines = verify(place)
    assert status == 4, lines
    assert len(set(lines)) == len(lines)
    last = re.fullmatch(r"not verified: ([\d,]+) differences? in \d+ claims?, [\d,]+ cells?, 5 attempts", lines[-1])
    assert last, lines[-1]
    named = [line for line in lines[:-1] if not line.startswith("note: ")]
    more = [re.fullmatch(r"and (\d+) more [a-z ]+", line) for line in named]
    shown = len(named) - sum(match is not None for match in more)
    assert int(last[1].replace(",", "")) == shown + sum(int(match[1]) for match in more if match)
    return named


def reported_here(*arguments: str) -> None:
    from reports.command import report_command

    with contextlib.redirect_stdout(io.StringIO()):
        report_command.main(list(arguments), standalone_mode=False)


def forge_metric(attempt: Path, with_hash: bool) -> None:
    document = json.loads((attempt / "attempt.json").read_text())
    document["records"][0]["latency_ms"] *= 2
    data = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
    (attempt / "attempt.json").write_bytes(data)
    if with_hash:
        marker = json.loads((attempt / "COMPLETE").read_text())
        marker["attempt.json"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        (attempt / "COMPLETE").write_text(json.dumps(marker, indent=1, sort_keys=True) + "\n")


def test_nothing_changed_and_nothing_is_written(place: Workplace) -> None:
    def files() -> dict[Path, tuple[int, bytes]]:
        folders = (place.folder / "results", place.folder / "site")
        return {
            path: (path.stat().st_mtime_ns, b"" if path.is_dir() else path.read_bytes())
            for folder in folders
            for path in folder.rglob("*")
        }

    before = files()
    status, lines = verified(place)
    cells = (place.folder / "site" / "index.html").read_text().count("<td")
    assert (status, lines) == (0, [f"verified: 2 claims, {cells} cells, 5 attempts"])
    assert files() == before


def test_one_flipped_byte_in_a_sample_file(place: Workplace) -> None:
    samples = attempts(place, "sampled")[0] / "latency.parquet"
    data = bytearray(samples.read_bytes())
    data[len(data) // 2] ^= 1
    samples.write_bytes(data)
    name = samples.relative_to(place.folder / "results")
    named = differences(place, verified)
    assert named[0] == f"{name}: its bytes are not those that were written"
    assert any(line.startswith("claim sampled.ratio: verdict is direction only in claims.json and ") for line in named)
    # The picture of all claims has a row less, which is named by one of those that look alike.
    assert [line for line in named if "timed" in line and "All claims" not in line] == []


@pytest.mark.parametrize("with_hash", [False, True])
def test_an_edited_metric(place: Workplace, with_hash: bool) -> None:
    attempt = attempts(place, "timed")[1]
    forge_metric(attempt, with_hash)
    name = attempt.relative_to(place.folder / "results").as_posix()
    forged = f"{name}/COMPLETE: is not the one that the report was made from: files of the attempt were changed and their hashes written anew"
    plain = f"{name}/attempt.json: its bytes are not those that were written"
    named = differences(place, verified if with_hash else verified_here)
    assert named[0] == (forged if with_hash else plain)
    assert any(
        re.match(r"claim timed\.ratio: effect is [\d.]+ in claims\.json and [\d.]+ when", line) for line in named
    )


def test_a_deleted_attempt(place: Workplace) -> None:
    attempt = attempts(place, "timed")[0]
    shutil.rmtree(attempt)
    named = differences(place, verified)
    name = attempt.relative_to(place.folder / "results").as_posix()
    assert named[0] == f"{name}: the attempt is deleted, and the report counts it"
    assert sum(name in line for line in named[:2]) == 1
    assert any(line.startswith("index.html, section 'Systems timed'") and "3 of 3 planned" in line for line in named)


def test_a_changed_margin_in_a_spec(place: Workplace) -> None:
    edit(place.folder / "timed.yaml", lambda text: text.replace("relative: 0.2", "relative: 0.25"))
    status, named = verified(place)
    assert status == 4
    assert named[0] == "claim timed.ratio: margin.relative is 0.2 in claims.json and 0.25 as declared now"
    assert any("Deviations from the locked plan" in line for line in named), "the change is a deviation as well"
    assert "note: timed.yaml is not the file that the report was made with" in named


def test_a_changed_margin_in_a_claims_file(place: Workplace) -> None:
    spec = (place.folder / "timed.yaml").read_text()
    claim = re.search(r"  - (\{id: .*?\})\nfactors", spec, re.DOTALL)
    assert claim
    place.write(
        "registered.yaml", spec.replace(claim[1], "timed.ratio").replace("title:", "claims_file: c.yaml\ntitle:", 1)
    )
    place.write("c.yaml", f"claims:\n  - {claim[1]}\n")
    reported_here("registered.yaml", "--out", "other")
    edit(place.folder / "c.yaml", lambda text: text.replace("relative: 0.2", "absolute: 3"))
    status, (first, second, *rest) = verified_here(place, "other")
    assert status == 4
    assert first == "claim timed.ratio: margin.relative is 0.2 in claims.json and nothing as declared now"
    assert second == "claim timed.ratio: margin.absolute is nothing in claims.json and 3 as declared now"
    assert "note: c.yaml is not the file that the report was made with" in rest


@pytest.mark.parametrize("with_hash", [False, True])
def test_a_number_edited_on_the_page(place: Workplace, with_hash: bool) -> None:
    page = place.folder / "site" / "index.html"
    cells = re.findall(r"<th[^>]*>Slow one</th><td[^>]*><a [^>]*>([\d.]+)</a>", page.read_text())
    assert len(cells) == 2
    edit(page, lambda text: text.replace(f">{cells[1]}<", ">409.000<"))
    if with_hash:
        manifest = place.folder / "site" / "manifest.json"
        document = json.loads(manifest.read_text())
        document["files"]["index.html"] = hashlib.sha256(page.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(document))
    named = differences(place, verified_here if with_hash else verified)
    edited = "index.html: was edited after it was written (its SHA-256 is not that in manifest.json)"
    place_on_page = (
        "index.html, section 'Systems sampled', section 'Time of a request', row 'Slow one', column 'time (ms)'"
    )
    expected = f"{place_on_page}: '409.000' stands there, recomputed '{cells[1]}'"
    assert named == ([expected] if with_hash else [edited, expected])


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("</h1>", "</h1><script>alert(1)</script>", "'alert(1)' stands there, and does not come out when recomputed"),
        (
            '<h2 id="timed-laptop-title">Systems timed</h2>\n',
            "",
            "'Systems timed' is not there, and comes out when recomputed",
        ),
        ('class="verdict direction-only"', 'class="verdict reproduced"', "verdict reproduced"),
        ("<main>", "<main><!-- me -->", "outside of any text: <main><!-- me --> stands there, recomputed <main>"),
        (DRAWN, DRAWN + "1", "picture 'Picture of "),
        ("--ink: #1b1f24", "--ink: #ffffff", "style sheet: '"),
        ("<title>Do", "<title>So", "title: 'So the papers' claims hold?' stands there, recomputed 'Do the"),
    ],
)
def test_any_edit_of_the_page_is_named(original: Path, before: str, after: str, sentence: str) -> None:
    from reports.page_differences import page_differences

    page = (original / "site" / "index.html").read_text()
    assert before in page
    assert list(page_differences(page, page)) == []
    found = [difference.sentence for difference in page_differences(page.replace(before, after, 1), page)]
    assert len(found) == 1 and sentence in found[0]


@given(share=st.floats(0, 1), put=st.text(max_size=3), taken=st.integers(0, 3))
@settings(max_examples=40)
def test_no_edit_of_the_page_is_overlooked(original: Path, share: float, put: str, taken: int) -> None:
    """Wherever characters are put in or taken out, tags and drawings included."""
    from reports.page_differences import page_differences

    page = (original / "site" / "index.html").read_text()
    position = int(share * len(page))
    edited = page[:position] + put + page[position + taken :]
    found = [difference.sentence for difference in page_differences(edited, page)]
    assert bool(found) == (edited != page)
    assert all(sentence.startswith("index.html") and "\n" not in sentence for sentence in found)


def test_numbers_and_verdicts_edited_in_claims_json(place: Workplace) -> None:
    path = place.folder / "site" / "claims.json"
    rows = json.loads(path.read_text())
    effect = rows[0]["effect"]
    rows[0] |= {"effect": 59.2, "verdict": "reproduced"}
    rows[1]["arms"][0]["finished"] = True
    path.write_text(json.dumps(rows))
    assert differences(place, verified) == [
        "claims.json: was edited after it was written (its SHA-256 is not that in manifest.json)",
        "claim timed.ratio: verdict is reproduced in claims.json and direction only when recomputed",
        f"claim timed.ratio: effect is 59.2 in claims.json and {effect:.6g} when recomputed",
        "claim sampled.ratio: arms.0.finished is true in claims.json and 2 when recomputed",
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows[1:], "claim timed.ratio: is not in claims.json, and comes out when recomputed"),
        (lambda rows: [*rows, rows[0]], "claim timed.ratio: stands in claims.json, and does not come out now"),
        (lambda rows: [rows[0] | {"more": 1}, rows[1]], "claim timed.ratio: more is 1 in claims.json and nothing when"),
        (lambda rows: {}, "claims.json is no list of claims"),
        (lambda rows: [rows[0] | {"effect": rows[0]["effect"] * (1 + 1e-7)}, rows[1]], "claim timed.ratio: effect is"),
        (lambda rows: [rows[0] | {"trials": []}, rows[1]], "trials is a list of 0 in claims.json and a list of 3 when"),
    ],
)
def test_claims_added_dropped_and_mangled(original: Path, change: Callable[[Any], Any], sentence: str) -> None:
    from reports.claim_differences import claim_differences

    rows = json.loads((original / "site" / "claims.json").read_text())
    assert list(claim_differences(rows, rows)) == []
    found = [difference.sentence for difference in claim_differences(change(rows), rows)]
    assert len(found) == 1 and sentence in found[0]


def test_changed_code_makes_trials_stale(place: Workplace) -> None:
    edit(place.folder / "small_trials.py", lambda text: text.replace("lognormal(0, 0.01)", "lognormal(0, 0.02)"))
    named = differences(place, verified)
    stale = [line for line in named if line.endswith("counts in the report, and is stale now: its code changed since")]
    assert stale == named[: len(stale)] and len(stale) == 5


def test_an_attempt_that_was_not_there(place: Workplace) -> None:
    """A report of half a sweep, and the other half run later."""
    first, second = (path.parent for path in attempts(place, "sampled"))
    shutil.move(second, place.folder / "away")
    reported_here("timed.yaml", "sampled.yaml")
    shutil.move(place.folder / "away", second)
    status, lines = verified_here(place)
    (attempt,) = second.iterdir()
    assert status == 4
    assert lines[0] == f"attempt {attempt.name} of trial {second.name} of sampled counts now, and is not in the report"
    assert not any(f"trial {first.name}" in line for line in lines)


def test_several_at_once_are_all_named_the_evidence_first(place: Workplace) -> None:
    one, other, _ = attempts(place, "timed")
    shutil.rmtree(one)
    (other / "note.txt").write_text("hello")
    (attempts(place, "sampled")[0] / "latency.parquet").write_bytes(b"nothing")
    (place.folder / "site" / "claims.json").unlink()
    edit(place.folder / "site" / "index.html", lambda text: text.replace("Slow is slower", "Slow is quick"))
    environment = next((place.folder / "results" / "environments").iterdir())
    edit(environment, lambda text: text + " ")
    named = differences(place)
    kinds = (
        "note.txt: is not listed in COMPLETE",
        "latency.parquet: its bytes are not",
        f"environments/{environment.name}: its bytes are not",
        "the attempt is deleted",
        "index.html: was edited",
        "claims.json: is missing",
        "'Slow is quick",
    )
    positions = [next(i for i, line in enumerate(named) if kind in line) for kind in kinds]
    assert sorted(positions[:3]) == [0, 1, 2] and positions[3:] == sorted(positions[3:])


def test_what_cannot_be_judged_any_more_is_a_difference_and_no_traceback(place: Workplace) -> None:
    attempt = attempts(place, "timed")[0]
    document = json.loads((attempt / "attempt.json").read_text())
    document["records"] = [7]
    data = json.dumps(document).encode()
    (attempt / "attempt.json").write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (attempt / "COMPLETE").write_text(json.dumps({"attempt.json": entry}, indent=1, sort_keys=True) + "\n")
    status, lines = verified_here(place)
    assert status == 4 and "hashes written anew" in lines[0]


def test_pictures_drawn_by_other_versions_are_no_edits(place: Workplace) -> None:
    """A page as another matplotlib would have left it, with the manifest that belongs to it."""
    site = place.folder / "site"
    edit(site / "index.html", lambda text: text.replace(DRAWN, DRAWN + "1"))
    manifest = json.loads((site / "manifest.json").read_text())
    manifest["files"]["index.html"] = hashlib.sha256((site / "index.html").read_bytes()).hexdigest()
    (site / "manifest.json").write_text(json.dumps(manifest))
    assert [line for line in differences(place) if "picture '" not in line] == []
    manifest["libraries"]["matplotlib"] = "0.1"
    (site / "manifest.json").write_text(json.dumps(manifest))
    status, (note, last) = verified_here(place)
    assert status == 0 and note.startswith("note: the report was made with matplotlib 0.1, and this is matplotlib ")
    assert last.endswith("5 attempts; 1 picture not compared, since other versions draw other bytes")


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda site: shutil.rmtree(site), "site: there is no report in it ('harness report --out site' makes one)"),
        (lambda site: (site / "manifest.json").unlink(), "site: the report has no manifest.json"),
        (lambda site: (site / "manifest.json").write_text("{"), "site/manifest.json: is not JSON: "),
        (lambda site: (site / "manifest.json").write_text('{"format": 7}'), "has the format 7, and this version reads 1"),
        (lambda site: (site / "manifest.json").write_text("[]"), "site/manifest.json: cannot be read: "),
        (lambda site: edit(site / "manifest.json", lambda t: t.replace('"made"', '"mode"')), "cannot be read: made: Field"),
        (lambda site: (site.parent / "timed.yaml").unlink(), "experiment timed cannot be judged again: timed.yaml: cannot"),
        (lambda site: (site.parent / "results").rename(site.parent / "elsewhere"), "results: there is no such store; name"),
    ],
)  # fmt: skip
def test_what_cannot_be_verified_is_one_sentence(
    original: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Path], Any],
    sentence: str,
) -> None:
    from harness.errors import UserError
    from harness.store.store import Store
    from reports.verify import verify

    folder = shutil.copytree(original, tmp_path / "copy")
    prepare(folder / "site")
    monkeypatch.chdir(folder)
    with pytest.raises(UserError) as raised:
        verify(Path("site"), Store.at("results"))
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_unusable_input_has_exit_status_two(workplace: Workplace) -> None:
    found = workplace.harness("verify", "nowhere")
    assert (found.status, found.out) == (2, "")
    assert found.err == "harness: nowhere: there is no report in it ('harness report --out nowhere' makes one)\n"


def test_a_store_elsewhere(place: Workplace) -> None:
    (place.folder / "results").rename(place.folder / "moved")
    status, (line,) = verified_here(place, "site", "--store", "moved")
    assert status == 0 and line.startswith("verified: 2 claims")


def test_long_lists_are_cut_and_the_count_is_exact() -> None:
    from reports.findings import Finding, listing, ordered

    findings = ordered([Finding("trial", f"trial {n}") for n in range(12)] + [Finding("bytes", "b")] * 2)
    lines = list(listing(findings))
    assert lines == ["b", *(f"trial {n}" for n in range(10)), "and 2 more trials"]
    assert len(findings) == 13
