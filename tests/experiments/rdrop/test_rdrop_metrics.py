"""Metrics of classifiers against scikit-learn, torchmetrics and scipy, model by model."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest
import scipy.stats
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from experiments.rdrop.metrics import (
    accuracy,
    expected_calibration_error,
    mean_accuracy,
    mean_divergence,
    negative_log_likelihood,
    pass_divergence,
)


def predictions(
    seed: int, *shape: int, classes: int = 5, spread: float = 1.5, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Log-probabilities [*shape, classes], and targets of the last axis of the shape that they are often right on."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, shape[-1:], generator=generator)
    logits = spread * torch.randn(*shape, classes, generator=generator, dtype=dtype)
    return (logits + torch.nn.functional.one_hot(targets, classes)).log_softmax(-1), targets


@pytest.mark.parametrize("seed", range(4))
def test_accuracy_and_likelihood_are_scikit_learns(seed: int) -> None:
    log_p, targets = predictions(seed, 3, 157)
    right, negative = accuracy(log_p, targets), negative_log_likelihood(log_p, targets)
    assert right.shape == negative.shape == (3,)
    for own, share, nll in zip(log_p, right.tolist(), negative.tolist(), strict=True):
        assert share == pytest.approx(100 * accuracy_score(targets.numpy(), own.argmax(-1).numpy()), rel=1e-6)
        assert nll == pytest.approx(log_loss(targets.numpy(), own.exp().numpy(), labels=range(5)), rel=1e-9)
    assert len(set(negative.tolist())) == 3


@pytest.mark.parametrize("bins", [15, 1, 4, 40])
@pytest.mark.parametrize("spread", [0.2, 1.5, 8.0])
def test_calibration_is_torchmetrics(spread: float, bins: int) -> None:
    for seed in range(3):
        log_p, targets = predictions(seed, 2, 400, classes=6, spread=spread, dtype=torch.float32)
        found = expected_calibration_error(log_p, targets, bins)
        for own, value in zip(log_p, found.tolist(), strict=True):
            theirs = multiclass_calibration_error(own.exp(), targets, num_classes=6, n_bins=bins, norm="l1")
            assert value == pytest.approx(100 * theirs.item(), abs=1e-3)
        assert found.min() > 0.01
    assert torch.equal(expected_calibration_error(log_p, targets), expected_calibration_error(log_p, targets, bins=15))


def test_calibration_by_hand() -> None:
    # Sure of itself and always right, always wrong, and right in half of the cases.
    sure = torch.tensor([[[1.0, 0.0]] * 4]).log()
    for targets, expected in (([0] * 4, 0.0), ([1] * 4, 100.0), ([0, 1, 0, 1], 50.0)):
        assert expected_calibration_error(sure, torch.tensor(targets)).item() == pytest.approx(expected)
    # A confidence of 1/2 is on the border of two bins and belongs to the lower one, apart from one of 0.8.
    border = torch.tensor([[[0.5, 0.5], [0.8, 0.2]]], dtype=torch.float64).log()
    assert border[0, 0].exp().max() == 0.5
    wrong_and_right = torch.tensor([1, 0])
    assert expected_calibration_error(border, wrong_and_right, 2).item() == pytest.approx(100 * (0.5 + 0.2) / 2)
    assert expected_calibration_error(border, wrong_and_right, 1).item() == pytest.approx(100 * 0.3 / 2)


@pytest.mark.parametrize("passes", [2, 3, 4])
def test_pass_divergence_is_the_mean_over_ordered_pairs(passes: int) -> None:
    log_p, _ = predictions(7, 3, passes, 11)
    found = pass_divergence(log_p)
    assert found.shape == (3,)
    for own, value in zip(log_p.exp().numpy(), found.tolist(), strict=True):
        pairs = [scipy.stats.entropy(own[i], own[j], axis=-1) for i, j in itertools.permutations(range(passes), 2)]
        assert value == pytest.approx(numpy.mean(pairs), rel=1e-10)
    single = pass_divergence(log_p.float())
    torch.testing.assert_close(single, found.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("passes", [1, 2, 4])
def test_mean_divergence_is_that_of_the_mean_of_probabilities(passes: int) -> None:
    log_p, _ = predictions(8, 3, passes, 11)
    plain, _ = predictions(9, 3, 11)
    found = mean_divergence(log_p, plain)
    assert found.shape == (3,)
    for own, alone, value in zip(log_p.exp(), plain, found.tolist(), strict=True):
        mean = own.mean(0)
        assert value == pytest.approx(scipy.stats.entropy(mean.numpy(), alone.exp().numpy(), axis=-1).mean(), abs=1e-6)
        torchs = torch.nn.functional.kl_div(alone, mean, reduction="batchmean")
        assert value == pytest.approx(torchs.item(), abs=1e-6)
        # Not the divergence the other way round.
        assert value != pytest.approx(scipy.stats.entropy(alone.exp().numpy(), mean.numpy(), axis=-1).mean(), abs=1e-4)


@pytest.mark.parametrize("passes", [2, 3, 4])
def test_where_passes_agree_there_is_no_divergence(passes: int) -> None:
    log_p, targets = predictions(10, 2, 9)
    repeated = log_p.unsqueeze(1).repeat(1, passes, 1, 1)
    assert pass_divergence(repeated).abs().max() < 1e-12
    assert mean_divergence(repeated, log_p).abs().max() < 1e-6
    assert torch.equal(mean_accuracy(repeated, targets), accuracy(log_p, targets))
    # One pass of one model moved: that model alone has one.
    moved = repeated.clone()
    moved[1, 0] = predictions(11, 9)[0]
    assert pass_divergence(moved)[0].abs() < 1e-12 and pass_divergence(moved)[1] > 0.1
    assert mean_divergence(moved, log_p)[0].abs() < 1e-6 and mean_divergence(moved, log_p)[1] > 0.01


def test_mean_accuracy_is_that_of_the_mean_of_probabilities() -> None:
    log_p, targets = predictions(12, 3, 4, 200, spread=3.0)
    found = mean_accuracy(log_p, targets)
    for own, value in zip(log_p.exp(), found.tolist(), strict=True):
        assert value == pytest.approx(100 * accuracy_score(targets.numpy(), own.mean(0).argmax(-1).numpy()), rel=1e-6)
    # Two passes outvote one that is surer: the mean of probabilities has class 0, that of their logarithms class 1.
    votes = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.01, 0.99]]).log().view(1, 3, 1, 2)
    assert votes.mean(1).argmax().item() == 1
    outvoted = torch.tensor([[0.9, 0.1], [0.9, 0.1], [1e-6, 1 - 1e-6]]).log().view(1, 3, 1, 2)
    assert outvoted.mean(1).argmax().item() == 1
    assert mean_accuracy(outvoted, torch.tensor([0])).item() == 100.0
    assert math.isfinite(mean_divergence(outvoted, votes[:, 0]).item())
