"""Evidence for a claim out of the attempts that count: what was planned, what came of it, and the data behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import pandas

from harness.measure.summaries import log_ratios_by_round, round_medians, round_shares
from harness.plan.state import TrialState
from harness.spec.claims import ClaimBase, RatioClaim, ValueClaim
from harness.spec.figures import Arm
from harness.spec.models import level_name
from harness.store.attempt import read_samples, sample_names
from harness.verdicts.cells import Cells, curve_levels, gather_cells
from harness.verdicts.data import CellData, Data, RoundData
from harness.verdicts.gates import failed_gates, recorded_gates
from harness.verdicts.item_outcomes import UnequalItems, gather_items
from harness.verdicts.observations import Fate, Observations, usable

MINIMUM_ROUNDS = 6
"""The fewest rounds that carry a timing verdict: from six on a median has a two-sided 95 % order-statistic interval."""


@dataclass(frozen=True)
class ArmCount:
    """How many of an arm's planned trials finished, failed, diverged (a metric that is missing or not finite)."""

    arm: str
    planned: int
    finished: int
    failed: int
    diverged: int

    @property
    def lost(self) -> int:
        return self.failed + self.diverged


@dataclass(frozen=True)
class Evidence:
    """The data for a claim, or why there is none.

    ``missing`` says why nothing was measured, ``unequal`` which structural checks failed. ``trials`` are those whose
    records count; ``arms`` what became of those planned.
    """

    data: Data | None = None
    missing: str = ""
    unequal: str = ""
    trials: tuple[str, ...] = ()
    arms: tuple[ArmCount, ...] = ()


def gather(claim: ClaimBase, observations: Observations) -> Evidence:
    """Return the evidence that the store holds for a claim under one profile.

    Nothing is raised for missing, failed or non-finite data: the evidence says so.

    Raises:
        DamagedAttempt: raw samples have other bytes than were written.
    """
    absent = next((found for arm in claim.arms().values() if (found := observations.absent(arm))), "")
    axis = claim.axis()
    if not absent and axis is not None and len(curve_levels(claim, observations)) < 2:
        absent = f"the profile '{observations.state.design.profile_name}' runs fewer than two levels of {axis}"
    if absent:
        return Evidence(missing=absent)
    entries = _own(claim, observations)
    counted = [entry for entry in entries if usable(entry)]
    cells = gather_cells(claim, observations)
    arms = tuple(_count(claim, observations, cells, role) for role in range(len(cells.roles)))
    if not counted:
        return Evidence(missing=_nothing(observations, entries), arms=arms)
    trials = tuple(entry.trial.id for entry in counted)
    unequal = failed_gates(claim, observations)
    if unequal:
        return Evidence(unequal=unequal, trials=trials, arms=arms)
    table = _sample_table(claim)
    if table is not None:
        if untimed := _without_samples(counted, table, timed=getattr(claim, "items", None) is None):
            return Evidence(missing=untimed, trials=trials, arms=arms)
        of_items = getattr(claim, "items", None) is not None
        if not of_items and not _together(claim, counted):
            problem = "the arms did not run interleaved in one trial, so their rounds do not pair"
            return Evidence(unequal=problem, trials=trials, arms=arms)
        try:
            data: Data = gather_items(claim, counted, observations) if of_items else _rounds(claim, counted, table)
        except UnequalItems as error:
            return Evidence(unequal=str(error), trials=trials, arms=arms)
        except (KeyError, TypeError) as error:
            return Evidence(
                missing=f"the samples {table!r} lack what the claim reads: {error}", trials=trials, arms=arms
            )
        return Evidence(data, trials=trials, arms=arms)
    if not any(claim.metric in record for e in counted if e.counted for record in e.counted.attempt.records):
        return Evidence(
            missing=f"its trials do not measure '{claim.metric}' under this profile", trials=trials, arms=arms
        )
    return Evidence(CellData(cells), trials=trials, arms=arms)


def _own(claim: ClaimBase, observations: Observations) -> list[TrialState]:
    """Return the trials that ran, or should run, an arm of the claim."""
    rows = numpy.any([observations.mask(arm) for arm in claim.arms().values()], axis=0)
    own = {observations.entries[row].trial.id for row in numpy.flatnonzero(rows)}
    return [entry for entry in observations.trial_states if entry.trial.id in own]


