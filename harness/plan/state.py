"""A plan against the store: what is done, failed, stale or missing, and how long the rest will take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.plan.code import fingerprint
from harness.plan.design import Design
from harness.plan.trials import Trial, canonical, expand
from harness.store.endings import RETRIED
from harness.store.store import Store, StoredAttempt

if TYPE_CHECKING:
    from harness.plan.selection import Selection

Status = Literal["done", "failed", "stale", "missing"]


@dataclass(frozen=True)
class TrialState:
    """A trial and the attempt that counts for it.

    ``counted`` is the first successful attempt made with the present code; for a stale trial the newest successful
    one made with other code; for a failed trial its newest failure.
    """

    trial: Trial
    status: Status
    counted: StoredAttempt | None
    known: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def retried_by_itself(self) -> bool:
        failure = self.counted.attempt.failure if self.counted else None
        return failure is not None and failure.kind in RETRIED


@dataclass(frozen=True)
class PlanState:
    """All trials of a design with their states; ``selection`` is what tuning has frozen, where the design tunes."""

    design: Design
    code: str
    states: Sequence[TrialState]
    selection: Selection | None = None

    def count(self, status: Status) -> int:
        return sum(state.status == status for state in self.states)

    def looks_made(self) -> tuple[int, ...]:
        """Return the looks, as numbers of replicates, for which no trial is wanting any more."""
        unsettled = [entry.trial.replicate for entry in self.states if entry.status in ("missing", "stale")]
        if self.design.select is not None and self.selection is None:
            return ()
        return tuple(look for look in self.design.looks if not any(replicate < look for replicate in unsettled))

    @property
    def damaged(self) -> list[str]:
        return [sentence for state in self.states for sentence in state.damaged]


def state_of(design: Design, store: Store) -> PlanState:
    """Return the state of a design's trials in a store, with the code as it is now and the levels frozen for it."""
    from harness.plan.selection import frozen_selection

    code = fingerprint(design.function.name).digest
    selection = frozen_selection(store, design, code) if design.select is not None else None
    return examine(design, expand(design, selection.best if selection else None), store, code, selection)


def examine(
    design: Design, trials: Sequence[Trial], store: Store, code: str, selection: Selection | None = None
) -> PlanState:
    """Look up every trial in the store. ``code`` is the fingerprint of the code as it is now."""
    present = store.trial_ids(design.name)
    return PlanState(
        design,
        code,
        [
            _state(trial, store, design, code) if trial.id in present else TrialState(trial, "missing", None)
            for trial in trials
        ],
        selection,
    )


def _state(trial: Trial, store: Store, design: Design, code: str) -> TrialState:
    attempts, damaged = store.attempts(design.name, trial.id)
    known = tuple(store.attempt_ids(design.name, trial.id)) if damaged else tuple(a.attempt.id for a in attempts)
    current = [a for a in attempts if a.attempt.succeeded and a.attempt.code == code]
    if current:
        return TrialState(trial, "done", current[0], known, tuple(damaged))
    failures = [a for a in attempts if not a.attempt.succeeded and a.attempt.code == code]
    if failures:
        return TrialState(trial, "failed", failures[-1], known, tuple(damaged))
    others = [a for a in attempts if a.attempt.succeeded]
    if others:
        return TrialState(trial, "stale", others[-1], known, tuple(damaged))
    return TrialState(trial, "missing", None, known, tuple(damaged))


def due(state: PlanState, *, retry_failed: bool, keep_stale: bool, replicates: int | None = None) -> list[TrialState]:
    """Return the trials that a run would execute, of the first ``replicates`` only where that is given."""
    wanted = []
    for entry in state.states:
        if replicates is not None and entry.trial.replicate >= replicates:
            continue
        retried = entry.status == "failed" and (retry_failed or entry.retried_by_itself)
        stale = entry.status == "stale" and not keep_stale
        if entry.status == "missing" or retried or stale:
            wanted.append(entry)
    return wanted


def predicted_seconds(state: PlanState, wanted: Sequence[TrialState], workers: int) -> float | None:
    """Return the wall time of ``wanted`` on ``workers``, from earlier attempts of the same arm, else of any arm.

    None where the store holds no finished attempt to judge by.
    """
    by_arm: dict[str, list[float]] = {}
    for entry in state.states:
        if entry.counted is not None and entry.counted.attempt.succeeded:
            by_arm.setdefault(_arm_key(entry.trial), []).append(entry.counted.attempt.seconds)
    if not wanted:
        return 0.0
    if not by_arm:
        return None
    overall = statistics.median(seconds for values in by_arm.values() for seconds in values)
    known = {arm: statistics.median(values) for arm, values in by_arm.items()}
    return sum(known.get(_arm_key(entry.trial), overall) for entry in wanted) / max(1, workers)


def _arm_key(trial: Trial) -> str:
    return canonical({"arm": dict(trial.arm), "blocked": {k: list(v) for k, v in trial.blocked.items()}})
