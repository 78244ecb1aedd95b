"""Linear probes on stored representations: classes by logistic regression, numbers by ridge regression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy
import torch
from torch import nn
from torch.nn import functional

from experiments.simclr.augmentation import as_float
from experiments.simclr.probe_settings import ProbeSettings

BATCH = 512
RIDGE = numpy.logspace(-3, 4, 8)
"""Strengths of the ridge regression's penalty, from which leave-one-out on the training images chooses."""


class Factor(Protocol):
    """What a generating factor is (``experiments.data.FactorInformation``)."""

    @property
    def kind(self) -> str: ...


@dataclass(frozen=True)
class Classifier:
    """A linear classifier of standardised representations: weights [classes, d] and biases [classes]."""

    mean: numpy.ndarray
    deviation: numpy.ndarray
    weights: numpy.ndarray
    biases: numpy.ndarray
    classes: numpy.ndarray

    def predict(self, features: numpy.ndarray) -> numpy.ndarray:
        """Return the class of each representation."""
        scores = standardised(features, self.mean, self.deviation) @ self.weights.T + self.biases
        return self.classes[scores.argmax(axis=1)]

    def accuracy(self, features: numpy.ndarray, labels: numpy.ndarray) -> float:
        """Return the top-1 accuracy in percent."""
        return 100.0 * float((self.predict(features) == labels).mean())


@torch.no_grad()
def features_of(module: nn.Module, images: numpy.ndarray, device: torch.device) -> numpy.ndarray:
    """Return what a module makes of uint8 images, float32 [N, d]; it runs in evaluation mode, and is left as it was."""
    training = module.training
    module.eval()
    found = []
    for start in range(0, len(images), BATCH):
        batch = torch.from_numpy(numpy.array(images[start : start + BATCH])).to(device)
        found.append(module(as_float(batch)).float().cpu().numpy())
    module.train(training)
    return numpy.concatenate(found)


def fit_classifier(
    features: numpy.ndarray, labels: numpy.ndarray, settings: ProbeSettings, device: torch.device | None = None
) -> Classifier:
    """Fit multinomial logistic regression: the mean loss x C x N + half the squared norm of the weights is least.

    Raises:
        ValueError: the training images are all of one class.
    """
    classes, places = numpy.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError("a classifier needs images of two classes at least")
    mean, deviation = features.mean(axis=0, dtype=numpy.float64), features.std(axis=0, dtype=numpy.float64)
    scaled = standardised(features, mean, deviation)
    if settings.kind == "lbfgs":
        weights, biases = _lbfgs(scaled, places, len(classes), settings, device or torch.device("cpu"))
    else:
        weights, biases = _scikit_learn(scaled, places, settings)
    return Classifier(mean, deviation, weights, biases, classes)


def standardised(features: numpy.ndarray, mean: numpy.ndarray, deviation: numpy.ndarray) -> numpy.ndarray:
    """Return representations with mean 0 and deviation 1; a dimension that does not vary stays at 0."""
    return (features - mean) / numpy.where(deviation > 1e-8, deviation, 1.0)


def _scikit_learn(
    features: numpy.ndarray, places: numpy.ndarray, settings: ProbeSettings
) -> tuple[numpy.ndarray, numpy.ndarray]:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=settings.inverse_regularisation, max_iter=settings.maximum_iterations, tol=1e-4).fit(
        features, places
    )
    weights, biases = fitted.coef_, fitted.intercept_
    if len(weights) == 1:
        # Of two classes scikit-learn keeps the one score that decides.
        weights, biases = numpy.concatenate([-weights, weights]) / 2, numpy.concatenate([-biases, biases]) / 2
    return weights, biases


def _lbfgs(
    features: numpy.ndarray, places: numpy.ndarray, classes: int, settings: ProbeSettings, device: torch.device
) -> tuple[numpy.ndarray, numpy.ndarray]:
    inputs = torch.from_numpy(features).to(device, torch.float64)
    targets = torch.from_numpy(places).to(device)
    weights = torch.zeros(classes, inputs.shape[1], dtype=torch.float64, device=device, requires_grad=True)
    biases = torch.zeros(classes, dtype=torch.float64, device=device, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weights, biases], max_iter=settings.maximum_iterations, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )
    strength = 1.0 / (settings.inverse_regularisation * len(inputs))

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = functional.cross_entropy(inputs @ weights.T + biases, targets) + 0.5 * strength * weights.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)  # type: ignore[arg-type]
    return weights.detach().cpu().numpy(), biases.detach().cpu().numpy()


def number_score(
    features: numpy.ndarray, values: numpy.ndarray, test_features: numpy.ndarray, test_values: numpy.ndarray
) -> float:
    """Return how much of a number's variance on the test images a ridge regression explains: R squared, in percent.

    Images that have no such number (NaN) are left out.
    """
    from sklearn.linear_model import RidgeCV

    mean, deviation = features.mean(axis=0, dtype=numpy.float64), features.std(axis=0, dtype=numpy.float64)
    known, asked = numpy.isfinite(values), numpy.isfinite(test_values)
    fitted = RidgeCV(alphas=RIDGE).fit(standardised(features[known], mean, deviation), values[known])
    return 100.0 * float(fitted.score(standardised(test_features[asked], mean, deviation), test_values[asked]))


def factor_scores(
    features: numpy.ndarray,
    factors: Mapping[str, numpy.ndarray],
    test_features: numpy.ndarray,
    test_factors: Mapping[str, numpy.ndarray],
    information: Mapping[str, Factor],
    settings: ProbeSettings,
    device: torch.device | None = None,
) -> dict[str, float]:
    """Return a score on the test images for each factor: accuracy (%) of a class, R squared (%) of a number.

    A class factor of which the training or the test images have classes that the others lack is left out: fonts, for
    instance, which training and test do not share.
    """
    found = {}
    for name, factor in information.items():
        known, asked = factors[name], test_factors[name]
        if factor.kind == "number":
            found[name] = number_score(features, known, test_features, asked)
        elif len(numpy.unique(known)) > 1 and numpy.isin(asked, known).all():
            found[name] = fit_classifier(features, known, settings, device).accuracy(test_features, asked)
    return found
