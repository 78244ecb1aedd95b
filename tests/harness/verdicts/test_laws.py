"""What speaks against an interval's law is said beside it, and never where it rests on no such law."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from scipy import stats
from synthetic import claim_yaml, judged

from harness.verdicts.statistics.distribution import FEWEST_TO_TELL, USUAL, distribution_warning

CLAIM = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"})


def warning(values: numpy.ndarray, **claim: Any) -> str:
    spec = {"factors": {"arm": ["a", "b"]}, "replicates": len(values), "claims": [{**CLAIM, **claim}]}
    return judged(spec, lambda t: {"value": float(values[t.replicate]) if t.arm["arm"] == "a" else 0.0})["c"].warning


def test_few_values_cannot_be_told() -> None:
    values = stats.norm.ppf((numpy.arange(FEWEST_TO_TELL) + 0.5) / FEWEST_TO_TELL)
    assert warning(values) == ""
    assert "too few to tell" in warning(values[1:-1])


def test_skewed_values_are_named_at_any_number() -> None:
    values = stats.expon.ppf((numpy.arange(40) + 0.5) / 40)
    assert "are skewed (skewness +" in warning(values)
    assert "are skewed (skewness -" in warning(-values)
    assert warning(values, exact=True) == ""


@pytest.mark.parametrize("n", [8, 20])
def test_one_in_ten_normal_samples_is_called_skewed(n: int) -> None:
    data = numpy.random.default_rng(8).normal(size=(4000, n))
    found = numpy.mean(["skewed" in distribution_warning(row)[:30] for row in data])
    limit = USUAL * numpy.sqrt(6 * (n - 2) / ((n + 1) * (n + 3)))
    assert found == numpy.mean(abs(stats.skew(data, axis=1)) > limit)
    assert abs(found - 0.10) < 0.02


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0], [1.0, numpy.nan, 2.0]])
def test_what_has_no_interval_has_no_warning(values: list[float]) -> None:
    assert distribution_warning(values) == ""
