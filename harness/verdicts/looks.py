"""What a claim's data say at each look: the effect, what it could be if lost trials counted, and a p-value."""

from __future__ import annotations

from dataclasses import dataclass

from harness.spec.claims import ClaimBase
from harness.spec.models import Fidelity
from harness.verdicts.data import Data, spread_within
from harness.verdicts.estimation import estimate
from harness.verdicts.evidence import Evidence, unfit
from harness.verdicts.intention import lost_cells, scenarios
from harness.verdicts.questions import Threshold, deciding_p, telescope
from harness.verdicts.statistics.estimates import Estimate


@dataclass(frozen=True)
class Look:
    """The data of the first ``replicates``: the effect and the effects under worst and best fillings of what was lost.

    ``p`` is the smallest level at which something is decided whatever the lost trials would have given; 1 where
    ``unfit`` says why there is no effect. ``telescope`` is what the original could just have detected.
    """

    replicates: int
    data: Data | None
    effect: Estimate | None
    bounds: tuple[Estimate, ...]
    p: float
    unfit: str = ""
    telescope: Threshold | None = None


def look_at(claim: ClaimBase, evidence: Evidence, replicates: int, fidelity: Fidelity) -> Look:
    """Return what the first ``replicates`` say. Nothing is raised for data that cannot carry an interval."""
    if evidence.data is None:
        return Look(replicates, None, None, (), 1.0, evidence.missing or evidence.unequal)
    data = evidence.data.first(replicates)
    if problem := unfit(data):
        return Look(replicates, data, None, (), 1.0, problem)
    try:
        found = estimate(claim, data)
    except ValueError as error:
        return Look(replicates, data, None, (), 1.0, _sentence(claim, error))
    try:
        bounds = tuple(estimate(claim, filled) for filled in scenarios(claim, data))
    except ValueError as error:
        lost = f"{lost_cells(data)} results are lost, and there is no effect with what they could have been"
        return Look(replicates, data, None, (), 1.0, f"{lost}: {_sentence(claim, error)}")
    threshold = telescope(claim, fidelity, spread_within(data))
    p = max(deciding_p(claim, each, threshold) for each in (found, *bounds))
    return Look(replicates, data, found, bounds, p, telescope=threshold)


def _sentence(claim: ClaimBase, error: ValueError) -> str:
    return f"{claim.metric}: {error}"
