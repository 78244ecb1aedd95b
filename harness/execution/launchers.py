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

    def launch(self, order_path: Path, events_path: Path, worker: str) -> Job:
        """Start one worker on an order."""
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
    """Processes on this machine, through submitit's local executor."""

    def __init__(self, logs: Path, design: Design, threads: int) -> None:
        self._logs = logs
        self._design = design
        self._threads = threads

    def launch(self, order_path: Path, events_path: Path, worker: str) -> Job:
        import submitit

        # A folder of its own for each job: submitit names files after process numbers, which come again.
        folder = self._logs / f"{worker}-{uuid.uuid4().hex[:8]}"
        executor = submitit.LocalExecutor(folder=folder)
        gpus = max(1, self._design.resources.gpus) if self._design.device == "cuda" else 0
        # The driver ends a trial that takes too long; submitit's own limit is on the job, which is many trials.
        executor.update_parameters(timeout_min=60 * 24 * 365, gpus_per_node=gpus, **_visible_gpus(gpus))
        with _thread_limits(self._threads), _interrupts_blocked():
            job = executor.submit(work, str(order_path), str(events_path), worker)
        return LocalJob(job, folder)


def _visible_gpus(gpus: int) -> dict[str, tuple[int, ...]]:
    """Keep to the GPUs that the user has made visible; submitit counts from zero otherwise."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if not gpus or not given or not all(part.isdigit() for part in given.split(",")):
        return {}
    return {"visible_gpus": tuple(int(part) for part in given.split(","))}


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
