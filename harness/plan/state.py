"""A plan against the store: what is done, failed, stale or missing, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, overload

from harness.plan.code import fingerprint
from harness.plan.design import Design
from harness.plan.trials import Trial, canonical, expand
from harness.store.endings import RETRIED
from harness.store.index import indexed_attempts
from harness.store.store import Store, StoredAttempt

if TYPE_CHECKING:
    from harness.plan.selection import Selection
    from harness.store.attempt import Failure

Status = Literal["done", "failed", "stale", "missing"]


class Ended(Protocol):
    """What the state of a trial is decided by, whether an attempt was read whole or looked up in the index."""

    @property
    def id(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def failure(self) -> Failure | None: ...
    @property
    def seconds(self) -> float: ...
    @property
    def succeeded(self) -> bool: ...


class Found(Protocol):
    """A ``StoredAttempt``, or an ``IndexedAttempt``."""

    @property
    def attempt(self) -> Ended: ...


AnyFound = TypeVar("AnyFound", bound=Found)


@dataclass(frozen=True)
class TrialProgress:
    """A trial, its status, and when and how the attempt that counts for it ended.

    ``counted`` is the first successful attempt made with the present code; for a stale trial the newest successful
    one made with other code; for a failed trial its newest failure. ``failures`` are its attempts with the present code
    that failed, in order, whatever came after them.
    """

    trial: Trial
    status: Status
    counted: Found | None
    failures: Sequence[Found] = field(default=(), kw_only=True)

    @property
    def retried_by_itself(self) -> bool:
        failure = self.counted.attempt.failure if self.counted else None
        return failure is not None and failure.kind in RETRIED


@dataclass(frozen=True)
class TrialState(TrialProgress):
    """A trial and the attempt that counts for it, whole, its bytes checked.

    ``known`` are the ids of all its attempts, damaged ones included where there are any; ``damaged`` is a sentence for
    each of these.
    """

    counted: StoredAttempt | None
    failures: Sequence[StoredAttempt] = field(default=(), kw_only=True)
    known: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanProgress:
    """How far a design is; ``selection`` is what tuning has frozen, where the design tunes.

    It may come out of the index: then nothing has checked the attempts' bytes, and there are no records in it.
    """

    design: Design
    code: str
    states: Sequence[TrialProgress]
    selection: Selection | None = None

    def count(self, status: Status) -> int:
        return sum(state.status == status for state in self.states)

    def looks_made(self) -> tuple[int, ...]:
        """Return the looks, as numbers of replicates, for which no trial is wanting any more."""
        unsettled = {entry.trial.replicate for entry in self.states if entry.status in ("missing", "stale")}
        if self.design.select is not None and self.selection is None:
            return ()
        return tuple(look for look in self.design.looks if not any(replicate < look for replicate in unsettled))


@dataclass(frozen=True)
class PlanState(PlanProgress):
    """All trials of a design with the attempts that count for them: what reports and verdicts are made of."""

    states: Sequence[TrialState]

    @property
    def damaged(self) -> list[str]:
        return [sentence for state in self.states for sentence in state.damaged]


def state_of(design: Design, store: Store) -> PlanState:
    """Return the state of a design's trials in a store, with the code as it is now and the levels frozen for it."""
    trials, code, selection = _planned(design, store)
    return examine(design, trials, store, code, selection)


def state_as_made(design: Design, store: Store) -> PlanState:
    """Return the state of a design's trials in a store of another machine or commit.

    It goes by the present code where any trial was finished with it, and else by the code of the newest finished one;
    then ``code`` is not that of ``fingerprint``.
    """
    state = state_of(design, store)
    stale = [entry.counted.attempt for entry in state.states if entry.status == "stale" and entry.counted]
    if not stale or state.count("done"):
        return state
    code = max(stale, key=lambda attempt: attempt.id).code
    trials, selection = _expanded(design, store, code)
    return examine(design, trials, store, code, selection)


