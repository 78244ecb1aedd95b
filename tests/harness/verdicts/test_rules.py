"""The verdict rules, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from rule_cases import CASES, ONE, SPREAD, crosses, curve, difference, near

from harness.spec.claims import (
    ClaimBase,
)
from harness.verdicts.questions import telescope
from harness.verdicts.rules import VERDICTS, Circumstances, decide
from harness.verdicts.statistics.estimates import Estimate


@pytest.mark.parametrize(("claim", "estimate", "circumstances", "verdict"), CASES)
def test_the_rules(claim: ClaimBase, estimate: Estimate, circumstances: dict[str, Any], verdict: str) -> None:
    around: dict[str, Any] = {"fidelity": "paper", **circumstances}
    seen_from = telescope(claim, around["fidelity"], around.pop("spread", None))
    decision = decide(claim, estimate, Circumstances(**around, telescope=seen_from))
    assert decision.verdict == verdict, decision.reason
    assert decision.reason


def test_the_table_covers_every_form_fidelity_and_verdict() -> None:
    assert {case[0].form for case in CASES} == {
        "difference", "ratio", "non_inferiority", "equivalence", "trend", "optimum", "ordering", "value", "crossing",
    }  # fmt: skip
    assert {case[2].get("fidelity", "paper") for case in CASES} == {"paper", "reduced", "proxy"}
    assert {case[3] for case in CASES} == set(VERDICTS) - {"not comparable", "not run"}


def test_a_reproduced_claim_names_the_rule_by_which_its_size_agrees() -> None:
    margin = decide(difference(**ONE), near(1), Circumstances("paper"))
    repeated = decide(difference(**SPREAD), near(1.2), Circumstances("paper", replicates=10))
    assert margin.reason == "agrees with the published 1 (Table 1): the whole interval is within the margin"
    assert repeated.reason.endswith("within the prediction interval 0.3917 to 1.608")


@pytest.mark.parametrize(
    ("means", "said"), [((3.0, 2.0, 1.0), "beyond the last"), ((-1.0, -2.0, -3.0), "before the first")]
)
def test_curves_that_do_not_cross_where_they_were_run_say_so(means: tuple[float, float, float], said: str) -> None:
    decision = decide(crosses(**ONE), curve(*means), Circumstances("proxy"))
    assert decision.verdict == "contradicted" and f"cross {said} level that was run" in decision.reason
    assert "inf" not in decision.reason
