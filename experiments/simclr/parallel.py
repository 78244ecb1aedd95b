"""One model trained by several processes, a GPU each: global batch, global negatives, global batch norm."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from experiments.simclr.setup import Setup, build_for, views_for
from experiments.simclr.training import Outcome, train
from experiments.simclr.views import Share
from harness.execution.run import Checkpoint, Run

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

POLLED_SECONDS = 0.2


@dataclass(frozen=True)
class Assignment:
    """What a process needs to know of the trial: the streams' names, the device, and where its checkpoint lies."""

    setup: Setup
    experiment: str
    replicate: int
    varied: str
    device: str
    threads: int
    checkpoint: Path
    folder: Path


class _ReadOnly(Checkpoint):
    """A checkpoint that every process takes up and only the first one writes."""

    def save(self, state: Any) -> None:
        return None


def train_in_processes(run: Run, setup: Setup) -> tuple[dict[str, Any], Outcome]:
    """Train with ``setup.processes`` processes; return the model's state and what was seen on the way.

    On GPUs batch norm looks at the global batch, as in the paper; on the CPU, for which torch has no such layer, each
    process looks at its share. The first process' images and loss stand for all in what is logged.

    Raises:
        ProcessRaisedException: a process failed; the others were ended.
    """
    with tempfile.TemporaryDirectory(prefix="simclr-") as name:
        folder = Path(name)
        kind = torch.device(run.device).type
        assignment = Assignment(
            setup,
            run.experiment,
            run.replicate,
            run.varied_streams,
            kind,
            run.threads or 1,
            run.checkpoint.folder,
            folder,
        )
        context = torch.multiprocessing.get_context("spawn")
        done = context.Value("q", 0)
        total = context.Value("q", 1)
        started = torch.multiprocessing.start_processes(
            _process, (assignment, done, total), nprocs=setup.processes, join=False, start_method="spawn"
        )
        while not started.join(timeout=POLLED_SECONDS):
            run.progress(done.value, total.value)
        state, outcome = torch.load(folder / "trained.pt", map_location="cpu", weights_only=False)
    return state, outcome


def _process(rank: int, assignment: Assignment, done: Synchronized[int], total: Synchronized[int]) -> None:
    setup = assignment.setup
    gpus = assignment.device == "cuda"
    device = torch.device(f"cuda:{rank}") if gpus else torch.device("cpu")
    torch.set_num_threads(assignment.threads)
    if gpus:
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if gpus else "gloo",
        init_method=f"file://{assignment.folder}/meet",
        rank=rank,
        world_size=setup.processes,
    )
    try:
        run = Run(
            assignment.experiment,
            assignment.replicate,
            str(device),
            assignment.threads,
            varied_streams=assignment.varied,
        )
        dataset, model = build_for(run, setup)
        inner: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model) if gpus else model
        inner = inner.to(device)
        views, training = views_for(run, setup, dataset, device, Share(rank, setup.processes))
        total.value = training.steps
        checkpoint = Checkpoint(assignment.checkpoint) if rank == 0 else _ReadOnly(assignment.checkpoint)
        wrapped = DistributedDataParallel(inner, device_ids=[rank] if gpus else None)

        def progress(step: int, _: int) -> None:
            done.value = step

        outcome = train(
            wrapped,
            views,
            training,
            device,
            checkpoint=checkpoint,
            progress=progress if rank == 0 else None,
            gather=True,
        )
        if rank == 0:
            torch.save((inner.state_dict(), outcome), assignment.folder / "trained.pt")
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
