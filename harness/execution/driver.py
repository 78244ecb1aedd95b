"""The driver: orders trials from workers, follows what they say, and replaces those that die.

Outcomes are collected one by one. What counts in the end is read from the store, not from a worker's word.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import sys
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from harness.errors import UserError
from harness.execution.account import sweeping
from harness.execution.claims import Claims
from harness.execution.deaths import bury, end_overdue
from harness.execution.display import Display, Tally
from harness.execution.gpus import gpu_slots
from harness.execution.launchers import Launcher, LocalLauncher
from harness.execution.orders import EventReader, EventWriter, Order, OrderedTrial, ProcessName
from harness.execution.place import Place, available_cpus
from harness.execution.sweep import Outcome, Sweep, SweepWorker, collect, review, stop
from harness.execution.worker import execute
from harness.plan.design import Design
from harness.plan.state import TrialState
from harness.store.atomic import write_json
from harness.store.store import Store

if TYPE_CHECKING:
    from harness.execution.slurm.driver import Cluster

Executor = Literal["inline", "local", "slurm"]
EXECUTORS: tuple[Executor, ...] = ("inline", "local", "slurm")
FRUITLESS = 3
"""How many passes of a single worker may settle nothing before it is given up."""
ELSEWHERE_SECONDS = 0.5
"""How often the driver looks at trials that another driver is at."""


def worker_count(design: Design, jobs: int | None, trials: int) -> int:
    """Return how many trials run at a time: bounded by ``jobs``, by CPUs a trial, and by the trials there are.

    On CUDA it is one a GPU, or as many as the spec lets share one; ``jobs`` may ask for more to share them.
    """
    if design.resources.exclusive:
        return min(1, trials)
    fitting = max(1, available_cpus() // design.resources.cpus)
    wanted = jobs or (gpu_slots(design) if design.device == "cuda" else fitting)
    return max(0, min(wanted, fitting, trials))


def run_sweep(
    design: Design,
    wanted: Sequence[TrialState],
    store: Store,
    code: str,
    *,
    executor: Executor = "local",
    jobs: int | None = None,
    predicted: float | None = None,
    cluster: Cluster | None = None,
) -> Outcome:
    """Execute trials and return how it ended. Finished work stays finished, whatever happens.

    With the executor ``slurm``, ``cluster`` says where; an interruption leaves its tasks running.

    Raises:
        UserError: the store cannot be written, sbatch refuses, or workers end before their first trial.
    """
    store.require_writable()
    run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"
    folder = store.runs_folder(design.name) / run
    folder.mkdir(parents=True)
    threads = design.resources.cpus if executor == "slurm" else min(design.resources.cpus, available_cpus())
    sweep = Sweep(
        design,
        store,
        code,
        run,
        folder,
        threads,
        {entry.trial.id: _ordered(entry) for entry in wanted},
        Tally(len(wanted), predicted=predicted),
        Outcome(),
        Claims(store.claims_folder(design.name), Place.here()),
    )
    write_json(folder / "run.json", _description(sweep, executor))
    with sweeping(sweep.ran), Display(design.name, sweep.tally) as display:
        try:
            if executor == "inline":
                _inline(sweep, display)
            elif cluster is not None:
                _on_slurm(sweep, cluster, display)
            else:
                slots = worker_count(design, jobs, len(wanted))
                launcher = LocalLauncher(folder / "logs", design, sweep.threads)
                _follow(sweep, launcher, slots, display)
        except KeyboardInterrupt:
            sweep.outcome.interrupted = True
            stop(sweep)
            collect(sweep)
        except OSError:
            # A full disk is told in a sentence; anything else that the system refuses is a fault of ours.
            stop(sweep)
            sweep.outcome.store_error = store.problem()
            if not sweep.outcome.store_error:
                raise
    return sweep.outcome


def _on_slurm(sweep: Sweep, cluster: Cluster, display: Display) -> None:
    from harness.execution.slurm.controller import NoAnswer
    from harness.execution.slurm.driver import SlurmDriver

    driver = SlurmDriver(sweep, cluster, lambda trials: _order(sweep, trials, None), display)
    try:
        driver.run()
    except NoAnswer as error:
        raise UserError(
            f"{sweep.design.name}: Slurm does not answer any more ({error}); nothing was submitted"
        ) from error
    finally:
        sweep.outcome.jobs = tuple(driver.jobs)


def _ordered(entry: TrialState) -> OrderedTrial:
    trial = entry.trial
    return OrderedTrial(
        trial.id, trial.arm, trial.blocked, trial.parameters, trial.replicate, trial.identity, entry.known
    )


def _description(sweep: Sweep, executor: str) -> dict[str, object]:
    return {
        "experiment": sweep.design.name,
        "profile": sweep.design.profile_name,
        "executor": executor,
        "code": sweep.code,
        "command": sys.argv,
        "host": platform.node(),
        "started": time.time(),
        "trials": list(sweep.pending),
    }


def _order(sweep: Sweep, trials: Sequence[OrderedTrial], driver: ProcessName | None) -> Order:
    return Order(
        sweep.run,
        sweep.design.name,
        str(sweep.store.root),
        sweep.design.function.name,
        tuple(str(folder) for folder in sweep.design.experiment.search),
        sweep.code,
        sweep.design.device,
        sweep.threads,
        sweep.design.resources.exclusive,
        sweep.design.resources.fresh_process,
        driver,
        tuple(trials),
        tuple(sweep.claims.dead_among([trial.id for trial in trials])),
    )


def _inline(sweep: Sweep, display: Display) -> None:
    """Run the trials in this process, for debugging: prints and breakpoints reach the terminal."""
    reader = EventReader(sweep.folder / "events-inline.jsonl")
    worker = SweepWorker("inline", _NoJob(), reader, list(sweep.pending))
    sweep.workers.append(worker)

    def follow() -> None:
        collect(sweep)
        display.update()

    with contextlib.closing(EventWriter(sweep.folder / "events-inline.jsonl")) as events:
        fruitless = 0
        while sweep.pending and fruitless < FRUITLESS:
            before = len(sweep.pending)
            here = [trial for name, trial in sweep.pending.items() if name not in sweep.elsewhere]
            execute(_order(sweep, here, None), events, "inline", after_trial=follow)
            follow()
            review(sweep, sweep.pending)
            if sweep.outcome.code_moved:
                return
            # Whoever held a trial may have given it up since: then it is this process's turn.
            fruitless = 0 if len(sweep.pending) < before or sweep.elsewhere else fruitless + 1
            while len(sweep.elsewhere) == len(sweep.pending) > 0:
                time.sleep(ELSEWHERE_SECONDS)
                review(sweep, sweep.elsewhere)
                display.update()


class _NoJob:
    """Stands for the driver's own process."""

    def running(self) -> bool:
        return True

    def stop(self) -> None:
        pass

    def output(self) -> str:
        return ""


