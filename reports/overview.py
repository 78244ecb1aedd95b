"""The first screen: a row a claim, with what the paper says, what was measured, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.spec.claims import ClaimBase
from harness.verdicts.judgement import Judgement
from harness.verdicts.rules import VERDICTS
from reports.beside import companions
from reports.explain import interval_text
from reports.parts import Beside, OverviewRow
from reports.strip import strip


def overview_rows(judgements: Sequence[Judgement], section: str) -> list[OverviewRow]:
    """Return the rows of one experiment's claims under one profile."""
    together = companions(judgements)
    return [
        OverviewRow(
            anchor=j.anchor,
            section=section,
            claim=j.claim.id,
            statement=j.claim.statement,
            paper=j.claim.paper,
            arxiv=j.claim.arxiv,
            locator=j.claim.locator,
            experiment=j.experiment,
            profile=j.profile,
            fidelity=j.fidelity,
            reading=reading_text(j.reading) if j.reading else "",
            exploratory=j.claim.family == "exploratory",
            verdict=j.verdict,
            order=VERDICTS.index(j.verdict),
            reason=j.reason,
            effect=effect_text(j),
            number=_finite(j.effect),
            low=None if j.exact else _finite(j.interval[0]),
            high=None if j.exact else _finite(j.interval[1]),
            unit=j.claim.unit,
            strip=strip(j),
            n=j.n,
            published=published_text(j.claim),
            words=_words(j),
            beside=tuple(
                Beside(
                    anchor=other.judgement.anchor,
                    claim=other.judgement.claim.id,
                    verdict=other.judgement.verdict,
                    disagrees=other.disagrees,
                )
                for other in together.get(j.anchor, ())
            ),
        )
        for j in judgements
    ]


def _words(judgement: Judgement) -> str:
    claim = judgement.claim
    reading = reading_text(judgement.reading) if judgement.reading else ""
    parts = (claim.id, claim.statement, claim.paper, claim.locator, judgement.experiment, judgement.profile, reading)
    return " ".join(parts).lower()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def effect_text(judgement: Judgement) -> str:
    """Return an effect with its interval and unit, where a crossing was not met, or a dash."""
    if math.isinf(judgement.effect):
        return f"{'beyond the last' if judgement.effect > 0 else 'before the first'} level that was run"
    if not math.isfinite(judgement.effect):
        return "–"
    unit = f" {judgement.claim.unit}" if judgement.claim.unit else ""
    if judgement.exact:
        return f"{judgement.effect:.4g}{unit}"
    return f"{judgement.effect:.4g}{unit} {interval_text(judgement.interval)}"


def reading_text(reading: str) -> str:
    """Return what a reading of a spec that tunes is: the paper's design, or every arm at its own best."""
    return "each arm at its best" if reading == "best" else "matched settings"


def published_text(claim: ClaimBase) -> str:
    """Return the published figure with its unit, or that there is none."""
    published = claim.published
    if published is None:
        return "no figure published"
    spread = "" if published.sd is None else f" ± {published.sd:g}"
    return f"{published.value:.5g}{spread} {published.unit or claim.unit}".rstrip()


def published_source(claim: ClaimBase) -> str:
    """Return where a published figure stands, how it was derived and read, and what is known of its dispersion."""
    published = claim.published
    if published is None:
        return ""
    parts = [published.locator, published.derived]
    parts.append("read at second hand" if published.basis == "secondary" else "")
    parts.append("published uncertainty not stated" if published.sd is None else "")
    return "; ".join(part for part in parts if part)


def margin_text(claim: ClaimBase) -> str:
    """Return the margin within which two figures count as equal, and why; empty where there is none."""
    if claim.margin is None:
        return ""
    relative, absolute = claim.margin.relative, claim.margin.absolute
    size = f"± {100 * relative:g} %" if relative is not None else f"± {absolute:g} {claim.unit}".rstrip()
    return f"{size}: {claim.margin.reason}"
