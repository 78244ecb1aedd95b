"""The trial: what it records, which arms share what, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import torch
from pydantic import ValidationError
from rdrop_small import DIGITS, SMALL, called
from torch import Tensor

from baselines.regimes import DOUBLED_BATCH, PLAIN, TWICE_THE_STEPS
from experiments.rdrop import setup as put_together
from experiments.rdrop import training
from experiments.rdrop.setup import regime_of
from experiments.rdrop.tasks import Task
from harness.errors import UserError
from harness.execution.run import Run

MEASURED = ("accuracy", "nll", "ece", "inconsistency", "mean_divergence", "mean_accuracy")
HUGGING_FACE = {"kind": "hugging-face", "name": "no/such-model"}


def fresh(replicate: int = 0) -> Run:
    return Run("small", replicate, threads=1)


def one(**changed: Any) -> dict[str, Any]:
    (record,) = called(fresh(), **changed)
    return record


# Records


@pytest.mark.parametrize("data", [{}, DIGITS], ids=["texts", "digits"])
def test_the_record_is_whole_and_finite(data: dict[str, Any]) -> None:
    record = one(**data)
    both = {f"{name}{end}" for name in (*MEASURED, "loss") for end in ("", "_last")}
    both |= {f"validation_{name}{end}" for name in ("accuracy", "nll", "ece") for end in ("", "_last")}
    assert set(record) == both | {"seed", "best_step", "parameters", "compute", "steps"}
    assert record.pop("seed") == "0"
    assert all(math.isfinite(value) for value in record.values())
    for name in ("accuracy", "validation_accuracy", "mean_accuracy", "ece"):
        assert 0 <= record[name] <= 100
    assert record["nll"] > 0 and record["inconsistency"] > 0 and record["mean_divergence"] > 0


@pytest.mark.parametrize("replicate", [0, 1, 2])
def test_readings_are_those_of_the_course(replicate: int) -> None:
    run = fresh(replicate)
    records = called(run, **DIGITS, steps=16, evaluations=8, seed={"a": 3, "b": 8}, optimiser={"learning_rate": 0.1})
    course = run.tables["course"]
    for record, seed in zip(records, ("3", "8"), strict=True):
        own = course[course["seed"] == seed].reset_index(drop=True)
        assert list(own["step"]) == list(range(2, 17, 2))
        # The first of equals.
        best = own.loc[own["validation_accuracy"].idxmax()]
        assert record["best_step"] == best["step"]
        last = own.iloc[-1]
        for name in own.columns.drop(["seed", "step"]):
            assert record[name] == best[name] and record[f"{name}_last"] == last[name]
    assert len(course) == 16 and "model" not in course


def test_the_best_step_is_the_first_of_equals_and_not_always_the_last() -> None:
    from experiments.rdrop.evaluation import readings

    course = [
        {"step": step, "model": model, "validation_accuracy": accuracy, "accuracy": float(step)}
        for step, accuracies in ((5, (50.0, 10.0)), (10, (70.0, 20.0)), (15, (70.0, 30.0)), (20, (60.0, 30.0)))
        for model, accuracy in enumerate(accuracies)
    ]
    assert readings(course, 0) == {
        "best_step": 10, "validation_accuracy": 70.0, "accuracy": 10.0, "validation_accuracy_last": 60.0,
        "accuracy_last": 20.0,
    }  # fmt: skip
    assert readings(course, 1)["best_step"] == 15


def test_a_replicate_gives_the_same_record_and_another_one_another() -> None:
    first = called(fresh())
    torch.manual_seed(7)
    numpy.random.seed(7)
    assert called(fresh()) == first
    assert called(fresh(1)) != first


@pytest.mark.parametrize("streams", ["init", "data_order", "dropout"])
def test_each_random_stream_has_its_say(streams: str) -> None:
    varied = [called(Run("small", replicate, threads=1, varied_streams=streams))[0] for replicate in (0, 1)]
    assert varied[0] == called(fresh())[0] and varied[0]["nll"] != varied[1]["nll"]


def test_steps_and_compute_are_those_of_the_arm() -> None:
    found = {alpha: one(alpha=alpha) for alpha in ("plain", "twice", 0, 1)}
    assert {alpha: record["steps"] for alpha, record in found.items()} == {"plain": 12, "twice": 24, 0: 12, 1: 12}
    assert {alpha: record["compute"] for alpha, record in found.items()} == {"plain": 12, "twice": 24, 0: 24, 1: 24}
    assert one(passes=3)["compute"] == 36
    # The words' embeddings, positions, the layer and the classifier.
    block = 2 * 16 + 8 * 24 + 24 + 8 * 8 + 8 + 8 * 32 + 32 + 32 * 8 + 8
    assert found[1]["parameters"] == 40 * 8 + 6 * 8 + block + 16 + 8 * 3 + 3


def test_compute_leaves_out_the_passes_that_are_not_made() -> None:
    # Steps 0, 2, ..., 10 have two passes; steps 0, 5 and 10 three.
    assert one(every=2)["compute"] == 12 + 6
    assert one(every=5, passes=3)["compute"] == 12 + 2 * 3


def test_regimes() -> None:
    assert (regime_of("plain"), regime_of("twice"), regime_of(0.0), regime_of(5.0)) == (
        PLAIN, TWICE_THE_STEPS, DOUBLED_BATCH, DOUBLED_BATCH,
    )  # fmt: skip
    assert (PLAIN.compute, TWICE_THE_STEPS.compute, DOUBLED_BATCH.compute) == (1, 2, 2)


def test_a_training_that_overfits_knows_its_training_data_and_more_than_chance() -> None:
    record = one(steps=60, optimiser={"learning_rate": 0.02})
    assert record["accuracy"] > 60 and record["loss_last"] < 1.0


# Seeds


@pytest.mark.parametrize("given", [{"alpha": 1}, {"alpha": "plain"}, {"alpha": 2, "passes": 3, "every": 2}])
def test_seeds_together_are_seeds_one_by_one(given: dict[str, Any]) -> None:
    seeds = {"a": 0, "b": 1, "c": 2}
    together, after = (
        called(fresh(), **DIGITS, **given, seed=seeds, together=flag, label_noise=0.2, input_noise=[0.2])
        for flag in (True, False)
    )
    assert [record["seed"] for record in together] == ["a", "b", "c"]
    for found, expected in zip(together, after, strict=True):
        assert found.keys() == expected.keys()
        for name in ("nll", "accuracy", "validation_nll", "nll_last", "inconsistency", "accuracy_noise_0.2", "loss"):
            assert found[name] == pytest.approx(expected[name], rel=1e-4), name
    assert len({record["nll"] for record in together}) == 3


@pytest.mark.parametrize("together", [False, True])
def test_a_seed_alone_is_what_it_is_in_company(together: bool) -> None:
    company = called(fresh(), **DIGITS, seed={"a": 0, "b": 7}, together=together)
    for record, seed in zip(company, (0, 7), strict=True):
        (alone,) = called(fresh(), **DIGITS, seed={record["seed"]: seed}, together=together)
        assert alone.keys() == record.keys() and alone["seed"] == record["seed"]
        for name in alone.keys() - {"seed"}:
            assert alone[name] == pytest.approx(record[name], rel=1e-4), name


def test_seeds_share_data_and_wrong_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[Task] = []
    original = put_together.task_of

    def spy(*arguments: Any) -> Task:
        tasks.append(original(*arguments))
        return tasks[-1]

    monkeypatch.setattr(put_together, "task_of", spy)
    called(fresh(), **DIGITS, seed={"a": 0, "b": 1}, label_noise=0.3)
    called(fresh(), **DIGITS, seed={"b": 1}, label_noise=0.3, alpha="plain")
    called(fresh(), **DIGITS, seed={"b": 1})
    assert len(tasks) == 3
    assert torch.equal(tasks[0].train.targets, tasks[1].train.targets)
    assert torch.equal(tasks[0].train.inputs, tasks[2].train.inputs)
    assert torch.equal(tasks[0].test.targets, tasks[2].test.targets)
    wrong = (tasks[0].train.targets != tasks[2].train.targets).float().mean()
    assert 0.1 < wrong < 0.5


def test_precision_counts_together_too() -> None:
    """Or it is refused."""
    try:
        half = one(**DIGITS, together=True, precision="bfloat16")
    except UserError:
        return
    assert half["nll"] != one(**DIGITS, together=True)["nll"]


def test_half_precision_is_not_quite_the_same() -> None:
    half, single = (one(**DIGITS, precision=precision) for precision in ("bfloat16", "float32"))
    assert half["nll"] != single["nll"] and half["nll"] == pytest.approx(single["nll"], rel=0.05)


# Dropout


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("rate", [0.0, None])
def test_without_dropout_passes_have_nothing_to_disagree_about(rate: float | None, together: bool) -> None:
    record = one(**DIGITS, dropout=rate, together=together)
    assert not {"inconsistency", "mean_divergence", "mean_accuracy", "inconsistency_last"} & record.keys()
    assert math.isfinite(record["nll"])
    # There is no divergence, so its weight changes nothing but rounding.
    assert one(**DIGITS, dropout=rate, together=together, alpha=0)["nll"] == pytest.approx(record["nll"], rel=1e-4)
    assert one(**DIGITS, dropout=0.3, together=together)["nll"] != pytest.approx(record["nll"], rel=1e-3)


@pytest.mark.parametrize("data", [{"steps": 40}, {**DIGITS, "steps": 40}], ids=["texts", "digits"])
def test_passes_disagree_the_less_the_more_the_divergence_weighs(data: dict[str, Any]) -> None:
    found = [one(**data, alpha=alpha)["inconsistency_last"] for alpha in (0, 3, 30)]
    assert found[0] > 1.5 * found[1] and found[1] > 2 * found[2] >= 0


def masks_of(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> list[list[dict[str, Tensor]]]:
    """Return the masks of every step, copy by copy."""
    seen: list[list[dict[str, Tensor]]] = []
    original = training.laid_masks

    def spy(drawers: Any, batch_size: int, passes: int, device: torch.device) -> dict[str, Tensor]:
        found = original(drawers, batch_size, passes, device)
        seen.append(
            [
                {site: own[:, n * batch_size : (n + 1) * batch_size] for site, own in found.items()}
                for n in range(passes)
            ]
        )
        return found

    with monkeypatch.context() as patched:
        patched.setattr(training, "laid_masks", spy)
        called(fresh(), **changed)
    return seen


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    assert first.keys() == second.keys() and first
    return all(torch.equal(first[site], second[site]) for site in first)


def test_the_first_copy_of_every_arm_meets_plain_trainings_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = masks_of(monkeypatch, alpha="plain")
    assert [len(step) for step in plain] == [1] * 12 and not same(plain[0][0], plain[1][0])
    arms: dict[str, dict[str, Any]] = {
        "doubled": {"alpha": 0}, "r-drop": {"alpha": 5}, "three": {"alpha": 5, "passes": 3},
        "now and then": {"alpha": 5, "every": 3}, "other rate": {"alpha": 5, "second_dropout": 0.6},
        "twice": {"alpha": "twice"},
    }  # fmt: skip
    found = {name: masks_of(monkeypatch, **arm) for name, arm in arms.items()}
    assert all(same(one[0], two[0]) for own in found.values() for one, two in zip(plain, own, strict=False))
    for step in range(12):
        assert len(found["r-drop"][step]) == 2 and len(found["three"][step]) == 3
        assert not same(found["r-drop"][step][0], found["r-drop"][step][1])
        assert same(found["r-drop"][step][1], found["doubled"][step][1])
        assert same(found["r-drop"][step][1], found["three"][step][1])
        assert not same(found["three"][step][1], found["three"][step][2])
        assert len(found["now and then"][step]) == (2 if step % 3 == 0 else 1)
    other = masks_of(monkeypatch, alpha="plain", seed={"b": 1})
    assert not same(other[0][0], plain[0][0])


def test_the_second_pass_may_have_a_rate_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def rates(**changed: Any) -> list[float]:
        found = masks_of(monkeypatch, batch_size=24, **changed)
        copies = range(len(found[0]))
        return [
            float(torch.cat([(own == 0).float().flatten() for step in found for own in step[n].values()]).mean())
            for n in copies
        ]

    assert rates(dropout=0.2, second_dropout=0.6) == pytest.approx([0.2, 0.6], abs=0.02)
    assert rates(dropout=0.2, second_dropout=0.6, passes=3) == pytest.approx([0.2, 0.6, 0.6], abs=0.02)
    assert rates(dropout=0.2) == pytest.approx([0.2, 0.2], abs=0.02)
    assert rates(dropout=0.2, second_dropout=0.0) == pytest.approx([0.2, 0.0], abs=0.02)
    # Plain training has no second pass.
    assert one(alpha="plain", second_dropout=0.6) == one(alpha="plain")
    assert one(second_dropout=0.3, dropout=0.3) == one(dropout=0.3) != one(second_dropout=0.6, dropout=0.3)


# Options


@pytest.mark.parametrize("data", [{}, DIGITS], ids=["texts", "digits"])
def test_alpha_4_of_the_paper_is_alpha_1_of_the_notes(data: dict[str, Any]) -> None:
    # Half the loss: Adam's steps are the same to its epsilon.
    paper, notes, other = (
        one(**data, alpha=alpha, convention=convention)
        for alpha, convention in ((4, "paper"), (1, "notes"), (1, "paper"))
    )
    for name in ("nll", "nll_last", "validation_nll", "inconsistency_last"):
        assert paper[name] == pytest.approx(notes[name], rel=1e-3), name
        assert paper[name] != pytest.approx(other[name], rel=1e-3), name
    assert paper["loss_last"] == pytest.approx(2 * notes["loss_last"], rel=1e-3)


def test_three_passes_are_not_two() -> None:
    found = [one(passes=passes)["nll"] for passes in (1, 2, 3)]
    assert len(set(found)) == 3
    # One pass is plain training.
    assert found[0] == one(alpha="plain")["nll"]


def test_weight_decay_takes_the_place_of_the_optimisers() -> None:
    given = {**SMALL["optimiser"], "weight_decay": 2.0}
    assert one(weight_decay=2.0) == one(optimiser=given) == one(optimiser=given, weight_decay=2.0)
    assert one(optimiser=given, weight_decay=0.0) == one() != one(weight_decay=2.0)


def test_label_noise_and_smoothing_have_their_say() -> None:
    usual = one(steps=40)
    assert one(steps=40, label_noise=0.9)["accuracy"] < usual["accuracy"] - 10
    assert one(steps=40, label_smoothing=0.5)["nll"] > usual["nll"]


@pytest.mark.parametrize("data", [{}, DIGITS], ids=["texts", "digits"])
def test_noise_on_inputs_adds_metrics_and_moves_no_other(data: dict[str, Any]) -> None:
    given = {**data, "steps": 60, "optimiser": {"learning_rate": 0.02}}
    usual, noisy = one(**given), one(**given, input_noise=[0.0, 0.2, 1.0])
    names = {f"accuracy_noise_{amount}{end}" for amount in ("0", "0.2", "1") for end in ("", "_last")}
    assert noisy.keys() - usual.keys() == names
    assert {name: noisy[name] for name in usual} == usual
    assert noisy["accuracy_noise_0"] == noisy["accuracy"] > noisy["accuracy_noise_1"] + 15


def test_evaluations_are_at_equal_distances_and_at_the_end() -> None:
    for given, expected in (
        ({"evaluations": 4}, [3, 6, 9, 12]),
        ({"evaluations": 5}, [2, 4, 6, 8, 10, 12]),
        ({"evaluations": 1}, [12]),
        ({"evaluations": 100, "steps": 3}, [1, 2, 3]),
        ({"evaluations": 3, "steps": 10}, [3, 6, 9, 10]),
        ({"evaluations": 2, "steps": 4, "alpha": "twice"}, [2, 4, 6, 8]),
    ):
        run = fresh()
        called(run, **given)
        assert list(run.tables["course"]["step"]) == expected


def test_how_often_is_evaluated_changes_nothing_that_is_trained() -> None:
    found = [one(evaluations=evaluations) for evaluations in (1, 4, 12)]
    assert len({record["nll_last"] for record in found}) == len({record["loss_last"] for record in found}) == 1


@pytest.mark.parametrize("data", [{}, DIGITS], ids=["texts", "digits"])
def test_a_training_that_diverges_in_its_last_step_says_so_too(data: dict[str, Any]) -> None:
    record = one(**data, optimiser={"kind": "sgd", "learning_rate": 1e30}, steps=1)
    assert math.isnan(record["nll"]) and math.isnan(record["accuracy"]) and "diverged_at" in record


# Refusals


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": DIGITS["model"]}, "procedural-text: the model 'perceptron' does not take numbered words"),
        ({"model": {"kind": "vision-transformer"}}, "procedural-text: the model 'vision-transformer' does not take numbered words"),
        ({"data": DIGITS["data"]}, "digits: the model 'transformer' does not take images"),
        (
            {**DIGITS, "model": {"kind": "vision-transformer", "patch": 3}},
            "digits: images of 8 x 8 cannot be cut into patches of 3",
        ),
        (
            {**DIGITS, "together": True, "optimiser": {"learning_rate": 0.01, "clip": 1.0}},
            "'together': a gradient's length is one model's own, so 'clip' needs models trained one by one",
        ),
        ({**DIGITS, "model": HUGGING_FACE, "together": True}, "'together' needs one of the small models; 'no/such-model'"),
        (
            {**DIGITS, "model": HUGGING_FACE, "second_dropout": 0.1},
            "'second_dropout' needs one of the small models; 'no/such-model'",
        ),
        ({"model": HUGGING_FACE}, "procedural-text: the model 'hugging-face' does not take numbered words"),
        ({**DIGITS, "model": HUGGING_FACE}, "The model no/such-model has no configuration here"),
        (
            {"data": {"source": "text-files", "train": "a.csv", "test": "b.csv"}},
            "text-files: the model 'transformer' has no tokenizer",
        ),
        ({**DIGITS, "batch_size": 97}, "digits: 96 training examples do not fill a batch of 97"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        called(fresh(), **given)
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [{"alpha": "none"}, {"alpha": "1"}, {"convention": "mine"}, {"precision": "float16"}, {"model": {"kind": "cnn"}}],
)
def test_values_of_another_kind_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        called(fresh(), **given)


OUT_OF_RANGE: list[dict[str, Any]] = [
    {"evaluations": 0}, {"every": 0}, {"steps": 0}, {"batch_size": 0}, {"passes": 0}, {"dropout": 1.0},
    {"dropout": -0.1}, {"second_dropout": 1.0}, {"label_noise": 1.5}, {"label_noise": -0.5}, {"input_noise": [-0.5]},
    {"label_smoothing": 1.5}, {"seed": {}}, {"alpha": -1},
    {"convention": "official-roberta", "passes": 3},
]  # fmt: skip


@pytest.mark.parametrize("given", OUT_OF_RANGE, ids=str)
def test_values_out_of_range_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, UserError)):
        called(fresh(), **given)
