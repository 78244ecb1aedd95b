"""Contrastive training: SimCLR's Algorithm 1, resumable at any step with the same result, bit for bit on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from experiments.simclr.loss import contrastive_statistics, nt_xent
from experiments.simclr.optimisation import build_optimiser, learning_rate_at
from experiments.simclr.optimiser_settings import OptimiserSettings, Precision
from experiments.simclr.views import Views
from harness.execution.run import Checkpoint
from harness.execution.scalars import are_kept, gradient_norm

CHECKPOINT_SECONDS = 60.0
"""How often the state is kept: what an interrupted training loses at most."""
PROBED_STEPS = {"cpu": 1, "cuda": 50}
"""Every how manieth step is timed by part: a GPU must be waited for at each mark, which costs."""


@dataclass(frozen=True)
class Training:
    """How long, and by what loss and optimiser, a model is trained."""

    steps: int
    batch_size: int
    temperature: float
    optimiser: OptimiserSettings
    normalise: bool = True
    precision: Precision = "float32"


@dataclass
class Outcome:
    """What training left behind.

    ``milliseconds`` holds, by part of a step, the time of every step that was timed; ``logged`` the loss, the length of
    its gradient, the contrastive accuracy (%) and the entropy (nats) at equal distances and at the last step;
    ``looks`` what was measured on the way. ``diverged_at`` is the step at which the loss was seen not to be a finite
    number, ``steps`` how many were to be made.
    """

    steps: int
    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    logged: list[dict[str, float]] = field(default_factory=list)
    looks: list[dict[str, float]] = field(default_factory=list)
    diverged_at: int | None = None


@dataclass(frozen=True)
class Looks:
    """What is measured on the way, so many times at equal distances; it must leave the model and all streams alone."""

    times: int
    measure: Callable[[], Mapping[str, float]]

    def are_due(self, done: int, steps: int) -> bool:
        """Say whether it is time after so many steps; the end is for others to look at."""
        return self.times > 0 and done < steps and done % max(1, steps // (self.times + 1)) == 0


class Stopwatch:
    """Times the parts of a step, where the step is one that is timed; a part that runs twice counts with both."""

    def __init__(self, device: torch.device, milliseconds: dict[str, list[float]]) -> None:
        self.device = device
        self.milliseconds = milliseconds
        self._step: dict[str, float] | None = None

    def start(self, timed: bool) -> None:
        """Begin a step, and keep the one before it."""
        for name, value in (self._step or {}).items():
            self.milliseconds.setdefault(name, []).append(value)
        self._step = {} if timed else None

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        if self._step is None:
            yield
            return
        started = self._now()
        yield
        self._step[name] = self._step.get(name, 0.0) + (self._now() - started) / 1e6

    def _now(self) -> int:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter_ns()


def train(
    model: nn.Module,
    views: Views,
    training: Training,
    device: torch.device,
    *,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int, int], None] | None = None,
    looks: Looks | None = None,
    gather: bool = False,
) -> Outcome:
    """Train ``model`` in place to minimise NT-Xent between two views of every image (Algorithm 1).

    Args:
        views: batches and their augmentation, by step.
        checkpoint: where the state is kept every ``CHECKPOINT_SECONDS``, and taken up again.
        gather: contrast with the vectors of all processes (``model`` is then wrapped for data parallel training).
    """
    optimiser = build_optimiser(model, training.optimiser, training.batch_size)
    outcome = Outcome(training.steps)
    first = 0
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        first = state["step"]
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        outcome.logged, outcome.looks = state["logged"], state["looks"]
        outcome.milliseconds = state["milliseconds"]
    model.train()
    # Convolutions are faster where an image's channels lie side by side, on the CPU as on GPUs.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    watch = Stopwatch(device, outcome.milliseconds)
    saved = time.monotonic()
    batches = views.batches(first, training.steps)
    for step in range(first, training.steps):
        watch.start(step % PROBED_STEPS[device.type] == 0)
        with watch.part("data"):
            images = next(batches)
        with watch.part("augmentation"):
            one, two = views.augmented(images, step)
        rate = learning_rate_at(step, training.steps, training.optimiser, training.batch_size)
        for group in optimiser.param_groups:
            group["lr"] = rate
        views_of_step = torch.cat([one, two]).contiguous(memory_format=torch.channels_last)
        kept = are_kept(step, training.steps)
        loss, vectors, norm = descend(model, views_of_step, training, optimiser, watch, gather, kept)
        if norm is not None:
            row = {"step": step, "loss": float(loss), "gradient_norm": float(norm), "learning_rate": rate}
            outcome.logged.append({**row, **_contrast(vectors, training)})
            if not _all_finite(loss, gather):
                outcome.diverged_at = step
                break
        if looks and looks.are_due(step + 1, training.steps):
            outcome.looks.append({"step": step + 1, **looks.measure()})
        if checkpoint and time.monotonic() - saved > CHECKPOINT_SECONDS and step + 1 < training.steps:
            saved = time.monotonic()
            checkpoint.save(_state(step + 1, model, optimiser, outcome))
        if progress:
            progress(step + 1, training.steps)
    watch.start(False)
    return outcome


def descend(
    model: nn.Module,
    images: Tensor,
    training: Training,
    optimiser: torch.optim.Optimizer,
    watch: Stopwatch,
    gather: bool,
    kept: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Make one step of the optimiser; return the loss, z of both views [2N, d], and the length of the gradient.

    The last is None unless the step's scalars are kept.
    """
    half = training.precision == "bfloat16"
    precision: Any = torch.autocast(images.device.type, torch.bfloat16) if half else nullcontext()
    with watch.part("encoder"), precision:
        # Both views in one pass, as in the released code: batch norm sees the whole 2N.
        vectors = model(images)
    with watch.part("loss"):
        first, second = vectors.float().chunk(2)
        loss = nt_xent(first, second, training.temperature, normalise=training.normalise, gather=gather)
    with watch.part("encoder"):
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
    norm = gradient_norm(model.parameters()) if kept else None
    with watch.part("optimiser"):
        optimiser.step()
    return loss.detach(), vectors.detach().float(), norm


def _contrast(vectors: Tensor, training: Training) -> dict[str, float]:
    first, second = vectors.chunk(2)
    found = contrastive_statistics(first, second, training.temperature, normalise=training.normalise)
    return {"contrastive_accuracy": found.accuracy, "entropy": found.entropy}


def _all_finite(loss: Tensor, gather: bool) -> bool:
    """Say whether the loss is finite in every process that trains this model: they stop together or not at all."""
    finite = torch.isfinite(loss).float()
    if gather and torch.distributed.is_initialized():
        torch.distributed.all_reduce(finite, torch.distributed.ReduceOp.MIN)
    return bool(finite)


def _state(step: int, model: nn.Module, optimiser: torch.optim.Optimizer, outcome: Outcome) -> dict[str, Any]:
    return {
        "step": step,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "logged": outcome.logged,
        "looks": outcome.looks,
        "milliseconds": outcome.milliseconds,
    }
