"""Linear probes on stored vectors: logistic regression, its penalty chosen on the validation part (appendix A.3).

As in the appendix: scikit-learn's L-BFGS on plain vectors, which are not standardised, with an L2 penalty and at most
1,000 iterations. Unlike there, the grid is coarse (7 strengths in place of 96 in steps), and the chosen classifier is
not fitted anew with the validation items, so that ``labelled`` items are all that it has learnt from.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy
from torch import Tensor

from harness.errors import UserError

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
"""Inverse strengths C of the penalty: C x the summed loss of the items + half the squared norm of the weights is least.

Unit vectors lie close together, so that telling them apart takes large weights, and a penalty that forbids these (C of
1 or less) leaves nothing but the directions of the classes' means. On unit vectors of a small encoder 10 to 1,000 are
chosen, for 2 to 400 items a class, and on its features before the projection, of norm 20, 0.1 to 100; six more
strengths beyond either end change the accuracy by less than a point, except where one item a class leaves it to chance.
Of strengths with the same validation accuracy the strongest penalty is taken.
"""

Vectors = Tensor | numpy.ndarray


@dataclass(frozen=True)
class Probe:
    """A linear classifier: weights [classes, d], biases [classes] and the number of each class [classes].

    ``strength`` is the chosen one of the grid, ``validation_accuracy`` (%) what it was chosen by, and ``converged``
    false where the iterations of its fit ran out.
    """

    weights: numpy.ndarray
    biases: numpy.ndarray
    classes: numpy.ndarray
    strength: float
    validation_accuracy: float
    converged: bool

    def facts(self) -> dict[str, float | bool]:
        """Return what was chosen, as a row of a table."""
        return {
            "strength": self.strength,
            "validation_accuracy": self.validation_accuracy,
            "converged": self.converged,
        }

    def predict(self, vectors: Vectors) -> numpy.ndarray:
        """Return the class of each vector, int64 [N]."""
        return self.classes[(_array(vectors) @ self.weights.T + self.biases).argmax(axis=1)]

    def correct(self, vectors: Vectors, labels: Vectors) -> numpy.ndarray:
        """Return whether each vector's class is found, bool [N]; one without a training item never is."""
        found: numpy.ndarray = self.predict(vectors) == numpy.asarray(labels)
        return found

    def accuracy(self, vectors: Vectors, labels: Vectors) -> float:
        """Return the top-1 accuracy in percent."""
        return 100.0 * float(self.correct(vectors, labels).mean())


def fit_probe(
    train_vectors: Vectors,
    train_labels: Vectors,
    validation_vectors: Vectors,
    validation_labels: Vectors,
    strengths: Sequence[float] = STRENGTHS,
    maximum_iterations: int = 1000,
) -> Probe:
    """Fit a classifier for each strength, and return the one that is most accurate on the validation items.

    One item a class is enough. The fits go from the strongest penalty to the weakest, each from where the last ended.

    Args:
        train_vectors, validation_vectors: [N, d], on the CPU.
        train_labels, validation_labels: classes as whole numbers [N].
        strengths: inverse ones, C.

    Raises:
        UserError: the training items are all of one class.
    """
    from sklearn.linear_model import LogisticRegression

    inputs, targets = _array(train_vectors), numpy.asarray(train_labels)
    if len(inputs) < inputs.shape[1]:
        return _in_their_span(inputs, targets, validation_vectors, validation_labels, strengths, maximum_iterations)
    # Centred, which moves the biases alone, as these are not penalised, and takes half the iterations.
    centre = inputs.mean(axis=0)
    if len(numpy.unique(targets)) < 2:
        raise UserError(
            f"The {len(targets)} labelled images that a linear probe is fitted on are all of one class, and it needs "
            "two at least; ask for more of them."
        )
    held, answers = _array(validation_vectors), numpy.asarray(validation_labels)
    model = LogisticRegression(max_iter=maximum_iterations, warm_start=True)
    best: Probe | None = None
    for strength in sorted(strengths):
        model.set_params(C=strength)
        converged = _fit(model, inputs - centre, targets)
        weights, biases = model.coef_.copy(), model.intercept_ - model.coef_ @ centre
        if len(weights) == 1:
            # Of two classes scikit-learn keeps the one score that decides.
            weights, biases = numpy.concatenate([-weights, weights]) / 2, numpy.concatenate([-biases, biases]) / 2
        probe = Probe(weights, biases, model.classes_.copy(), strength, math.nan, converged)
        accuracy = probe.accuracy(held, answers)
        if best is None or accuracy > best.validation_accuracy:
            best = Probe(weights, biases, probe.classes, strength, accuracy, converged)
    if best is None:
        raise ValueError("a probe needs one strength at least to choose from")
    return best


def _in_their_span(
    inputs: numpy.ndarray,
    targets: numpy.ndarray,
    validation_vectors: Vectors,
    validation_labels: Vectors,
    strengths: Sequence[float],
    maximum_iterations: int,
) -> Probe:
    """Fit in the space that few items span: under an L2 penalty the best weights lie in it, so nothing is lost.

    It has at most as many dimensions as there are items, and axes along which they spread, so that fits end many times
    sooner.
    """
    axes = _axes(inputs.tobytes(), inputs.shape)
    found = fit_probe(
        inputs @ axes.T, targets, _array(validation_vectors) @ axes.T, validation_labels, strengths, maximum_iterations
    )
    return replace(found, weights=found.weights @ axes)


@lru_cache(maxsize=1)
def _axes(data: bytes, shape: tuple[int, int]) -> numpy.ndarray:
    """Return orthonormal axes of what items [N, d] in float64 span, [rank, d].

    Those of the last items are kept: other questions about the same images are asked next, and finding the axes takes
    longer than the fits.
    """
    _, spread, axes = numpy.linalg.svd(numpy.frombuffer(data).reshape(shape), full_matrices=False)
    found: numpy.ndarray = axes[spread > 1e-10 * spread[0]]
    found.setflags(write=False)
    return found


def _fit(model: object, inputs: numpy.ndarray, targets: numpy.ndarray) -> bool:
    """Fit in place, and return whether that converged."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(inputs, targets)  # type: ignore[attr-defined]
    return not any(issubclass(warning.category, ConvergenceWarning) for warning in told)


def _array(vectors: Vectors) -> numpy.ndarray:
    """Return vectors in float64: in float32 the line search of L-BFGS ends before its tolerance is met."""
    return numpy.asarray(vectors, dtype=numpy.float64)
