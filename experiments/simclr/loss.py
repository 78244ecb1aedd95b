"""NT-Xent, the normalised temperature-scaled cross-entropy of SimCLR's Algorithm 1, and what Table 5 says beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

ELEMENTS_AT_ONCE = 4_000_000
"""Similarities that are held at a time where the caller does not say: 16 MB."""


def nt_xent(
    first: Tensor,
    second: Tensor,
    temperature: float,
    *,
    normalise: bool = True,
    rows_at_once: int | None = None,
    gather: bool = False,
) -> Tensor:
    """Return the loss of Algorithm 1: the mean over all 2N views of -log of the softmax weight of the other view.

    For a view i with partner j: l(i, j) = -log(exp(s_ij / t) / sum over k != i of exp(s_ik / t)), with s the cosine
    similarity (the plain product without ``normalise``) and t the temperature.

    Args:
        first, second: the two views' projections, [N, d]. Computed in float32 where they are narrower.
        rows_at_once: rows of the 2N x 2N similarities held at a time; the result does not depend on it.
        gather: contrast with the vectors of all processes of the default group, which must have equally many. Each
            process returns the mean over its own views; averaged gradients are then those of the global batch.

    Raises:
        ValueError: the views differ in shape, are not matrices, or the temperature is not positive.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"two views need the same shape [N, d], not {tuple(first.shape)} and {tuple(second.shape)}")
    if not temperature > 0:
        raise ValueError(f"the temperature must be positive, not {temperature}")
    vectors = torch.cat([first, second])
    if vectors.dtype in (torch.float16, torch.bfloat16):
        vectors = vectors.float()
    if normalise:
        vectors = functional.normalize(vectors, dim=1)
    rank, others = 0, vectors
    if gather and torch.distributed.is_available() and torch.distributed.is_initialized():
        rank, others = torch.distributed.get_rank(), _Gathered.apply(vectors)
    loss: Tensor = _NTXent.apply(vectors, others, rank, temperature, rows_at_once)
    return loss


class _NTXent(torch.autograd.Function):
    """The loss, with its gradient computed on the way, so that no similarities are kept for the way back.

    ``vectors`` [2n, d] are this process' views, ``others`` [2N, d] those of all processes, rank by rank. With p the
    softmax over all k != i, the gradient of the loss by s_ik is (p_ik - [k is i's partner]) / (2n t).
    """

    @staticmethod
    def forward(
        context: Any, vectors: Tensor, others: Tensor, rank: int, temperature: float, rows_at_once: int | None
    ) -> Tensor:
        own, every = len(vectors), len(others)
        alone = own == every
        rows = rows_at_once or max(1, ELEMENTS_AT_ONCE // every)
        wanted = any(context.needs_input_grad[:2])
        start = rank * own
        index = torch.arange(own, device=vectors.device)
        partner = start + (index + own // 2) % own
        total = vectors.new_zeros(())
        # Without other processes a vector's two roles share one gradient, of twice the size of neither.
        gradient = torch.zeros_like(vectors) if wanted else None
        across = gradient if alone else (torch.zeros_like(others) if wanted else None)
        scaled = others / temperature
        for low in range(0, own, rows):
            high = min(low + rows, own)
            logits = vectors[low:high] @ scaled.T
            place = index[: high - low]
            logits[place, start + place + low] = float("-inf")
            positive = logits[place, partner[low:high]]
            largest = logits.amax(dim=1, keepdim=True)
            weights = logits.sub_(largest).exp_()
            sums = weights.sum(dim=1, keepdim=True)
            total += (largest.squeeze(1) + sums.squeeze(1).log() - positive).sum()
            if gradient is None or across is None:
                continue
            weights.mul_(sums.reciprocal_())
            weights[place, partner[low:high]] -= 1.0
            gradient[low:high].addmm_(weights, others)
            across.addmm_(weights.T, vectors[low:high])
        if gradient is not None and across is not None:
            gradient.div_(own * temperature)
            if not alone:
                across.div_(own * temperature)
            context.save_for_backward(gradient, across)
            context.alone = alone
        return total / own

    @staticmethod
    @once_differentiable
    def backward(context: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        gradient, across = context.saved_tensors
        second = None if context.alone else across * incoming
        return gradient * incoming, second, None, None, None


class _Gathered(torch.autograd.Function):
    """The vectors of all processes, in their order; on the way back every process gets what all owe to its own.

    The gradient is summed over processes: averaged over them afterwards, as data parallel training does, it is that of
    the mean of all processes' losses.
    """

    @staticmethod
    def forward(context: Any, vectors: Tensor) -> Tensor:
        gathered = [torch.empty_like(vectors) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(gathered, vectors.contiguous())
        return torch.cat(gathered)

    @staticmethod
    @once_differentiable
    def backward(context: Any, incoming: Tensor) -> Tensor:
        total = incoming.contiguous().clone()
        torch.distributed.all_reduce(total)
        own = len(total) // torch.distributed.get_world_size()
        rank = torch.distributed.get_rank()
        return total[rank * own : (rank + 1) * own]


@dataclass(frozen=True)
class ContrastiveStatistics:
    """How well the contrastive task itself is solved (Table 5).

    ``accuracy`` is the share, in percent, of views whose partner is their nearest; ``entropy`` the mean entropy, in
    nats, of the softmax over the other 2N - 1 views.
    """

    accuracy: float
    entropy: float


@torch.no_grad()
def contrastive_statistics(
    first: Tensor, second: Tensor, temperature: float, *, normalise: bool = True
) -> ContrastiveStatistics:
    """Return the contrastive accuracy and entropy of a batch; arguments as for ``nt_xent``."""
    vectors = torch.cat([first, second]).float()
    if normalise:
        vectors = functional.normalize(vectors, dim=1)
    count = len(vectors)
    index = torch.arange(count, device=vectors.device)
    partner = (index + count // 2) % count
    right = torch.zeros((), device=vectors.device)
    entropy = torch.zeros((), device=vectors.device)
    rows = max(1, ELEMENTS_AT_ONCE // count)
    for low in range(0, count, rows):
        high = min(low + rows, count)
        logits = vectors[low:high] @ vectors.T / temperature
        place = index[: high - low]
        logits[place, place + low] = float("-inf")
        right += (logits.argmax(dim=1) == partner[low:high]).sum()
        logarithms = logits.log_softmax(dim=1)
        weights = logarithms.exp()
        entropy -= (weights * logarithms.masked_fill(weights == 0, 0.0)).sum()
    return ContrastiveStatistics(100 * float(right) / count, float(entropy) / count)
