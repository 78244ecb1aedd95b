"""From a judged claim and the data behind it to a sketch of its picture: one function a form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy

from harness.spec.claims import (
    ALL_OTHERS,
    ClaimBase,
    CrossingClaim,
    DifferenceClaim,
    EquivalenceClaim,
    NonInferiorityClaim,
    OptimumClaim,
    OrderingClaim,
    RatioClaim,
    TrendClaim,
    ValueClaim,
)
from harness.spec.models import level_name
from harness.verdicts.data import Data, ItemData, RoundData
from harness.verdicts.judgement import Judgement
from harness.verdicts.statistics.fixed_sets import Wilson
from reports.collect import Results
from reports.pictures.canvas import spoken
from reports.pictures.claim_case import (
    Case,
    arms_of,
    by_setting,
    cells_of,
    curves_of,
    dots_words,
    effect_rows,
    interval_of,
    marks,
    pooled_name,
    setting_rows,
)
from reports.pictures.claim_sketch import Row, Sketch, units
from reports.pictures.claim_words import arm_names, level_words, metric_words, one_line, unit_axis

MOST_PROCESSES = 6
"""Processes up to which every round is drawn; of more, each one's mean is."""

NO_INTERVAL = (math.nan, math.nan, math.nan)


def sketch_of(judgement: Judgement, data: Data, results: Results) -> Sketch:
    """Return what is to be drawn of a claim; a sketch may turn out to hold nothing finite."""
    claim = judgement.claim
    case = Case(judgement, data, results, metric_words(claim, results), arm_names(claim.arms(), results))
    return _FORMS[type(claim)](case)


def _compared(case: Case) -> Sketch:
    """Two arms and their difference."""
    claim, first, second = case.claim, case.names["treatment"], case.names["control"]
    between = "−" if isinstance(claim, DifferenceClaim) else "against"
    title, axis = f"{first} {between} {second}", unit_axis(f"difference in {case.metric}", claim)
    if isinstance(case.data, ItemData):
        return _of_items(case, case.data, title, axis, "mean difference", "the difference")
    cells = cells_of(case)
    if case.judgement.exact:
        return Sketch(title, axis, "difference", "")
    if claim.pairing == "unpaired":
        arms = arms_of(case, cells, claim.unit, joined=False)
        seen = "on the left, each dot is one replicate of an arm, and those of both arms do not pair"
        return Sketch(title, axis, "difference of means", seen, left=arms)
    arms = arms_of(case, cells.of(cells.whole), claim.unit, joined=True)
    rows = effect_rows(case)
    seen = f"on the left, every replicate in both arms; on the right, {dots_words(rows, 'difference')}"
    return Sketch(title, axis, pooled_name(case, "difference"), seen, rows, arms)


def _ratio(case: Case) -> Sketch:
    """Two arms and their ratio, or the ratios of rounds."""
    claim, above, below = case.claim, case.names["numerator"], case.names["denominator"]
    title, axis = f"{above} : {below}", unit_axis(f"ratio of {case.metric}, log scale", claim)
    if isinstance(case.data, RoundData):
        return _of_rounds(case, case.data, title, axis, "the ratio")
    cells = cells_of(case)
    if case.judgement.exact:
        return Sketch(title, axis, "ratio", "", logarithmic=True)
    arms = arms_of(case, cells.of(cells.whole), "", joined=True)
    rows = effect_rows(case)
    seen = f"on the left, every replicate in both arms; on the right, {dots_words(rows, 'ratio')}"
    return Sketch(title, axis, pooled_name(case, "ratio"), seen, rows, arms, logarithmic=True)


