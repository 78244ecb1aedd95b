"""Measurements of a claim as an array: replicates by roles by settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy

from harness.spec.claims import ClaimBase, CrossingClaim, TrendClaim
from harness.spec.models import level_name
from harness.verdicts.observations import Fate, Observations


@dataclass(frozen=True)
class Cells:
    """``values`` and ``fates``, both (replicates, roles, settings); a value is NaN wherever its fate is not FINISHED.

    A role is what an arm is in the claim: ``treatment``, ``control``, a level of a curve. A setting is a combination of
    levels that the claim leaves open; only those planned for every role stand here.
    """

    replicates: numpy.ndarray
    roles: tuple[str, ...]
    settings: tuple[str, ...]
    values: numpy.ndarray
    fates: numpy.ndarray

    def of(self, chosen: numpy.ndarray) -> Cells:
        """Return the replicates for which ``chosen`` is true."""
        return replace(self, replicates=self.replicates[chosen], values=self.values[chosen], fates=self.fates[chosen])

    def role(self, name: str) -> numpy.ndarray:
        """Return one role's values, (replicates, settings)."""
        return self.values[:, self.roles.index(name), :]

    def setting(self, index: int) -> Cells:
        """Return one setting alone."""
        part = slice(index, index + 1)
        return replace(self, settings=self.settings[part], values=self.values[:, :, part], fates=self.fates[:, :, part])

    @property
    def whole(self) -> numpy.ndarray:
        """Which replicates have a finite value in every cell."""
        return numpy.asarray((self.fates == Fate.FINISHED).all(axis=(1, 2)))

    @property
    def lost(self) -> numpy.ndarray:
        """Cells whose trial failed or diverged, (replicates, roles, settings)."""
        return numpy.asarray((self.fates == Fate.FAILED) | (self.fates == Fate.DIVERGED))

    def filled(self, fillings: Mapping[str, float]) -> Cells:
        """Return the cells with what was lost in each role replaced by a value of that role."""
        values, fates = self.values.copy(), self.fates.copy()
        for index, role in enumerate(self.roles):
            if role in fillings:
                lost = self.lost[:, index, :]
                values[:, index, :][lost] = fillings[role]
                fates[:, index, :][lost] = Fate.FINISHED
        return replace(self, values=values, fates=fates)


def gather_cells(claim: ClaimBase, observations: Observations) -> Cells:
    """Return the cells of a claim: its arms, or the levels along its curve, by replicate and setting.

    A role or a setting without a planned record gives an array without that role's values: (0, roles, settings).
    """
    if isinstance(claim, TrendClaim) and claim.minus:
        ours, theirs = (claim.model_copy(update={"arm": arm, "minus": {}}) for arm in (claim.arm, claim.minus))
        return _difference(gather_cells(ours, observations), gather_cells(theirs, observations))
    masks = _roles(claim, observations)
    names, places = observations.settings(observations.open_factors(claim))
    counts = [numpy.bincount(places[mask], minlength=len(names)) for mask in masks.values()]
    shared = numpy.all([count > 0 for count in counts], axis=0) if counts else numpy.ones(len(names), dtype=bool)
    common = [name for name, kept in zip(names, shared, strict=True) if kept]
    replicates = numpy.unique(observations.replicates)
    shape = (len(replicates), len(masks), len(common))
    values = numpy.full(shape, numpy.nan)
    fates = numpy.full(shape, Fate.MISSING, dtype=numpy.int8)
    metric = observations.metric(claim.metric)
    columns = numpy.where(shared, numpy.cumsum(shared) - 1, -1)[places]
    for role, mask in enumerate(masks.values()):
        rows = numpy.flatnonzero(mask & (columns >= 0))
        at = numpy.searchsorted(replicates, observations.replicates[rows])
        fate = observations.fates[rows].copy()
        fate[(fate == Fate.FINISHED) & ~numpy.isfinite(metric[rows])] = Fate.DIVERGED
        fates[at, role, columns[rows]] = fate
        values[at, role, columns[rows]] = numpy.where(fate == Fate.FINISHED, metric[rows], numpy.nan)
    return Cells(replicates, tuple(masks), tuple(common), values, fates)


def _difference(first: Cells, second: Cells) -> Cells:
    """Return one curve less another, of the settings that both have; a cell is as lost as the worse of its two."""
    common = [name for name in first.settings if name in second.settings]
    one, two = ([cells.settings.index(name) for name in common] for cells in (first, second))
    fates = numpy.minimum(first.fates[:, :, one], second.fates[:, :, two])
    values = first.values[:, :, one] - second.values[:, :, two]
    return Cells(first.replicates, first.roles, tuple(common), values, fates)


def _roles(claim: ClaimBase, observations: Observations) -> dict[str, numpy.ndarray]:
    """Return the rows of each role; along a curve a role is a level, in a crossing a level of either curve."""
    axis = claim.axis()
    if axis is None:
        return {role: observations.mask(arm) for role, arm in claim.arms().items()}
    levels = curve_levels(claim, observations)
    masks = {}
    for curve, arm in claim.arms().items():
        alone = _single_level(claim, observations, curve, axis)
        for level in levels:
            name = f"{curve} {level}" if isinstance(claim, CrossingClaim) else level
            masks[name] = observations.mask({**arm, axis: alone if alone is not None else level})
    return masks


def _single_level(claim: ClaimBase, observations: Observations, curve: str, axis: str) -> object | None:
    """Return the one level at which a horizontal line of a crossing was measured; None for a real curve."""
    if not isinstance(claim, CrossingClaim) or curve != "first":
        return None
    arm = claim.arms()["first"]
    if axis in arm:
        return arm[axis]
    present = set(observations.column(axis)[observations.mask(arm)])
    return present.pop() if len(present) == 1 else None


def curve_levels(claim: ClaimBase, observations: Observations) -> list[str]:
    """Return the levels along a claim's curve that this profile runs: those it names, or all in the spec's order."""
    axis = claim.axis()
    assert axis is not None
    present = observations.levels(axis)
    named = [level_name(level) for level in getattr(claim, "levels", ())]
    wanted = [level for level in named if level in present] if named else present
    if isinstance(claim, CrossingClaim) and not named:
        # A line that is measured at a level of its own, such as zero shots, does not make that level part of the axis.
        own = claim.arms()["first"].get(axis)
        wanted = [level for level in wanted if own is None or level != level_name(own)]
    return wanted


def positions(levels: Sequence[str], scale: str) -> list[float]:
    """Return where levels stand on an axis.

    Raises:
        ValueError: a level is no number, or no positive one on a log scale, and so has no place there.
    """
    if scale == "rank":
        return [float(index) for index in range(len(levels))]
    try:
        numbers = [float(level) for level in levels]
    except ValueError as error:
        raise ValueError(f"the levels {', '.join(levels)} are not numbers, so they have no {scale} scale") from error
    if scale == "log":
        if min(numbers) <= 0:
            raise ValueError(f"the level {min(numbers):g} has no place on a log scale")
        return [float(numpy.log(number)) for number in numbers]
    return numbers
