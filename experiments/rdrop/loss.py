"""The R-Drop loss (Equations 2 to 4 of the paper), in any of its conventions, for classes and for sequences."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from experiments.rdrop.conventions import CONVENTIONS, ConventionName

FLOOR = -1e30
"""Takes the place of a logit of minus infinity: its probability is exactly 0, and no difference of two is NaN."""


@dataclass(frozen=True)
class Loss:
    """The loss with its two parts as they stand in it: ``total = cross_entropy + alpha * divergence``.

    All are scalars. ``divergence`` has the convention's weight and reduction, but not alpha; where alpha is 0, or there
    is but one pass, it is not computed and 0.
    """

    total: Tensor
    cross_entropy: Tensor
    divergence: Tensor


def rdrop_loss(
    logits: Tensor,
    targets: Tensor,
    alpha: float,
    *,
    passes: int = 2,
    convention: ConventionName = "paper",
    label_smoothing: float = 0.0,
    keep: Tensor | None = None,
) -> Loss:
    """Return the loss of a batch that stands ``passes`` times in ``logits``, one pass after the other.

    Two passes are the paper's. With m of them the cross-entropy has the same weight in all, shared equally, and the
    divergence is that weight's mean over all pairs of passes; with one, the cross-entropy has the weight of both and
    there is no divergence, so that plain training is the same loss at the same scale. Gradients run through both sides
    of a divergence. "Averaged" is over the examples of one copy, or over the kept tokens of one copy.

    A logit of minus infinity forbids a class: it gets no probability, no label smoothing and no gradient.

    Args:
        logits: [passes x batch, classes], or [passes x batch, length, vocabulary].
        targets: [batch] or [batch, length], int64.
        alpha: weight of the divergence, as ``convention`` counts it.
        label_smoothing: share of the target that is spread over all allowed classes (as torch spreads it).
        keep: [batch] or [batch, length], true where a target counts (not padding); None: everywhere.

    Raises:
        ValueError: shapes do not fit, or the convention knows no such number of passes.
    """
    form = CONVENTIONS[convention]
    if passes > 2 and form.first != form.second:
        raise ValueError(f"the convention '{convention}' counts one of two passes, so it has no form for {passes}")
    if passes < 1:
        raise ValueError(f"a step passes over its examples once at least, not {passes} times")
    if keep is not None and keep.shape != targets.shape:
        raise ValueError(f"'keep' {list(keep.shape)} does not have the shape of the targets {list(targets.shape)}")
    if logits.shape[0] != passes * targets.shape[0] or logits.shape[1:-1] != targets.shape[1:]:
        raise ValueError(
            f"logits {list(logits.shape)} are not {passes} passes over targets {list(targets.shape)} and classes"
        )
    log_p = _log_probabilities(logits).unflatten(0, (passes, targets.shape[0]))
    kept = torch.ones_like(targets, dtype=log_p.dtype) if keep is None else keep.to(log_p.dtype)
    count = kept.sum().clamp(min=1.0)
    negative = _cross_entropies(log_p, targets, label_smoothing)
    shares = [form.cross_entropy / passes] * passes if passes != 2 else [form.first, form.second]
    weights = negative.new_tensor(shares).view(-1, *[1] * targets.ndim)
    cross_entropy = (weights * negative * kept).sum() / count
    if passes == 1 or alpha == 0:
        return Loss(cross_entropy, cross_entropy, torch.zeros_like(cross_entropy))
    divergence = form.divergence * (mean_over_pairs(log_p) * kept).sum()
    if not form.summed:
        divergence = divergence / count
    return Loss(cross_entropy + alpha * divergence, cross_entropy, divergence)


def symmetric_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return KL(p || q) + KL(q || p) over the last axis, in nats: the sum of (p - q)(log p - log q)."""
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


def _log_probabilities(logits: Tensor) -> Tensor:
    """Return log softmax in at least float32; a forbidden class has ``FLOOR``, a finite number."""
    wide = logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
    return torch.log_softmax(wide.clamp(min=FLOOR), -1)


def _cross_entropies(log_p: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """Return the cross-entropy of every target in every pass, [passes, batch, ...]."""
    index = targets.clamp(min=0).expand(log_p.shape[:-1]).unsqueeze(-1)
    negative = -log_p.gather(-1, index).squeeze(-1)
    if label_smoothing == 0:
        return negative
    allowed = log_p > FLOOR / 2
    spread = -torch.where(allowed, log_p, 0.0).sum(-1) / allowed.sum(-1)
    return (1.0 - label_smoothing) * negative + label_smoothing * spread


def mean_over_pairs(log_p: Tensor) -> Tensor:
    """Return KL(i || j) + KL(j || i) in nats, the mean over all pairs of passes.

    Args:
        log_p: [passes, batch, ..., classes]; the result is [batch, ...].
    """
    pairs = list(combinations(range(log_p.shape[0]), 2))
    total = torch.zeros_like(log_p[0, ..., 0])
    for first, second in pairs:
        total = total + symmetric_divergence(log_p[first], log_p[second])
    return total / len(pairs)
