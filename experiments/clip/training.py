"""Training of small models, resumable at any step with the same result, bit for bit on the CPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from experiments.clip.optimiser_settings import OptimiserSettings
from harness.execution.run import Checkpoint
from harness.execution.scalars import are_kept, gradient_norm
from harness.execution.streams import Stream

CHECKPOINT_SECONDS = 60.0
"""How often the state is kept: what an interrupted training loses at most."""

Loss = Callable[[Tensor], Tensor]
"""The loss of a batch, by the indices of its examples."""


@dataclass
class Outcome:
    """``logged`` has the loss and the length of its gradient at equal distances.

    ``diverged_at`` is the step whose loss was seen not to be finite.
    """

    logged: list[dict[str, float]] = field(default_factory=list)
    diverged_at: int | None = None


def train(
    model: nn.Module,
    loss_of: Loss,
    examples: int,
    settings: OptimiserSettings,
    steps: int,
    batch_size: int,
    order: Stream,
    *,
    after_step: Callable[[], None] | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Train ``model`` in place on batches drawn without replacement, epoch by epoch; what is left of one is dropped.

    Args:
        examples: how many there are; a batch is at most all of them.
        order: the stream of their order; an epoch's depends on its number alone.
        after_step: called after each step of the optimiser, such as to clip the temperature.
    """
    optimiser = _optimiser(model, settings)
    outcome, first = Outcome(), 0
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        first, outcome.logged = state["step"], state["logged"]
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
    batch_size = min(batch_size, examples)
    per_epoch = examples // batch_size
    shuffled, epoch = torch.empty(0), -1
    model.train()
    saved = time.monotonic()
    for step in range(first, steps):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            shuffled = torch.randperm(examples, generator=order.child(epoch).torch())
        start = (step % per_epoch) * batch_size
        for group in optimiser.param_groups:
            group["lr"] = settings.rate_at(step, steps)
        loss = loss_of(shuffled[start : start + batch_size])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = gradient_norm(model.parameters()) if are_kept(step, steps) else None
        optimiser.step()
        if after_step:
            after_step()
        if norm is not None:
            row = {"step": step, "loss": float(loss.detach()), "gradient_norm": float(norm)}
            outcome.logged.append({**row, "learning_rate": group["lr"]})
            if not math.isfinite(outcome.logged[-1]["loss"]):
                outcome.diverged_at = step
                break
        if checkpoint and time.monotonic() - saved > CHECKPOINT_SECONDS and step + 1 < steps:
            saved = time.monotonic()
            checkpoint.save(_state(step + 1, model, optimiser, outcome))
        if progress:
            progress(step + 1, steps)
    model.eval()
    return outcome


def _optimiser(model: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Return AdamW; only matrices decay, as in section 2.5 (gains, biases and the temperature do not)."""
    decays = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": decays, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, eps=settings.epsilon, fused=True)


def _state(step: int, model: nn.Module, optimiser: torch.optim.Optimizer, outcome: Outcome) -> dict[str, Any]:
    return {
        "step": step,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "logged": outcome.logged,
    }
