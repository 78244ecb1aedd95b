"""Probes against scikit-learn and closed forms: classes, numbers, factors, transformations, appendix B.6."""

from __future__ import annotations

from collections.abc import Iterator

import numpy
import pytest
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from experiments.data import FactorInformation
from experiments.simclr.colour import grey_of
from experiments.simclr.linear_evaluation import linear_evaluation
from experiments.simclr.probe_settings import LinearEvaluationSettings, ProbeSettings
from experiments.simclr.probes import factor_scores, features_of, fit_classifier, number_score
from experiments.simclr.transformation_probes import TRANSFORMATIONS, transformation_scores, transformed
from harness.errors import UserError

CPU = torch.device("cpu")


def digits() -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Return real features: 500 handwritten digits to learn from and 1,000 to be asked about."""
    found = load_digits()
    order = numpy.random.default_rng(0).permutation(len(found.target))
    learnt, asked = order[:500], order[500:1500]
    features = found.data.astype(numpy.float32)
    return features[learnt], found.target[learnt], features[asked], found.target[asked]


@pytest.mark.parametrize("strength", [0.01, 0.1, 1.0])
def test_both_solvers_agree_with_scikit_learn_on_standardised_features(strength: float) -> None:
    features, labels, asked, answers = digits()
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scaled, scaled_asked = ((x - mean) / numpy.where(deviation > 1e-8, deviation, 1) for x in (features, asked))
    reference = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit(scaled.astype(numpy.float64), labels)
    expected = 100 * reference.score(scaled_asked, answers)
    for kind in ("scikit-learn", "lbfgs"):
        settings = ProbeSettings(kind=kind, inverse_regularisation=strength)  # type: ignore[arg-type]
        found = fit_classifier(features, labels, settings)
        assert abs(found.accuracy(asked, answers) - expected) <= 0.2
        if kind == "lbfgs":
            assert numpy.abs(found.weights - reference.coef_).max() < 2e-3


def test_two_classes_and_labels_that_are_no_places() -> None:
    features, labels = make_classification(400, 8, random_state=1)
    labels = numpy.where(labels == 1, 7, 3)
    reference = LogisticRegression(C=0.1, max_iter=1000).fit((features - features.mean(0)) / features.std(0), labels)
    expected = reference.predict((features - features.mean(0)) / features.std(0))
    for kind in ("scikit-learn", "lbfgs"):
        found = fit_classifier(features, labels, ProbeSettings(kind=kind))  # type: ignore[arg-type]
        assert set(found.predict(features)) == {3, 7}
        assert (found.predict(features) == expected).mean() > 0.99


@pytest.mark.parametrize("kind", ["scikit-learn", "lbfgs"])
def test_a_fit_that_is_cut_short_says_so_and_warns_nobody(kind: str, recwarn: pytest.WarningsRecorder) -> None:
    features, labels, _, _ = digits()
    for iterations, expected in ((2, False), (300, True)):
        settings = ProbeSettings(kind=kind, maximum_iterations=iterations)  # type: ignore[arg-type]
        assert fit_classifier(features, labels, settings).converged is expected
    assert not recwarn.list


def test_one_class_cannot_be_told() -> None:
    with pytest.raises(UserError, match="two classes"):
        fit_classifier(numpy.ones((4, 2)), numpy.zeros(4), ProbeSettings())


def test_a_number_that_is_linear_in_the_features_is_explained_whole_and_noise_is_not() -> None:
    generator = numpy.random.default_rng(3)
    features, asked = generator.normal(size=(2, 300, 5))
    weights = generator.normal(size=5)
    assert number_score(features, features @ weights, asked, asked @ weights) > 99.9
    noise = generator.normal(size=(2, 300))
    assert number_score(features, noise[0], asked, noise[1]) < 10


def test_factors_are_scored_by_their_kind_and_left_out_where_unseen() -> None:
    features, labels, asked, answers = digits()
    numbers, asked_numbers = features[:, 20].astype(float), asked[:, 20].astype(float)
    absent = numpy.where(numpy.arange(500) % 2, numpy.nan, numbers)
    once = numpy.where(numpy.arange(500) == 7, numbers, numpy.nan)
    known = {"digit": labels, "ink": numbers, "font": labels % 2, "same": labels * 0, "pose": absent, "once": once}
    other = {
        "digit": answers,
        "ink": asked_numbers,
        "font": answers % 2 + 2,
        "same": answers * 0,
        "pose": asked_numbers,
        "once": asked_numbers,
    }
    kinds = {"digit": "class", "ink": "number", "font": "class", "same": "class", "pose": "number", "once": "number"}
    information = {name: FactorInformation(kind) for name, kind in kinds.items()}  # type: ignore[arg-type]
    found = factor_scores(features, known, asked, other, information, ProbeSettings())
    assert found.keys() == {"digit", "ink", "pose"}
    assert found["digit"] == fit_classifier(features, labels, ProbeSettings()).accuracy(asked, answers)
    assert found["ink"] > 99 and found["pose"] > 95


def test_representations_are_taken_in_evaluation_mode_and_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout(0.5))
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    images = numpy.random.default_rng(0).integers(0, 256, (700, 3, 2, 2), dtype=numpy.uint8)
    found = features_of(module, images, CPU)
    assert found.shape == (700, 12) and found.dtype == numpy.float32
    numpy.testing.assert_allclose(found, images.reshape(700, 12) / 255 / numpy.sqrt(1 + 1e-5), rtol=1e-5)
    assert module.training and all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    # A part that was frozen stays so, after an exception too.
    module[1].eval()
    with pytest.raises(RuntimeError):
        features_of(module, images[:, :2], CPU)
    assert [part.training for part in module] == [True, False, True]


class Identity(nn.Module):
    """An encoder whose h is the image, with batch norm beside it that must not move."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(64)

    def forward(self, images: Tensor) -> Tensor:
        self.norm(images.flatten(1))
        return images.flatten(1)