def progress_of(design: Design, store: Store) -> PlanProgress:
    """Return how far a design is, from the store's index: as ``state_of`` does, without opening every attempt.

    The bytes of attempts that the index knows are not checked again.
    """
    trials, code, selection = _planned(design, store)
    attempts = indexed_attempts(store, design.name, [trial.id for trial in trials])
    states = []
    for trial in trials:
        found = attempts.get(trial.id, ())
        states.append(TrialProgress(trial, *decide(found, code), failures=failures_of(found, code)))
    return PlanProgress(design, code, states, selection)


def _planned(design: Design, store: Store) -> tuple[list[Trial], str, Selection | None]:
    """Return a design's trials as they stand now, the fingerprint of the code, and what was frozen."""
    code = fingerprint(design.function.name).digest
    trials, selection = _expanded(design, store, code)
    return trials, code, selection


def _expanded(design: Design, store: Store, code: str) -> tuple[list[Trial], Selection | None]:
    """Return a design's trials, and what was frozen for them and some code."""
    selection = None
    if design.select is not None:
        from harness.plan.selection import frozen_selection

        selection = frozen_selection(store, design, code)
    return expand(design, selection.best if selection else None), selection


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
    return TrialState(trial, *decide(attempts, code), known, tuple(damaged), failures=failures_of(attempts, code))


def failures_of(attempts: Sequence[AnyFound], code: str) -> tuple[AnyFound, ...]:
    """Return the attempts with the present code that failed, in order."""
    return tuple(found for found in attempts if found.attempt.code == code and not found.attempt.succeeded)


def decide(attempts: Sequence[AnyFound], code: str) -> tuple[Status, AnyFound | None]:
    """Return a trial's status and the attempt that counts for it, from its complete attempts in order.

    Every state of a trial is decided here, so that what ``status`` shows is what ``run`` and ``report`` go by.
    """
    failed = stale = None
    for found in attempts:
        if found.attempt.code == code:
            if found.attempt.succeeded:
                return "done", found
            failed = found
        elif found.attempt.succeeded:
            stale = found
    if failed is not None:
        return "failed", failed
    return ("stale", stale) if stale is not None else ("missing", None)


def superseded(status: Status, failures: Sequence[AnyFound]) -> Sequence[AnyFound]:
    """Return the failures after which a trial was, or is, run again; the newest of a failed trial counts for it."""
    return failures[:-1] if status == "failed" else failures


@overload
def due(
    state: PlanState, *, retry_failed: bool, keep_stale: bool, replicates: int | None = None
) -> list[TrialState]: ...
@overload
def due(
    state: PlanProgress, *, retry_failed: bool, keep_stale: bool, replicates: int | None = None
) -> Sequence[TrialProgress]: ...
def due(
    state: PlanProgress, *, retry_failed: bool, keep_stale: bool, replicates: int | None = None
) -> Sequence[TrialProgress]:
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


def predicted_seconds(state: PlanProgress, wanted: Sequence[TrialProgress], workers: int) -> float | None:
    """Return the wall time of ``wanted`` on ``workers``, from earlier attempts of the same arm, else of any arm.

    None where the store holds no finished attempt to judge by.
    """
    if not wanted:
        return 0.0
    by_arm: dict[str, list[float]] = {}
    for entry in state.states:
        if entry.counted is not None and entry.counted.attempt.succeeded:
            by_arm.setdefault(_arm_key(entry.trial), []).append(entry.counted.attempt.seconds)
    if not by_arm:
        return None
    import statistics

    overall = statistics.median(seconds for values in by_arm.values() for seconds in values)
    known = {arm: statistics.median(values) for arm, values in by_arm.items()}
    return sum(known.get(_arm_key(entry.trial), overall) for entry in wanted) / max(1, workers)


def _arm_key(trial: Trial) -> str:
    return canonical({"arm": dict(trial.arm), "blocked": {k: list(v) for k, v in trial.blocked.items()}})
