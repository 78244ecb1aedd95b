"""The claims of a report as a table, to be exported like any other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.verdicts.judgement import Judgement
from reports.cells import NOTHING, Cell, Heading, Table
from reports.explain import interval_text
from reports.overview import effect_text

TITLE = "Claims"
CAPTION = "Verdicts with the effects and intervals that they rest on, and the papers' own figures."

HEADINGS = (
    Heading("claim"),
    Heading("statement"),
    Heading("verdict"),
    Heading("effect"),
    Heading("unit"),
    Heading("n"),
    Heading("published", published=True),
    Heading("fidelity"),
    Heading("profile"),
    Heading("reading"),
)


def claims_table(judgements: Sequence[Judgement]) -> Table:
    """Return a row a claim; effects, intervals and published figures are in the claim's unit."""
    return Table(TITLE, CAPTION, HEADINGS, [_row(judgement) for judgement in judgements])


def _row(j: Judgement) -> list[Cell]:
    claim = j.claim
    return [
        Cell(text=claim.id),
        Cell(text=claim.statement),
        Cell(text=j.verdict),
        _effect(j),
        Cell(text=claim.unit or NOTHING),
        Cell(j.n, digits=0, trials=j.trials) if j.n else Cell(text=NOTHING),
        _published(j),
        Cell(text=j.fidelity),
        Cell(text=j.profile),
        Cell(text=j.reading or NOTHING),
    ]


def _effect(j: Judgement) -> Cell:
    """Return the effect with its interval to four digits, as the page and the command line write it."""
    if not math.isfinite(j.effect):
        return Cell(text=effect_text(j))
    low, high = (None, None) if j.exact else j.interval
    text = f"{j.effect:.4g}" if j.exact else f"{j.effect:.4g} {interval_text(j.interval)}"
    return Cell(j.effect, low, high, j.claim.unit, text=text, trials=j.trials)


def _published(j: Judgement) -> Cell:
    published = j.claim.published
    if published is None:
        return Cell(text=NOTHING)
    return Cell(published.value, unit=j.claim.unit, text=f"{published.value:.5g}", published=True)
