"""Declared tables: what stands in a cell, and which trials it came from."""

from __future__ import annotations

import math
import statistics
from types import SimpleNamespace
from typing import Any

import pandas
import pytest

from reports.cells import Cell, Heading, Table
from reports.declarations import TableDeclaration
from reports.tables import build_table


class Made:
    """Results as tables see them, made up."""

    def __init__(self, records: list[dict[str, Any]], levels: dict[str, list[str]], labels: dict[str, str]) -> None:
        self._records = pandas.DataFrame(records)
        self._levels, self._labels = levels, labels
        self.design = SimpleNamespace(experiment=SimpleNamespace(claims=()))

    def records(self, reading: str) -> pandas.DataFrame:
        return self._records

    def levels(self, factor: str) -> list[str]:
        return self._levels[factor]

    def label(self, level: str, factor: str = "") -> str:
        return self._labels.get(level, level)


def build(records: list[dict[str, Any]], declared: dict[str, Any], **more: Any) -> Table:
    levels = more.pop("levels", {"arm": ["a", "b"], "size": ["1", "2"]})
    made = Made(records, levels, more.pop("labels", {}))
    return build_table(TableDeclaration.model_validate({"title": "t", **declared}), made)  # type: ignore[arg-type]


def record(trial: str, replicate: int = 0, **values: Any) -> dict[str, Any]:
    return {"trial": trial, "replicate": replicate, **values}


def test_a_cell_is_the_median_of_its_records_and_names_their_trials() -> None:
    records = [
        record("t1", arm="a", ms=1.0),
        record("t2", arm="a", ms=5.0),
        record("t3", arm="a", ms=3.0),
        record("t4", arm="b", ms=9.0),
    ]
    table = build(
        records,
        {"rows": "arm", "columns": [{"metric": "ms", "label": "time", "unit": "ms", "better": "less"}]},
        labels={"b": "the other"},
    )
    assert table.headings[1] == Heading("time", "ms", better="less") and table.headings[1].shown() == "time (ms) ↓"
    assert [row[0].text for row in table.rows] == ["a", "the other"]
    assert table.rows[0][1] == Cell(3.0, unit="ms", trials=("t1", "t2", "t3"))
    assert table.rows[1][1].trials == ("t4",)


def test_a_mean_has_the_interval_of_its_replicates() -> None:
    values = [1.0, 2.0, 4.0]
    records = [record(f"t{n}", n, arm="a", score=value) for n, value in enumerate(values)]
    columns = [{"metric": "score", "label": "s", "statistic": "mean"}]
    cell = build(records, {"rows": "arm", "columns": columns}).rows[0][1]
    assert cell.value == pytest.approx(statistics.mean(values)) and cell.low is not None and cell.high is not None
    assert cell.low < min(values[1:]) and cell.high > cell.value


def test_one_nan_among_replicates_is_shown_and_never_averaged_away() -> None:
    records = [record("t1", 0, arm="a", score=1.0), record("t2", 1, arm="a", score=math.nan)]
    for statistic in ("mean", "median"):
        columns = [{"metric": "score", "label": "s", "statistic": statistic}]
        cell = build(records, {"rows": "arm", "columns": columns}).rows[0][1]
        assert math.isnan(cell.value or 0) and cell.shown() == "–" and cell.trials == ("t1", "t2")


def test_rows_of_several_factors_are_the_combinations_that_were_run_in_the_order_of_the_spec() -> None:
    records = [
        record("t1", arm="b", size=2.0, ms=4.0),
        record("t2", arm="a", size=2, ms=3.0),
        record("t3", arm="b", size=1, ms=2.0),
    ]
    table = build(records, {"rows": ["arm", "size"], "columns": [{"metric": "ms", "label": "time"}]})
    assert table.headings[0].label == "arm, size"
    assert [row[0].text for row in table.rows] == ["a, 2", "b, 1", "b, 2"]
    assert [row[1].value for row in table.rows] == [3.0, 2.0, 4.0]


