"""Judgements of made-up records with the results around them, and cells out of a picture's numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synthetic import Made, design_of, state_with, state_with_samples, trials_folder

from harness.plan.state import PlanState
from harness.plan.trials import Trial
from harness.store.store import Store
from harness.store.table import long_table
from harness.verdicts.judge import judge
from reports.cells import Cell
from reports.collect import Results
from reports.declarations import declaration_of
from reports.pictures.claims import draw_claim
from reports.pictures.picture import Picture

INTERVAL = "95 % interval"
DECIDES = "the interval that decides"


def results_of(spec: Mapping[str, Any], make: Callable[[Trial], Made]) -> Results:
    """Return the results of a spec whose trials gave what ``make`` says."""
    return _results(state_with(design_of(trials_folder(), spec), make))


def results_with_samples(
    spec: Mapping[str, Any], make: Callable[[Trial], tuple[Made, Mapping[str, Any]]], folder: Path
) -> Results:
    """Return the results of a spec whose trials gave records and sample tables, written to a store in ``folder``."""
    return _results(state_with_samples(design_of(trials_folder(), spec), make, Store(folder)))


def _results(state: PlanState) -> Results:
    design = state.design
    table = long_table(design.name, design.profile_name, [factor.name for factor in design.factors], state.states)
    return Results(design, state, declaration_of(design.experiment), judge(state), table, [], [], [])


def drawn(results: Results, index: int = 0) -> Picture:
    """Return the picture of a claim that has one."""
    picture = draw_claim(results.judgements[index], results)
    assert picture is not None and picture.svg.startswith("<svg ") and picture.svg.endswith("</svg>")
    assert picture.title and picture.caption.endswith(".")
    assert all(len(row) == len(picture.numbers.headings) for row in picture.numbers.rows)
    return picture


def column(picture: Picture, name: str) -> dict[str, Cell]:
    """Return the cells that have something in the first column of a name (without its unit), by the row's name."""
    (place, *_) = (i for i, heading in enumerate(picture.numbers.headings) if heading.label == name)
    cells = {row[0].text: row[place] for row in picture.numbers.rows}
    return {row: cell for row, cell in cells.items() if cell.has_value or cell.text}


def values(picture: Picture, name: str, unit: str = "replicate ") -> dict[int, float]:
    """Return the units in a column, by their number."""
    found = column(picture, name)
    return {int(row.removeprefix(unit)): cell.value or 0.0 for row, cell in found.items() if row.startswith(unit)}


def row_of(picture: Picture, words: str, name: str = "effect") -> Cell:
    """Return the one cell of a column whose row's name holds some words."""
    (found,) = (cell for row, cell in column(picture, name).items() if words in row)
    return found
