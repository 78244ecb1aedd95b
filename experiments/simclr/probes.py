"""Linear probes on stored representations: classes by logistic regression, numbers by ridge regression."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy
import torch
from torch import nn
from torch.nn import functional

from experiments.simclr.augmentation import as_float
from experiments.simclr.probe_settings import ProbeSettings
from harness.errors import UserError

BATCH = 512
RIDGE = numpy.logspace(-3, 4, 8)
"""Strengths of the ridge regression's penalty, from which leave-one-out on the training images chooses."""


class Factor(Protocol):
    """What a generating factor is (``experiments.data.FactorInformation``)."""

    @property
    def kind(self) -> str: ...


@dataclass(frozen=True)
class Classifier:
    """A linear classifier of standardised representations: weights [classes, d] and biases [classes].

    ``converged`` is false where ``maximum_iterations`` ended the fit before its tolerance did.
    """

    mean: numpy.ndarray
    deviation: numpy.ndarray
    weights: numpy.ndarray
    biases: numpy.ndarray
    classes: numpy.ndarray
    converged: bool

    def predict(self, features: numpy.ndarray) -> numpy.ndarray:
        """Return the class of each representation."""
        scores = standardised(features, self.mean, self.deviation) @ self.weights.T + self.biases
        return self.classes[scores.argmax(axis=1)]

    def accuracy(self, features: numpy.ndarray, labels: numpy.ndarray) -> float:
        """Return the top-1 accuracy in percent."""
        return 100.0 * float((self.predict(features) == labels).mean())


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and back into what each of its parts was in, after an exception too."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


@torch.no_grad()
def features_of(module: nn.Module, images: numpy.ndarray, device: torch.device) -> numpy.ndarray:
    """Return what a module makes of uint8 images, float32 [N, d]; it runs in evaluation mode, and is left as it was."""
    found = []
    with evaluation_mode(module):
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(numpy.array(images[start : start + BATCH])).to(device)
            found.append(module(as_float(batch)).float().cpu().numpy())
    return numpy.concatenate(found)


def fit_classifier(
    features: numpy.ndarray, labels: numpy.ndarray, settings: ProbeSettings, device: torch.device | None = None
) -> Classifier:
    """Fit multinomial logistic regression: the mean loss x C x N + half the squared norm of the weights is least.

    Raises:
        UserError: the training images are all of one class.
    """
    classes, places = numpy.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UserError(
            f"The {len(labels)} labelled training images that a probe sees are all of one class, and a classifier "
            "needs two classes at least; give 'probe' more 'labelled' images."
        )
    mean, deviation = features.mean(axis=0, dtype=numpy.float64), features.std(axis=0, dtype=numpy.float64)
    scaled = standardised(features, mean, deviation)
    if settings.kind == "lbfgs":
        weights, biases, converged = _lbfgs(scaled, places, len(classes), settings, device or torch.device("cpu"))
    else:
        weights, biases, converged = _scikit_learn(scaled, places, settings)
    return Classifier(mean, deviation, weights, biases, classes, converged)


def standardised(features: numpy.ndarray, mean: numpy.ndarray, deviation: numpy.ndarray) -> numpy.ndarray:
    """Return representations with mean 0 and deviation 1; a dimension that does not vary stays at 0."""
    return (features - mean) / numpy.where(deviation > 1e-8, deviation, 1.0)


def _scikit_learn(
    features: numpy.ndarray, places: numpy.ndarray, settings: ProbeSettings
) -> tuple[numpy.ndarray, numpy.ndarray, bool]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=settings.inverse_regularisation, max_iter=settings.maximum_iterations, tol=1e-4)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ConvergenceWarning)
        fitted = model.fit(features, places)
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in told)
    weights, biases = fitted.coef_, fitted.intercept_
    if len(weights) == 1:
        # Of two classes scikit-learn keeps the one score that decides.
        weights, biases = numpy.concatenate([-weights, weights]) / 2, numpy.concatenate([-biases, biases]) / 2
    return weights, biases, converged


def _lbfgs(
    features: numpy.ndarray, places: numpy.ndarray, classes: int, settings: ProbeSettings, device: torch.device
) -> tuple[numpy.ndarray, numpy.ndarray, bool]:
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
    # A step has a quarter more evaluations of the loss than it has iterations, and ends where either runs out.
    state = optimiser.state[weights]
    converged = state["n_iter"] < settings.maximum_iterations and state["func_evals"] < optimiser.defaults["max_eval"]
    return weights.detach().cpu().numpy(), biases.detach().cpu().numpy(), converged


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

    A class factor is left out where the training images are all of one class, or lack a class that test images have:
    fonts, for instance, which training and test do not share. A number is left out where fewer than two training or two
    test images have it.
    """
    found = {}
    for name, factor in information.items():
        known, asked = factors[name], test_factors[name]
        if factor.kind == "number":
            if min(numpy.isfinite(known).sum(), numpy.isfinite(asked).sum()) < 2:
                continue
            found[name] = number_score(features, known, test_features, asked)
        elif len(numpy.unique(known)) > 1 and numpy.isin(asked, known).all():
            found[name] = fit_classifier(features, known, settings, device).accuracy(test_features, asked)
    return found
