"""Linear probes against scikit-learn's own logistic regression."""

from __future__ import annotations

import numpy
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from experiments.clip import probes
from experiments.clip.probes import STRENGTHS, Probe, fit_probe
from harness.errors import UserError

LENGTH = 12


def drawn(
    count: int, classes: int = 4, spread: float = 1.0, offset: float = 0.0
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return unit vectors around one direction a class, and the classes."""
    draws = numpy.random.default_rng(count)
    labels = numpy.arange(count) % classes
    vectors = 2 * numpy.eye(LENGTH)[labels] + spread * draws.standard_normal((count, LENGTH)) + offset
    return (vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32"), labels


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_one_strength_is_scikit_learns_own_classifier(strength: float, classes: int, offset: float) -> None:
    (train, labels), (held, answers), (test, known) = (drawn(count, classes, 1.5, offset) for count in (120, 60, 200))
    probe = fit_probe(train, labels, held, answers, [strength])
    model = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit(train.astype(float), labels)
    expected = model.predict_log_proba(test.astype(float))
    scores = test @ probe.weights.T + probe.biases
    found = scores - numpy.log(numpy.exp(scores).sum(1, keepdims=True))
    # scikit-learn stops where the gradient is small, which for weak penalties is some way off the optimum.
    assert numpy.abs(found - expected).max() < 0.02 * (1 + numpy.abs(expected).max())
    assert (probe.predict(test) == model.predict(test.astype(float))).mean() > 0.98
    assert probe.strength == strength and probe.converged
    assert probe.validation_accuracy == pytest.approx(100 * model.score(held.astype(float), answers), abs=2)


def test_the_strength_is_that_of_the_best_validation_accuracy() -> None:
    (train, labels), (held, answers) = drawn(40, spread=2.5), drawn(400, spread=2.5)
    accuracies = [fit_probe(train, labels, held, answers, [strength]).validation_accuracy for strength in STRENGTHS]
    probe = fit_probe(train, labels, held, answers)
    # A fit that begins where another one ended may end a little elsewhere.
    assert probe.validation_accuracy == pytest.approx(max(accuracies), abs=1)
    assert len(set(accuracies)) > 2 and accuracies[STRENGTHS.index(probe.strength)] >= max(accuracies) - 1


def test_of_equals_the_strongest_penalty_is_taken_whatever_the_order() -> None:
    train, labels = drawn(200, spread=0.01)
    found = fit_probe(train, labels, train, labels, [1e3, 1e-1, 1e1])
    assert (found.strength, found.validation_accuracy) == (1e-1, 100)


def test_validation_items_choose_and_nothing_more() -> None:
    (train, labels), (held, answers) = drawn(60), drawn(100)
    one, other = fit_probe(train, labels, held, answers, [1.0]), fit_probe(train, labels, held[:7], answers[:7], [1.0])
    assert (one.weights == other.weights).all() and (one.biases == other.biases).all()


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_one_item_a_class_is_enough(classes: int) -> None:
    (train, labels), (held, answers) = drawn(classes, classes, 0.1), drawn(200, classes, 0.3)
    probe = fit_probe(train, labels, held, answers)
    assert probe.converged and probe.accuracy(held, answers) > 90


def test_with_one_item_a_class_a_strong_penalty_classifies_by_the_nearest() -> None:
    (train, labels), (test, answers) = drawn(5, 5, 1.0), drawn(300, 5, 1.0)
    probe = fit_probe(train, labels, test, answers, [1e-3])
    nearest = ((test - train.mean(0)) @ train.T).argmax(1)
    assert (probe.predict(test) == nearest).mean() > 0.97


def test_tensors_and_classes_by_any_numbers() -> None:
    (train, labels), (test, answers) = drawn(40, spread=0.1), drawn(80, spread=0.1)
    names = numpy.array([7, 3, 11, 0])
    tensors = [torch.from_numpy(each) for each in (train, names[labels], test, names[answers])]
    probe = fit_probe(*tensors)
    assert set(probe.predict(tensors[2])) == set(names.tolist())
    correct = probe.correct(tensors[2], tensors[3])
    assert correct.dtype == bool and correct.shape == (80,) and correct.all()
    assert probe.accuracy(tensors[2], tensors[3]) == 100


def test_a_class_without_a_training_item_is_never_found() -> None:
    (train, labels), (test, answers) = drawn(40, spread=0.1), drawn(80, spread=0.1)
    seen = labels < 3
    probe = fit_probe(train[seen], labels[seen], test, answers)
    correct = probe.correct(test, answers)
    assert correct[answers < 3].all() and not correct[answers == 3].any()
    assert probe.accuracy(test, answers) == 75


def test_a_fit_that_is_broken_off_says_so() -> None:
    train, labels = drawn(200, spread=2.0)
    assert not fit_probe(train, labels, train, labels, [1e3], maximum_iterations=2).converged


def test_the_same_items_give_the_same_bytes() -> None:
    train, labels = drawn(60)
    one, other = (fit_probe(train, labels, train, labels) for _ in range(2))
    assert one.weights.tobytes() == other.weights.tobytes() and one.facts() == other.facts()


def test_what_no_probe_can_be_fitted_on() -> None:
    train, labels = drawn(8)
    with pytest.raises(UserError, match="The 8 labelled images .* are all of one class") as raised:
        fit_probe(train, 0 * labels, train, labels)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="one strength at least"):
        fit_probe(train, labels, train, labels, [])


def test_facts_are_plain_numbers() -> None:
    train, labels = drawn(8)
    probe = fit_probe(train, labels, train, labels)
    assert isinstance(probe, Probe)
    assert probe.facts() == {
        "strength": probe.strength,
        "validation_accuracy": probe.validation_accuracy,
        "converged": True,
    }


def test_the_axes_of_the_last_items_are_found_once_and_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = numpy.random.default_rng(0)
    first, second = generator.normal(size=(2, 12, 20))
    labels = numpy.arange(12) % 2
    probes._axes.cache_clear()
    alone = [probes.fit_probe(items, labels, items, labels) for items in (first, second)]
    real, calls = numpy.linalg.svd, []
    monkeypatch.setattr(numpy.linalg, "svd", lambda *given, **more: (calls.append(1), real(*given, **more))[1])
    probes._axes.cache_clear()
    found = [probes.fit_probe(items, labels, items, labels) for items in (first, first, second)]
    assert len(calls) == 2
    assert all(numpy.array_equal(found[place].weights, alone[0].weights) for place in (0, 1))
    assert numpy.array_equal(found[2].weights, alone[1].weights)
