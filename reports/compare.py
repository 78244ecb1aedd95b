"""Two stores side by side: the same experiments on another machine, or with another commit.

Ratios, shares and scores travel between machines; times and memory do not, and are shown faint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.cells import Cell, Heading, Table
from reports.parts import OverviewRow, Section

STAYS = frozenset(
    ("ns", "µs", "us", "ms", "s", "min", "h", "KiB", "MiB", "GiB", "MB", "GB", "1/s", "GB/s", "GFLOP/s", "TFLOP/s")
)
"""Units of what belongs to the machine that it was measured on."""


@dataclass(frozen=True)
class Compared:
    """One experiment under one profile in two stores: machines, verdicts and tables. ``key`` is that of its section.

    ``devices`` are those of both. ``other_code`` is the fingerprint of the code that the other's trials were made with;
    empty where it is that of today.
    """

    key: str
    title: str
    here: tuple[str, ...]
    there: tuple[str, ...]
    devices: tuple[str, str]
    other_code: str
    claims: Table
    tables: tuple[Table, ...]

    @property
    def all_tables(self) -> tuple[Table, ...]:
        return (self.claims, *self.tables)


def compare(sections: Sequence[Section], others: Sequence[Section], name: str) -> list[Compared]:
    """Return what both stores have; ``name`` is what the other one is called."""
    there = {section.key: section for section in others}
    return [
        Compared(
            section.key,
            section.title,
            section.machines,
            there[section.key].machines,
            (section.reported.device, there[section.key].reported.device),
            there[section.key].reported.other_code,
            claims_side_by_side(section.rows, there[section.key].rows, name),
            tuple(
                side_by_side(own, other, name)
                for own in section.tables
                for other in there[section.key].tables
                if own.title == other.title
            ),
        )
        for section in sections
        if section.key in there
    ]


def claims_side_by_side(here: Sequence[OverviewRow], there: Sequence[OverviewRow], name: str) -> Table:
    """Return a row a claim: both effects with their intervals, both verdicts, and how far the effects agree."""
    others = {row.anchor: row for row in there}
    rows = []
    for row in here:
        other = others.get(row.anchor)
        rows.append(
            [
                Cell(text=row.label),
                effect_cell(row),
                effect_cell(other) if other else Cell(),
                Cell(text=row.verdict),
                Cell(text=other.verdict if other else "not there"),
                Cell(text=agreement(row, other)),
            ]
        )
    headings = [
        Heading("claim"),
        Heading("effect here"),
        Heading(f"effect in {name}"),
        Heading("verdict here"),
        Heading(f"verdict in {name}"),
        Heading("the two"),
    ]
    return Table("Claims in both stores", "Each effect with its interval, in the claim's unit.", headings, rows)


def effect_cell(row: OverviewRow) -> Cell:
    """Return a claim's effect as a cell; faint where its unit does not travel."""
    if row.number is None:
        return Cell(text=row.effect)
    return Cell(row.number, row.low, row.high, row.unit, text=row.effect, faint=row.unit in STAYS)


def agreement(here: OverviewRow, there: OverviewRow | None) -> str:
    """Say how two effects lie to each other: by their intervals, or by their values where they have none."""
    if there is None or here.number is None or there.number is None:
        return "cannot be compared"
    if here.unit in STAYS:
        return "belong to their machines"
    ends = (here.low, here.high, there.low, there.high)
    if any(end is None for end in ends):
        return "are equal" if here.number == there.number else "are not equal"
    low, high, other_low, other_high = (float(end) for end in ends if end is not None)
    return "overlap" if low <= other_high and other_low <= high else "lie apart"


def side_by_side(here: Table, there: Table, name: str) -> Table:
    """Return one table with each column twice; the paper's own figures once. Rows are those that either has."""
    own, other = _by_first(here), _by_first(there)
    columns = [(place, heading) for place, heading in enumerate(here.headings) if place]
    headings = [here.headings[0]]
    for _, heading in columns:
        twice = [replace(heading, label=f"{heading.label}, here"), replace(heading, label=f"{heading.label}, {name}")]
        headings += [heading] if heading.published else twice
    rows = []
    for label in dict.fromkeys((*own, *other)):
        row = [Cell(text=label)]
        for place, heading in columns:
            cells = [_at(rows_of.get(label), place, heading) for rows_of in (own, other)]
            row += cells[:1] if heading.published else cells
        rows.append(row)
    return Table(here.title, here.caption, headings, rows)


def _by_first(table: Table) -> dict[str, Sequence[Cell]]:
    return {row[0].shown(): row for row in table.rows}


def _at(row: Sequence[Cell] | None, place: int, heading: Heading) -> Cell:
    if row is None or place >= len(row):
        return Cell()
    return replace(row[place], faint=heading.unit in STAYS)
