"""What the store says of an ordered trial: whether anything is left to do for it."""

from __future__ import annotations

import contextlib
from typing import Literal

from harness.execution.orders import Order, OrderedTrial
from harness.store.attempt import DamagedAttempt, read_attempt
from harness.store.endings import gives_up
from harness.store.store import Store

Answer = Literal["open", "done", "failed"]


def answer(store: Store, experiment: str, trial: OrderedTrial, code: str) -> Answer:
    """Say what came of a trial since it was ordered, whoever ran it, with the same code.

    Failures that come from outside leave it open, up to a limit (``harness.store.endings``).
    """
    new = [name for name in store.attempt_ids(experiment, trial.id) if name not in trial.known_attempts]
    failures = []
    for name in new:
        attempt = None
        with contextlib.suppress(DamagedAttempt):
            attempt = read_attempt(store.attempts_folder(experiment, trial.id) / name)
        if attempt is None or attempt.code != code:
            continue
        if attempt.failure is None:
            return "done"
        failures.append(attempt.failure.kind)
    return "failed" if gives_up(failures) else "open"


def any_open(store: Store, order: Order) -> bool:
    """Say whether anything is left to do for a trial of an order."""
    return any(answer(store, order.experiment, trial, order.code) == "open" for trial in order.trials)
