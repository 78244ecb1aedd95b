"""The parts that pictures are made of: ticks, digits, places for labels, places along a factor."""

from __future__ import annotations

import math

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.means import Mean, chosen
from reports.pictures.axes import MOST, tick_values
from reports.pictures.charts import with_gaps
from reports.pictures.crossings import Crossing
from reports.pictures.latency import MOST_STEPS, thinned
from reports.pictures.numbers import enough_digits, mean_cell, number, printed_digits
from reports.pictures.placing import MARK, Box, place
from reports.pictures.series import Along, counted, is_number
from reports.pictures.stages import grouped_stages

POSITIVE = st.floats(1e-6, 1e9)


@given(POSITIVE, st.floats(1.5, 1e6))
def test_ticks_of_a_log_axis_are_few_and_within_it(low: float, ratio: float) -> None:
    ticks = tick_values(low, low * ratio)
    assert 1 <= len(ticks) <= MOST + 1 or ratio < 2
    assert all(low <= tick <= low * ratio * 1.000001 for tick in ticks) and ticks == sorted(set(ticks))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (1.0, math.inf)])
def test_there_are_no_ticks_where_there_is_no_log_axis(low: float, high: float) -> None:
    assert tick_values(low, high) == []


@given(st.floats(-1e12, 1e12), st.floats(0, 1e6))
def test_digits_are_those_that_an_interval_needs(value: float, half: float) -> None:
    digits = enough_digits(value, value - half, value + half)
    assert 0 <= digits <= 8
    if half > 1e-6 and value + half > value - half:
        step = 10.0**-digits
        assert step <= max(1.0, half) and (digits in (0, 8) or half < 110 * step)


def test_published_figures_keep_the_digits_they_were_printed_with() -> None:
    assert [printed_digits(value) for value in (15.0, 274.3, 4.82, 0.001)] == [0, 1, 2, 3]
    assert number(4.82, "points", published=True).shown() == "4.82"
    assert number(math.nan).shown() == number(None).shown() == "–"


def test_a_mean_of_one_replicate_has_no_interval() -> None:
    assert mean_cell(Mean(3.0, 3.0, 3.0, 1)).low is None
    several = mean_cell(Mean(3.0, 2.0, 4.0, 5, ("t",)), "%")
    assert (several.low, several.high, several.unit, several.trials) == (2.0, 4.0, "%", ("t",))
    assert mean_cell(Mean(3.0, 2.0, 4.0, 5), intervals=False).low is None and mean_cell(None).value is None


def test_counts_say_what_means_are_over() -> None:
    assert counted([Mean(1, 0, 2, 4), Mean(1, 0, 2, 4)]) == "means over 4 replicates, 95 % intervals"
    assert counted([Mean(1, 0, 2, 3), Mean(1, 0, 2, 4)], intervals=False) == "means over 3 to 4 replicates"
    assert counted([Mean(1, 1, 1, 1)]) == "one replicate each, no interval"
    assert counted([Mean(1, 0, 2, 1)]) == "one replicate each, its own interval"


SPOTS = st.tuples(st.floats(20, 380), st.floats(20, 280))
SIZES = st.tuples(st.floats(20, 70), st.floats(8, 16))
PANEL = Box(0, 0, 400, 300)


@given(st.lists(st.tuples(SPOTS, SIZES), min_size=1, max_size=5))
def test_few_labels_cover_neither_marks_nor_each_other(found: list[tuple[tuple[float, float], tuple[float, float]]]) -> None:  # fmt: skip
    marks, sizes = [spot for spot, _ in found], [size for _, size in found]
    placed = place(marks, sizes, PANEL)
    boxes = [Box(p.x - w / 2, p.y - h / 2, p.x + w / 2, p.y + h / 2) for p, (w, h) in zip(placed, sizes, strict=True)]
    for index, box in enumerate(boxes):
        assert all(box.overlap(other) < 1e-6 for other in boxes[:index])
        assert box.outside(PANEL) < 1e-6
        assert all(box.overlap(Box(x - MARK, y - MARK, x + MARK, y + MARK)) < 1e-6 for x, y in marks)


def test_a_label_stands_beside_its_mark_and_one_that_had_to_go_far_has_a_line() -> None:
    (alone,) = place([(200, 150)], [(60, 12)], PANEL)
    assert alone.x - 30 > 200 and alone.y == 150 and not alone.line
    wall = [Box(140, 100, 300, 200)]
    (away,) = place([(200, 150)], [(60, 12)], PANEL, wall)
    assert away.line


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=2000))
def test_thinned_times_keep_ends_and_order(values: list[float]) -> None:
    times = numpy.sort(numpy.array(values))
    kept = thinned(times)
    assert kept.size <= MOST_STEPS and set(kept) <= set(times)
    assert (kept[0], kept[-1]) == (times[0], times[-1]) and (numpy.diff(kept) >= 0).all()


def test_numbers_between_levels_have_a_place_on_either_axis() -> None:
    places = Along({"1": 0.0, "4": 1.0, "16": 2.0}, logarithmic=False)
    assert places.at(4) == 1.0 and places.at(10) == 1.5 and places.at(99) == 2.0
    assert Along({"1": 1.0, "4": 4.0}, logarithmic=True).at(2.5) == 2.5
    assert Along({"a": 0.0, "b": 1.0}, logarithmic=False).at(2.5) is None
    assert Along({"1": 1.0, "1.01": 1.01, "100": 100.0}, logarithmic=True).labelled() == ["1", "100"]
    assert Along({"1": 1.0}, logarithmic=True).labelled() == ["1"]
    assert is_number("1e-3") and is_number("-2") and not is_number("plain") and not is_number("nan")


def test_a_crossing_that_was_not_met_says_so_in_words() -> None:
    rows = list(Crossing(math.inf, math.nan, math.inf, 4.0, "images", ()).rows())
    assert [row[1].shown() for row in rows] == ["beyond the last level", "4"]
    met = list(Crossing(3.2, 2.0, 5.0, None, "images", ("t",)).rows())
    assert [row[1].shown() for row in met] == ["3.2 [2.0, 5.0]"]


def test_levels_are_chosen_by_name_whatever_type_a_column_has() -> None:
    for column, level in (
        ([1.0, 2.0], 1),
        ([True, False], True),
        (["a", "b"], "a"),
        ([1, "x"], 1),
        ([None, "x"], None),
    ):
        records = pandas.DataFrame({"factor": column})
        assert chosen(records, {"factor": level}).index.tolist() == [0], column
    assert chosen(pandas.DataFrame({"factor": [1]}), {"absent": 1}).empty


def test_stages_that_are_grouped_are_summed_and_others_keep_their_names() -> None:
    medians = pandas.DataFrame({"a": [1.0], "b": [2.0], "roi_align": [3.0]})
    grouped = grouped_stages(medians, {"both": ["a", "b"], "absent": ["c"]})
    assert grouped.to_dict("list") == {"both": [3.0], "roi align": [3.0]}


def test_a_line_breaks_beside_levels_that_have_no_order() -> None:
    levels = ["plain", "twice", "0", "1", "5"]
    assert with_gaps(levels, None) == ["plain", None, "twice", None, "0", "1", "5"]
    assert with_gaps(levels, True) == levels and with_gaps(["0", "1"], None) == ["0", "1"]
    assert with_gaps(["0", "1"], False) == ["0", None, "1"] and with_gaps(["0"], None) == ["0"]
