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

BLOCK_ROWS = 256
"""Rows of the symmetric similarities that a CPU takes at a time: few, so that little is computed on both sides."""

LARGEST_EXPONENT = 32.0
"""Similarities over the temperature up to which exp needs no shift: exp(32) squared, times any batch, is a float32."""


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
        first, second: the two views' projections, [N, d]. Computed in float32 where they are narrower, also where
            autocast is on.
        rows_at_once: rows of the 2N x 2N similarities held at a time; the result does not depend on it.
        gather: contrast with the vectors of all processes of the default group, which must have equally many. Each
            process returns the mean over its own views; averaged gradients are then those of the global batch.

    Raises:
        ValueError: the views differ in shape, are not matrices or are empty, the temperature is not positive, or
            ``rows_at_once`` is less than 1.
    """
    _check(first, second, temperature)
    if rows_at_once is not None and rows_at_once < 1:
        raise ValueError(f"at least one row must be held at a time, not {rows_at_once}")
    with torch.autocast(first.device.type, enabled=False):
        vectors = _vectors(first, second, normalise)
        loss: Tensor
        if gather and _processes() > 1:
            others = _Gathered.apply(vectors)
            loss = _Rows.apply(vectors, others, torch.distributed.get_rank(), temperature, rows_at_once)
        elif normalise and temperature * LARGEST_EXPONENT >= 1:
            loss = _Symmetric.apply(vectors, temperature, rows_at_once)
        else:
            loss = _Rows.apply(vectors, vectors, 0, temperature, rows_at_once)
    return loss


def _check(first: Tensor, second: Tensor, temperature: float) -> None:
    if first.shape != second.shape or first.ndim != 2 or not len(first):
        raise ValueError(
            f"two views need the same shape [N, d], N at least 1, not {tuple(first.shape)} and {tuple(second.shape)}"
        )
    if not temperature > 0:
        raise ValueError(f"the temperature must be positive, not {temperature}")


def _vectors(first: Tensor, second: Tensor, normalise: bool) -> Tensor:
    """Return the vectors that are compared, [2N, d], the first views before the second ones."""
    vectors = torch.cat([first, second])
    if vectors.dtype in (torch.float16, torch.bfloat16):
        vectors = vectors.float()
    return functional.normalize(vectors, dim=1) if normalise else vectors


def _processes() -> int:
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


class _Symmetric(torch.autograd.Function):
    """The loss of unit vectors [2N, d] among themselves, with its gradient computed on the way.

    Both ``_Symmetric`` and ``_Rows`` keep no similarities for the way back. Here exp needs no shift, so that
    E_ij = exp(s_ij / t) is symmetric: only blocks on and above the diagonal are computed. With S_i the sum of row i
    without i itself, the gradient by v_i is the sum over j of (1 / S_i + 1 / S_j) E_ij v_j, less twice v_i's partner,
    over 2N t. It takes all S first: blocks are kept until then if they fit, and computed again if not.
    """

    @staticmethod
    def forward(context: Any, vectors: Tensor, temperature: float, rows_at_once: int | None) -> Tensor:
        count, half = len(vectors), len(vectors) // 2
        rows = min(rows_at_once or max(1, ELEMENTS_AT_ONCE // count), count)
        held = rows * count
        if vectors.device.type == "cpu":
            rows = min(rows, BLOCK_ROWS)
        wanted = context.needs_input_grad[0]
        keep = wanted and count * (count + rows) // 2 <= held
        scaled = vectors / temperature

        def block(low: int) -> Tensor:
            weights = (scaled[low : low + rows] @ vectors[low:].T).exp_()
            weights.diagonal().zero_()
            return weights

        kept: list[Tensor] = []
        sums = vectors.new_zeros(count)
        positive = vectors.new_empty(half)
        for low in range(0, count, rows):
            weights = block(low)
            high = low + len(weights)
            sums[low:high] += weights.sum(dim=1)
            sums[high:] += weights[:, high - low :].sum(dim=0)
            if low < half:
                positive[low:high] = weights.diagonal(half)
            if keep:
                kept.append(weights)
        # A quotient of what was computed once: where the partner outweighs all others, rounding cancels out.
        loss = (sums.view(2, half) / positive).log().sum() / count
        if not wanted:
            return loss
        reciprocal = sums.reciprocal()
        gradient = vectors.roll(half, dims=0).mul_(-2.0)
        for number, low in enumerate(range(0, count, rows)):
            weights = kept[number] if keep else block(low)
            high = low + len(weights)
            weights.mul_(reciprocal[low:high, None] + reciprocal[low:])
            gradient[low:high].addmm_(weights, vectors[low:])
            gradient[high:].addmm_(weights[:, high - low :].T, vectors[low:high])
        context.save_for_backward(gradient.div_(count * temperature))
        return loss

    @staticmethod
    @once_differentiable
    def backward(context: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = context.saved_tensors
        return gradient * incoming, None, None


class _Rows(torch.autograd.Function):
    """The loss of any vectors, at any temperature, also among those of other processes; its gradient on the way.

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
        # Without other processes a vector's two roles share one gradient, and no second matrix is needed.
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
            # In this order: where the partner is the nearest, the difference is exactly nothing.
            total += ((largest.squeeze(1) - positive) + sums.squeeze(1).log()).sum()
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
    """Return the contrastive accuracy and entropy of a batch; arguments and errors as for ``nt_xent``."""
    _check(first, second, temperature)
    with torch.autocast(first.device.type, enabled=False):
        vectors = _vectors(first, second, normalise)
        count = len(vectors)
        index = torch.arange(count, device=vectors.device)
        partner = (index + count // 2) % count
        right = torch.zeros((), device=vectors.device)
        entropy = vectors.new_zeros(())
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
