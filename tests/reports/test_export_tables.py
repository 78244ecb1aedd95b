"""``harness export``: records for other programs, and the report's tables in four forms."""

from __future__ import annotations

import csv
import io
import statistics
import sys
from collections.abc import Callable

import click
import lxml.html
import pytest
from support import TRIALS, Workplace

from harness.errors import UserError
from reports.export_command import export_command

SPEC = """
experiment: timed
title: Systems, compared
trial: small_trials:pair
claims:
  - {id: t.ratio, paper: Somebody et al., arxiv: 2101.00001v1, locator: Table 1, statement: "Slow | is <i>slower</i>",
     form: ratio, metric: latency_ms, unit: x, numerator: {system: slow}, denominator: {system: fast}, at_least: 5,
     bound_reason: they say so, published: {ratio_of: [100, 9], locator: Table 1, basis: source},
     margin: {relative: 0.2, reason: rounding}}
factors:
  system: {blocked: true, levels: {fast: 1.0, slow: 10.0}}
replicates: 4
profiles:
  laptop: {fidelity: proxy}
report:
  labels: {slow: "Slow & <b>steady</b>"}
  tables:
    - title: Time
      rows: system
      columns:
        - {metric: latency_ms, label: time, unit: ms, digits: 3, statistic: mean, better: less}
        - {metric: latency_ms, label: ratio, unit: x, digits: 2, ratio_to: fast}
    - {title: Time, rows: system, columns: [{metric: threads_used, label: threads, digits: 0}]}
    - {title: "2", rows: system, columns: [{metric: nothing, label: absent}]}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A finished experiment, made once: these tests only read it."""
    workplace = Workplace(tmp_path_factory.mktemp("exported"))
    (workplace.folder / "small_trials.py").write_text(TRIALS)
    workplace.write("timed.yaml", SPEC)
    assert workplace.harness("run", "timed.yaml", "--executor", "inline").status == 0
    return workplace


Export = Callable[..., str]


