"""What trainings keep of their steps: loss, length of the gradient, validation accuracy; and that keeping moves no bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import clip_small
import pandas
import pytest
import rdrop_small
import simclr_small
import torch

from experiments.clip import training as clip_training
from experiments.rdrop import training as rdrop_training
from experiments.rdrop.model_settings import PerceptronSettings
from experiments.rdrop.models import build_small_model
from experiments.rdrop.optimiser_settings import OptimiserSettings
from experiments.rdrop.stacks import OneByOne, Together
from experiments.simclr import training as simclr_training
from harness.errors import UserError
from harness.execution.run import Run
from harness.execution.streams import Stream

CPU = torch.device("cpu")


def fresh() -> Run:
    return Run("small", threads=1)


def simclr(run: Run, **changed: Any) -> list[dict[str, Any]]:
    record = simclr_small.called("train_and_evaluate", run, **changed)
    return [{name: value for name, value in record.items() if not name.startswith("stage_ms_")}]


def rdrop(run: Run, **changed: Any) -> list[dict[str, Any]]:
    return rdrop_small.called(run, seed={"first": 0, "second": 1}, **changed)


def rdrop_together(run: Run) -> list[dict[str, Any]]:
    return rdrop(run, together=True)


def clip(run: Run) -> list[dict[str, Any]]:
    prompts = {"default": {"templates": "held-out"}}
    given = {**clip_small.TRAINING, "data": clip_small.DIGITS, "prompts": prompts}
    return clip_small.called("experiments.clip.trial:classify_by_prompts", run, given)


TRIALS = [(simclr, simclr_training), (rdrop, rdrop_training), (rdrop_together, rdrop_training), (clip, clip_training)]


@pytest.mark.parametrize(("trial", "module"), TRIALS)
def test_keeping_scalars_moves_no_bit_of_a_record_or_a_sample(
    trial: Callable[[Run], list[dict[str, Any]]], module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, bare = fresh(), fresh()
    records = trial(kept)
    # The record's loss is the last step's, which is kept anyhow.
    monkeypatch.setattr(module, "are_kept", lambda step, steps: step == steps - 1)
    assert trial(bare) == records
    assert len(bare.scalars) < len(kept.scalars)
    assert all(table.equals(bare.tables[name]) for name, table in kept.tables.items())


@pytest.mark.parametrize(("trial", "module"), TRIALS)
def test_every_training_keeps_its_loss_and_the_length_of_its_gradient(
    trial: Callable[[Run], list[dict[str, Any]]], module: Any
) -> None:
    run = fresh()
    trial(run)
    table = run.all_tables()["scalars"]
    rows = table[table["loss"].notna()]
    assert (rows["gradient_norm"] > 0).all() and rows["gradient_norm"].nunique() > 1
    assert rows["step"].min() == 0 and len(rows) >= 4


def test_seeds_of_one_trial_are_told_apart_by_their_level() -> None:
    run = fresh()
    rdrop(run)
    table = run.all_tables()["scalars"]
    assert set(table["seed"]) == {"0", "1"}
    course = run.tables["course"]
    kept = table[table["validation_accuracy"].notna()].reset_index(drop=True)
    pandas.testing.assert_frame_equal(
        kept[["step", "seed", "validation_accuracy"]],
        course[["step", "seed", "validation_accuracy"]],
        check_dtype=False,
    )


def test_probes_on_the_way_are_scalars_and_change_nothing_else() -> None:
    plain, looked = fresh(), fresh()
    assert simclr(plain) == simclr(looked, probes_on_the_way=3)
    found = {row["step"]: row["validation_accuracy"] for row in looked.scalars if "validation_accuracy" in row}
    assert list(found) == [3, 6, 9, 12]
    assert [row for row in looked.scalars if row["step"] not in (3, 6, 9) or "loss" in row] == plain.scalars
    # What a probe sees on the way is what it sees of a training that ends there, under the same learning rates.
    constant: Mapping[str, Any] = {"kind": "adamw", "learning_rate": 0.003, "schedule": "constant"}
    longer, half = fresh(), fresh()
    simclr(longer, optimiser=constant, probes_on_the_way=1)
    ended = simclr(half, optimiser=constant, epochs=1)
    assert {row["step"]: row["validation_accuracy"] for row in longer.scalars if "validation_accuracy" in row}[6] == (
        ended[0]["validation_accuracy"]
    )


def test_probes_on_the_way_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(UserError, match="made by one process"):
        simclr(fresh(), probes_on_the_way=2, processes=2)
    with pytest.raises(UserError, match="leave one out"):
        simclr(fresh(), probes_on_the_way=2, linear_evaluation={"epochs": 1, "batch_size": 16})


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_a_stacks_gradient_norms_are_its_models_own_before_clipping(clip: float | None) -> None:
    shape = (1, 4, 4)
    settings = PerceptronSettings(kind="perceptron", widths=(6,))

    def models() -> list[Any]:
        return [build_small_model(settings, shape, 0, 3, Stream("norms", "init", place)) for place in range(2)]

    inputs, targets = torch.randn(2, 5, *shape), torch.randint(3, (2, 5))
    expected = []
    for place, model in enumerate(models()):
        torch.nn.functional.cross_entropy(model(inputs[place]), targets[place]).backward()
        expected.append(sum(float(p.grad.double().square().sum()) for p in model.parameters()) ** 0.5)
    plain = OptimiserSettings(kind="sgd", learning_rate=0.1)
    for cls, wanted in ((OneByOne, plain.model_copy(update={"clip": clip})), (Together, plain)):
        stack = cls(models(), wanted, CPU)
        stack.step(inputs, targets, None, torch.nn.functional.cross_entropy, 0.1)
        assert stack.gradient_norms().tolist() == pytest.approx(expected, rel=1e-5), cls
