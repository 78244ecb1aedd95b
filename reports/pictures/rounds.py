"""Pictures of timed rounds: the ratio of every round, claim by claim."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.spec.claims import RatioClaim
from harness.verdicts.evidence import kept_log_ratios
from harness.verdicts.judgement import Judgement
from reports.cells import Heading, Table
from reports.collect import Results
from reports.declarations import RoundRatiosPicture
from reports.pictures.axes import logarithmic_ticks
from reports.pictures.canvas import INK, SOFT, SURFACE, canvas, legend_below, palette, wrapped
from reports.pictures.numbers import count, number, word
from reports.pictures.picture import Drawing

BELOW = 0.22
"""How far the interval stands below the dots, so that it covers none."""


@dataclass(frozen=True)
class _Ratio:
    claim: RatioClaim
    judgement: Judgement
    rounds: Sequence[float]

    @property
    def bound(self) -> float | None:
        return self.claim.at_least if self.claim.at_least is not None else self.claim.at_most

    @property
    def published(self) -> float | None:
        return self.claim.published.value if self.claim.published is not None else None

    def shown(self) -> list[float]:
        """Return all that must be within the axis."""
        found = [*self.rounds, *self.judgement.interval, self.published, self.bound]
        return [value for value in found if value is not None and math.isfinite(value) and value > 0]


def draw_round_ratios(declaration: RoundRatiosPicture, results: Results) -> Drawing | None:
    """The ratio of every kept round, the interval of their mean, and the published figure, claim by claim."""
    found = [
        _Ratio(judgement.claim, judgement, _ratios(judgement, results))
        for judgement in results.judgements
        if isinstance(judgement.claim, RatioClaim) and judgement.claim.samples and math.isfinite(judgement.effect)
    ]
    if not found:
        return None
    figure, axes = canvas(1.9 * len(found))
    axis = axes[0][0]
    axis.axvline(1.0, color=SOFT, linewidth=1)
    for position, ratio in enumerate(found):
        _draw(axis, position, ratio)
    shown = [1.0, *(value for ratio in found for value in ratio.shown())]
    axis.set_xscale("log")
    axis.set_xlim(0.85 * min(shown), 1.25 * max(shown))
    logarithmic_ticks(axis.xaxis, min(shown), max(shown), "{:g}×")
    labels = [f"{_arms(ratio.claim, results)}\n({ratio.judgement.n} rounds)" for ratio in found]
    axis.set_yticks(range(len(found)), labels)
    axis.set_ylim(len(found) - 0.4, -0.6)
    axis.set_xlabel("ratio of times (log scale)")
    legend_below(figure, axis, 4)
    return Drawing(figure, _numbers(declaration, results, found))


def _ratios(judgement: Judgement, results: Results) -> list[float]:
    """Return the ratios of the rounds that a judgement rests on: at an early look, of the first processes alone."""
    assert isinstance(judgement.claim, RatioClaim)
    look = judgement.look
    counted = [entry for entry in results.counted if look is None or entry.trial.replicate < look]
    return [math.exp(value) for group in kept_log_ratios(judgement.claim, counted) for value in group]


def _draw(axis: Any, position: int, ratio: _Ratio) -> None:
    """Draw one claim: its rounds, below them the mean with its interval; the paper's figure, the sentence's bound."""
    ours, theirs = palette(2)
    first = position == 0
    known = set(axis.get_legend_handles_labels()[1])

    def label(text: str) -> str | None:
        return None if text in known else text

    low, high = ratio.judgement.interval
    middle = [position + BELOW]
    axis.plot(
        ratio.rounds, [position] * len(ratio.rounds), "o", color=ours, alpha=0.45, markersize=7, markeredgewidth=0,
        label="one round" if first else None,
    )  # fmt: skip
    axis.plot(
        [low, high],
        middle * 2,
        "-",
        color=ours,
        linewidth=3,
        label=label("mean and its interval"),
        marker="|",
        markersize=9,
    )
    axis.plot([ratio.judgement.effect], middle, "o", color=ours, markersize=7, markeredgecolor=SURFACE)
    if ratio.published is not None:
        axis.plot(
            [ratio.published],
            [position],
            "D",
            color=theirs,
            markersize=9,
            markeredgecolor=SURFACE,
            label=label("paper"),
            zorder=4,
        )
    if ratio.bound is not None:
        ends = [position - 0.35, position + 0.35]
        axis.plot([ratio.bound] * 2, ends, ":", color=INK, label=label("bound of the sentence"))


def _arms(claim: RatioClaim, results: Results) -> str:
    """Return the two arms of a ratio as people read them, one a line."""
    above, below = (
        ", ".join(results.label(level, factor) for factor, level in arm.items())
        for arm in (claim.numerator, claim.denominator)
    )
    return f"{wrapped(above)}\n: {wrapped(below)}"


def _numbers(declaration: RoundRatiosPicture, results: Results, found: Sequence[_Ratio]) -> Table:
    headings = [
        Heading("ratio"),
        Heading("mean", "×"),
        Heading("rounds"),
        Heading("least", "×"),
        Heading("greatest", "×"),
        Heading("paper", "×", published=True),
        Heading("bound of the sentence", "×"),
    ]
    rows = []
    for ratio in found:
        trials = ratio.judgement.trials
        rows.append(
            [
                word(" ".join(_arms(ratio.claim, results).split())),
                number(ratio.judgement.effect, "×", *ratio.judgement.interval, trials=trials),
                count(ratio.judgement.n),
                number(min(ratio.rounds, default=None), "×", trials=trials),
                number(max(ratio.rounds, default=None), "×", trials=trials),
                number(ratio.published, "×", published=True),
                number(ratio.bound, "×"),
            ]
        )
    return Table(declaration.title, "The mean is on the log scale; its interval is the claim's.", headings, rows)
