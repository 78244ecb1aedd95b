"""The parts of claims' pictures that several forms share: arms, curves, and the rows of units and of settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from harness.spec.claims import CrossingClaim, OptimumClaim, RatioClaim, TrendClaim
from harness.verdicts.cells import Cells, positions
from harness.verdicts.components import Component
from harness.verdicts.data import CellData, Data
from harness.verdicts.estimation import contrast, effects
from harness.verdicts.judgement import Judgement
from reports.collect import Results
from reports.pictures.canvas import spoken
from reports.pictures.claim_sketch import MOST_ROWS, Arms, Curves, Line, Row, units
from reports.pictures.claim_words import one_line

EACH = "each replicate"


@dataclass(frozen=True)
class Case:
    """A judged claim with its data, and how its metric and its arms are called."""

    judgement: Judgement
    data: Data
    results: Results
    metric: str
    names: Mapping[str, str]

    @property
    def claim(self) -> Any:
        """The claim, of whichever form."""
        return self.judgement.claim

    @property
    def parts(self) -> tuple[Component, ...]:
        return self.judgement.components


def cells_of(case: Case) -> Cells:
    assert isinstance(case.data, CellData)
    return case.data.cells


def by_setting(cells: Cells) -> numpy.ndarray:
    """Return the mean over settings, (replicates, roles)."""
    return cells.values.mean(axis=2) if cells.settings else numpy.full(cells.values.shape[:2], math.nan)


def arms_of(case: Case, cells: Cells, unit: str, joined: bool) -> Arms:
    names = tuple(f"replicate {replicate}" for replicate in cells.replicates)
    values = by_setting(cells)
    arms = tuple(case.names[role] for role in cells.roles)
    return Arms(
        case.metric, one_line(unit), arms, names, tuple(tuple(map(float, column)) for column in values.T), joined
    )


def curves_of(case: Case, cells: Cells, scale: str, label: str) -> Curves:
    """Return the curves of a claim: one, or the two of a crossing."""
    claim = case.claim
    crossing = isinstance(claim, CrossingClaim)
    half = len(cells.roles) // 2 if crossing else len(cells.roles)
    levels = [role.removeprefix("second ") for role in cells.roles[-half:]]
    try:
        places = positions(levels, scale)
    except ValueError:
        places = positions(levels, "rank")
    values = by_setting(cells)
    roles = [("first", 0), ("second", half)] if crossing else [("", 0)]
    lines = tuple(
        _line(case.names[role] if crossing else case.metric, values[:, at : at + half], case.parts[at : at + half])
        for role, at in roles
    )
    names = tuple(f"replicate {replicate}" for replicate in cells.replicates)
    shown = tuple(one_line(case.results.label(level, claim.along)) for level in levels)
    unit = "" if crossing else one_line(claim.unit)
    return Curves(spoken(claim.along), label, unit, shown, tuple(map(one_line, levels)), tuple(places), lines, names)


def _line(label: str, values: numpy.ndarray, parts: Sequence[Component]) -> Line:
    if not len(values):
        return Line(label, (), (), (), values)
    means = tuple(map(float, values.mean(axis=0)))
    known = len(parts) == len(means)
    lows, highs = (tuple(getattr(part, end) for part in parts) if known else means for end in ("low", "high"))
    return Line(label, means, lows, highs, values)


def effect_rows(case: Case) -> tuple[Row, ...]:
    """Return the effect in each replicate, and in each setting where several are pooled."""
    claim, cells = case.claim, cells_of(case)
    whole = cells.of(cells.whole)
    try:
        values = contrast(claim, whole) if isinstance(claim, OptimumClaim) else effects(claim, whole)
    except ValueError:
        return ()
    if not values.size:
        return ()
    curve = isinstance(claim, TrendClaim | OptimumClaim)
    parts = case.parts[len(whole.roles) if curve else 0 :]
    names = [f"replicate {replicate}" for replicate in whole.replicates]
    back: Callable[[Any], Any] = numpy.exp if isinstance(claim, RatioClaim) else numpy.asarray
    if values.shape[1] > 1 and claim.pool.rule != "mean":
        # The interval rests on every setting's own values, not on their mean.
        if values.shape[1] > MOST_ROWS or len(parts) != values.shape[1]:
            return tuple(setting_rows(parts))
        return tuple(
            Row(part.label, units(names, back(column)), *interval_of(part), part.label)
            for part, column in zip(parts, values.T, strict=True)
        )
    own = Row(EACH, units(names, back(values.mean(axis=1))))
    return (own, *setting_rows(parts))


def setting_rows(parts: Sequence[Component]) -> list[Row]:
    """Return a row for each setting that was pooled; of many, one row with a mark for each."""
    if len(parts) <= MOST_ROWS:
        return [Row(one_line(spoken(part.label)), effect=part.effect, low=part.low, high=part.high) for part in parts]
    found = units([part.label for part in parts], [part.effect for part in parts])
    return [Row(f"each of {len(parts)} settings", found, heading="setting")]


def dots_words(rows: Sequence[Row], what: str) -> str:
    """Say what the marks in the rows above the effect are."""
    words = []
    for row in rows:
        if row.label == EACH:
            words.append(f"{marks(row, 'replicates')} the {what} in one replicate")
        elif row.units.values and math.isfinite(row.effect):
            words.append(f"each dot is the {what} in one replicate of a setting, each upright mark a setting's mean")
        elif row.units.values:
            words.append(f"{marks(row, 'settings')} the mean {what} of one setting")
        else:
            words.append("each upright mark is one setting's mean with its own 95 % interval")
    return ", ".join(dict.fromkeys(words)) or "there is nothing that pairs"


def marks(row: Row, several: str) -> str:
    """Say how the units in a row are drawn, before what each of them is."""
    return f"the histogram counts {several} by" if row.units.many else "each dot is"


def interval_of(part: Component) -> tuple[float, float, float]:
    return part.effect, part.low, part.high


def pooled_name(case: Case, what: str) -> str:
    """Return what an effect is called by the claim's rule of pooling settings."""
    names = {"mean": "mean", "interquartile mean": "interquartile mean", "all": "weakest setting's"}
    rule = case.claim.pool.rule if len(cells_of(case).settings) > 1 else "mean"
    return f"{names[rule]} {what}".rstrip()
