"""What speaks against the law that an interval assumes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy

from harness.spec.claims import ClaimBase, OptimumClaim, OrderingClaim
from harness.verdicts.data import CellData, Data, RoundData
from harness.verdicts.estimation import COMPARED, contrast, effects
from harness.verdicts.statistics.distribution import distribution_warning


def warning(claim: ClaimBase, data: Data | None) -> str:
    """Say why the interval of a claim's mean effect may cover less than it says; empty where nothing speaks for it.

    Differences of two arms with one law are symmetric however skewed the metric is, so this is about true effects: an
    interval around nothing covers 95 % all the same.
    """
    if data is None or claim.exact:
        return ""
    return next((found for values in _units(claim, data) if (found := distribution_warning(values))), "")


def _units(claim: ClaimBase, data: Data) -> Iterator[numpy.ndarray]:
    """Yield the values that Student's t interval is made of; several for an ordering, one a step."""
    if isinstance(data, RoundData):
        filled = [group for group in data.groups if len(group)]
        yield filled[0] if len(filled) == 1 else numpy.array([group.mean() for group in filled])
    if not isinstance(data, CellData):
        return
    cells = data.cells.of(data.cells.whole)
    if not cells.settings:
        return
    try:
        if isinstance(claim, OrderingClaim):
            yield from (cells.values[:, :-1] - cells.values[:, 1:]).mean(axis=2).T
        elif isinstance(claim, OptimumClaim):
            yield contrast(claim, cells).mean(axis=1)
        elif isinstance(claim, COMPARED) and claim.pairing == "unpaired":
            yield from cells.values.mean(axis=2).T
        elif claim.axis() is None or claim.form == "trend":  # type: ignore[attr-defined]
            yield effects(claim, cells).mean(axis=1)
    except ValueError:
        return
