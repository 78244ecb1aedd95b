"""Tables of profiles as typed cells: the arms beside each other, and of each arm its stages and its operators."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.cells import Cell, Heading, Table
from reports.pictures.numbers import count, enough_digits, number, word
from reports.pictures.words import spoken
from reports.profiles.agreement import Difference, agreement_text, difference_from, sweep_stages

if TYPE_CHECKING:
    from harness.measure.profile_summary import ProfileSummary, Share
    from reports.collect import Results
    from reports.profiles.collect import ProfiledArm

ARMS = "Profiled arms"
TIMES, SHARES = "Time by kind of work", "Share by kind of work"
STAGES, OPERATORS = "Time by stage", "Operators that take most time"
TIMED, SWEEP = "the timing run of the same process", "the sweep"
ONLY_ARM = "the only arm"
OWN_TIME = {
    False: "Of one profiled step, over all stages and shapes, without the time of the operators that it calls.",
    True: "Of one profiled step, over all stages and shapes: the time of the kernels that it launches itself.",
}
"""What an operator's time is, by whether it ran on a GPU."""
MICROSECONDS = 1e3
"""In a millisecond."""


def arm_labels(results: Results) -> list[str]:
    """Return what each profiled arm is called, no two alike: titles of tables and names of rows tell arms apart."""
    labels: list[str] = []
    for arm in results.profiles.arms:
        names = [results.label(level, factor) for factor, level in arm.levels.items()]
        label = ", ".join(names) or ONLY_ARM
        if label in labels:
            label = f"{label} ({', '.join(f'{factor} {level}' for factor, level in arm.levels.items())})"
        labels.append(label)
    return labels


@dataclass(frozen=True)
class ProfileTables:
    """The tables with a row an arm, and those of each arm by itself, in the order of the arms."""

    beside: tuple[Table, ...] = ()
    by_arm: tuple[tuple[Table, ...], ...] = ()

    @property
    def all(self) -> list[Table]:
        """Every table, in the order of the page."""
        return [*self.beside, *itertools.chain(*self.by_arm)]


def profile_tables(results: Results) -> ProfileTables:
    """Return what there is to tabulate of a design's profiles; nothing where it has none."""
    arms, labels = results.profiles.arms, arm_labels(results)
    if not arms:
        return ProfileTables()
    return ProfileTables(
        (arms_table(results, labels), times_table(results, labels), shares_table(results, labels)),
        tuple(_tables_of(results, arm, label) for arm, label in zip(arms, labels, strict=True)),
    )


def _tables_of(results: Results, arm: ProfiledArm, label: str) -> tuple[Table, ...]:
    tables = (stages_table(results, arm, label), operators_table(arm.summary, label))
    return tuple(table for table in tables if table.rows)


def arms_table(results: Results, labels: Sequence[str]) -> Table:
    """Return a row an arm: its step, what profiling costs, what bounds it, and whether its stages' shares hold."""
    headings = [
        _first(results),
        Heading("step, timed", "ms"),
        Heading("step, profiled", "ms"),
        Heading("overhead", "%"),
        Heading("steps"),
        Heading("busy", "%"),
        Heading("bound"),
        Heading("share of the ceiling", "%"),
        Heading("off the timing run", "points"),
        Heading("off the sweep", "points"),
    ]
    rows = []
    for arm, label in zip(results.profiles.arms, labels, strict=True):
        one = arm.summary
        ceiling = None if one.ceiling_share is None else 100 * one.ceiling_share
        rows.append(
            [
                word(label),
                number(one.timed_microseconds / MICROSECONDS, "ms"),
                number(one.step_microseconds / MICROSECONDS, "ms"),
                Cell(100 * (one.overhead - 1), unit="%", signed=True),
                count(one.steps),
                Cell(100 * one.busy_share, unit="%"),
                word(one.bound),
                Cell(ceiling, unit="%"),
                *(_points(difference) for difference in differences(results, arm)),
            ]
        )
    caption = (
        "Overhead is what profiling adds to a step; busy is the part of a profiled one in which any operator ran. The "
        "ceiling is the rate of a large matrix product in the same process, and the timed step's rate is shown as a "
        "share of it. The last columns say how far the share of a stage lies from that of runs that were not profiled, "
        "at most."
    )
    return Table(ARMS, caption, headings, rows)


