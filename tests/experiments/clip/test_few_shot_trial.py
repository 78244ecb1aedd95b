"""Zero-shot beside probes on few labelled images."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from clip_small import DIGITS, TRAINING, called, checked, fresh
from sklearn.linear_model import LogisticRegression

from experiments.clip.probes import fit_probe
from experiments.clip.setup import Training, trained_or_loaded
from harness.errors import UserError
from harness.execution.run import Run

TRIAL = "experiments.clip.few_shot_trial:compare_with_probes"
MORE = {**DIGITS, "train": 200}
SHOTS = {"0": 0, "1": 1, "2": 2}
LAYERS = {"penultimate": "penultimate", "projected": "projected"}


def trial(run: Run, **given: Any) -> dict[tuple[str, str], dict[str, Any]]:
    asked = {"data": MORE, "shots": SHOTS, "layer": LAYERS, "draws": 3, **TRAINING, **given}
    return {(record["shots"], record["layer"]): record for record in called(TRIAL, run, asked)}


def test_a_record_for_each_number_of_shots_and_layer() -> None:
    found = trial(fresh())
    assert set(found) == {(shots, layer) for shots in SHOTS for layer in LAYERS}
    zero = [record for (shots, _), record in found.items() if shots == "0"]
    assert zero[0]["accuracy"] == zero[1]["accuracy"] and zero[0]["spread"] == 0.0, "words read no layer"
    assert found["2", "projected"]["accuracy"] != found["2", "penultimate"]["accuracy"]
    assert found == trial(fresh()), "the same again"


def test_a_probe_is_that_of_the_labelled_images_that_were_drawn() -> None:
    run = fresh(3)
    record = trial(run, draws=1, shots={"2": 2})["2", "projected"]
    given = checked(TRIAL, {"data": MORE, **TRAINING})
    again = fresh(3)
    training = Training(
        checked(TRIAL, {"captions": {}})["captions"], checked(TRIAL, {"optimiser": {}})["optimiser"], 4, 16
    )
    ready = trained_or_loaded(again, given["data"], given["model"], training)
    train, validation, test = (ready.vectors.images(ready.dataset, part) for part in ("train", "validation", "test"))
    labels = [numpy.asarray(getattr(ready.dataset, part).factors["digit"]) for part in ("train", "validation", "test")]
    order = again.stream("shots").child(0).numpy.permutation(len(train))
    chosen = [index for digit in range(10) for index in [i for i in order if labels[0][i] == digit][:2]]
    assert [labels[0][index] for index in chosen] == sorted(list(range(10)) * 2)
    probe = fit_probe(train[chosen], labels[0][chosen], validation, labels[1])
    assert record["accuracy"] == pytest.approx(probe.accuracy(test, labels[2]), abs=1e-9)


def test_few_items_are_fitted_in_their_span_without_loss() -> None:
    draws = numpy.random.default_rng(0)
    centres = draws.normal(size=(4, 60))
    vectors, labels = numpy.repeat(centres, 3, 0) + draws.normal(size=(12, 60)), numpy.repeat(range(4), 3)
    held, answers = numpy.repeat(centres, 25, 0) + 2 * draws.normal(size=(100, 60)), numpy.repeat(range(4), 25)
    for strength in (0.01, 1.0):
        probe = fit_probe(vectors, labels, held, answers, strengths=(strength,))
        direct = LogisticRegression(C=strength, tol=1e-8, max_iter=10_000).fit(vectors, labels)
        assert probe.weights.shape == (4, 60)
        numpy.testing.assert_allclose(probe.weights, direct.coef_, atol=2e-3)
        assert (probe.predict(held) == direct.predict(held)).mean() > 0.98


def test_the_share_that_name_no_class_takes_the_place_of_the_captions_own() -> None:
    assert trial(fresh(), omitted=1.0, steps=8) != trial(fresh(), omitted=0.0, steps=8)


def test_more_shots_than_images_are_refused() -> None:
    with pytest.raises(UserError, match="a class has fewer than 60 training images"):
        trial(fresh(), shots={"60": 60})


def test_a_training_that_diverged_has_no_scores() -> None:
    found = trial(fresh(), optimiser={"learning_rate": 1e30}, steps=8)
    assert all(math.isnan(record["accuracy"]) for record in found.values())
