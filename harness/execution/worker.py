"""The worker: takes trials from an order, one after the other, and writes an attempt for each."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import UserError
from harness.execution.alone import alone
from harness.execution.answers import answer, any_open
from harness.execution.claims import Claims, Held
from harness.execution.gpus import VARIABLE as VISIBLE_GPUS
from harness.execution.guard import Guard, Interrupted
from harness.execution.heartbeat import Heart
from harness.execution.lifeline import end_with
from harness.execution.orders import EventWriter, Order, OrderedTrial, ProcessName
from harness.execution.place import Place
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


def work(order_path: str, events_path: str, worker: str, gpus: str) -> None:
    """Run an order's trials as a submitted job: what ``submitit`` calls in a fresh process.

    ``gpus`` are those that it may use, as ``CUDA_VISIBLE_DEVICES`` has them.
    """
    os.environ[VISIBLE_GPUS] = gpus
    order = Order.read(Path(order_path))
    if order.driver is not None:
        end_with([order.driver, ProcessName.of(os.getppid())])
    with contextlib.closing(EventWriter(Path(events_path))) as events:
        execute(order, events, worker)


class CodeMoved(Exception):
    """The code is no longer what the trials were ordered with."""


def execute(
    order: Order,
    events: EventWriter,
    worker: str,
    *,
    after_trial: Callable[[], None] = lambda: None,
    guard: Guard | None = None,
) -> None:
    """Run every trial of an order that nobody else has taken or finished; call ``after_trial`` after each.

    Raises:
        Interrupted: the guard has stopped the worker; the trial it was at is abandoned.
    """
    store = Store(Path(order.store))
    if not any_open(store, order):
        # Nothing is loaded for nothing: tasks of an array may come when others have done it all.
        events.write("end")
        return
    function = resolve(order.function, tuple(Path(folder) for folder in order.search))
    _limit_threads(order.threads)
    place = Place.here()
    with Heart(store.claims_folder(order.experiment)) as heart:
        claims = Claims(
            store.claims_folder(order.experiment), place, worker=worker, heart=heart.name, dead=order.dead_claims
        )
        context = _Context(order, store, function, _environment(order), worker, events, claims, place, guard or Guard())
        try:
            _require_same_code(context)
            _take_all(context, after_trial)
        except CodeMoved:
            events.write("code-moved")
            return
    if context.guard.may_start():
        events.write("end")


def _take_all(context: _Context, after_trial: Callable[[], None]) -> None:
    """Go through the trials; come back to those that somebody else held, for as long as that finds work."""
    trials: Sequence[OrderedTrial] = context.order.trials
    while trials:
        held, taken = [], 0
        for trial in trials:
            if not context.guard.may_start():
                return
            came = _take(context, trial)
            taken += came == "taken"
            if came == "held":
                held.append(trial)
            after_trial()
        trials = held if taken else []


@dataclass
class _Context:
    """What all trials of one order share; ``kept_environment`` is torch's state with the digest of what was stored."""

    order: Order
    store: Store
    function: TrialFunction
    environment: dict[str, Any]
    worker: str
    events: EventWriter
    claims: Claims
    place: Place
    guard: Guard
    code_seen: float = 0.0
    kept_environment: tuple[dict[str, Any] | None, str] | None = None


CODE_SECONDS = 5.0
"""How long the code is taken to be what it was: looking costs as much as a very short trial."""


def _require_same_code(context: _Context) -> None:
    """See that the sources are those that were ordered.

    Raises:
        CodeMoved: they are not.
    """
    now = time.monotonic()
    if now - context.code_seen > CODE_SECONDS or not context.code_seen:
        try:
            digest = fingerprint(context.order.function).digest
        except (UserError, OSError) as error:
            # An editor that is just saving: whatever it will be, it is not what was ordered.
            raise CodeMoved from error
        if digest != context.order.code:
            raise CodeMoved
        context.code_seen = now


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

    torch = describe_torch()
    # Trials of one order seldom change anything of it, and to write it down takes as long as a very short trial.
    if context.kept_environment is None or context.kept_environment[0] != torch:
        context.kept_environment = torch, context.store.keep_environment(context.environment | {"torch": torch})
    return context.kept_environment[1]


def _take(context: _Context, trial: OrderedTrial) -> Literal["taken", "held", "answered"]:
    """Run one trial unless it is taken or was finished since it was ordered."""
    order, store = context.order, context.store
    if answer(store, order.experiment, trial, order.code) != "open":
        return "answered"
    held = context.claims.acquire(trial.id)
    if held is None:
        return "held"
    try:
        # Somebody may have finished it between the look and the claim.
        if answer(store, order.experiment, trial, order.code) != "open":
            return "answered"
        scratch = store.runs_folder(order.experiment) / order.run / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            with alone(order.exclusive):
                _execute(context, trial, scratch, held)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return "taken"
    finally:
        context.claims.release(held)


def _execute(context: _Context, trial: OrderedTrial, scratch: Path, held: Held) -> None:
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
    context.events.write("started", trial=trial.id, attempt=attempt_id, began=started)
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
        context.guard.checkpointed,
    )
    records: tuple[dict[str, Any], ...] = ()
    failure, interrupted = None, None
    moment = _moment()
    try:
        arguments = {name: context.function.parameters[name].check(value) for name, value in given.items()}
        with context.guard.trial():
            returned = context.function.call(**arguments, **{RUN_ARGUMENT: run})
        records = checked_records(returned, trial.blocked)
    except (Exception, SystemExit) as error:
        _stop_on_full_disk(error)
        failure = _failure(error)
    except Interrupted as interruption:
        failure, interrupted = context.guard.failure(), interruption
        if failure is None:
            context.events.write("interrupted", trial=trial.id)
            raise
    _require_same_code(context)
    if not context.claims.still_held(held):
        # This machine was taken for dead, and somebody else is at the trial: theirs counts.
        context.events.write("lost", trial=trial.id)
        return
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
        worker=f"{context.worker}@{context.place.host}",
        place=context.place.kept(),
    )
    try:
        write_attempt(folder, attempt, run.all_tables(), scratch if scratch.is_dir() else None)
    except FileExistsError:
        # This process was taken for dead, and its attempt was written down as such: that stands.
        context.events.write("lost", trial=trial.id)
        return
    if failure is None:
        run.checkpoint.clear()
        with contextlib.suppress(OSError):
            checkpoint_folder.parent.rmdir()
    context.events.write(
        "finished",
        trial=trial.id,
        attempt=attempt_id,
        seconds=attempt.seconds,
        failure=failure.kind if failure else None,
    )
    if interrupted is not None and not context.guard.may_start():
        raise interrupted


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
