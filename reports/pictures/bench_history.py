"""Pictures of the benchmarks' history: a line a comparison, a mark with its interval a run, all runs on one axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.bench.judging import MARGIN, Judged
from reports.bench.runs import BenchRun
from reports.bench.tables import ratio, three_digits
from reports.cells import Heading, Table
from reports.pictures.canvas import INK, LINE, SERIES, SOFT, SURFACE, plain, to_svg
from reports.pictures.claim_layout import laid_out
from reports.pictures.numbers import word
from reports.pictures.picture import Picture
from reports.templating import moment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN = ((3.0, 6.4),)
ROW = 0.44
"""Inches: from where to where the panel reaches, and the height of a comparison's line."""
REACH = 2.5
"""Each line shows ratios from two fifths to two and a half times the one in its middle, on a logarithmic scale."""
HALF = 0.45
"""Of a line's height, which is 1, that lies above its middle."""
MOST_RUNS = 30
"""That are drawn: the newest."""
MOST_LABELS = 5
"""Commits that have room below the panel."""
LONGEST = 52
"""Characters of a line of a label."""


@dataclass(frozen=True)
class Course:
    """What came of one comparison, by the place of the run."""

    name: str
    judged: Mapping[int, Judged]

    @property
    def newest(self) -> Judged:
        return self.judged[max(self.judged)]

    @property
    def middle(self) -> float:
        """The ratio in the middle of its line: the one that was accepted last, or else the newest."""
        accepted = self.newest.accepted
        return accepted.ratio if accepted is not None else self.newest.ratio


def draw_histories(runs: Sequence[BenchRun]) -> list[Picture]:
    """Return a picture for each group of comparisons of the newest run: ratios over the runs, in order of time."""
    shown = list(runs)[-MOST_RUNS:]
    found = [{judged.measured.key: judged for judged in run.verdicts.comparisons} for run in shown]
    groups: dict[str, list[Course]] = {}
    for key, judged in found[-1].items():
        course = Course(key, {place: by[key] for place, by in enumerate(found) if key in by})
        groups.setdefault(judged.measured.group, []).append(course)
    return [_picture(group, courses, shown) for group, courses in groups.items()]


def changes(runs: Sequence[BenchRun]) -> list[int]:
    """Return the places of runs that were made on another machine than the run before them."""
    return [place for place in range(1, len(runs)) if runs[place].machine != runs[place - 1].machine]


def _picture(group: str, courses: Sequence[Course], runs: Sequence[BenchRun]) -> Picture:
    title = f"{group}: ours over theirs, run by run"
    svg = to_svg(_figure(courses, runs), title, salt="bench")
    return Picture(title, _caption(runs), svg, _numbers(title, courses, runs))


def _figure(courses: Sequence[Course], runs: Sequence[BenchRun]) -> Figure:
    figure, (axis,) = laid_out(COLUMN, (ROW * len(courses),))
    for row, course in enumerate(courses):
        _draw_line(axis, row, course, len(runs))
    for place in changes(runs):
        axis.axvline(place - 0.5, color=SOFT, linestyle="--", linewidth=1)
    axis.set_yticks([])
    axis.set_ylim(len(courses) - 0.5, -0.5)
    axis.set_xlim(-0.5, len(runs) - 0.5)
    labelled = range(len(runs) - 1, -1, -math.ceil(len(runs) / MOST_LABELS))
    axis.set_xticks(list(labelled), [runs[place].code[:7] for place in labelled], fontsize=8)
    axis.grid(False)
    axis.set_title(f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}; at the right the newest ratio", pad=6)
    return figure


def _draw_line(axis: Any, row: int, course: Course, runs: int) -> None:
    """Draw one comparison: what is accepted as a band, each run as a mark, its name left and its newest ratio right."""
    name, _, rival = course.name.rpartition(" beside ")
    label = f"{plain(name, LONGEST)}\n{plain(f'beside {rival}', LONGEST)}"
    axis.text(-0.6, row, label, fontsize=8, color=INK, ha="right", va="center", linespacing=1.1)
    axis.text(runs - 0.4, row, three_digits(course.newest.ratio), fontsize=8, color=INK, ha="left", va="center")
    axis.axhline(row + 0.5, color=LINE, linewidth=0.8)
    middle, accepted = course.middle, course.newest.accepted
    if accepted is not None:
        band = [_height(row, end, middle) for end in (accepted.low / MARGIN, accepted.high * MARGIN)]
        axis.axhspan(*band, color=LINE, alpha=0.45, linewidth=0, zorder=0)
    places = list(course.judged)
    xs: list[float] = []
    ys: list[float] = []
    for place, judged in course.judged.items():
        xs += [place, place, math.nan]
        ys += [_height(row, judged.low, middle), _height(row, judged.high, middle), math.nan]
    axis.plot(xs, ys, color=SERIES[0], linewidth=1.6)
    looks = {"markersize": 4.5, "markeredgecolor": SURFACE, "markeredgewidth": 0.6, "zorder": 3}
    heights = [_height(row, judged.ratio, middle) for judged in course.judged.values()]
    axis.plot(places, heights, "-", color=SERIES[0], linewidth=0.8, alpha=0.6)
    for mark in "o^v":
        own = [n for n, judged in enumerate(course.judged.values()) if _mark(judged.ratio, middle) == mark]
        axis.plot([places[n] for n in own], [heights[n] for n in own], mark, color=SERIES[0], **looks)


def _height(row: int, value: float, middle: float) -> float:
    """Return where a ratio stands in its line; one beyond its reach stands at its edge. Slower is higher."""
    share = math.log(value / middle) / math.log(REACH)
    return row - HALF * min(1.0, max(-1.0, share))


def _mark(value: float, middle: float) -> str:
    return "^" if value > middle * REACH else "v" if value < middle / REACH else "o"


def _caption(runs: Sequence[BenchRun]) -> str:
    words = [
        "Runs in order of time, named by their commits; marks are ratios of ours to theirs with 95 % intervals over "
        f"rounds. Every line has a logarithmic scale of its own, from {1 / REACH:g} to {REACH:g} times the accepted "
        "ratio in its middle; higher is slower, and a triangle lies beyond. The band is what the newest run is judged "
        f"by: the accepted interval, widened by {MARGIN:g}. An interval wholly above it is slower than accepted"
    ]
    if changes(runs):
        words.append(
            "A dashed line stands before a run on another machine than the one before: ratios travel, but not perfectly"
        )
    if len(runs) == MOST_RUNS:
        words.append(f"At most the newest {MOST_RUNS} runs are drawn")
    return ". ".join(words) + "."


def _numbers(title: str, courses: Sequence[Course], runs: Sequence[BenchRun]) -> Table:
    headings = [Heading("made"), Heading("commit"), Heading("machine"), *(Heading(course.name) for course in courses)]
    rows = []
    for place, run in enumerate(runs):
        found = [course.judged.get(place) for course in courses]
        ratios = [ratio(one.ratio, one.low, one.high) if one else word("") for one in found]
        rows.append([word(moment(run.made)), word(run.code), word(run.machine), *ratios])
    return Table(title, "Ratios of ours to theirs with 95 % intervals, a row a run.", headings, rows)