def _follow(sweep: Sweep, launcher: Launcher, slots: int, display: Display) -> None:
    """Keep up to ``slots`` workers busy until nothing is pending, other drivers' trials included."""
    driver = ProcessName.of(os.getpid())
    pause, looked = 0.02, 0.0
    while True:
        changed = collect(sweep)
        bury(sweep)
        end_overdue(sweep)
        if sweep.outcome.store_error or sweep.outcome.code_moved:
            stop(sweep)
            return
        if sweep.elsewhere and time.monotonic() - looked > ELSEWHERE_SECONDS:
            review(sweep, sweep.elsewhere)
            looked = time.monotonic()
        while len(sweep.workers) < slots and (trials := _next_chunk(sweep)):
            _launch(sweep, launcher, trials, driver)
        display.update()
        if not sweep.workers and not sweep.elsewhere:
            return
        # Look often while trials are short, seldom while one is being timed.
        pause = 0.02 if changed else min(0.5, pause * 1.5)
        time.sleep(pause)


def _next_chunk(sweep: Sweep) -> list[OrderedTrial]:
    """Return the trials for a new worker: all that are pending, shared by claims, or one for a fresh process."""
    if not sweep.design.resources.fresh_process:
        # Another worker that still runs, or another driver, may have them all in hand already.
        under_way = {worker.current for worker in sweep.workers} | sweep.elsewhere
        return [trial for name, trial in sweep.pending.items() if name not in under_way]
    in_hand = {name for worker in sweep.workers for name in worker.trials} | sweep.elsewhere
    return next(([trial] for name, trial in sweep.pending.items() if name not in in_hand), [])


def _launch(sweep: Sweep, launcher: Launcher, trials: list[OrderedTrial], driver: ProcessName) -> None:
    sweep.launched += 1
    name = f"worker{sweep.launched}"
    taken = {worker.slot for worker in sweep.workers}
    slot = next(number for number in itertools.count() if number not in taken)
    order_path = sweep.folder / f"order-{name}.json"
    events_path = sweep.folder / f"events-{name}.jsonl"
    _order(sweep, trials, driver).write(order_path)
    job = launcher.launch(order_path, events_path, name, slot)
    sweep.workers.append(SweepWorker(name, job, EventReader(events_path), [trial.id for trial in trials], slot))
