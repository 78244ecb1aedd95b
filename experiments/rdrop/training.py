"""Training a stack of models with R-Drop or without it, evaluated on the way, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch
from torch import Tensor

from experiments.rdrop.conventions import ConventionName
from experiments.rdrop.dropout import MaskDrawer
from experiments.rdrop.loss import rdrop_loss
from experiments.rdrop.optimiser_settings import OptimiserSettings
from experiments.rdrop.stacks import Laid, Stack
from experiments.rdrop.tasks import Examples
from harness.execution.run import Checkpoint
from harness.execution.scalars import are_kept
from harness.execution.streams import Stream

CHECKPOINT_SECONDS = 60.0
"""How often the state is kept: what an interrupted training loses at most."""

Course = list[dict[str, Any]]
"""What was measured on the way: a row a step and model, with its ``step`` and the place of its ``model``."""


@dataclass(frozen=True)
class Training:
    """How long, and by what loss and optimiser, models are trained.

    ``passes`` over every example of a step; with ``every`` k, only every k-th step has them, and those between have
    one. ``evaluate`` is the number of steps from one evaluation to the next.
    """

    steps: int
    batch_size: int
    passes: int
    alpha: float
    optimiser: OptimiserSettings
    convention: ConventionName = "paper"
    label_smoothing: float = 0.0
    every: int = 1
    evaluate: int = 50

    @property
    def passes_in_all(self) -> int:
        """Passes over a batch in the whole training: what it costs."""
        return sum(self.passes_at(step) for step in range(self.steps))

    def passes_at(self, step: int) -> int:
        return self.passes if step % self.every == 0 else 1


@dataclass
class Outcome:
    """``course`` of the evaluations; ``logged`` the loss and the length of its gradient at equal distances.

    ``diverged`` is the step, by model, at which a loss was seen not to be finite; the others of a stack are trained on.
    """

    course: Course = field(default_factory=list)
    logged: Course = field(default_factory=list)
    diverged: dict[int, int] = field(default_factory=dict)

    def log(self, step: int, losses: Tensor, norms: Tensor) -> None:
        """Keep each model's loss in a step and the length of its gradient."""
        for place, (loss, norm) in enumerate(zip(losses.tolist(), norms.tolist(), strict=True)):
            self.logged.append({"step": step, "model": place, "loss": loss, "gradient_norm": norm})

    def add(self, step: int, rows: Sequence[Mapping[str, float]], losses: Tensor) -> None:
        """Keep an evaluation: a row a model, with its loss of the step before."""
        for place, row in enumerate(rows):
            loss = float(losses[place])
            self.course.append({"step": step, "model": place, "loss": loss, **row})
            if not all(map(math.isfinite, (loss, row.get("nll", 0.0)))):
                self.diverged.setdefault(place, step)


class Order:
    """Which examples a step takes: every epoch all of them in a new order, with what is left of a batch dropped."""

    def __init__(self, stream: Stream, count: int, batch_size: int) -> None:
        if count < batch_size:
            raise ValueError(f"{count} training examples do not fill a batch of {batch_size}")
        self.stream, self.count, self.batch_size = stream, count, batch_size
        self.per_epoch = count // batch_size
        self._epoch: tuple[int, numpy.ndarray] | None = None

    def indices(self, step: int) -> numpy.ndarray:
        """Return the indices of a step's batch, int64 [batch]."""
        epoch, place = divmod(step, self.per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self.stream.child(epoch).numpy.permutation(self.count))
        return self._epoch[1][place * self.batch_size : (place + 1) * self.batch_size]


