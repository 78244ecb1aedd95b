"""The worker: takes trials from an order, one after the other, and writes an attempt for each."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from harness.execution import claims
from harness.execution.lifeline import end_with
from harness.execution.orders import EventWriter, Order, OrderedTrial, ProcessName
from harness.execution.records import RecordError, checked_records
from harness.execution.run import Run
from harness.plan.code import fingerprint
from harness.plan.source import describe_source
from harness.spec.models import ALL_STREAMS, VARIED_STREAMS
from harness.spec.signature import RUN_ARGUMENT, TrialFunction, resolve
from harness.store.atomic import TEMPORARY
from harness.store.attempt import Attempt, Failure, write_attempt
from harness.store.store import Store, new_attempt_id

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


def work(order_path: str, events_path: str, worker: str) -> None:
    """Run an order's trials as a submitted job: what ``submitit`` calls in a fresh process."""
    order = Order.read(Path(order_path))
    if order.driver is not None:
        parent = psutil.Process(os.getppid())
        end_with([order.driver, ProcessName(parent.pid, parent.create_time())])
    execute(order, Path(events_path), worker)


def execute(order: Order, events_path: Path, worker: str, after_trial: Callable[[], None] = lambda: None) -> None:
    """Run every trial of an order that nobody else has taken or finished; call ``after_trial`` after each."""
    events = EventWriter(events_path)
    try:
        function = resolve(order.function, tuple(Path(folder) for folder in order.search))
        _limit_threads(order.threads)
        if fingerprint(order.function).digest != order.code:
            events.write("code-moved")
            return
        store = Store(Path(order.store))
        context = _Context(order, store, function, _environment(order), worker, events)
        for trial in order.trials:
            _take(context, trial)
            after_trial()
        events.write("end")
    finally:
        events.close()


class _Context:
    """What all trials of one order share."""

    def __init__(
        self,
        order: Order,
        store: Store,
        function: TrialFunction,
        environment: dict[str, Any],
        worker: str,
        events: EventWriter,
    ) -> None:
        self.order = order
        self.store = store
        self.function = function
        self.environment = environment
        self.worker = worker
        self.events = events


def _limit_threads(threads: int) -> None:
    """Give torch as many threads as a trial has CPUs; the libraries it calls read the environment at their start."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def _environment(order: Order) -> dict[str, Any]:
    """Return what stays the same while this worker runs."""
    from harness.measure.environment import describe_environment

    return describe_environment() | {"source": describe_source(order.function)}


def _kept_environment(context: _Context) -> str:
    """Store the environment as it is now, after a trial has set torch's threads and precision; return its digest."""
    from harness.measure.torch_state import describe_torch

    return context.store.keep_environment(context.environment | {"torch": describe_torch()})


def _take(context: _Context, trial: OrderedTrial) -> None:
    """Run one trial unless it is taken or was finished since it was ordered."""
    order, store = context.order, context.store
    claim = store.claims_folder(order.experiment) / f"{trial.id}.json"
    if _answered(store, order, trial) or not claims.acquire(claim, context.worker, order.lease_seconds):
        return
    try:
        # Somebody may have finished it between the look and the claim.
        if not _answered(store, order, trial):
            scratch = store.runs_folder(order.experiment) / order.run / f"{TEMPORARY}{uuid.uuid4().hex}"
            try:
                _execute(context, trial, scratch)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    finally:
        claims.release(claim)


def _answered(store: Store, order: Order, trial: OrderedTrial) -> bool:
    return bool(set(store.attempt_ids(order.experiment, trial.id)) - set(trial.known_attempts))


def _execute(context: _Context, trial: OrderedTrial, scratch: Path) -> None:
    order, store = context.order, context.store
    folder = store.attempts_folder(order.experiment, trial.id)
    folder.mkdir(parents=True, exist_ok=True)
    # Whoever holds the claim is the only writer here: what has a temporary name was left by a process that died.
    for leftover in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    started = time.time()
    clock = time.perf_counter()
    attempt_id = new_attempt_id(started)
    checkpoint_folder = store.checkpoint_folder(order.experiment, trial.id) / order.code
    context.events.write("started", trial=trial.id)
    given = dict(trial.parameters)
    varied = str(given.pop(VARIED_STREAMS, ALL_STREAMS))
    run = Run(
        order.experiment,
        trial.replicate,
        order.device,
        order.threads,
        checkpoint_folder,
        scratch,
        lambda done, total: context.events.write("progress", trial=trial.id, done=done, total=total),
        varied,
    )
    records: tuple[dict[str, Any], ...] = ()
    failure = None
    moment = _moment()
    try:
        arguments = {name: context.function.parameters[name].check(value) for name, value in given.items()}
        returned = context.function.call(**arguments, **{RUN_ARGUMENT: run})
        records = checked_records(returned, trial.blocked)
    except (Exception, SystemExit) as error:
        _stop_on_full_disk(error)
        failure = _failure(error)
    attempt = Attempt(
        id=attempt_id,
        trial=trial.id,
        experiment=order.experiment,
        identity=trial.identity,
        arm=trial.arm,
        replicate=trial.replicate,
        records=records,
        failure=failure,
        started=started,
        seconds=time.perf_counter() - clock,
        code=order.code,
        environment=_kept_environment(context),
        moment=moment,
        run=order.run,
        worker=f"{context.worker}@{socket.gethostname()}",
    )
    write_attempt(folder, attempt, run.all_tables(), scratch if scratch.is_dir() else None)
    if failure is None:
        run.checkpoint.clear()
        with contextlib.suppress(OSError):
            checkpoint_folder.parent.rmdir()
    context.events.write(
        "finished",
        trial=trial.id,
        attempt=attempt_id,
        seconds=attempt.seconds,
        failure=failure.message if failure else None,
    )


def _stop_on_full_disk(error: BaseException) -> None:
    """A full disk is no property of the trial: let it end the worker instead of standing as the trial's failure."""
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        raise error


def _failure(error: BaseException) -> Failure:
    # The frames of the engine itself say nothing about the trial.
    trace = error.__traceback__.tb_next if error.__traceback__ and error.__traceback__.tb_next else error.__traceback__
    text = "".join(traceback.format_exception(type(error), error, trace))
    kind = "wrong records" if isinstance(error, RecordError) else "raised"
    message = f"{type(error).__name__}: {error}"
    return Failure(kind, type(error).__name__, message.splitlines()[0][:500], text[-20000:])


def _moment() -> dict[str, Any]:
    from harness.measure.environment import describe_moment

    return describe_moment()