def _value(case: Case) -> Sketch:
    """One arm's values, or the shares of stages by round."""
    claim = case.claim
    arm = case.names["arm"]
    title = case.metric if arm == "all" else f"{case.metric}: {arm}"
    if isinstance(case.data, RoundData):
        stages = one_line(", ".join(map(spoken, claim.stages)))
        return _of_rounds(case, case.data, f"{title}, {stages}", unit_axis(f"share of {stages}", claim), "the share")
    if isinstance(case.data, ItemData):
        return _of_items(case, case.data, title, unit_axis(case.metric, claim), "mean", "the mean")
    if case.judgement.exact:
        return Sketch(title, unit_axis(case.metric, claim), "here", "")
    rows = effect_rows(case)
    return Sketch(title, unit_axis(case.metric, claim), pooled_name(case, ""), dots_words(rows, "value"), rows)


def _trend(case: Case) -> Sketch:
    """A curve along a factor, and its change from end to end."""
    claim, cells = case.claim, cells_of(case)
    whole = cells.of(cells.whole)
    subject = f"{case.names['arm']} − {case.names['minus']}" if claim.minus else case.metric
    curves = curves_of(case, whole, claim.scale, f"difference in {case.metric}" if claim.minus else case.metric)
    if curves.levels and claim.pool.rule == "mean" and math.isfinite(case.judgement.effect):
        middle = float(numpy.mean(curves.places)), float(numpy.mean(curves.lines[0].means))
        slope = case.judgement.effect / (curves.places[-1] - curves.places[0])
        ends = [(place, middle[1] + slope * (place - middle[0])) for place in (curves.places[0], curves.places[-1])]
        curves = replace(curves, fit=(ends[0], ends[1]))
    fitted = ", dashed the fitted line" if curves.fit else ""
    rows = effect_rows(case)
    seen = (
        f"on the left, the mean at each level with its 95 % interval, thin lines the replicates{fitted}; on the right, "
        f"{dots_words(rows, 'change from end to end')}"
    )
    axis = unit_axis("change from end to end", claim)
    title = f"{subject} along {curves.along}"
    return Sketch(title, axis, pooled_name(case, "change"), seen, rows, curves=curves)


def _optimum(case: Case) -> Sketch:
    """A curve along a factor with the levels claimed as best, and how much better they are."""
    claim, cells = case.claim, cells_of(case)
    whole = cells.of(cells.whole)
    shares = [part.share for part in case.parts[: len(whole.roles)]]
    curves = curves_of(case, whole, "rank", case.metric)
    claimed = {level_name(level) for level in claim.claimed}
    known = tuple(share for share in shares if share is not None)
    curves = replace(
        curves,
        claimed=frozenset(index for index, role in enumerate(whole.roles) if role in claimed),
        shares=known if len(known) == len(whole.roles) else (),
    )
    against = "all others" if claim.against == ALL_OTHERS else level_words(claim.against, claim.along, case.results)
    below = ", under them how often each is best in bootstrap draws" if curves.shares else ""
    rows = effect_rows(case)
    seen = (
        f"on the left, the mean at each level with its 95 % interval, shaded the claimed levels{below}; on the right, "
        f"{dots_words(rows, f'advantage of these over {against}')}"
    )
    axis = unit_axis("claimed levels better by", claim)
    title = f"Best {curves.along} for {case.metric}"
    return Sketch(title, axis, "mean advantage", seen, rows, curves=curves)


def _crossing(case: Case) -> Sketch:
    """Two curves along a factor, and where they cross."""
    claim, cells = case.claim, cells_of(case)
    whole = cells.of(cells.whole)
    curves = curves_of(case, whole, claim.scale, case.metric)
    title = f"{case.names['second']} passes {case.names['first']} along {curves.along}"
    axis = unit_axis(curves.along, claim)
    seen = "above, the mean of both at each level with its 95 % interval; below, where they cross"
    return Sketch(title, axis, "crossing", seen, curves=curves, logarithmic=claim.scale == "log")


