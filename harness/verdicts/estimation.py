"""A claim's effect with its interval, out of its data: one function a form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy

from harness.spec.claims import (
    ALL_OTHERS,
    ClaimBase,
    CrossingClaim,
    DifferenceClaim,
    EquivalenceClaim,
    NonInferiorityClaim,
    OptimumClaim,
    OrderingClaim,
    RatioClaim,
    TrendClaim,
    ValueClaim,
)
from harness.spec.models import level_name
from harness.verdicts.cells import Cells, positions
from harness.verdicts.data import CellData, Data, ItemData, RoundData
from harness.verdicts.statistics.bootstrap import clustered_draws, generator_for, iqm_draws
from harness.verdicts.statistics.curves import Crossing, crossing, optimum, trend_contrast
from harness.verdicts.statistics.estimates import Draws, Estimate, Exact, LogScale, Mirrored, Weakest
from harness.verdicts.statistics.fixed_sets import Wilson
from harness.verdicts.statistics.means import CONSTANT, is_constant, mean_estimate, rounds_in_processes, welch_estimate
from harness.verdicts.statistics.ranks import signed_rank

Mean = Callable[[Sequence[float]], Estimate]
COMPARED = (DifferenceClaim, NonInferiorityClaim, EquivalenceClaim)


def estimate(claim: ClaimBase, data: Data, *, other: bool = False) -> Estimate:
    """Return a claim's effect in its own unit; with ``other``, by the other defensible method.

    The usual method is Student's t over replicates (or rounds, or processes), the other one the signed-rank interval;
    for bootstraps of settings or items the other one is Student's t over replicates or classes.

    Raises:
        ValueError: the data cannot carry an interval; the message says why.
    """
    if isinstance(data, RoundData):
        return _of_rounds(claim, data, other)
    if isinstance(data, ItemData):
        return _of_items(claim, data, other)
    assert isinstance(data, CellData)
    return _of_cells(claim, data.cells, other)


def has_other(claim: ClaimBase) -> bool:
    """Say whether there is a second defensible interval for a claim."""
    if claim.exact or isinstance(claim, OptimumClaim | CrossingClaim):
        return False
    return not (isinstance(claim, COMPARED) and claim.pairing == "unpaired")


def _of_rounds(claim: ClaimBase, data: RoundData, other: bool) -> Estimate:
    groups = [group.tolist() for group in data.groups]
    if not other:
        found: Estimate = rounds_in_processes(groups)
    elif len([group for group in groups if group]) >= 2:
        found = signed_rank([float(numpy.mean(group)) for group in groups if group])
    else:
        found = signed_rank([value for group in groups for value in group])
    return LogScale(found) if isinstance(claim, RatioClaim) else found


def _of_items(claim: ClaimBase, data: ItemData, other: bool) -> Estimate:
    items = claim.items  # type: ignore[attr-defined]
    values = items.scale * data.values
    if not len(data.replicates):
        raise ValueError("no replicate has finished in every arm and setting")
    if other:
        return mean_estimate([float(values[:, data.classes == name].mean()) for name in dict.fromkeys(data.classes)])
    rate = data.arms[0]
    # A rate over one test set is binomial; over several sets, how these differ belongs into the interval.
    single = isinstance(claim, ValueClaim) and len(rate) == 1 and data.one_set and items.scale == 1
    if single and set(numpy.unique(rate)) <= {0.0, 1.0}:
        return Wilson(int(rate.sum()), rate.shape[1])
    return _varied(clustered_draws(values, data.classes, generator_for(claim.id)))


def _of_cells(claim: ClaimBase, cells: Cells, other: bool) -> Estimate:
    mean: Mean = signed_rank if other else mean_estimate
    if not cells.settings:
        raise ValueError("no setting was run for every arm of the claim")
    if isinstance(claim, COMPARED) and claim.pairing == "unpaired" and not claim.exact:
        return _unpaired(cells)
    whole = cells.of(cells.whole)
    if not len(whole.replicates):
        raise ValueError("no replicate has a finite value in every arm")
    if claim.exact:
        return _exact(claim, whole)
    if len(whole.replicates) < 2:
        raise ValueError("one replicate has a value in every arm; an interval needs at least 2")
    if isinstance(claim, OptimumClaim):
        return _optimum(claim, whole)
    if isinstance(claim, CrossingClaim):
        return _crossing(claim, whole)
    found = _pooled(claim, whole, mean, other)
    return LogScale(found) if isinstance(claim, RatioClaim) else found


def _varied(found: Draws) -> Draws:
    """Return a bootstrap; draws that are all the same come from data without variation, which carry no interval."""
    if is_constant(found.draws):
        raise ValueError(CONSTANT)
    return found


def effects(claim: ClaimBase, cells: Cells) -> numpy.ndarray:
    """Return the effect in each replicate and setting, (replicates, settings); a ratio's is its logarithm.

    Raises:
        ValueError: a ratio of something that is not positive, or levels that have no place on the claim's scale.
    """
    if isinstance(claim, COMPARED):
        return cells.role("treatment") - cells.role("control")
    if isinstance(claim, RatioClaim):
        above, below = cells.role("numerator"), cells.role("denominator")
        if not ((above > 0).all() and (below > 0).all()):
            raise ValueError(f"{claim.metric} is not a positive number in every trial")
        return numpy.log(above) - numpy.log(below)
    if isinstance(claim, TrendClaim):
        contrast = trend_contrast(positions(cells.roles, claim.scale))
        return numpy.asarray(numpy.einsum("rls,l->rs", cells.values, contrast))
    assert isinstance(claim, ValueClaim)
    return cells.role("arm")


def _pooled(claim: ClaimBase, cells: Cells, mean: Mean, other: bool) -> Estimate:
    """Pool settings by the claim's rule."""
    if isinstance(claim, OrderingClaim):
        return _ordering(claim, cells, mean)
    found = effects(claim, cells)
    if found.shape[1] == 1 or claim.pool.rule == "mean":
        return mean(found.mean(axis=1).tolist())
    if claim.pool.rule == "interquartile mean":
        if other:
            return mean_estimate(found.mean(axis=1).tolist())
        return _varied(iqm_draws(found, generator_for(claim.id)))
    return _weakest([mean(column.tolist()) for column in found.T], claim)


