"""Appendix B.6 against torch's own optimiser and schedule, and against scikit-learn's count of the five best."""

from __future__ import annotations

from collections.abc import Iterator

import numpy
import pytest
import torch
from sklearn.metrics import accuracy_score, top_k_accuracy_score
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from experiments.simclr.linear_evaluation import Accuracy, linear_evaluation
from experiments.simclr.probe_settings import LinearEvaluationSettings

CPU = torch.device("cpu")
CLASSES, STEPS_PER_EPOCH, BATCH, DIMENSION = 8, 5, 20, 10


class Images:
    """Vectors as images [N, 1, 1, DIMENSION] whose classes overlap, in an order of their own for each epoch."""

    def __init__(self) -> None:
        generator = numpy.random.default_rng(0)
        centres = generator.normal(size=(CLASSES, DIMENSION))

        def drawn(count: int) -> tuple[Tensor, Tensor]:
            labels = generator.integers(0, CLASSES, count)
            vectors = centres[labels] + 1.5 * generator.normal(size=(count, DIMENSION))
            return torch.from_numpy(vectors.astype(numpy.float32))[:, None, None], torch.from_numpy(labels)

        self.train, self.test = drawn(STEPS_PER_EPOCH * BATCH), drawn(4000)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.from_numpy(numpy.random.default_rng(number).permutation(STEPS_PER_EPOCH * BATCH))
        for chosen in order.split(BATCH):
            yield self.train[0][chosen], self.train[1][chosen]

    def evaluated(self, settings: LinearEvaluationSettings, encoder: nn.Module, dimension: int) -> Accuracy:
        # In two unequal batches: the accuracy is that of all images, not the mean of two accuracies.
        parts = [tuple(x[:3700] for x in self.test), tuple(x[3700:] for x in self.test)]
        found = linear_evaluation(
            encoder, dimension, CLASSES, self.epoch, STEPS_PER_EPOCH, {"test": lambda: parts}, settings, CPU
        )  # fmt: skip
        return found["test"]


def reference(images: Images, settings: LinearEvaluationSettings) -> numpy.ndarray:
    """Return the scores [N, CLASSES] of the test images by torch's SGD under torch's cosine schedule."""
    layer = nn.Linear(DIMENSION, CLASSES)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    rate = 0.1 * settings.batch_size / 256 * (settings.learning_rate / 0.1)
    optimiser = torch.optim.SGD(layer.parameters(), lr=rate, momentum=0.9, nesterov=True)
    schedule = CosineAnnealingLR(optimiser, T_max=settings.epochs * STEPS_PER_EPOCH)
    for epoch in range(settings.epochs):
        for batch, labels in images.epoch(epoch):
            optimiser.zero_grad()
            functional.cross_entropy(layer(batch.flatten(1)), labels).backward()
            optimiser.step()
            schedule.step()
    scores: numpy.ndarray = layer(images.test[0].flatten(1)).detach().numpy()
    return scores


@pytest.mark.parametrize("batch_size", [64, 4096])
@pytest.mark.parametrize("epochs", [1, 6])
def test_rate_momentum_and_schedule_are_those_of_torch(batch_size: int, epochs: int) -> None:
    images = Images()
    settings = LinearEvaluationSettings(epochs=epochs, batch_size=batch_size)
    found = images.evaluated(settings, nn.Flatten(), DIMENSION)
    scores, labels = reference(images, settings), images.test[1].numpy()
    # One image of 4,000 may lie on a border that rounding moves.
    assert found.top1 == pytest.approx(100 * accuracy_score(labels, scores.argmax(axis=1)), abs=0.03)
    assert found.top5 == pytest.approx(100 * top_k_accuracy_score(labels, scores, k=5, labels=range(CLASSES)), abs=0.03)
    # The comparison sees a rate that is a fifth lower.
    lower = reference(images, settings.model_copy(update={"learning_rate": 0.08}))
    assert numpy.abs(scores - lower).max() > 1e-2 * numpy.abs(scores).max()


def test_the_papers_settings_are_the_defaults() -> None:
    settings = LinearEvaluationSettings()
    assert (settings.epochs, settings.batch_size, settings.momentum) == (90, 4096, 0.9)
    assert settings.learning_rate * settings.batch_size / 256 == pytest.approx(1.6)


def test_an_encoder_with_weights_statistics_and_dropout_is_frozen_and_left_as_it_was() -> None:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(DIMENSION, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.ReLU())
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    images = Images()
    settings = LinearEvaluationSettings(epochs=3, batch_size=256)
    first = images.evaluated(settings, encoder, 6)
    after = encoder.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert encoder.training and all(parameter.grad is None for parameter in encoder.parameters())
    # Dropout is off and no random number is drawn, so that a second time gives the same, whatever the seed.
    torch.manual_seed(1)
    assert images.evaluated(settings, encoder, 6) == first


def test_an_encoder_that_tells_nothing_scores_as_chance_does() -> None:
    class Nothing(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            return torch.zeros(len(batch), 4)

    images = Images()
    found = images.evaluated(LinearEvaluationSettings(epochs=2, batch_size=256), Nothing(), 4)
    shares = numpy.sort(100 * numpy.bincount(images.test[1].numpy()) / 4000)
    # Whichever class the biases put first: no score is better than the commonest class'.
    assert shares[0] <= found.top1 <= shares[-1]
    assert shares[:5].sum() <= found.top5 <= shares[-5:].sum()


def test_an_epoch_of_another_length_than_told_is_no_protocol() -> None:
    images = Images()
    with pytest.raises(ValueError, match="5 steps in all, not 6"):
        linear_evaluation(
            nn.Flatten(), DIMENSION, CLASSES, images.epoch, 6, {}, LinearEvaluationSettings(epochs=1), CPU
        )  # fmt: skip
