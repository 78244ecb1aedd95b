"""A claim's result on one line: the interval, the effect, the published figure and no effect, on an axis of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from harness.spec.claims import (
    ClaimBase,
    CrossingClaim,
    EquivalenceClaim,
    OptimumClaim,
    RatioClaim,
    ValueClaim,
)
from harness.verdicts.judgement import Judgement
from harness.verdicts.questions import Band, Threshold, no_effect, target

WIDTH, HEIGHT, MARGIN = 240.0, 40.0, 10.0
MIDDLE = 15.0
"""Where the interval lies, in pixels from the top; the axis' own labels stand below it."""


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers laid over the strip's width, evenly by value or by its logarithm."""

    low: float
    high: float
    logarithmic: bool

    def place(self, value: float) -> float:
        """Return where a value stands, in pixels; beyond the ends it stands at the end."""
        low, high, at = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, self._within(value)))
        share = (at - low) / (high - low) if high > low else 0.5
        return MARGIN + share * (WIDTH - 2 * MARGIN)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def _within(self, value: float) -> float:
        return min(self.high, max(self.low, value))


def no_effect_of(claim: ClaimBase) -> float | None:
    """Return the value that means no effect; None for a plain value, or a place on an axis, which has none."""
    return None if isinstance(claim, ValueClaim | CrossingClaim) else no_effect(claim)


def bounds_of(claim: ClaimBase) -> tuple[float, ...]:
    """Return what the interval is held against besides no effect: the sentence's own bound, or what is tolerated."""
    if isinstance(claim, OptimumClaim):
        return () if claim.at_least is None else (claim.at_least,)
    region = target(claim)
    if isinstance(region, Threshold):
        return () if region.value == no_effect_of(claim) else (region.value,)
    return (region.low, region.high) if isinstance(region, Band) and isinstance(claim, EquivalenceClaim) else ()


def axis_of(claim: ClaimBase, drawn: Sequence[float]) -> Axis | None:
    """Return an axis that holds all finite values and a little more; None where there is none."""
    logarithmic = isinstance(claim, RatioClaim)
    finite = [value for value in drawn if math.isfinite(value) and (value > 0 or not logarithmic)]
    if not finite:
        return None
    low, high = min(finite), max(finite)
    if logarithmic:
        spread = max(math.log(high / low), 0.1)
        return Axis(low * math.exp(-0.06 * spread), high * math.exp(0.06 * spread), True)
    spread = max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-12)
    return Axis(low - 0.06 * spread, high + 0.06 * spread, False)


def strip(judgement: Judgement) -> str:
    """Return the strip as SVG that the page's style sheet colours; empty where there is nothing to draw."""
    claim = judgement.claim
    published = claim.published.value if claim.published is not None else math.nan
    nothing = no_effect_of(claim)
    references = [value for value in (nothing, *bounds_of(claim)) if value is not None]
    band = claim.margin.around(published) if claim.margin and math.isfinite(published) else ()
    axis = axis_of(claim, [judgement.effect, *judgement.interval, published, *band, *references])
    if axis is None:
        return ""
    parts = "".join(_parts(judgement, axis, published, band, nothing))
    return (
        f'<svg role="img" class="strip {_slug(judgement.verdict)}" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" '
        f'width="{WIDTH:g}" height="{HEIGHT:g}" aria-label="{escape(_spoken(judgement, published))}">{parts}</svg>'
    )


def _parts(
    judgement: Judgement, axis: Axis, published: float, band: Sequence[float], nothing: float | None
) -> Iterator[Markup]:
    yield _line("axis", MARGIN, WIDTH - MARGIN, 28)
    if band:
        left, right = axis.place(band[0]), axis.place(band[1])
        yield Markup('<rect class="margin" x="{:.1f}" y="3" width="{:.1f}" height="25"/>').format(left, right - left)
    labelled: list[float] = []
    for value, name in [(nothing, "nothing"), *((bound, "bound") for bound in bounds_of(judgement.claim))]:
        if value is not None and axis.holds(value):
            at = axis.place(value)
            yield Markup('<path class="{}" d="M{:.1f} 3V28"/>').format(name, at)
            # Two labels that would lie on each other: the first one stays.
            if all(abs(at - other) > 30 for other in labelled):
                yield _label(at, value)
                labelled.append(at)
    if math.isfinite(published):
        at = axis.place(published)
        yield Markup('<path class="published" d="M{:.1f} {:g}l6 6l-6 6l-6 -6z"/>').format(at, MIDDLE - 6)
        if all(abs(at - other) > 30 for other in labelled):
            yield _label(at, published)
    low, high = judgement.interval
    if math.isfinite(judgement.effect):
        if not judgement.exact and not math.isnan(low) and not math.isnan(high):
            yield _line("interval", axis.place(low), axis.place(high), MIDDLE)
        yield Markup('<circle class="effect" cx="{:.1f}" cy="{:g}" r="4.5"/>').format(
            axis.place(judgement.effect), MIDDLE
        )


def _line(name: str, start: float, end: float, height: float) -> Markup:
    return Markup('<path class="{}" d="M{:.1f} {:g}H{:.1f}"/>').format(name, start, height, end)


def _label(at: float, value: float) -> Markup:
    anchor = "start" if at < 24 else "end" if at > WIDTH - 24 else "middle"
    return Markup('<text x="{:.1f}" y="38" text-anchor="{}">{:.4g}</text>').format(at, anchor, value)


def _spoken(judgement: Judgement, published: float) -> str:
    """Say what the strip shows, for those who do not see it."""
    low, high = judgement.interval
    effect = f"{judgement.effect:.4g}" if math.isfinite(judgement.effect) else "no finite effect"
    interval = "" if judgement.exact or math.isnan(low) else f", interval {low:.4g} to {high:.4g}"
    return f"measured {effect}{interval}" + (f", published {published:.4g}" if math.isfinite(published) else "")


def _slug(verdict: str) -> str:
    return verdict.replace(" ", "-")
