"""Projection heads g, z = g(h) (section 4.2 and Figure 8)."""

from __future__ import annotations

import copy

from torch import nn

from experiments.simclr.encoder_settings import HeadName
from harness.execution.streams import Stream


def projection_head(
    kind: HeadName,
    input_dimension: int,
    output_dimension: int,
    hidden_dimension: int | None = None,
    *,
    hidden_batch_norm: bool = False,
) -> nn.Module:
    """Return a head from h [N, input dimension] to z [N, output dimension].

    ``none``: z is h. ``linear``: z = W h. ``nonlinear``: z = W2 ReLU(W1 h), as in section 2.1, on request with batch
    norm before the ReLU. ``released``: three layers with batch norm after each, as the released code has by default
    (``num_proj_layers`` 3; the last batch norm has no shift). The hidden width is that of h unless given.

    Like the paper's formulas, ``linear`` and ``nonlinear`` end without batch norm, which the released code puts after
    every layer of those heads too. First weights are torch's, not the released code's normal ones of deviation 0.01.

    Raises:
        ValueError: without a head the output's width must be the input's.
    """
    hidden = hidden_dimension or input_dimension
    if kind == "none":
        if output_dimension != input_dimension:
            raise ValueError(
                f"without a head z is h, so the output dimension must be {input_dimension}, not {output_dimension}"
            )
        return nn.Identity()
    if kind == "linear":
        return nn.Linear(input_dimension, output_dimension, bias=False)
    if kind == "nonlinear":
        middle = [nn.BatchNorm1d(hidden)] if hidden_batch_norm else []
        return nn.Sequential(
            nn.Linear(input_dimension, hidden, bias=not hidden_batch_norm),
            *middle,
            nn.ReLU(inplace=True),
            nn.Linear(hidden, output_dimension, bias=False),
        )
    last = nn.BatchNorm1d(output_dimension)
    last.bias.requires_grad_(False)
    return nn.Sequential(
        nn.Linear(input_dimension, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True),
        nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True),
        nn.Linear(hidden, output_dimension, bias=False), last,
    )  # fmt: skip


def untrained_like(head: nn.Module, init: Stream) -> nn.Module:
    """Return a head of the same shape with fresh weights from a stream: the control for what any such head loses."""
    fresh = copy.deepcopy(head)
    with init.as_torch_default():
        for module in fresh.modules():
            if isinstance(module, nn.Linear | nn.BatchNorm1d):
                module.reset_parameters()
    return fresh