def _ordering(claim: OrderingClaim, cells: Cells, mean: Mean) -> Estimate:
    """Return the smallest of the differences between neighbours in the order."""
    steps = cells.values[:, :-1, :] - cells.values[:, 1:, :]
    if claim.pool.rule == "all":
        return _weakest([mean(steps[:, k, s].tolist()) for k, s in numpy.ndindex(steps.shape[1:])], claim)
    return _weakest([mean(column.tolist()) for column in steps.mean(axis=2).T], claim)


def _weakest(parts: Sequence[Estimate], claim: ClaimBase) -> Estimate:
    """Return the part that supports a directed claim least."""
    if claim.direction == "greater":  # type: ignore[attr-defined]
        return Weakest(tuple(parts))
    return Mirrored(Weakest(tuple(Mirrored(part) for part in parts)))


def _unpaired(cells: Cells) -> Estimate:
    sides = []
    for role in ("treatment", "control"):
        values = cells.role(role)
        sides.append(values[numpy.isfinite(values).all(axis=1)].mean(axis=1).tolist())
    if min(len(side) for side in sides) < 2:
        raise ValueError("an arm has fewer than two replicates with a finite value")
    return welch_estimate(*sides)


def _exact(claim: ClaimBase, cells: Cells) -> Estimate:
    """Return a count, which has no sampling error: every replicate and setting must give the same."""
    if isinstance(claim, OrderingClaim):
        steps = cells.values[:, :-1, :] - cells.values[:, 1:, :]
        values = steps.min(axis=1) if claim.direction == "greater" else steps.max(axis=1)
    else:
        values = effects(claim, cells)
    values = numpy.exp(values) if isinstance(claim, RatioClaim) else values
    if values.max() - values.min() > 1e-12 * abs(float(values.flat[0])):
        raise ValueError(f"{claim.metric} should be the same in every trial, but is not")
    return Exact(float(values.flat[0]), values.size)


def _optimum(claim: OptimumClaim, cells: Cells) -> Estimate:
    claimed = [level_name(level) for level in claim.claimed if level_name(level) in cells.roles]
    against = None if claim.against == ALL_OTHERS else level_name(claim.against)
    if not claimed or (against is not None and against not in cells.roles):
        raise ValueError("this profile does not run the levels that the claim is about")
    curve = cells.values.mean(axis=2)
    greatest = claim.direction == "greater"
    return optimum(curve, list(cells.roles), frozenset(claimed), against, greatest, generator_for(claim.id))


def contrast(claim: OptimumClaim, cells: Cells) -> numpy.ndarray:
    """Return the claimed levels' mean minus the level they are set against, (replicates, settings); better is positive.

    Raises:
        ValueError: the profile runs none of the claimed levels, or none to set them against.
    """
    claimed = [cells.roles.index(name) for level in claim.claimed if (name := level_name(level)) in cells.roles]
    others = [
        index
        for index, role in enumerate(cells.roles)
        if (role == level_name(claim.against) if claim.against != ALL_OTHERS else index not in claimed)
    ]
    if not claimed or not others:
        raise ValueError("this profile does not run the levels that the claim is about")
    sign = 1.0 if claim.direction == "greater" else -1.0
    return sign * (cells.values[:, claimed].mean(axis=1) - cells.values[:, others].mean(axis=1))


def _crossing(claim: CrossingClaim, cells: Cells) -> Estimate:
    found = crossing_of(claim, cells)
    return LogScale(found) if claim.scale == "log" else found


def crossing_of(claim: CrossingClaim, cells: Cells) -> Crossing:
    """Return where ``second`` passes ``first``, on the claim's scale (the natural logarithm on a log scale)."""
    half = len(cells.roles) // 2
    places = positions([role.removeprefix("second ") for role in cells.roles[half:]], claim.scale)
    values = cells.values.mean(axis=2)
    if all(is_constant(column) for column in (values[:, :half] - values[:, half:]).T):
        raise ValueError(CONSTANT)
    sign = 1.0 if claim.direction == "greater" else -1.0
    return crossing(places, sign * (values[:, :half] - values[:, half:]))
