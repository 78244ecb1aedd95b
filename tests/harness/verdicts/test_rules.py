"""The verdict rules: a table over forms, bounds, fidelities, gates and missing data."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.spec.claims import Margin, Published, RatioClaim, ValueClaim
from harness.verdicts.rules import VERDICTS, Evidence, decide

BASE = {
    "id": "c",
    "paper": "P",
    "arxiv": "2101.00001v1",
    "locator": "Table 1",
    "statement": "S.",
    "metric": "m",
}
PUBLISHED = Published(value=60, locator="Table 1", basis="source")
MARGIN = Margin(relative=0.25, reason="r")


def ratio(**changes: object) -> RatioClaim:
    return RatioClaim(**{**BASE, "form": "ratio", "numerator": {"a": 1}, "denominator": {"a": 2}, **changes})  # type: ignore[arg-type]


def value(**changes: object) -> ValueClaim:
    return ValueClaim(**{**BASE, "form": "value", "arm": {"a": 1}, **changes})  # type: ignore[arg-type]


def seen(effect: float, low: float, high: float, **changes: object) -> Evidence:
    return Evidence(effect, low, high, 10, 0.1, **changes)  # type: ignore[arg-type]


PAPER = {"published": PUBLISHED, "margin": MARGIN}
TENFOLD = {**PAPER, "at_least": 10, "bound_reason": "tens"}
AT_MOST = {"at_most": 10, "bound_reason": "few"}

CASES = [
    # A ratio without a published figure: the direction is all there is.
    (ratio(), seen(2, 1.5, 2.5), "paper", "direction only"),
    (ratio(), seen(0.5, 0.4, 0.6), "paper", "contradicted"),
    (ratio(), seen(1.1, 0.9, 1.3), "paper", "inconclusive"),
    (ratio(direction="less"), seen(0.5, 0.4, 0.6), "paper", "direction only"),
    (ratio(direction="less"), seen(2, 1.5, 2.5), "paper", "contradicted"),
    # With one: size, then fidelity.
    (ratio(**PAPER), seen(60, 55, 65), "paper", "reproduced"),
    (ratio(**PAPER), seen(60, 45, 75), "paper", "reproduced"),
    (ratio(**PAPER), seen(60, 44.9, 75), "paper", "direction only"),
    (ratio(**PAPER), seen(60, 55, 65), "reduced", "direction only"),
    (ratio(**PAPER), seen(60, 55, 65), "proxy", "direction only"),
    (ratio(**PAPER), seen(200, 190, 210), "paper", "direction only"),
    # With a bound that the sentence states.
    (ratio(**TENFOLD), seen(60, 55, 65), "paper", "reproduced"),
    (ratio(**TENFOLD), seen(12, 11, 13), "paper", "direction only"),
    (ratio(**TENFOLD), seen(8, 7, 9), "paper", "contradicted"),
    (ratio(**TENFOLD), seen(0.5, 0.4, 0.6), "paper", "contradicted"),
    (ratio(**TENFOLD), seen(10, 9, 11), "paper", "inconclusive"),
    (ratio(**TENFOLD), seen(8, 7, 9), "proxy", "contradicted"),
    # Values against a figure.
    (value(**PAPER), seen(60, 58, 62), "paper", "reproduced"),
    (value(**PAPER), seen(60, 58, 62), "proxy", "direction only"),
    (value(**PAPER), seen(90, 88, 92), "paper", "contradicted"),
    (value(**PAPER), seen(75, 74, 76), "paper", "inconclusive"),
    (value(**PAPER), seen(61, 61, 61, exact=True), "paper", "reproduced"),
    (value(**PAPER), seen(75.1, 75.1, 75.1, exact=True), "paper", "contradicted"),
    # Values against a bound.
    (value(**AT_MOST), seen(5, 4, 6), "paper", "direction only"),
    (value(**AT_MOST), seen(15, 14, 16), "paper", "contradicted"),
    (value(**AT_MOST), seen(10, 9, 11), "paper", "inconclusive"),
    (value(**AT_MOST), seen(10, 10, 10, exact=True), "paper", "direction only"),
    (value(**PAPER, at_least=50, bound_reason="b"), seen(60, 58, 62), "paper", "reproduced"),
    # What cannot carry a decision.
    (ratio(**PAPER), Evidence(missing="no finished trial"), "paper", "not run"),
    (ratio(**PAPER), Evidence(unequal="regions: 10, not 36"), "paper", "not comparable"),
    (ratio(**PAPER), Evidence(n=1, unfit="one round"), "paper", "inconclusive"),
    (ratio(**PAPER), seen(math.nan, 55, 65), "paper", "inconclusive"),
    (ratio(**PAPER), seen(60, math.nan, math.nan), "paper", "inconclusive"),
    (ratio(**PAPER), seen(60, -math.inf, math.inf), "paper", "inconclusive"),
    (value(**PAPER), Evidence(), "paper", "inconclusive"),
]


@pytest.mark.parametrize(("claim", "evidence", "fidelity", "verdict"), CASES)
def test_the_rules(claim: object, evidence: Evidence, fidelity: str, verdict: str) -> None:
    decision = decide(claim, evidence, fidelity)  # type: ignore[arg-type]
    assert decision.verdict == verdict, decision.reason
    assert decision.reason


anything = st.floats(allow_nan=True, allow_infinity=True)


@given(anything, anything, anything, st.booleans(), st.sampled_from(["proxy", "reduced", "paper"]))
def test_no_numbers_end_in_an_exception(effect: float, low: float, high: float, exact: bool, fidelity: str) -> None:
    for claim in (ratio(), ratio(**PAPER), ratio(**TENFOLD), value(**PAPER), value(**AT_MOST)):
        decision = decide(claim, Evidence(effect, low, high, 5, exact=exact), fidelity)  # type: ignore[arg-type]
        assert decision.verdict in VERDICTS
        if fidelity != "paper" or not all(math.isfinite(x) for x in (effect, low, high)):
            assert decision.verdict != "reproduced"
