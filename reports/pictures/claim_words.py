"""What pictures of claims say: names of arms and levels, captions, numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from harness.spec.claims import ClaimBase, EquivalenceClaim, NonInferiorityClaim
from harness.spec.figures import Arm
from harness.spec.models import Scalar, level_name
from harness.verdicts.judgement import Judgement
from harness.verdicts.statistics.fixed_sets import Wilson
from reports.collect import Results
from reports.pictures.canvas import plain, spoken, with_unit
from reports.strip import bounds_of, no_effect_of

TITLE = 110
NAME = 60
COUNTED = 80
"""Characters of a title, of an arm's name, and of what is counted, before they are cut."""
REASON = 240


def one_line(text: object, longest: int = NAME) -> str:
    """Return a text as one drawable line, cut where it is too long."""
    # Cut generously first: words of a million characters need not be looked for.
    return plain(" ".join(plain(text, 4 * longest).split()), longest)


def level_words(level: Scalar, factor: str, results: Results) -> str:
    """Return how a level is called; a number, or a yes or no, says of what."""
    name = level_name(level)
    label = results.label(name, factor)
    bare = label == name and (_is_number(name) or name in ("true", "false", "none"))
    return one_line(f"{spoken(factor)} {label}" if bare else label) or name


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def arm_names(arms: Mapping[str, Arm], results: Results) -> dict[str, str]:
    """Return how each arm of a claim is called: by the levels that tell it from the others."""
    factors = dict.fromkeys(factor for arm in arms.values() for factor in arm)
    telling = [f for f in factors if len({level_name(arm[f]) if f in arm else "" for arm in arms.values()}) > 1]
    named = {}
    for role, arm in arms.items():
        own = [factor for factor in telling if factor in arm] or ([] if telling else list(arm))
        named[role] = one_line(", ".join(level_words(arm[factor], factor, results) for factor in own) or "all")
    alike = Counter(named.values())
    return {role: name if alike[name] == 1 else f"{name} ({role})" for role, name in named.items()}


def metric_words(claim: ClaimBase, results: Results) -> str:
    """Return how the claim's metric is called."""
    label = results.label(claim.metric)
    return one_line(spoken(label) if label == claim.metric else label) or claim.metric


def number(value: float) -> str:
    """Return a number as people read it, with four digits that count."""
    return f"{value:.4g}".replace("-", "−")


def percent(confidence: float) -> str:
    """Return a confidence in percent with two digits after the point at most."""
    if confidence > 0.9999:
        return "over 99.99 %"
    return f"{100 * confidence:.2f}".rstrip("0").rstrip(".") + " %"


def counted(judgement: Judgement, replicates: int) -> str:
    """Return how many units of which kind an effect rests on, for the title of its panel."""
    if judgement.estimate is None:
        return f"n = {replicates}, no interval"
    unit = judgement.unit_of_analysis.partition(";")[0] or ("trials" if judgement.n != 1 else "trial")
    if isinstance(judgement.estimate, Wilson):
        # Of a plain rate nothing is resampled.
        unit = unit.partition(",")[0]
    return one_line(f"n = {judgement.n} {unit}", COUNTED)


def bound_words(claim: ClaimBase) -> str:
    """Return what the dotted lines are; empty where there are none."""
    if not bounds_of(claim):
        return ""
    if claim.at_least is not None:
        return f"what the sentence claims (at least {_in_unit(claim.at_least, claim)})"
    if claim.at_most is not None:
        return f"what the sentence claims (at most {_in_unit(claim.at_most, claim)})"
    if isinstance(claim, EquivalenceClaim):
        return f"what counts as the same (within {_in_unit(claim.within.absolute, claim)})"
    assert isinstance(claim, NonInferiorityClaim)
    return f"what is tolerated (worse by {_in_unit(claim.tolerated.absolute, claim)})"


def _in_unit(value: float, claim: ClaimBase) -> str:
    return f"{number(value)} {one_line(claim.unit)}".rstrip()


def caption(judgement: Judgement, seen: str, of: str) -> str:
    """Return what to see in a picture: what its marks are, the interval of the effect (``of``), the lines."""
    sentences = [seen, _interval_words(judgement, of), _reference_words(judgement)]
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences if sentence)


def _interval_words(judgement: Judgement, of: str) -> str:
    if judgement.estimate is None:
        return f"there is no interval: {one_line(judgement.reason, REASON)}"
    if judgement.exact:
        return "the count is the same in every trial, so there is no interval"
    low, high = judgement.interval
    if math.isnan(low) or math.isnan(high):
        return "the interval is not made of numbers"
    shown, decides = percent(1 - judgement.shown_level), percent(1 - judgement.level)
    if judgement.level >= judgement.shown_level:
        found = f"the thick bar is the {shown} interval of the {of}, which decides"
    else:
        found = f"the thick bar is the {shown} interval of the {of}, the thin one ({decides}) is what decides"
    if judgement.bounds is not None:
        found += "; dashed, how far it would reach if what was lost had been as bad or as good as any"
    return found


def _reference_words(judgement: Judgement) -> str:
    claim = judgement.claim
    parts = []
    if claim.published is not None:
        margin = " and the band its margin" if claim.margin is not None else ""
        parts.append(f"the diamond is the paper's figure{margin}")
    if words := bound_words(claim):
        several = len(bounds_of(claim)) > 1
        parts.append(f"the dotted {'lines are' if several else 'line is'} {words}")
    if no_effect_of(claim) is not None:
        parts.append("the grey line is no effect")
    return "; ".join(parts)


def unit_axis(label: str, claim: ClaimBase) -> str:
    """Return the label of an axis in the claim's unit."""
    return with_unit(label, one_line(claim.unit))