def _nothing(observations: Observations, entries: Sequence[TrialState]) -> str:
    if observations.reading in ("matched", "best") and observations.state.selection is None:
        return "the arms are not tuned yet, so nothing is reported"
    failed = sum(entry.status == "failed" for entry in entries)
    return f"{failed} of {len(entries)} trials failed, none finished" if failed else "no finished trial"


def _count(claim: ClaimBase, observations: Observations, cells: Cells, role: int) -> ArmCount:
    fates = cells.fates[:, role, :]
    if _sample_table(claim) is not None:
        # Timings and items live in sample tables: a trial that kept them has lost nothing, whatever the records hold.
        fates = numpy.where(fates == Fate.DIVERGED, Fate.FINISHED, fates)
    numbers = [int((fates == fate).sum()) for fate in (Fate.FINISHED, Fate.FAILED, Fate.DIVERGED)]
    return ArmCount(cells.roles[role], fates.size, *numbers)


def _sample_table(claim: ClaimBase) -> str | None:
    """Return the sample table that a claim's data stand in; None where they stand in the records."""
    items = getattr(claim, "items", None)
    return items.table if items is not None else getattr(claim, "samples", None)


def _without_samples(counted: Sequence[TrialState], table: str, timed: bool) -> str:
    """Say why trials have no raw samples, where some have none: a failed check stops the timing of all arms."""
    for entry in counted:
        assert entry.counted is not None
        if table not in sample_names(entry.counted.folder):
            reason = recorded_gates(entry, entry.counted.attempt.records)
            what = "timed" if timed else "kept item by item"
            return f"nothing was {what}: {'; '.join(reason) or f'the trial kept no samples {table!r}'}"
    return ""


def _together(claim: ClaimBase, counted: Sequence[TrialState]) -> bool:
    """Say whether the arms ran in the same trials, so that their rounds pair."""
    arms = list(claim.arms().values())
    for entry in counted:
        for factor in {name for arm in arms for name in arm}:
            if factor not in entry.trial.blocked and len({str(arm.get(factor)) for arm in arms}) > 1:
                return False
    return True


def arm_name(entry: TrialState, arm: Arm) -> str:
    """Return the name under which a trial's raw samples hold an arm: its blocked levels, in the spec's order."""
    return ",".join(level_name(arm[factor]) for factor in entry.trial.blocked if factor in arm)


def _rounds(claim: ClaimBase, counted: Sequence[TrialState], table: str) -> RoundData:
    groups, pairs, replicates = [], [], []
    for entry in counted:
        assert entry.counted is not None
        samples = read_samples(entry.counted.folder, table)
        replicates.append(entry.trial.replicate)
        if isinstance(claim, RatioClaim):
            names = arm_name(entry, claim.numerator), arm_name(entry, claim.denominator)
            groups.append(log_ratios_by_round(samples, *names).to_numpy())
            medians = [round_medians(samples, name) for name in names]
            both = pandas.concat(medians, axis=1, join="inner").to_numpy(dtype=float).T
            pairs.append(numpy.log(both) if (both > 0).all() else both)
        else:
            assert isinstance(claim, ValueClaim)
            groups.append(100 * round_shares(samples, arm_name(entry, claim.arm), claim.stages).to_numpy())
    return RoundData(tuple(replicates), tuple(groups), tuple(pairs))


def kept_log_ratios(claim: RatioClaim, counted: Sequence[TrialState]) -> list[list[float]]:
    """Return the log ratio of each kept round, grouped by process.

    Raises:
        DamagedAttempt: the raw samples are missing or have other bytes than were written.
    """
    assert claim.samples is not None
    return [group.tolist() for group in _rounds(claim, counted, claim.samples).groups]


def unfit(data: Data) -> str:
    """Say why rounds cannot carry a decision, if they cannot; of other data their estimates say so."""
    if not isinstance(data, RoundData):
        return ""
    units = sum(len(group) for group in data.groups)
    if units < MINIMUM_ROUNDS:
        return f"the rounds in which the machine was not busy number {units}; at least {MINIMUM_ROUNDS} are needed"
    if not all(numpy.isfinite(group).all() for group in data.groups):
        return "a round has a time of zero, or lacks one of the stages"
    return ""
