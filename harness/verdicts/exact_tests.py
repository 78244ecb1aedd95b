"""A second, exact p-value beside the interval: it decides nothing, and a reader may compare it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from harness.spec.claims import ClaimBase, RatioClaim
from harness.verdicts.data import CellData, Data, ItemData
from harness.verdicts.estimation import COMPARED, effects
from harness.verdicts.statistics.bootstrap import generator_for
from harness.verdicts.statistics.fixed_sets import mcnemar_p, sign_flip_p


@dataclass(frozen=True)
class ExactTest:
    """The name of a test of no effect, and its two-sided p-value."""

    name: str
    p: float


def exact_test(claim: ClaimBase, data: Data | None) -> ExactTest | None:
    """Return the exact test of no effect that fits a comparison of two arms; None for other claims.

    Sign flips of the paired differences (their smallest p is 2 / 2^n), or McNemar's test of one model's answers to the
    same items under both arms.
    """
    if isinstance(data, ItemData) and len(data.arms) == 2 and len(data.replicates) == 1:
        first, second = (arm[0] for arm in data.arms)
        if set(numpy.unique([first, second])) <= {0.0, 1.0}:
            return ExactTest("McNemar, exact", mcnemar_p(first > 0, second > 0))
    if not isinstance(data, CellData) or not isinstance(claim, (*COMPARED, RatioClaim)) or claim.exact:
        return None
    if getattr(claim, "pairing", "paired") == "unpaired":
        return None
    cells = data.cells.of(data.cells.whole)
    if len(cells.replicates) < 2 or not cells.settings:
        return None
    try:
        differences = effects(claim, cells).mean(axis=1)
        return ExactTest("sign flips", sign_flip_p(differences, generator_for(claim.id, "sign flips")))
    except ValueError:
        return None
