"""The forest plot: every claim with a published figure, in units of the effect that the paper published."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from harness.spec.claims import ClaimBase, RatioClaim
from harness.verdicts.judgement import Judgement
from harness.verdicts.rules import VERDICTS, Verdict
from reports.cells import Heading, Table
from reports.overview import reading_text
from reports.parts import ForestRow
from reports.pictures.canvas import INK, LINE, SERIES, SOFT, SURFACE, plain, to_svg
from reports.pictures.claim_axes import FURTHEST
from reports.pictures.claim_layout import laid_out
from reports.pictures.claim_words import one_line
from reports.pictures.numbers import number, word
from reports.pictures.picture import Picture
from reports.strip import no_effect_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "All claims, in units of the published effect"
LOW, HIGH = -1.5, 4.0
"""Where the axis ends."""
ROW = 0.25
COLUMN = ((2.85, 6.9),)
"""Inches: the height of a row, and from where to where the panel reaches."""
NAME, LINE_OF_NAME = 68, 36
"""Characters of a row's label, and of one line of it."""
LOOKS: dict[str, tuple[str, str]] = {
    "reproduced": (SERIES[2], "o"),
    "direction only": (SERIES[0], "^"),
    "contradicted": (SERIES[3], "X"),
    "inconclusive": (SOFT, "s"),
    "not comparable": (SOFT, "v"),
    "not run": (SOFT, "v"),
}
"""A colour and a mark for each verdict."""
OTHER = "◇ "
"""Before the label of a row in which zero is not "no effect"."""

NO_UNIT, NOTHING, NO_CROSSING = "published no effect", "have no estimate", "do not cross at any level that was run"
"""Why a claim is left out, as a caption counts them."""


def forest_rows(judgements: Sequence[Judgement]) -> list[ForestRow]:
    """Return a row for each claim that has a published figure, in their order."""
    return [_row(judgement) for judgement in judgements if judgement.claim.published is not None]


def _row(judgement: Judgement) -> ForestRow:
    claim = judgement.claim
    reading = f" ({reading_text(judgement.reading)})" if judgement.reading else ""
    value = low = high = None
    left_out = ""
    if unit_of(claim) is None:
        left_out = NO_UNIT
    elif not math.isfinite(judgement.effect):
        left_out = NOTHING if math.isnan(judgement.effect) else NO_CROSSING
    else:
        value, *ends = (in_units(claim, figure) for figure in (judgement.effect, *judgement.interval))
        low, high = sorted(ends) if not any(map(math.isnan, ends)) else (value, value)
    return ForestRow(
        label=f"{claim.id}{reading}",
        paper=claim.paper,
        anchor=judgement.anchor,
        verdict=judgement.verdict,
        fidelity=judgement.fidelity,
        profile=judgement.profile,
        value=_finite(value),
        low=_finite(low),
        high=_finite(high),
        from_nothing=no_effect_of(claim) is not None,
        left_out=left_out,
    )


def unit_of(claim: ClaimBase) -> float | None:
    """Return the published effect, of a ratio its logarithm; None where that is no effect at all, or no number."""
    assert claim.published is not None
    published = claim.published.value
    if isinstance(claim, RatioClaim):
        published = math.log(published) if published > 0 else 0.0
    return published if published else None


def in_units(claim: ClaimBase, figure: float) -> float:
    """Return a figure in units of the published one: 1 for that itself, 0 for no effect where the form has that.

    Raises:
        ValueError: the published figure is no effect, so there is no such unit.
    """
    unit = unit_of(claim)
    if unit is None:
        raise ValueError(f"the published figure of {claim.id} is no effect, and so no unit of it")
    if isinstance(claim, RatioClaim):
        figure = (math.log(figure) if figure > 0 else -math.inf) if not math.isinf(figure) else figure
    return figure / unit


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < FURTHEST else None


def _caption(rows: Sequence[ForestRow], shown: Sequence[ForestRow]) -> str:
    """Say what the marks and lines are, and how many claims are left out for which reason."""
    words = [
        "Each mark is an effect with its interval, divided by the published effect (of ratios, their logarithms): the "
        "grey line is no effect, the other one the paper's figure"
    ]
    if not all(row.from_nothing for row in shown):
        words.append(
            f"Rows with {OTHER.strip()} compare a value, or a place on an axis, with the paper's: there 0 is not "
            '"no effect"'
        )
    if any(not LOW <= row.value <= HIGH for row in shown if row.value is not None):
        words.append("An arrow with a number is an effect beyond the axis")
    counts = Counter(row.left_out for row in rows if row.value is None)
    if counts:
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        words.append(f"Left out of those with a published figure: {reasons}")
    return ". ".join(words) + "."


def _numbers(rows: Sequence[ForestRow]) -> Table:
    headings = [
        Heading("claim"), Heading("paper"), Heading("profile"), Heading("verdict"), Heading("fidelity"),
        Heading("effect", "published effects"), Heading("zero is"),
    ]  # fmt: skip
    cells = [
        [
            *map(word, (row.label, row.paper, row.profile, row.verdict, row.fidelity)),
            number(row.value, "", row.low, row.high),
            word("no effect" if row.from_nothing else "nothing in particular"),
        ]
        for row in rows
    ]
    return Table(TITLE, "", headings, cells)


def draw_forest(rows: Sequence[ForestRow]) -> Picture | None:
    """Return the picture; None where no row has anything to draw."""
    shown = [row for row in rows if row.value is not None]
    if not shown:
        return None
    # Those of one paper stand together, papers in the order in which they come.
    papers = list(dict.fromkeys(row.paper for row in shown))
    shown.sort(key=lambda row: papers.index(row.paper))
    figure = _figure(shown)
    return Picture(TITLE, _caption(rows, shown), to_svg(figure, TITLE, salt="forest"), _numbers(shown))


