"""Weights of templates: their closed forms, and what they do not depend on."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from experiments.clip.classifier import by_embedding
from experiments.clip.weights import unsupervised_weights, validation_weights

AXES = torch.eye(3)


def softmax(scores: numpy.ndarray) -> numpy.ndarray:
    exponentials = numpy.exp(scores - scores.max())
    return numpy.asarray(exponentials / exponentials.sum())


def problem(seed: int, templates: int = 6, items: int = 80) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels and prompts of five classes; a later template is a worse one."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(5, 8, generator=generator)
    labels = torch.randint(5, (items,), generator=generator)
    images = centres[labels] + torch.randn(items, 8, generator=generator)
    noise = torch.linspace(0.1, 4, templates)[:, None, None]
    prompts = centres + noise * torch.randn(templates, 5, 8, generator=generator)
    return functional.normalize(images, dim=1), labels, functional.normalize(prompts, dim=2)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), templates=st.integers(1, 8), scale=st.sampled_from([1.0, 20.0, 100.0]))
def test_validation_weights_are_the_softmax_of_standardised_accuracies(seed: int, templates: int, scale: float) -> None:
    images, labels, prompts = problem(seed, templates)
    scores = numpy.array([by_embedding(images, labels, one[None], scale).accuracy for one in prompts])
    spread = scores.std()
    expected = softmax((scores - scores.mean()) / spread if spread > 0 else numpy.zeros(templates))
    found = validation_weights(images, labels, prompts, scale)
    numpy.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert float(found.sum()) == pytest.approx(1, abs=1e-6) and bool((found > 0).all())
    for one in range(templates):
        for two in range(templates):
            assert scores[one] <= scores[two] or found[one] > found[two]


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), templates=st.integers(1, 8), scale=st.sampled_from([1.0, 20.0, 100.0]))
def test_unsupervised_weights_are_the_softmax_of_mean_highest_centred_logits(
    seed: int, templates: int, scale: float
) -> None:
    images, _, prompts = problem(seed, templates)
    scores = []
    for one in prompts.double().numpy():
        logits = scale * images.double().numpy() @ one.T
        scores.append((logits - logits.mean(0)).max(1).mean())
    found = unsupervised_weights(images, prompts, scale)
    numpy.testing.assert_allclose(found.numpy(), softmax(numpy.array(scores)), atol=1e-4)
    assert float(found.sum()) == pytest.approx(1, abs=1e-6)


def test_two_templates_one_right_and_one_wrong() -> None:
    # Standardised, two unequal numbers are one and minus one.
    prompts = torch.stack([AXES, AXES.roll(1, 0)])
    images, labels = AXES.repeat(4, 1), torch.arange(3).repeat(4)
    high = float(softmax(numpy.array([1.0, -1.0]))[0])
    assert validation_weights(images, labels, prompts, 10.0).tolist() == pytest.approx([high, 1 - high], abs=1e-6)
    assert validation_weights(images, labels, prompts.flip(0), 10.0).tolist() == pytest.approx([1 - high, high])
    # However far apart their accuracies are.
    nearly = images.clone()
    nearly[0] = AXES[1]
    assert validation_weights(nearly, labels, prompts, 10.0).tolist() == pytest.approx([high, 1 - high], abs=1e-6)


def test_a_template_that_sees_nothing_weighs_less_without_labels() -> None:
    # Three orthogonal images: the centred logit of an image's own class is two thirds of the scale, or nought.
    blind = AXES[:1].expand(3, 3)
    found = unsupervised_weights(AXES, torch.stack([AXES, blind]), 3.0)
    seeing = numpy.array([2.0, 0.0])
    assert found.tolist() == pytest.approx(softmax(seeing).tolist(), abs=1e-6)
    # Which class is which does not matter to it.
    assert unsupervised_weights(AXES, torch.stack([AXES, AXES.roll(1, 0)]), 3.0).tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_equal_templates_weigh_alike(count: int) -> None:
    images, labels, prompts = problem(3)
    same = prompts[:1].expand(count, -1, -1)
    for found in (validation_weights(images, labels, same, 30.0), unsupervised_weights(images, same, 30.0)):
        assert found.shape == (count,) and found.tolist() == pytest.approx([1 / count] * count, abs=1e-6)


def test_better_templates_weigh_more() -> None:
    images, labels, prompts = problem(0)
    labelled, unlabelled = (
        validation_weights(images, labels, prompts, 20.0),
        unsupervised_weights(images, prompts, 20.0),
    )
    assert labelled[0] > 1 / 6 > labelled[-1]
    assert unlabelled[0] > 1 / 6 > unlabelled[-1]


def test_weights_follow_their_templates() -> None:
    images, labels, prompts = problem(1)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    for weigh in (
        lambda p: validation_weights(images, labels, p, 20.0),
        lambda p: unsupervised_weights(images, p, 20.0),
    ):
        torch.testing.assert_close(weigh(prompts[order]), weigh(prompts)[order], rtol=0, atol=1e-6)
