"""Tables and pictures of means over replicates: the numbers in them against pandas and scipy, by reading and by level."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import yaml
from drawn import axes_of
from scipy import stats
from support import Workplace

from harness.spec.load import load_experiment
from harness.store.store import Store
from reports import means
from reports.collect import Results, collect
from reports.declarations import EffectsPicture
from reports.pictures.declared import draw
from reports.tables import build_table

TRIAL = """
from typing import Any


def score(*, run: Any, head: str = "none", width: int = 8, rate: float = 1.0) -> dict[str, Any]:
    noise = float(run.stream(f"{head} {width} {rate}").numpy.normal())
    gain = {"none": 0.0, "linear": 5.0}[head] * (width / 8)
    return {"value": 50.0 + gain + noise, "validation": rate + 0.01 * noise}
"""
SPEC: dict[str, Any] = {
    "experiment": "scored", "title": "T", "trial": "scored_trials:score",
    "factors": {"head": ["none", "linear"], "width": [8, 16], "rate": [1.0, 2.0]},
    "skip": [{"head": "none", "width": 16}],
    "select": {"factors": ["rate"], "metric": "validation", "replicates": 2, "matched": {"rate": 1.0}},
    "replicates": 4, "profiles": {"laptop": {"fidelity": "proxy", "device": "cpu"}},
    "report": {
        "labels": {"none": "no head"},
        "tables": [
            {"title": "Matched", "rows": ["head", "width"], "columns": [{"metric": "value", "label": "v", "digits": 4, "statistic": "mean", "published": {"locator": "F", "digits": 1, "values": {"linear, 16": 61.25}}}]},
            {"title": "Best", "rows": "head", "reading": "best", "columns": [{"metric": "value", "label": "v", "digits": 4, "statistic": "mean"}]},
        ],
        "pictures": [
            {"kind": "curves", "title": "Curves", "metric": "value", "label": "score", "unit": "%", "along": "width", "by": "head", "logarithmic": True, "published": {"locator": "Figure 8", "values": {"linear": {"8": 60, "32": 61}}}},
            {"kind": "curves", "title": "Tuning", "metric": "validation", "label": "score", "along": "rate", "by": "head", "reading": "tuning", "intervals": False},
            {"kind": "effects", "title": "Effects", "metric": "value", "label": "gain", "along": "rate", "where": {"width": 8}, "reading": "tuning", "treatment": {"head": "linear"}, "control": {"head": "none"}, "published": {"Figure 8": 14.1}},
            {"kind": "grid", "title": "Grid", "metric": "value", "label": "score", "rows": "head", "columns": "width", "published": {"locator": "Figure 5", "values": {"none": {"8": 1.0, "16": 2.0}, "linear": {"8": 3.0, "16": 4.0}}}},
        ],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("scored")
    (folder / "scored_trials.py").write_text(TRIAL)
    (folder / "scored.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    found = Workplace(folder).harness("run", "scored.yaml", "--executor", "inline")
    assert found.status == 0, found.err
    return collect(load_experiment(folder / "scored.yaml"), "laptop", Store(folder / "results"))


def values(results: Results, reading: str, **levels: Any) -> pandas.Series:
    records = results.records(reading)
    for name, level in levels.items():
        records = records[records[name] == level]
    return records.set_index("replicate")["value"].sort_index()


def test_a_reading_has_its_own_trials_and_no_others(results: Results) -> None:
    assert set(results.records("tuning")["replicate"]) == {-1, -2}
    matched, best = results.records("matched"), results.records("best")
    assert set(matched["rate"]) == {1.0} and set(best["rate"]) == {2.0}
    assert len(matched) == len(best) == 3 * 4 and matched["replicate"].min() == 0


def test_a_table_of_means_has_students_interval_and_a_row_for_each_combination_that_ran(results: Results) -> None:
    table = build_table(results.declaration.tables[0], results)
    assert [row[0].shown() for row in table.rows] == ["no head, 8", "linear, 8", "linear, 16"]
    for row, (head, width) in zip(table.rows, [("none", 8), ("linear", 8), ("linear", 16)], strict=True):
        sample = values(results, "matched", head=head, width=width)
        low, high = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
        assert (row[1].value, row[1].low, row[1].high) == pytest.approx((sample.mean(), low, high), abs=1e-9)
        assert len(row[1].trials) == 4
    assert [row[2].shown() for row in table.rows] == ["–", "–", "61.25"]


def test_a_table_of_another_reading_pools_what_its_rows_leave_open(results: Results) -> None:
    table = build_table(results.declaration.tables[1], results)
    records = results.records("best")
    expected = records[records["head"] == "linear"].groupby("replicate")["value"].mean()
    assert table.rows[1][1].value == pytest.approx(expected.mean())


def test_curves_show_means_intervals_and_the_papers_figures(results: Results) -> None:
    (axis,) = axes_of(results, 0)
    bars = {container.get_label(): container for container in axis.containers}
    assert list(bars) == ["no head", "linear"]
    line = bars["linear"].lines[0]
    means = [values(results, "matched", head="linear", width=width).mean() for width in (8, 16)]
    assert line.get_ydata().tolist() == pytest.approx(means)
    (published,) = [line for line in axis.lines if str(line.get_label()).startswith("paper")]
    assert (list(published.get_xdata()), list(published.get_ydata())) == ([8, 32], [60, 61])
    spans = bars["linear"].lines[2][0].get_segments()
    low, high = stats.ttest_1samp(values(results, "matched", head="linear", width=8), 0).confidence_interval(0.95)
    assert (spans[0][0][1], spans[0][1][1]) == pytest.approx((low, high))
    assert "4 replicates" in axis.get_title(loc="left")


def test_effects_are_paired_by_replicate(results: Results) -> None:
    (axis,) = axes_of(results, 2)
    line = axis.containers[0].lines[0]
    pairs = [
        values(results, "tuning", head="linear", width=8, rate=rate)
        - values(results, "tuning", head="none", width=8, rate=rate)
        for rate in (1.0, 2.0)
    ]
    assert line.get_ydata().tolist() == pytest.approx([pair.mean() for pair in pairs])
    levels = [
        line.get_ydata()[0] for line in axis.lines if len(set(line.get_ydata())) == 1 and len(line.get_ydata()) == 2
    ]
    assert 0.0 in levels and 14.1 in levels


def test_effects_over_one_arm_are_those_of_each_line(results: Results) -> None:
    given = {"kind": "effects", "title": "T", "metric": "value", "label": "gain", "along": "head", "by": "rate"}
    asked = EffectsPicture(**given, where={"width": 8}, reading="tuning", control={"head": "none"}, without=("none",))
    pictures = (asked, *results.declaration.pictures)
    drawn = replace(results, declaration=results.declaration.model_copy(update={"pictures": pictures}))
    (axis,) = axes_of(drawn, 0)
    for container, rate in zip(axis.containers, (1.0, 2.0), strict=True):
        linear, none = (values(results, "tuning", head=head, width=8, rate=rate) for head in ("linear", "none"))
        assert container.lines[0].get_ydata().tolist() == pytest.approx([(linear - none).mean()]), rate


def test_a_grid_stands_beside_the_papers(results: Results) -> None:
    ours, theirs = axes_of(results, 3)
    texts = [text.get_text() for text in ours.texts]
    sample = values(results, "matched", head="linear", width=16)
    low, high = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    assert f"{sample.mean():.1f}\n± {(high - low) / 2:.1f}" in texts
    assert [text.get_text() for text in theirs.texts] == ["1.0", "2.0", "3.0", "4.0"]
    assert "Figure 5" in theirs.get_title(loc="left")


def test_nothing_is_drawn_from_nothing(results: Results) -> None:
    for index in (0, 2, 3):
        absent = results.declaration.pictures[index].model_copy(update={"metric": "absent"})
        assert draw(absent, results) is None


def test_means_of_one_value_or_none() -> None:
    assert means.mean_of([]) is None and means.mean_of([math.nan]) is None
    one = means.mean_of([3.0, math.nan])
    assert one is not None and (one.value, one.low, one.high, one.replicates) == (3.0, 3.0, 3.0, 1)
    same = means.mean_of(numpy.full(5, 2.0))
    assert same is not None and same.low == same.high == 2.0


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "curve"}, {"kind": "curves", "title": "t", "metric": "v", "label": "l", "along": "x", "wrong": 1}],
)
def test_a_picture_of_an_unknown_kind_or_key_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    (tmp_path / "scored_trials.py").write_text(TRIAL)
    (tmp_path / "scored.yaml").write_text(yaml.safe_dump({**SPEC, "report": {"pictures": [{"title": "t", **wrong}]}}))
    found = Workplace(tmp_path).harness("report", "scored.yaml")
    assert found.status == 2 and "scored.yaml" in found.err and len(found.err.strip().splitlines()) == 1


def test_a_picture_may_leave_intervals_out(results: Results) -> None:
    (axis,) = axes_of(results, 1)
    assert len(axis.lines) == 2 and all(not bar.has_yerr for bar in axis.containers)
    assert axis.get_title(loc="left") == "means over 2 replicates"
