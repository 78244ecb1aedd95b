"""Where workers run. submitit starts them; the driver only asks whether they still run."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import psutil

from harness.execution.gpus import gpus_of_slot, gpus_of_trial, visible_gpus
from harness.execution.worker import work
from harness.plan.design import Design


class Job(Protocol):
    """A worker that was launched."""

    def running(self) -> bool:
        """Say whether the worker's process has not ended."""
        ...

    def stop(self) -> None:
        """Ask the worker to end; what it finished stays."""
        ...

    def output(self) -> str:
        """Return the end of what the worker printed on standard error."""
        ...


class Launcher(Protocol):
    """Starts workers somewhere."""

    def launch(self, order_path: Path, events_path: Path, worker: str, slot: int) -> Job:
        """Start one worker on an order; no other worker that runs has its ``slot``, a number from 0."""
        ...


class LocalJob:
    """A submitit job on this machine."""

    def __init__(self, job: object, folder: Path) -> None:
        self._job = job
        self._folder = folder

    def running(self) -> bool:
        return not self._job.done()  # type: ignore[attr-defined]

    def stop(self) -> None:
        # submitit's own cancel sends an interrupt, which these processes are shielded from; the worker sees its
        # parent gone and ends at once.
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(int(self._job.job_id)).kill()  # type: ignore[attr-defined]

    def output(self) -> str:
        texts = [path.read_text(errors="replace") for path in sorted(self._folder.glob("*_log.err"))]
        return "".join(texts)[-4000:]


class LocalLauncher:
    """Processes on this machine, through submitit's local executor; on CUDA each sees the GPUs of its slot alone."""

    def __init__(self, logs: Path, design: Design, threads: int) -> None:
        self._logs = logs
        self._threads = threads
        self._gpus = visible_gpus() if design.device == "cuda" else ()
        self._each = gpus_of_trial(design)

    def launch(self, order_path: Path, events_path: Path, worker: str, slot: int) -> Job:
        import submitit

        # A folder of its own for each job: submitit names files after process numbers, which come again.
        folder = self._logs / f"{worker}-{uuid.uuid4().hex[:8]}"
        executor = submitit.LocalExecutor(folder=folder)
        # The driver ends a trial that takes too long; submitit's own limit is on the job, which is many trials.
        executor.update_parameters(timeout_min=60 * 24 * 365)
        # submitit would give every job the first GPUs, and knows them by number only, so the worker is told its own.
        gpus = ",".join(gpus_of_slot(slot, self._gpus, self._each))
        with _thread_limits(self._threads), _interrupts_blocked():
            job = executor.submit(work, str(order_path), str(events_path), worker, gpus)
        return LocalJob(job, folder)


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Shield processes that start within the block from Ctrl-C, which a terminal sends to all: the driver ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _thread_limits(threads: int) -> Iterator[None]:
    """Set the variables that numerical libraries read once, when they are loaded."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