def train(
    stack: Stack,
    examples: Examples,
    training: Training,
    orders: Sequence[Order],
    drawers: Sequence[MaskDrawer] | None,
    evaluate: Callable[[int], Sequence[Mapping[str, float]]],
    *,
    device: torch.device,
    dropout: Sequence[Stream] | None = None,
    kept: dict[str, Any] | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Train every model of a stack in place on batches of its own order, with the loss of Equation 4.

    Args:
        orders: one a model.
        drawers: of dropout masks, one a model; None where models have dropout layers of their own.
        evaluate: called with the number of steps made; returns a row of metrics a model.
        dropout: a stream a model that seeds dropout layers of its own, step by step; for models without ``drawers``.
        kept: what ``evaluate`` remembers from one call to the next; it goes into the checkpoint too.
        checkpoint: where the state is kept every ``CHECKPOINT_SECONDS``, and taken up again.
    """
    outcome = Outcome()
    first = 0
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        first, outcome.course, outcome.diverged = state["step"], state["course"], state["diverged"]
        outcome.logged = state["logged"]
        stack.resume(state["stack"])
        if kept is not None:
            kept.update(state["kept"])
        for drawer, place in zip(drawers or (), state["drawers"], strict=True):
            drawer.resume(place)
    saved = time.monotonic()
    inputs, targets = examples.inputs.to(device), examples.targets.to(device)
    for step in range(first, training.steps):
        passes = training.passes_at(step)
        index = torch.from_numpy(numpy.stack([order.indices(step) for order in orders])).to(device)
        batch = inputs[index]
        # One forward pass over the doubled batch, as in the released code.
        batch = torch.cat([batch] * passes, dim=1) if passes > 1 else batch
        masks = None if drawers is None else laid_masks(drawers, training.batch_size, passes, device)
        losses = make_step(stack, batch, targets[index], masks, training, step, dropout)
        if are_kept(step, training.steps):
            outcome.log(step, losses, stack.gradient_norms())
        done = step + 1
        if done % training.evaluate == 0 or done == training.steps:
            if not bool(torch.isfinite(losses).any()):
                outcome.diverged = {**dict.fromkeys(range(len(losses)), done), **outcome.diverged}
                break
            outcome.add(done, evaluate(done), losses)
        if checkpoint and time.monotonic() - saved > CHECKPOINT_SECONDS and done < training.steps:
            saved = time.monotonic()
            checkpoint.save(_state(done, outcome, stack, drawers, kept))
        if progress:
            progress(done, training.steps)
    return outcome


def make_step(
    stack: Stack,
    batch: Tensor,
    targets: Tensor,
    masks: Laid,
    training: Training,
    step: int,
    dropout: Sequence[Stream] | None = None,
) -> Tensor:
    """Make one step of every model on a batch [S, passes x batch, ...]; return the losses [S]."""
    passes = batch.shape[1] // targets.shape[1]

    def loss(logits: Tensor, wanted: Tensor) -> Tensor:
        return rdrop_loss(
            logits, wanted, training.alpha, passes=passes, convention=training.convention,
            label_smoothing=training.label_smoothing, keep=wanted >= 0,
        ).total  # fmt: skip

    seeded = None if dropout is None else [stream.child(step) for stream in dropout]
    return stack.step(batch, targets, masks, loss, training.optimiser.rate_at(step, training.steps), seeded)


def laid_masks(drawers: Sequence[MaskDrawer], batch_size: int, passes: int, device: torch.device) -> dict[str, Tensor]:
    """Return the masks of a step by site, [S, passes x batch, ...]: one drawer a model."""
    drawn = [drawer.draw(batch_size, passes) for drawer in drawers]
    if len(drawn) == 1:
        return {site: mask[None].to(device) for site, mask in drawn[0].items()}
    return {site: torch.stack([own[site] for own in drawn]).to(device) for site in drawn[0]}


def _state(
    step: int,
    outcome: Outcome,
    stack: Stack,
    drawers: Sequence[MaskDrawer] | None,
    kept: dict[str, Any] | None,
) -> dict[str, Any]:
    return {
        "step": step,
        "course": outcome.course,
        "logged": outcome.logged,
        "diverged": outcome.diverged,
        "stack": stack.state(),
        "drawers": [drawer.state() for drawer in drawers or ()],
        "kept": kept,
    }
