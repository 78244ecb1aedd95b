"""How a verdict came about, as labelled sentences; and what the papers leave out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.plan.state import PlanState
from harness.spec.claims import ClaimBase, OptimumClaim, RatioClaim
from harness.spec.figures import Gate
from harness.spec.load import Experiment
from harness.verdicts.judgement import Judgement
from harness.verdicts.questions import Band, Threshold, target
from reports.parts import NotStated


@dataclass(frozen=True)
class Line:
    """One labelled sentence."""

    label: str
    text: str


def interval_text(interval: tuple[float, float]) -> str:
    """Return an interval as people read it; an end that is not finite is open."""
    low, high = (f"{end:.4g}" if math.isfinite(end) else ("−∞" if end < 0 else "∞") for end in interval)
    return f"[{low}, {high}]"


def explanation(judgement: Judgement) -> list[Line]:
    """Return the lines that a reader needs to follow one verdict from the rule to the numbers."""
    return [Line(label, text) for label, text in _lines(judgement) if text]


def _lines(j: Judgement) -> Iterator[tuple[str, str]]:
    yield "Rule", rule_text(j.claim)
    if j.estimate is not None and not j.exact:
        yield "Interval shown", f"{_percent(1 - j.shown_level)} confidence: {interval_text(j.interval)}"
        yield "Interval that decides", f"{_percent(1 - j.level)} confidence: {interval_text(j.adjusted)}"
        yield "p", f"{j.p:.3g}; {_family(j)}"
    if j.exact_test is not None:
        yield "Exact test of no effect", f"{j.exact_test.name}: p = {j.exact_test.p:.3g} (decides nothing)"
    if len(j.looks) > 1:
        at = f"judged at {j.look}" if j.look is not None else "none is complete yet"
        yield "Looks", f"declared at {', '.join(map(str, j.looks))} replicates; {at}"
    yield "Unit of analysis", j.unit_of_analysis
    yield "Law of the values", j.warning
    if j.correlation is not None:
        yield "Pairing", f"the arms' results correlate by {j.correlation:.2f} over the units that pair"
    if j.mde is not None:
        size = f"a factor of {j.mde:.3g}" if isinstance(j.claim, RatioClaim) else f"{j.mde:.3g} {j.claim.unit}".rstrip()
        yield "Smallest effect found", f"{size} from the threshold, in 80 of 100 cases"
    if j.needed is not None and j.units is not None:
        planned = j.claim.planning.effect if j.claim.planning is not None else None
        if_so = "what it seems" if planned is None else f"{planned:g} {j.claim.unit}".rstrip() + ", as planned for"
        yield (
            "What would decide",
            f"{j.needed} units of analysis, where there are {j.units}, if the effect is {if_so}",
        )
    if (expected := j.expected_repetition) is not None:
        yield "A repetition of the original", f"would fall in {interval_text(expected)} in 95 of 100 cases"
    yield (
        "Trials by arm",
        "; ".join(
            f"{arm.arm}: {arm.finished} of {arm.planned} finished"
            + (f", {arm.failed} failed" if arm.failed else "")
            + (f", {arm.diverged} diverged" if arm.diverged else "")
            for arm in j.arms
        ),
    )
    if j.bounds is not None:
        yield "Worst case", f"if what was lost had been as bad or as good as any: {interval_text(j.bounds)}"
    yield "Sensitivity", "; ".join(f"{c.varied}: {'changes to ' if c.changes else ''}{c.found}" for c in j.sensitivity)
    yield "A/A certificate", j.certificate
    yield from (("Gate, checked before anything is compared", gate_text(gate)) for gate in j.claim.gates)


def _percent(confidence: float) -> str:
    """Return a confidence with as many digits as tell it from certainty."""
    if 1 - confidence < 1e-8:
        return "over 99.999999 %"
    digits = max(2, math.ceil(-math.log10(1 - confidence)))
    return f"{100 * confidence:.{digits}f}".rstrip("0").rstrip(".") + " %"


def _family(j: Judgement) -> str:
    place = j.family
    if place.method == "Holm":
        share = (
            f", which has {place.registered} in all, so {place.share:.0%} of the 5 % is spent here"
            if place.share < 1
            else ""
        )
        return (
            f"adjusted {place.p_adjusted:.3g} by Holm's procedure over {place.members} confirmatory claims "
            f"of {j.claim.paper}{share}"
        )
    return f"adjusted {place.p_adjusted:.3g} by {place.method} over {place.members} exploratory claims"


def rule_text(claim: ClaimBase) -> str:
    """Return what would confirm a claim, in words."""
    if isinstance(claim, OptimumClaim):
        return "the best level is a claimed one in 95 % of bootstrap draws or more, and on average these beat the rest"
    region = target(claim)
    if isinstance(region, Threshold):
        return (
            f"the whole interval lies {'above' if region.upwards else 'below'} {region.value:g} {claim.unit}".rstrip()
        )
    assert isinstance(region, Band)
    return f"the whole interval lies within {region.low:.4g} to {region.high:.4g} {claim.unit}".rstrip()


def gate_text(gate: Gate) -> str:
    """Return what a gate asks, and why, in words."""
    if gate.equal:
        asked = "is the same in all arms"
    elif gate.value is not None:
        asked = f"is {gate.value:g}"
    else:
        bounds = (("at least", gate.at_least), ("at most", gate.at_most))
        asked = "is " + " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
    tolerance = f", within {100 * gate.relative:g} %" if gate.relative else ""
    tolerance += f", within {gate.absolute:g}" if gate.absolute else ""
    return f"{gate.metric} {asked}{tolerance}: {gate.reason}"


def not_stated(experiment: Experiment) -> list[NotStated]:
    """Return, by paper, what an experiment's papers do not state."""
    figures: dict[str, dict[str, None]] = {}
    for registered in experiment.claims:
        claim = registered.claim
        found = figures.setdefault(claim.paper, {})
        if claim.published is not None and (missing := claim.published.left_out()):
            found[f"{claim.published.locator}: {' and '.join(missing)} ({claim.id})"] = None
    known = tuple(experiment.not_stated)
    return [
        NotStated(paper=paper, protocol=known, figures=tuple(found))
        for paper, found in figures.items()
        if known or found
    ]


@dataclass(frozen=True)
class Tuned:
    """One arm's tuning: what it tried, what it reached, and what was frozen."""

    arm: str
    levels: str
    mean: float | None
    frozen: bool
    matched: bool


def tuning_table(state: PlanState) -> list[Tuned]:
    """Return what every arm tried on the tuning replicates; empty for a spec that does not tune."""
    select, selection = state.design.select, state.selection
    if select is None or selection is None:
        return []
    matched = {name: str(level) for name, level in select.matched.items()}
    return [
        Tuned(
            _plain(score.arm),
            ", ".join(f"{name} {level}" for name, level in score.levels.items()),
            score.mean,
            dict(selection.best[score.arm]) == dict(score.levels),
            dict(score.levels) == matched,
        )
        for score in selection.scores
    ]


def _plain(arm: str) -> str:
    import json

    return ", ".join(f"{name} {level}" for name, level in json.loads(arm).items()) or "the only arm"
