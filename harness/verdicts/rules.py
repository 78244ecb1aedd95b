"""The rules that turn an effect and its interval into a verdict (docs/trust.md has them as a table)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.spec.claims import ClaimBase, CrossingClaim, Directed, OptimumClaim, RatioClaim
from harness.spec.models import Fidelity
from harness.verdicts.questions import (
    Band,
    Threshold,
    confirming_p,
    contradicting_p,
    negligible_p,
    no_effect,
    target,
    telescope_p,
)
from harness.verdicts.statistics.curves import Optimum
from harness.verdicts.statistics.estimates import Estimate
from harness.verdicts.statistics.publication import prediction_interval

Verdict = Literal["reproduced", "direction only", "contradicted", "inconclusive", "not comparable", "not run"]
VERDICTS: tuple[Verdict, ...] = (
    "reproduced",
    "direction only",
    "contradicted",
    "inconclusive",
    "not comparable",
    "not run",
)
ALPHA = 0.05


@dataclass(frozen=True)
class Decision:
    """A verdict and the sentence that says why."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Circumstances:
    """What a decision depends on beside the claim and its effect.

    Attributes:
        fidelity: of the profile; below ``paper`` the best verdict is "direction only".
        level: the two-sided level at which this claim is decided, after its family's and the looks' correction.
        shown_level: the level of the interval that is shown, after the looks' correction alone.
        floor: the smallest ratio that this machine resolves (its A/A certificate); None where it is not known or the
            claim is not about times.
        whole: whether every arm kept all its planned trials.
        replicates: how many of ours the effect rests on, for comparison with the paper's runs.
        telescope: what the original could just have detected; a whole interval on the near side of it contradicts.
    """

    fidelity: Fidelity
    level: float = ALPHA
    shown_level: float = ALPHA
    floor: float | None = None
    whole: bool = True
    replicates: int = 0
    telescope: Threshold | None = None


def decide(claim: ClaimBase, estimate: Estimate, around: Circumstances) -> Decision:
    """Apply the rules to one claim.

    Direction is confirmed where the whole interval at ``level`` lies in the region that the sentence claims; the claim
    is contradicted where it lies on the other side, within the band that counts as no effect, or (at the paper's own
    fidelity) below what the original could have detected. ``reproduced`` also needs the size to agree with the
    published figure, and full fidelity.
    """
    if not math.isfinite(estimate.effect) and not (
        isinstance(claim, CrossingClaim) and not math.isnan(estimate.effect)
    ):
        return Decision("inconclusive", "the effect is not a finite number")
    if any(math.isnan(end) for end in estimate.interval(1 - around.level)):
        return Decision("inconclusive", "the interval of the effect is not made of numbers")
    if (reason := _below_floor(claim, estimate, around)) is not None:
        return Decision("inconclusive", reason)
    if negligible_p(claim, estimate) <= around.level:
        assert claim.negligible is not None
        half = claim.negligible.absolute
        return Decision(
            "contradicted", f"the whole interval is within ± {half:g} of no effect: {claim.negligible.reason}"
        )
    if confirming_p(claim, estimate) <= around.level:
        return _confirmed(claim, estimate, around)
    if contradicting_p(claim, estimate) <= around.level:
        return Decision("contradicted", _against(claim, estimate))
    if telescope_p(estimate, around.telescope) <= around.level:
        return Decision("contradicted", _below_telescope(claim, around))
    return Decision("inconclusive", _undecided(claim, estimate, around))


def _confirmed(claim: ClaimBase, estimate: Estimate, around: Circumstances) -> Decision:
    if claim.published is None or claim.margin is None:
        return Decision("direction only", f"{_what(claim)} is confirmed; no published figure is set beside it")
    published = _published(claim)
    agrees, how = agreement(claim, estimate, around)
    if not agrees:
        return Decision("direction only", f"{_what(claim)} is confirmed; the size differs from {published}")
    if around.fidelity != "paper":
        return Decision("direction only", f"agrees with {published} ({how}), but at {around.fidelity} fidelity")
    if not around.whole:
        return Decision("direction only", f"agrees with {published} ({how}), but an arm lost trials")
    return Decision("reproduced", f"agrees with {published}: {how}")


def _what(claim: ClaimBase) -> str:
    return "the sentence" if isinstance(target(claim), Band) or not isinstance(claim, Directed) else "the direction"


