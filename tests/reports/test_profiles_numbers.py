"""Numbers of profiles on the page are those that pandas alone gets from the stored tables and the exported records."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pandas
import pytest
from profiled import ARMS, STAGES, Place, entered, make_place, part_of, stored_tables, table_of, text_of
from support import Workplace

LABELS = {"fast": "Fast one", "slow": "Slow one"}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return make_place(tmp_path_factory.mktemp("numbers"))


@pytest.fixture(scope="module")
def profile(reported: Workplace) -> Path:
    """One profile of two arms, and the report."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        place = entered(reported, monkeypatch)
        folder = place.profile(slower={"mouth": 1.5})
        place.report()
    return folder


@pytest.fixture
def place(reported: Workplace, profile: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return entered(reported, monkeypatch)


def number(text: str) -> float:
    return float(text.replace(",", ""))


@pytest.mark.parametrize("arm", ARMS)
def test_stages(place: Place, profile: Path, arm: str) -> None:
    tables = {name: table[table["arm"] == arm] for name, table in stored_tables(profile).items()}
    steps = tables["profile_steps"].set_index("step")["us"]
    profiled = tables["profile_stages"].pivot(index="step", columns="stage", values="us")
    timed = tables["timed_stages"].pivot(index="iteration", columns="stage", values="us")
    records = pandas.read_csv(io.StringIO(place.call("export", "timed.yaml").out)).query("system == @arm")
    caption, (headings, *rows) = table_of(place.page(), f"Time by stage: {LABELS[arm]}")
    assert headings == ["stage", "profiled (ms)", "share, profiled (%)", "share, timed (%)", "share, sweep (%)"]
    assert [row[0] for row in rows] == list(STAGES)
    differences: dict[str, dict[str, float]] = {"timing": {}, "sweep": {}}
    for stage, shown, *shares in rows:
        # Shares are taken within each step, each request and each record.
        ratios = [
            profiled[stage] / steps,
            timed[stage] / timed[""],
            records[f"stage_ms_{stage}"] / records["latency_ms"],
        ]
        expected = [float(ratio.median()) for ratio in ratios]
        assert number(shown) == pytest.approx(profiled[stage].median() / 1e3, rel=1e-3)
        assert list(map(number, shares)) == pytest.approx([100 * share for share in expected], abs=0.0501)
        differences["timing"][stage] = 100 * abs(expected[0] - expected[1])
        differences["sweep"][stage] = 100 * abs(expected[0] - expected[2])
    said = [(float(points), stage) for points, stage in re.findall(r"at most ([\d.]+) points \((\w+)\)", caption)]
    largest = [(max(found.values()), max(found, key=found.__getitem__)) for found in differences.values()]
    assert [stage for _, stage in said] == [stage for _, stage in largest]
    assert [points for points, _ in said] == pytest.approx([points for points, _ in largest], abs=0.0501)
    # The mouth was made to take half as long again, so that its share is five points off and more.
    assert caption.count("beyond the 5 points") == 2


def test_kinds_of_work(place: Place, profile: Path) -> None:
    kernels = stored_tables(profile)["profile_kernels"].groupby(["arm", "kind"])["us"].sum()
    steps = stored_tables(profile)["profile_steps"].groupby("arm")["us"]
    # What kernels took is told of all steps together: a share of the mean step, shown of the median one.
    means, medians = steps.mean(), steps.median()
    _, (headings, *times) = table_of(place.page(), "Time by kind of work")
    _, (also, *shares) = table_of(place.page(), "Share by kind of work")
    names = [heading.removesuffix(" (ms)") for heading in headings[2:]]
    assert names == [heading.removesuffix(" (%)") for heading in also[1:]]
    assert names[-1] == "Python and launching"
    for arm, row, share in zip(ARMS, times, shares, strict=True):
        assert row[0] == share[0] == LABELS[arm]
        median = medians[arm] / 1e3
        assert number(row[1]) == pytest.approx(median, rel=1e-3)
        explained = [kernels.get((arm, name), 0.0) / means[arm] for name in names[:-1]]
        expected = [*explained, 1.0 - sum(explained)]
        assert list(map(number, row[2:])) == pytest.approx([one * median for one in expected], abs=6e-4 * median)
        assert list(map(number, share[1:])) == pytest.approx([100 * one for one in expected], abs=0.0501)


@pytest.mark.parametrize("arm", ARMS)
def test_operators(place: Place, profile: Path, arm: str) -> None:
    operators = stored_tables(profile)["profile_operators"]
    steps = stored_tables(profile)["profile_steps"].query("arm == @arm")["us"]
    sums = operators[operators["arm"] == arm].groupby("operator")[["us", "calls"]].sum().nlargest(12, "us")
    _, (_, *rows) = table_of(place.page(), f"Operators that take most time: {LABELS[arm]}")
    assert [row[0] for row in rows] == list(sums.index)
    for row, (_, expected) in zip(rows, sums.iterrows(), strict=True):
        share = expected["us"] / steps.mean()
        assert number(row[1]) == pytest.approx(share * steps.median() / 1e3, rel=1e-2)
        assert number(row[2]) == pytest.approx(100 * share, abs=0.0501)
        assert number(row[3]) == expected["calls"]


def test_the_arms_beside_each_other(place: Place, profile: Path) -> None:
    tables = stored_tables(profile)
    _, (headings, *rows) = table_of(place.page(), "Profiled arms")
    for arm, row in zip(ARMS, rows, strict=True):
        shown = dict(zip(headings, row, strict=True))
        steps = tables["profile_steps"].query("arm == @arm")["us"]
        timed = tables["timed_stages"].query("arm == @arm and stage == ''")["us"].median()
        assert number(shown["step, profiled (ms)"]) == pytest.approx(steps.median() / 1e3, rel=1e-3)
        assert number(shown["step, timed (ms)"]) == pytest.approx(timed / 1e3, rel=1e-3)
        assert number(shown["overhead (%)"]) == pytest.approx(100 * (steps.median() / timed - 1), abs=0.0501)
        assert number(shown["steps"]) == len(steps)
        assert number(shown["busy (%)"]) == 90.0
        assert shown["bound"].endswith("-bound")
        # Half a TFLOP a second, where matrix products reach 80 GFLOP a second.
        assert number(shown["share of the ceiling (%)"]) == pytest.approx(
            100 * 0.05 * ARMS[arm] / (timed / 1e6) / 80, abs=0.0501
        )


def test_the_picture_has_its_numbers_below(place: Place) -> None:
    (figure,) = part_of(place.page()).xpath(".//figure")
    rows = [[text_of(cell) for cell in row.xpath("./th|./td")] for row in figure.xpath(".//table//tr")]
    assert rows == table_of(place.page(), "Time by kind of work")[1]
    assert len(figure.xpath(".//*[local-name()='svg']")) == 1


def test_each_arm_has_its_sentences(place: Place) -> None:
    entries = part_of(place.page()).xpath("./ul/li")
    assert len(entries) == len(ARMS)
    for entry, label in zip(entries, LABELS.values(), strict=True):
        assert text_of(entry).startswith(label) and text_of(entry).endswith(".")


def test_where_the_traces_lie_is_said(place: Place, profile: Path) -> None:
    text = text_of(part_of(place.page()))
    assert f"{profile.relative_to(place.folder / 'results').as_posix()}/files/traces" in text
    assert "make tensorboard" in text


def test_the_export_and_the_zip_have_the_tables_of_the_page(place: Place) -> None:
    titles = ["Profiled arms", "Time by kind of work", "Share by kind of work"]
    titles += [f"{what}: {LABELS[arm]}" for arm in ARMS for what in ("Time by stage", "Operators that take most time")]
    exported = place.call("export", "timed.yaml", "--tables", "--format", "markdown").out
    found = re.findall(r"^### (.*)$", exported, re.MULTILINE)
    assert found == ["Time of a request", *titles, "Claims"]
    alone = place.call("export", "timed.yaml", "--table", "Time by stage: Slow one", "--format", "csv").out
    with zipfile.ZipFile(place.folder / "site" / "tables.zip") as archive:
        assert archive.read("timed-laptop/tables/time-by-stage-slow-one.csv").decode() == alone
        assert len([name for name in archive.namelist() if name.endswith(".csv") and "/tables/" in name]) == 1 + len(
            titles
        )
    _, rows = table_of(place.page(), "Time by stage: Slow one")
    for row, shown in zip(pandas.read_csv(io.StringIO(alone)).itertuples(index=False), rows[1:], strict=True):
        assert [f"{value:.1f}" for value in row[2:]] == shown[2:]


def test_shares_of_the_sweep_lead_to_its_trials_and_profiles_to_none(place: Place) -> None:
    links = part_of(place.page()).xpath(".//a[@data-trials]")
    assert len(links) == len(ARMS) * len(STAGES)
    assert {link.get("data-trials") for link in links} == {"0-2"}
    for cells in (link.getparent().getparent().xpath("./td") for link in links):
        assert cells[-1].xpath("./a") and not any(cell.xpath("./a") for cell in cells[:-1])


def test_another_store_beside_this_one(place: Place, reported: Workplace) -> None:
    place.call("report", "timed.yaml", "--compare", "results", "--out", "both")
    assert place.verified("both", "--compare", "results") == []