def differences(results: Results, arm: ProfiledArm) -> tuple[Difference | None, Difference | None]:
    """Return how far an arm's shares of stages lie from those of its timing run, and from those of the sweep."""
    one = arm.summary
    return difference_from(one, one.timed_stages), difference_from(one, sweep_stages(results, arm).stages)


def times_table(results: Results, labels: Sequence[str]) -> Table:
    """Return milliseconds of a profiled step, a row an arm and a column a kind of work."""
    rows = []
    for arm, label in zip(results.profiles.arms, labels, strict=True):
        step = arm.summary.step_microseconds
        cells = [_milliseconds(kind, step) for kind in arm.summary.kinds]
        rows.append([word(label), number(step / MICROSECONDS, "ms"), *cells])
    headings = [_first(results), Heading("profiled step", "ms"), *(Heading(name, "ms") for name in _kinds(results))]
    return Table(TIMES, "Of one profiled step.", headings, rows)


def shares_table(results: Results, labels: Sequence[str]) -> Table:
    """Return shares of a profiled step, a row an arm and a column a kind of work."""
    rows = [
        [word(label), *map(_percent, arm.summary.kinds)]
        for arm, label in zip(results.profiles.arms, labels, strict=True)
    ]
    return Table(
        SHARES, "Of one profiled step.", [_first(results), *(Heading(name, "%") for name in _kinds(results))], rows
    )


def stages_table(results: Results, arm: ProfiledArm, label: str) -> Table:
    """Return a row a stage: its time, and its share of the profiled step, of the timed one and of the sweep's."""
    one, sweep = arm.summary, sweep_stages(results, arm)
    profiled, timed, swept = (
        {stage.name: stage for stage in found} for found in (one.stages, one.timed_stages, sweep.stages)
    )
    largest = max((stage.microseconds for stage in one.stages), default=0.0)
    rows = [
        [
            word(spoken(stage)),
            _milliseconds(profiled.get(stage), largest),
            _percent(profiled.get(stage)),
            _percent(timed.get(stage)),
            _percent(swept.get(stage), sweep.trials),
        ]
        for stage in {**profiled, **timed, **swept}
    ]
    headings = [
        Heading("stage"),
        Heading("profiled", "ms"),
        Heading("share, profiled", "%"),
        Heading("share, timed", "%"),
        Heading("share, sweep", "%"),
    ]
    texts = map(agreement_text, differences(results, arm), (TIMED, SWEEP))
    return Table(f"{STAGES}: {label}", " ".join(text for text in texts if text), headings, rows)


def operators_table(summary: ProfileSummary, label: str) -> Table:
    """Return a row an operator, the one that takes most time first."""
    largest = max((one.microseconds for one in summary.operators), default=0.0)
    rows = [
        [
            word(one.name),
            _milliseconds(one, largest),
            _percent(one),
            Cell(one.calls, digits=0 if float(one.calls).is_integer() else 1),
        ]
        for one in summary.operators
    ]
    headings = [Heading("operator"), Heading("self time", "ms"), Heading("share", "%"), Heading("calls a step")]
    return Table(f"{OPERATORS}: {label}", OWN_TIME[summary.device == "cuda"], headings, rows)


def _first(results: Results) -> Heading:
    return Heading(", ".join(map(spoken, results.profiles.arms[0].levels)) or "arm")


def _kinds(results: Results) -> list[str]:
    return [kind.name for kind in results.profiles.arms[0].summary.kinds]


def _milliseconds(share: Share | None, beside: float) -> Cell:
    """Return a time with as many digits as that one has, in microseconds, that it stands beside."""
    if share is None:
        return Cell(unit="ms")
    return Cell(share.microseconds / MICROSECONDS, unit="ms", digits=enough_digits(beside / MICROSECONDS))


def _percent(share: Share | None, trials: tuple[str, ...] = ()) -> Cell:
    return Cell(unit="%") if share is None else Cell(100 * share.share, unit="%", trials=trials)


def _points(difference: Difference | None) -> Cell:
    return Cell(unit="points") if difference is None else Cell(difference.points, unit="points")