@pytest.fixture
def export(done: Workplace, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Export:
    """The command without a process of its own, in the folder of the finished experiment."""
    monkeypatch.chdir(done.folder)
    monkeypatch.syspath_prepend(str(done.folder))
    monkeypatch.delitem(sys.modules, "small_trials", raising=False)

    def run(*arguments: str) -> str:
        export_command.main(["timed.yaml", *arguments], standalone_mode=False)
        captured = capsysbinary.readouterr()
        assert captured.err == b""
        return captured.out.decode()

    return run


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_by_number_is_of_the_records(export: Export) -> None:
    records = rows_of(export())
    assert list(records[0])[:6] == ["experiment", "profile", "trial", "attempt", "replicate", "system"]
    fast, slow = rows_of(export("--table", "1"))
    assert list(fast) == ["system", "time (ms)", "time low (ms)", "time high (ms)", "ratio (x)"]
    assert (fast["system"], slow["system"]) == ("fast", "Slow & <b>steady</b>")
    mean = statistics.fmean(float(row["latency_ms"]) for row in records if row["system"] == "slow")
    assert float(slow["time (ms)"]) == pytest.approx(mean, rel=1e-12)
    assert float(slow["time low (ms)"]) < mean < float(slow["time high (ms)"])


def test_a_title_goes_before_a_number(export: Export) -> None:
    assert export("--table", "2", "--format", "markdown").startswith("### 2\n\n| system | absent |")


def test_the_claims_are_a_table(export: Export) -> None:
    (row,) = rows_of(export("--table", "claims"))
    assert (row["claim"], row["verdict"], row["unit"], row["n"]) == ("t.ratio", "direction only", "x", "4")
    assert (row["fidelity"], row["profile"], row["reading"]) == ("proxy", "laptop", "")
    assert float(row["published"]) == 100 / 9
    assert float(row["effect low"]) < float(row["effect"]) < float(row["effect high"])


@pytest.mark.parametrize(
    ("form", "pieces"),
    [
        ("markdown", ["### Time\n", "### Claims\n", r"| Slow \& \<b\>steady\</b\> |", r"| Slow \| is"]),
        ("latex", [r"\label{tab:time}", r"\label{tab:time-2}", r"Slow \& \textless{}b\textgreater{}"]),
        ("html", ["<caption><strong>Claims</strong>", "Slow &amp; &lt;b&gt;steady"]),
    ],
)
def test_all_tables_one_after_another(done: Workplace, export: Export, form: str, pieces: list[str]) -> None:
    text = export("--tables", "--format", form)
    assert all(piece in text for piece in pieces)
    export("--tables", "--format", form, "--output", f"tables.{form}")
    assert (done.folder / f"tables.{form}").read_text() == text


def test_all_tables_into_a_folder(done: Workplace, export: Export) -> None:
    export("--tables", "--output", "tables")
    folder = done.folder / "tables"
    assert sorted(path.name for path in folder.iterdir()) == ["2.csv", "claims.csv", "time-2.csv", "time.csv"]
    assert (folder / "time.csv").read_text() == export("--table", "1")
    export("--tables", "--format", "latex", "--standalone", "--output", "tables")
    assert (folder / "claims.tex").read_text().startswith(r"\documentclass")


def test_a_standalone_page_has_every_table(export: Export) -> None:
    page = lxml.html.document_fromstring(export("--tables", "--format", "html", "--standalone"))
    assert len(page.findall(".//table")) == 4 and page.find(".//b") is None


def test_parquet_is_for_records(done: Workplace, export: Export) -> None:
    import pandas

    export("--format", "parquet", "--output", "records.parquet")
    stored = pandas.read_parquet(done.folder / "records.parquet")
    pandas.testing.assert_frame_equal(stored, pandas.read_csv(io.StringIO(export())), check_dtype=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--table", "Tme"),
            "export --table Tme: no such table; did you mean 'Time'? (known: 1 'Time', 2 'Time', 3 '2'",
        ),
        (("--table", "4"), "no such table (known: 1 'Time'"),
        (("--table", "0"), "no such table (known: 1 'Time'"),
        (("--table", "²"), "no such table (known: 1 'Time'"),
        (("--table", "Time"), "export --table Time: 2 tables have this title; give a number: 1 or 2"),
        (("--table", "1", "--tables"), "give either --table NAME or --tables"),
        (("--table", "1", "--format", "parquet", "--output", "x"), "tables come as csv, markdown, latex, html"),
        (("--tables", "--stale", "--format", "html"), "export --tables: tables show no stale trials"),
        (("--format", "markdown"), "export --format markdown: is for tables"),
        (("--standalone",), "export --standalone: is for tables with --format latex or html"),
        (("--table", "1", "--standalone"), "export --standalone: is for tables with --format latex or html"),
        (("--tables",), "export --tables --format csv: name a folder for them with --output"),
        (("--tables", "--output", "timed.yaml"), "timed.yaml: is a file; tables as CSV need a folder"),
        (("--tables", "--output", "no/such"), "there is no folder"),
        (("--table", "1", "--output", "results"), "export --output results: is a folder; name a file"),
        (("--output", "results"), "export --output results: is a folder; name a file"),
        (("--output", "/proc/version"), "export --output /proc/version: cannot be written: "),
        (("--format", "docx"), "'docx' is not one of"),
    ],
)
def test_a_mistake_gets_one_sentence(
    done: Workplace, export: Export, arguments: tuple[str, ...], sentence: str
) -> None:
    before = sorted(done.folder.iterdir())
    with pytest.raises((UserError, click.ClickException)) as caught:
        export(*arguments)
    message = caught.value.format_message() if isinstance(caught.value, click.ClickException) else str(caught.value)
    assert sentence in message and "\n" not in message
    assert sorted(done.folder.iterdir()) == before


def test_the_command_is_plugged_into_the_engine(done: Workplace, export: Export) -> None:
    found = done.harness("export", "timed.yaml", "--table", "1")
    assert (found.status, found.err) == (0, "") and found.out == export("--table", "1")


def test_tables_of_nothing_are_dashes_and_say_so(workplace: Workplace) -> None:
    workplace.write("timed.yaml", SPEC)
    found = workplace.harness("export", "timed.yaml", "--tables", "--format", "markdown")
    assert found.status == 0 and found.err == "timed: 0 of 4 planned trials are done\n"
    assert "| fast | – | – |" in found.out and "| not run |" in found.out


def test_the_zip_holds_what_export_writes(done: Workplace, export: Export) -> None:
    from harness.spec.find import find_experiment
    from harness.store.store import Store
    from reports.bundle import section_files
    from reports.collect import collect
    from reports.tables import build_table

    results = collect(find_experiment("timed.yaml"), None, Store.at(None), None)
    files = section_files(results, [build_table(table, results) for table in results.declaration.tables])
    assert files["timed-laptop/records.csv"].decode() == export()
    assert files["timed-laptop/claims.csv"].decode() == export("--table", "claims")
    export("--tables", "--output", "again")
    for path in (done.folder / "again").iterdir():
        if path.name != "claims.csv":
            assert files[f"timed-laptop/tables/{path.name}"] == path.read_bytes()
