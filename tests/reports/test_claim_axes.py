"""Axes of claims' pictures: they hold what must be seen, and their ticks are few, round and told apart."""

from __future__ import annotations

import math

import hypothesis
from hypothesis import strategies

from reports.pictures.claim_axes import MOST_TICKS, scale_of, tick_texts, ticks

FINITE = strategies.floats(-1e12, 1e12, allow_subnormal=False)
POSITIVE = strategies.floats(1e-9, 1e9)


@hypothesis.given(strategies.lists(FINITE, min_size=1), strategies.lists(strategies.floats()))
def test_an_axis_holds_what_is_needed_and_keeps_its_order(needed: list[float], wanted: list[float]) -> None:
    scale = scale_of(needed, wanted)
    assert scale is not None and scale.low < scale.high
    assert all(scale.holds(value) for value in needed)
    places = scale.places(sorted(needed))
    assert places == sorted(places)


@hypothesis.given(strategies.lists(POSITIVE, min_size=1), strategies.lists(strategies.floats()))
def test_a_logarithmic_axis_holds_what_is_positive(needed: list[float], wanted: list[float]) -> None:
    scale = scale_of([*needed, -1.0, 0.0, math.inf, math.nan], wanted, logarithmic=True)
    assert scale is not None and 0 < scale.low < scale.high
    assert all(scale.holds(value) for value in needed)


def test_an_axis_of_nothing_finite_is_none() -> None:
    assert scale_of([math.nan, math.inf]) is None and scale_of([0.0, -1.0], logarithmic=True) is None


@hypothesis.given(FINITE, strategies.floats(1e-6, 1e12), strategies.integers(3, 8))
def test_ticks_lie_within_and_have_names_of_their_own(low: float, width: float, count: int) -> None:
    hypothesis.assume(width > 1e-6 * abs(low))
    found = ticks(low, low + width, False, count)
    assert len(found) <= count + 1 and all(low <= value <= low + width for value in found)
    texts = tick_texts(found)
    assert len(set(texts)) == len(found)


@hypothesis.given(POSITIVE, strategies.floats(1.05, 1e9))
def test_ticks_of_a_logarithmic_axis_are_few_too(low: float, factor: float) -> None:
    found = ticks(low, low * factor, True, MOST_TICKS)
    assert len(found) <= MOST_TICKS + 1 and all(low <= value <= low * factor for value in found)
    assert len(set(tick_texts(found))) == len(found)


def test_ticks_as_people_write_them() -> None:
    assert tick_texts(ticks(0.9, 80.0, True)) == ["1", "2", "5", "10", "20", "50"]
    assert tick_texts([-1.0, -0.5, 0.0, 0.5]) == ["−1.0", "−0.5", "0.0", "0.5"]
    assert tick_texts([57.5, 60.0, 62.5]) == ["57.5", "60.0", "62.5"]
    assert tick_texts([0.25, 0.5]) == ["0.25", "0.50"]
    assert tick_texts([1000.0, 2000.0, 3000.0]) == ["1,000", "2,000", "3,000"]
