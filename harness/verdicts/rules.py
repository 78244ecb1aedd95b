"""The rules that turn an effect and its interval into a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.spec.claims import Claim, RatioClaim
from harness.spec.models import Fidelity

Verdict = Literal["reproduced", "direction only", "contradicted", "inconclusive", "not comparable", "not run"]
VERDICTS: tuple[Verdict, ...] = (
    "reproduced",
    "direction only",
    "contradicted",
    "inconclusive",
    "not comparable",
    "not run",
)


@dataclass(frozen=True)
class Evidence:
    """What was measured for a claim, in the claim's unit.

    ``exact`` marks a count that has no sampling error. ``missing`` says why there is no evidence, ``unequal`` which
    structural gates failed, ``unfit`` why the numbers cannot carry a decision.
    """

    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    mde: float | None = None
    exact: bool = False
    missing: str = ""
    unequal: str = ""
    unfit: str = ""
    trials: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """A verdict and the sentence that says why."""

    verdict: Verdict
    reason: str


def decide(claim: Claim, evidence: Evidence, fidelity: Fidelity) -> Decision:
    """Apply the rules to one claim.

    Direction is confirmed where the whole interval lies beyond the sentence's bound (or beyond no effect); it is
    contradicted where the whole interval lies on the other side. ``reproduced`` also needs the whole interval within
    the declared margin of the published figure, and full fidelity.
    """
    if evidence.missing:
        return Decision("not run", evidence.missing)
    if evidence.unequal:
        return Decision("not comparable", evidence.unequal)
    if evidence.unfit:
        return Decision("inconclusive", evidence.unfit)
    if not all(math.isfinite(number) for number in (evidence.effect, evidence.low, evidence.high)):
        return Decision("inconclusive", "the effect or its interval is not a finite number")
    threshold = _threshold(claim)
    if threshold is not None:
        side = _side(evidence, *threshold)
        if side == "beyond":
            return _confirmed(claim, evidence, fidelity)
        if side == "against":
            return Decision("contradicted", _against(claim, evidence, threshold[0]))
        return Decision("inconclusive", _undecided(evidence, threshold[0]))
    return _value(claim, evidence, fidelity)


def _threshold(claim: Claim) -> tuple[float, bool] | None:
    """Return the figure that must be passed and whether upwards; None for a value without a bound."""
    if claim.at_least is not None:
        return claim.at_least, True
    if claim.at_most is not None:
        return claim.at_most, False
    if isinstance(claim, RatioClaim):
        return 1.0, claim.direction == "greater"
    return None


def _side(evidence: Evidence, threshold: float, upwards: bool) -> Literal["beyond", "against", "undecided"]:
    above, below = evidence.low > threshold, evidence.high < threshold
    if evidence.exact:
        # A count that equals the bound satisfies "at least" and "at most".
        above, below = evidence.effect >= threshold, evidence.effect <= threshold
        return "beyond" if (above if upwards else below) else "against"
    if above or below:
        return "beyond" if above == upwards else "against"
    return "undecided"


def _confirmed(claim: Claim, evidence: Evidence, fidelity: Fidelity) -> Decision:
    if claim.published is None or claim.margin is None:
        return Decision("direction only", "the direction is confirmed; no published figure is set beside it")
    agrees = _within_margin(claim, evidence)
    if not agrees:
        return Decision("direction only", f"the direction is confirmed; the size differs from {_published(claim)}")
    if fidelity != "paper":
        return Decision("direction only", f"direction and size agree, but at {fidelity} fidelity")
    return Decision("reproduced", f"direction confirmed, and within the margin of {_published(claim)}")


def _value(claim: Claim, evidence: Evidence, fidelity: Fidelity) -> Decision:
    assert claim.published is not None and claim.margin is not None
    low, high = claim.margin.around(claim.published.value)
    if _within_margin(claim, evidence):
        if fidelity != "paper":
            return Decision("direction only", f"agrees with {_published(claim)}, but at {fidelity} fidelity")
        return Decision("reproduced", f"within the margin of {_published(claim)}")
    if evidence.high < low or evidence.low > high:
        difference = evidence.effect - claim.published.value
        relative = f" ({difference / claim.published.value:+.1%})" if claim.published.value else ""
        return Decision("contradicted", f"differs from {_published(claim)} by {difference:+.4g}{relative}")
    return Decision("inconclusive", f"the interval reaches beyond the margin of {_published(claim)}")


def _within_margin(claim: Claim, evidence: Evidence) -> bool:
    assert claim.published is not None and claim.margin is not None
    low, high = claim.margin.around(claim.published.value)
    return low <= evidence.low and evidence.high <= high


def _published(claim: Claim) -> str:
    assert claim.published is not None
    return f"the published {claim.published.value:g} ({claim.published.locator})"


def _against(claim: Claim, evidence: Evidence, threshold: float) -> str:
    signed = evidence.low > 1 if claim.at_least is not None else evidence.high < 1
    if isinstance(claim, RatioClaim) and threshold != 1.0 and signed:
        return f"the difference has the claimed sign, but its whole interval falls short of the {threshold:g} claimed"
    return f"the whole interval lies on the other side of {threshold:g}"


def _undecided(evidence: Evidence, threshold: float) -> str:
    detectable = f"; the smallest difference it could find is {evidence.mde:.3g}" if evidence.mde is not None else ""
    return f"the interval includes {threshold:g}{detectable}"
