"""Analysis by intention: what an effect would be if the trials that an arm lost had gone as badly or as well as any."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy

from harness.spec.claims import ClaimBase, TrendClaim
from harness.verdicts.cells import Cells
from harness.verdicts.data import CellData, Data

MOST_ROLES = 4
"""Roles with losses for which all combinations of worst and best are tried; with more, all worst and all best."""


def lost_cells(data: Data | None) -> int:
    """Return how many cells are lost because their trial failed or diverged."""
    return int(data.cells.lost.sum()) if isinstance(data, CellData) else 0


def scenarios(claim: ClaimBase, data: Data) -> Iterator[CellData]:
    """Yield the data with lost cells filled by the least and by the greatest value, in every combination of roles.

    The least and the greatest are those that the claim declares as ``possible``, else those that were seen in any arm.
    Nothing is yielded where nothing is lost, or where nothing was seen.
    """
    if not isinstance(data, CellData) or not lost_cells(data):
        return
    cells = data.cells
    ends = _ends(claim, cells)
    if ends is None:
        return
    losing = [role for index, role in enumerate(cells.roles) if cells.lost[:, index, :].any()]
    if len(losing) <= MOST_ROLES:
        fillings = list(itertools.product(ends, repeat=len(losing)))
    else:
        fillings = [(end,) * len(losing) for end in ends]
    for values in fillings:
        yield CellData(cells.filled(dict(zip(losing, values, strict=True))))


def _ends(claim: ClaimBase, cells: Cells) -> tuple[float, float] | None:
    if claim.possible is not None:
        low, high = claim.possible
        # What stands in the cells of a trend of effects is a difference of two values.
        return (low - high, high - low) if isinstance(claim, TrendClaim) and claim.minus else (low, high)
    seen = cells.values[numpy.isfinite(cells.values)]
    return (float(seen.min()), float(seen.max())) if seen.size else None