def test_appendix_b6_on_fixed_features_is_logistic_regression_without_regularisation() -> None:
    # Labels of which some are wrong, so that the best classifier without regularisation is a finite one.
    features, labels = make_classification(3000, 64, n_informative=20, n_classes=4, flip_y=0.2, random_state=5)
    features, asked = features[:2000].astype(numpy.float32), features[2000:].astype(numpy.float32)
    targets, answers = torch.from_numpy(labels[:2000]), torch.from_numpy(labels[2000:])
    images, held = (torch.from_numpy(x).reshape(-1, 1, 8, 8) for x in (features, asked))
    encoder = Identity().train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    settings = LinearEvaluationSettings(epochs=300, batch_size=250, learning_rate=0.1)
    steps: list[tuple[int, int]] = []

    def training(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.from_numpy(numpy.random.default_rng(epoch).permutation(2000))
        for chosen in order.split(250):
            yield images[chosen], targets[chosen]

    def evaluate() -> float:
        found = linear_evaluation(
            encoder, 64, 4, training, 8, {"test": lambda: [(held, answers)]}, settings, CPU,
            progress=lambda *at: steps.append(at),
        )  # fmt: skip
        assert found["test"].top5 == 100
        return found["test"].top1

    score = evaluate()
    reference = LogisticRegression(C=1e6, max_iter=5000).fit(features, labels[:2000])
    assert abs(score - 100 * reference.score(asked, labels[2000:])) <= 0.2
    assert steps[-1] == (2400, 2400) and len(steps) == 2400
    assert encoder.training and all(torch.equal(v, before[name]) for name, v in encoder.state_dict().items())
    assert evaluate() == score


def pictures(count: int, seed: int = 0) -> numpy.ndarray:
    """Return smooth coloured images, dark above and bright below, so that what is done to them can be told."""
    generator = numpy.random.default_rng(seed)
    colours = generator.random((count, 3, 1, 1))
    slope = numpy.linspace(0.2, 1.0, 12)[None, None, :, None] * numpy.ones(12)
    return (255 * colours * slope).astype(numpy.uint8)


def test_transformed_images_are_what_their_label_says() -> None:
    images = pictures(200)
    for name in TRANSFORMATIONS:
        found, labels = transformed(images, name, numpy.random.default_rng(1))
        again, same = transformed(images, name, numpy.random.default_rng(1))
        assert numpy.array_equal(found, again) and numpy.array_equal(labels, same)
        assert found.dtype == numpy.uint8 and labels.dtype == numpy.int64
        assert numpy.array_equal(found[labels == 0], images[labels == 0])
        if name == "rotation":
            for turns in (1, 2, 3):
                back = numpy.rot90(found[labels == turns], -turns, axes=(2, 3))
                assert numpy.array_equal(back, images[labels == turns])
        else:
            assert all(
                not numpy.array_equal(f, i) for f, i in zip(found[labels == 1], images[labels == 1], strict=True)
            )
    grey, chosen = transformed(images, "colour-or-grey", numpy.random.default_rng(1))
    assert (numpy.ptp(grey[chosen == 1], axis=1) == 0).all()
    expected = grey_of(torch.from_numpy(images[chosen == 1]) / 255.0) * 255
    assert (torch.from_numpy(grey[chosen == 1][:, :1]) - expected).abs().max() <= 0.51
    # Guessing "colour" is right in 80 % of cases, as the paper's table prints.
    share = numpy.mean(
        [transformed(pictures(1000), "colour-or-grey", numpy.random.default_rng(s))[1].mean() for s in range(5)]
    )
    assert abs(share - 0.2) < 4.5 * numpy.sqrt(0.16 / 5000)
    with pytest.raises(ValueError, match="no transformation 'blur'"):
        transformed(images, "blur", numpy.random.default_rng(1))


def test_a_representation_that_keeps_everything_tells_transformations_and_a_constant_one_guesses() -> None:
    encode = {"all": lambda x: x.reshape(len(x), -1) / 255.0, "nothing": lambda x: numpy.zeros((len(x), 2))}
    found = transformation_scores(encode, pictures(400), pictures(300, 1), numpy.random.default_rng(2), seed=3)
    assert found["all", "rotation"] > 95
    assert found["nothing", "rotation"] < 40 and 70 < found["nothing", "colour-or-grey"] < 90
    again = transformation_scores(encode, pictures(400), pictures(300, 1), numpy.random.default_rng(2), seed=3)
    assert again == found
