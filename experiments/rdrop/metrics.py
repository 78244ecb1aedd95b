"""What is measured of a classifier: accuracy, NLL, calibration, and how far dropout moves its outputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from experiments.rdrop.loss import mean_over_pairs

BINS = 15


def accuracy(log_p: Tensor, targets: Tensor) -> Tensor:
    """Return the share of right classes in %, [S] of log-probabilities [S, count, classes] and targets [count]."""
    return 100.0 * (log_p.argmax(-1) == targets).float().mean(-1)


def negative_log_likelihood(log_p: Tensor, targets: Tensor) -> Tensor:
    """Return the mean negative log-likelihood in nats, [S]."""
    return -log_p.gather(-1, targets.expand(log_p.shape[:-1]).unsqueeze(-1)).squeeze(-1).mean(-1)


def expected_calibration_error(log_p: Tensor, targets: Tensor, bins: int = BINS) -> Tensor:
    """Return the expected calibration error in %, [S]: bins of equal width of the confidence (Guo et al. 2017)."""
    confidence, predicted = log_p.exp().max(-1)
    right = (predicted == targets).to(confidence.dtype)
    # A confidence on a border belongs to the bin below it.
    place = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    gaps = torch.zeros(*confidence.shape[:-1], bins, dtype=confidence.dtype, device=confidence.device)
    gaps.scatter_add_(-1, place, right - confidence)
    return 100.0 * gaps.abs().sum(-1) / confidence.shape[-1]


def pass_divergence(log_p: Tensor) -> Tensor:
    """Return KL between two dropout passes in nats, the mean over items and ordered pairs of passes: [S].

    Args:
        log_p: [S, passes, count, classes].
    """
    return mean_over_pairs(log_p.movedim(1, 0)).mean(-1) / 2


def mean_divergence(log_p: Tensor, deterministic: Tensor) -> Tensor:
    """Return KL(mean over dropout passes || the model without dropout) in nats, the mean over items: [S].

    Args:
        log_p: [S, passes, count, classes]; ``deterministic`` [S, count, classes].
    """
    mean = _mean(log_p)
    return (mean.exp() * (mean - deterministic)).sum(-1).mean(-1)


def mean_accuracy(log_p: Tensor, targets: Tensor) -> Tensor:
    """Return the accuracy in % of the mean over dropout passes, [S]."""
    return accuracy(_mean(log_p), targets)


def _mean(log_p: Tensor) -> Tensor:
    return log_p.logsumexp(1) - math.log(log_p.shape[1])