def _figure(rows: Sequence[ForestRow]) -> Figure:
    labels = dict(zip([row.anchor for row in rows], _labels(rows), strict=True))
    places, headings, bottom = _places(rows, labels)
    height = ROW * bottom
    figure, (axis,) = laid_out(COLUMN, (height,))
    axis.axvline(0.0, color=SOFT, linewidth=1.4, zorder=1)
    axis.axvline(1.0, color=SERIES[1], linewidth=1.4, zorder=1)
    for verdict in VERDICTS:
        own = [index for index, row in enumerate(rows) if row.verdict == verdict]
        if own:
            _draw_marks(axis, verdict, [rows[index] for index in own], [places[index] for index in own])
    for paper, place in headings:
        axis.text(LOW + 0.05, place, one_line(paper), fontsize=10, fontweight="bold", color=INK, va="center")
        axis.axhline(place - 0.6, color=LINE, linewidth=0.8)
    # Plain texts: a tick is drawn with three lines that nobody needs here, and that take most of the time.
    for row, place in zip(rows, places, strict=True):
        axis.text(LOW - 0.1, place, labels[row.anchor], fontsize=9, color=INK, ha="right", va="center")
    axis.set_yticks([])
    axis.set_ylim(bottom, -0.6)
    axis.set_xlim(LOW, HIGH)
    axis.set_xticks([-1, 0, 1, 2, 3, 4], ["−1\n ", "0\nno effect", "1\nthe paper", "2\n ", "3\n ", "4\n "])
    # Above as well: where claims are many, the axis below is far away.
    axis.tick_params(axis="x", labeltop=True)
    axis.set_xlabel("effect in units of the published one")
    axis.set_title(f"n = {len(rows)} {'claim' if len(rows) == 1 else 'claims'}", pad=6)
    above = {"bbox_to_anchor": (0.2, 1 + 0.75 / height), "ncols": 4, "handletextpad": 0.3, "columnspacing": 1.2}
    axis.legend(loc="lower center", **above)
    return figure


def _places(rows: Sequence[ForestRow], labels: dict[str, str]) -> tuple[list[float], list[tuple[str, float]], float]:
    """Return where rows stand, from the top, where the name of each paper stands above its rows, and the end."""
    places, headings, top = [], [], 0.0
    for paper, own in groupby(rows, key=lambda row: row.paper):
        headings.append((paper, top))
        top += 1.0
        for row in own:
            height = 1.0 + 0.55 * labels[row.anchor].count("\n")
            places.append(top + (height - 1.0) / 2)
            top += height
        top += 0.3
    return places, headings, top


def _labels(rows: Sequence[ForestRow]) -> Iterator[str]:
    """Yield labels that fit; those of one claim under several profiles say under which."""
    for row in rows:
        several = sum(other.label == row.label for other in rows) > 1
        text = f"{'' if row.from_nothing else OTHER}{row.label}{f', {row.profile}' if several else ''}"
        yield _broken(plain(text, NAME))


def _broken(text: str) -> str:
    """Return a label in at most two lines, broken at a space or behind a dot."""
    text = " ".join(text.split())
    if len(text) <= LINE_OF_NAME:
        return text
    at = max(text.rfind(" ", 0, LINE_OF_NAME), text.rfind(".", 0, LINE_OF_NAME), text.rfind("_", 0, LINE_OF_NAME)) + 1
    at = at if at > LINE_OF_NAME // 3 else LINE_OF_NAME
    return f"{text[:at].rstrip()}\n{plain(text[at:].lstrip(), LINE_OF_NAME)}"


def _draw_marks(axis: Any, verdict: Verdict, rows: Sequence[ForestRow], places: Sequence[float]) -> None:
    """Draw the intervals and marks of one verdict; what lies beyond the axis is an arrow at its end with its number."""
    colour, mark = LOOKS[verdict]
    xs: list[float] = []
    ys: list[float] = []
    inside = []
    for row, place in zip(rows, places, strict=True):
        assert row.value is not None
        ends = (-math.inf if row.low is None else row.low, math.inf if row.high is None else row.high)
        xs += [*map(_held, ends), math.nan]
        ys += [place, place, math.nan]
        for end, arrow, beyond in ((LOW, "<", ends[0] < LOW), (HIGH, ">", ends[1] > HIGH)):
            if beyond:
                axis.plot([end], [place], arrow, color=colour, markersize=5, clip_on=False)
        if LOW <= row.value <= HIGH:
            inside.append((row.value, place))
        else:
            _draw_beyond(axis, row.value, place, colour)
    axis.plot(xs, ys, color=colour, linewidth=2.2)
    looks = {"markersize": 8, "markeredgecolor": SURFACE, "markeredgewidth": 0.8}
    axis.plot([x for x, _ in inside], [y for _, y in inside], mark, color=colour, label=verdict, zorder=3, **looks)


def _held(value: float) -> float:
    return min(HIGH, max(LOW, value))


def _draw_beyond(axis: Any, value: float, place: float, colour: str) -> None:
    right = value > HIGH
    end = HIGH if right else LOW
    axis.plot([end], [place], ">" if right else "<", color=colour, markersize=8, clip_on=False, zorder=3)
    words = f"{value:.3g}".replace("-", "−")
    shift = (-8, 0) if right else (8, 0)
    axis.annotate(
        words, (end, place), shift, textcoords="offset points", ha="right" if right else "left", va="bottom",
        fontsize=8, color=INK,
    )  # fmt: skip
