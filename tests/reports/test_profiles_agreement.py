"""Differences between shares of stages, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.profile_summary import ACCEPTED_POINTS, ProfileSummary, Share
from reports.profiles.agreement import Difference, agreement_text, difference_from

SHARES = st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), min_size=1)


def stages(shares: Mapping[str, float]) -> tuple[Share, ...]:
    return tuple(Share(name, 1e3 * share, share, math.nan) for name, share in shares.items())


def summary(shares: Mapping[str, float]) -> ProfileSummary:
    """Return a summary of whose step nothing but the stages matters; its timing run had others."""
    parts, others = stages(shares), stages({"timed": 1.0})
    return ProfileSummary("a", "cpu", 1e3, 1e3, 1.0, 3, parts, others, (), (), 1.0, "compute-bound", None, ())


@given(one=SHARES, other=SHARES)
def test_the_largest_difference_is_the_one_of_aligned_vectors(one: dict[str, float], other: dict[str, float]) -> None:
    names = sorted({*one, *other})
    vectors = numpy.array([[shares.get(name, 0.0) for name in names] for shares in (one, other)])
    found = difference_from(summary(one), stages(other))
    assert found is not None
    assert found.points == pytest.approx(100 * float(numpy.abs(vectors[0] - vectors[1]).max()))
    assert found.stage in names


@given(one=SHARES)
def test_there_is_none_from_oneself(one: dict[str, float]) -> None:
    found = difference_from(summary(one), stages(one))
    assert found is not None and found.points == 0.0


def test_without_stages_there_is_nothing_to_compare() -> None:
    assert difference_from(summary({}), stages({"a": 1.0})) is None
    assert difference_from(summary({"a": 1.0}), ()) is None
    assert agreement_text(None, "the sweep") == ""


@pytest.mark.parametrize(
    ("points", "words"),
    [(0.04, "at most 0.0 points"), (ACCEPTED_POINTS, "within the 5 points"), (5.01, "beyond the 5")],
)
def test_what_is_accepted_is_said(points: float, words: str) -> None:
    found = agreement_text(Difference(points, "region_head"), "the sweep")
    assert words in found and "(region head)" in found and "those of the sweep" in found