def _ordering(case: Case) -> Sketch:
    """Arms in the order that is claimed, and the steps from each to the next."""
    claim, cells = case.claim, cells_of(case)
    whole = cells.of(cells.whole)
    whole = whole.of(numpy.arange(len(whole.replicates)) == 0) if case.judgement.exact else whole
    arms = arms_of(case, whole, claim.unit, joined=True)
    values = by_setting(whole)
    count = len(whole.roles) - 1
    rows = [
        Row(
            "",
            units(arms.names, values[:, step] - values[:, step + 1]),
            *(interval_of(case.parts[step]) if len(case.parts) >= count else NO_INTERVAL),
            f"{arms.arms[step]} − {arms.arms[step + 1]}",
        )
        for step in range(count)
    ]
    rows += setting_rows(case.parts[count:])
    way = "falls" if claim.direction == "greater" else "rises"
    each = "" if case.judgement.exact else " in one replicate, each thin bar the step's own 95 % interval"
    seen = (
        f"arms stand in the order in which {case.metric} {way} by the claim, on the left with every replicate; on the "
        f"right, {marks(rows[0], 'replicates')} the step between two arms{each}"
    )
    axis = unit_axis("step to the next arm", claim)
    weakest = "smallest step" if claim.direction == "greater" else "weakest step"
    return Sketch(f"{case.metric} by order", axis, weakest, seen, tuple(rows), arms)


def _of_rounds(case: Case, data: RoundData, title: str, axis: str, what: str) -> Sketch:
    """Rounds as dots, a row a process; where processes are many, their means as dots."""
    ratio = isinstance(case.claim, RatioClaim)
    groups = [(n, group) for n, group in zip(data.replicates, data.groups, strict=True) if len(group)]
    back: Callable[[Any], Any] = numpy.exp if ratio else numpy.asarray
    if len(groups) == 1:
        number, group = groups[0]
        names = [f"process {number}, round {index}" for index in range(len(group))]
        rows = [Row("each round", units(names, back(group)))]
        seen = f"each dot is {what} in one round"
    elif len(groups) <= MOST_PROCESSES:
        rows = []
        for number, group in groups:
            names = [f"process {number}, round {index}" for index in range(len(group))]
            middle = float(back(numpy.mean(group)))
            rows.append(Row(f"process {number}", units(names, back(group)), middle))
        seen = f"each dot is {what} in one round, each upright mark the mean of a process, on which the interval rests"
    else:
        means = [float(back(numpy.mean(group))) for _, group in groups]
        rows = [Row("each process", units([f"process {number}" for number, _ in groups], means))]
        seen = f"each dot is {what} in one process, the mean of its rounds"
    return Sketch(title, axis, "mean", seen, tuple(rows), logarithmic=ratio)


def _of_items(case: Case, data: ItemData, title: str, axis: str, effect: str, what: str) -> Sketch:
    """Means by class, which are what is resampled; a plain rate of right answers has its interval alone."""
    if isinstance(case.judgement.estimate, Wilson) or not len(data.replicates):
        return Sketch(title, axis, "rate", f"the rate over {data.values.shape[-1]} items")
    values = case.claim.items.scale * data.values.mean(axis=0)
    classes, members = numpy.unique([str(name) for name in data.classes], return_inverse=True)
    means = numpy.bincount(members, values) / numpy.bincount(members)
    cluster = one_line(spoken(data.cluster))
    row = Row(f"each {cluster}", units(classes.tolist(), means))
    seen = f"{marks(row, one_line(spoken(data.clusters)))} {what} over the items of one {cluster}"
    return Sketch(title, axis, effect, seen, (row,))


_FORMS: dict[type[ClaimBase], Callable[[Case], Sketch]] = {
    DifferenceClaim: _compared,
    NonInferiorityClaim: _compared,
    EquivalenceClaim: _compared,
    RatioClaim: _ratio,
    ValueClaim: _value,
    TrendClaim: _trend,
    OptimumClaim: _optimum,
    OrderingClaim: _ordering,
    CrossingClaim: _crossing,
}
