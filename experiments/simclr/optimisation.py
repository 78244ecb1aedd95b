"""Optimisers and the learning rate over training (appendix B of the paper, and its released code)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from experiments.simclr.optimiser_settings import OptimiserSettings

TRUST_COEFFICIENT = 0.001
"""LARS' eta, as in the released code."""


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return two groups: weights, and biases with batch norm's parameters, which are neither decayed nor adapted.

    LARS adapts only what is decayed; without any decay at all the two groups remain, and ``build_optimiser`` says which
    is adapted.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (decayed if parameter.ndim > 1 else plain).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def build_optimiser(model: nn.Module, settings: OptimiserSettings, batch_size: int) -> torch.optim.Optimizer:
    """Return the optimiser of a model's parameters; LARS (You et al. 2017) is timm's."""
    groups = parameter_groups(model, settings.weight_decay)
    rate = settings.scaled(batch_size)
    if settings.kind == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    if settings.kind == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum)
    from timm.optim import Lars

    if settings.weight_decay == 0:
        # timm takes "decayed" for "adapted"; the smallest number keeps the weights adapted and decays nothing.
        groups[0]["weight_decay"] = 1e-30
    return Lars(groups, lr=rate, momentum=settings.momentum, trust_coeff=TRUST_COEFFICIENT)


def learning_rate_at(step: int, steps: int, settings: OptimiserSettings, batch_size: int) -> float:
    """Return the learning rate of a step, counted from 0: a linear rise from 0, then half a cosine to 0.

    As in the released code: step / warm-up while step < warm-up; then the cosine over the steps that are left.
    """
    highest = settings.scaled(batch_size)
    warmup = round(settings.warmup_fraction * steps)
    if step < warmup:
        return highest * step / warmup
    if settings.schedule == "constant" or steps == warmup:
        return highest
    return highest * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