def test_differences_from_the_paper_end_in_their_median() -> None:
    records = [record("t1", arm="a", ms=11.0), record("t2", arm="b", ms=8.0)]
    column = {
        "metric": "ms",
        "label": "time",
        "published": {"locator": "Table 1", "values": {"a": 10, "b": 10.25}},
        "difference": True,
    }
    table = build(records, {"rows": "arm", "columns": [column]})
    assert [heading.label for heading in table.headings] == ["arm", "time", "paper: Table 1", "difference"]
    assert table.headings[2].published and table.rows[1][2].shown() == "10.25"
    assert [row[3].shown() for row in table.rows[:2]] == ["+10.0", "-22.0"]
    assert table.rows[2][0].text == "median difference"
    assert table.rows[2][3].value == pytest.approx(statistics.median([10.0, 100 * (1 - 8 / 10.25)]))


def test_ratios_are_to_one_level() -> None:
    records = [record("t1", arm="a", ms=2.0), record("t2", arm="b", ms=9.0)]
    table = build(records, {"rows": "arm", "columns": [{"metric": "ms", "label": "x", "ratio_to": "a"}]})
    assert [row[1].value for row in table.rows] == [1.0, 4.5]
    table = build(records, {"rows": "arm", "columns": [{"metric": "ms", "label": "x", "ratio_to": "gone"}]})
    assert [row[1].shown() for row in table.rows] == ["–", "–"]


def test_words_and_what_is_missing() -> None:
    records = [record("t1", arm="a", kernel="flash"), record("t2", arm="a", kernel="plain")]
    columns = [{"metric": "kernel", "label": "kernel"}, {"metric": "nothing", "label": "absent"}]
    table = build(records, {"rows": "arm", "columns": columns})
    assert [[cell.shown() for cell in row] for row in table.rows] == [["a", "flash, plain", "–"], ["b", "–", "–"]]


def test_no_records_and_no_such_factor_give_dashes_and_no_rows() -> None:
    columns = [{"metric": "ms", "label": "time"}]
    empty = build([record("t", ms=1.0)], {"rows": "arm", "columns": columns})
    assert [row[1].shown() for row in empty.rows] == ["–", "–"]
    assert build([record("t", ms=1.0)], {"rows": ["arm", "size"], "columns": columns}).rows == []


def test_a_column_of_one_level_of_another_factor_has_its_records_alone() -> None:
    records = [
        record("t1", arm="a", size="1", ms=2.0, why="slow"),
        record("t1", arm="a", size="2", ms=30.0),
        record("t1", arm="b", size="1", ms=6.0),
        record("t2", arm="b", size="2", ms=90.0),
    ]
    columns = [
        {"metric": "ms", "label": "one", "where": {"size": 1}},
        {"metric": "ms", "label": "two", "where": {"size": 2}},
        {"metric": "ms", "label": "two over a", "ratio_to": "a", "where": {"size": 2}},
        {"metric": "why", "label": "why", "where": {"size": 1}},
        {"metric": "ms", "label": "nowhere", "where": {"size": 3}},
    ]
    table = build(records, {"rows": "arm", "columns": columns})
    assert [[cell.value for cell in row[1:4]] for row in table.rows] == [[2.0, 30.0, 1.0], [6.0, 90.0, 3.0]]
    assert table.rows[1][1].trials == ("t1",) and table.rows[1][2].trials == ("t2",)
    assert [row[4].shown() for row in table.rows] == ["slow", "–"]
    assert [row[5].shown() for row in table.rows] == ["–", "–"]


@pytest.mark.parametrize(("values", "shown"), [([None, None], False), ([None, 3.0], True), ([None, "words"], True)])
def test_an_optional_column_is_left_out_where_it_has_nothing(values: list[Any], shown: bool) -> None:
    records = [record("t1", arm=arm, ms=1.0, extra=value) for arm, value in zip("ab", values, strict=True)]
    columns = [{"metric": "ms", "label": "time"}, {"metric": "extra", "label": "extra", "optional": True}]
    table = build(records, {"rows": "arm", "columns": columns})
    assert [heading.label for heading in table.headings[1:]] == (["time", "extra"] if shown else ["time"])
    assert all(len(row) == len(table.headings) for row in table.rows)