def agreement(claim: ClaimBase, estimate: Estimate, around: Circumstances) -> tuple[bool, str]:
    """Say whether an effect's size agrees with the published figure, and by which rule.

    The whole interval lies within the declared margin of it; or our effect lies where a repetition of the original
    would fall in 95 of 100 cases, where the paper states a standard deviation and a number of runs.
    """
    published = claim.published
    assert published is not None and claim.margin is not None
    low, high = claim.margin.around(published.value)
    ends = estimate.interval(1 - around.shown_level)
    if low <= ends[0] and ends[1] <= high:
        return True, "the whole interval is within the margin"
    expected = expected_repetition(claim, around.replicates)
    if expected is not None and expected[0] <= estimate.effect <= expected[1]:
        return True, f"within the prediction interval {expected[0]:.4g} to {expected[1]:.4g}"
    return False, ""


def expected_repetition(claim: ClaimBase, replicates: int) -> tuple[float, float] | None:
    """Return where a repetition of the original would fall; None where the paper does not state enough for it."""
    published = claim.published
    if published is None or published.sd is None or published.number_of_runs is None:
        return None
    if published.number_of_runs < 2 or published.sd <= 0 or replicates < 2:
        return None
    return prediction_interval(published.value, published.sd, published.number_of_runs, replicates)


def _below_floor(claim: ClaimBase, estimate: Estimate, around: Circumstances) -> str | None:
    """Say why a ratio of times is too near its threshold for this machine, if it is."""
    region = target(claim)
    if around.floor is None or not isinstance(claim, RatioClaim) or not isinstance(region, Threshold):
        return None
    if estimate.effect <= 0 or region.value <= 0:
        return None
    if abs(math.log(estimate.effect / region.value)) < math.log(around.floor):
        return (
            f"the ratio {estimate.effect:.4g} is nearer to {region.value:g} than the smallest ratio that this machine "
            f"resolves between identical systems ({around.floor:.3f}, its A/A certificate)"
        )
    return None


def _below_telescope(claim: ClaimBase, around: Circumstances) -> str:
    assert claim.published is not None and around.telescope is not None
    least, runs = abs(around.telescope.value), claim.published.number_of_runs
    return f"the whole interval is below {least:.3g}, which {runs} runs could hardly detect"


def _published(claim: ClaimBase) -> str:
    assert claim.published is not None
    return f"the published {claim.published.value:g} ({claim.published.locator})"


def _against(claim: ClaimBase, estimate: Estimate) -> str:
    region = target(claim)
    if isinstance(estimate, Optimum):
        best = ", ".join(estimate.likely())
        return f"the optimum is elsewhere ({best}), or the claimed levels are worse on average"
    if isinstance(region, Band):
        return _outside(claim, estimate, region)
    assert region is not None
    low, high = estimate.interval()
    none = no_effect(claim)
    claimed_sign = low > none if region.upwards else high < none
    if region.value != none and claimed_sign:
        return (
            f"the difference has the claimed sign, but its whole interval falls short of the {region.value:g} claimed"
        )
    return f"the whole interval lies on the other side of {region.value:g}"


def _outside(claim: ClaimBase, estimate: Estimate, band: Band) -> str:
    if claim.published is None:
        return f"the whole interval lies outside {band.low:g} to {band.high:g}"
    if math.isinf(estimate.effect):
        where = "beyond the last" if estimate.effect > 0 else "before the first"
        return f"the curves cross {where} level that was run, if at all; not within the margin of {_published(claim)}"
    difference = estimate.effect - claim.published.value
    relative = f" ({difference / claim.published.value:+.1%})" if claim.published.value else ""
    return f"differs from {_published(claim)} by {difference:+.4g}{relative}"


def _undecided(claim: ClaimBase, estimate: Estimate, around: Circumstances) -> str:
    if isinstance(claim, OptimumClaim) and isinstance(estimate, Optimum):
        return f"the optimum may lie at any of {', '.join(estimate.likely())}, or the contrast includes none"
    region = target(claim)
    if isinstance(region, Band):
        what = _published(claim) if claim.published is not None else f"{region.low:g} to {region.high:g}"
        return (
            f"the interval reaches beyond the margin of {what}"
            if claim.published
            else f"the interval reaches beyond {what}"
        )
    assert region is not None
    low, high = estimate.interval(1 - around.shown_level)
    if around.level < around.shown_level and not low <= region.value <= high:
        return (
            f"the interval excludes {region.value:g}, but not at the level that is left for it among the other claims"
        )
    return f"the interval includes {region.value:g}"
