"""The trials: the same replicate gives the same metrics, bit for bit, alone, resumed or in other company."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from simclr_small import SMALL, called

from experiments.simclr import training
from experiments.simclr.augmentation_settings import AugmentationSettings
from experiments.simclr.views import Order, Share, views_of
from harness.errors import UserError
from harness.execution.run import Checkpoint, Run
from harness.execution.streams import Stream

Train = Callable[..., Any]


def metrics(record: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured, without how long it took."""
    return {name: value for name, value in record.items() if not name.startswith("stage_ms_")}


def test_the_same_replicate_gives_the_same_metrics_bit_for_bit(train: Train) -> None:
    first = metrics(train())
    torch.manual_seed(7)
    numpy.random.seed(7)
    torch.rand(10)
    assert metrics(train()) == first
    assert metrics(train(replicate=1)) != first


@pytest.mark.parametrize("killed_at", [1, 5, 11])
def test_a_resumed_training_gives_the_same_metrics_bit_for_bit(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    whole = metrics(train())
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)

    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        assert total == 12
        if done == killed_at:
            raise Killed

    folder = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        interrupted = Run("small", threads=1, checkpoint_folder=folder)
        interrupted.progress = kill  # type: ignore[method-assign]
        train(run=interrupted)
    state = Checkpoint(folder).load()
    assert state is not None and state["step"] == killed_at
    seen: list[int] = []
    resumed = Run("small", threads=1, checkpoint_folder=folder)
    resumed.progress = lambda done, total: seen.append(done)  # type: ignore[method-assign]
    assert metrics(train(run=resumed)) == whole
    assert seen == list(range(killed_at + 1, 13))


def test_the_metrics_are_whole_and_finite(train: Train) -> None:
    run = Run("small", threads=1)
    record = train(run=run)
    assert record["steps"] == 12 and record["encoder_parameters"] == 3 * 4 * 9 + 8 + 4 * 8 * 9 + 16
    assert all(math.isfinite(value) for value in record.values())
    assert {"accuracy", "validation_accuracy", "factor_letter", "factor_hue_family", "factor_hue"} <= record.keys()
    # A probe after the twelve steps, and nothing else after the last of them.
    assert [row["step"] for row in run.scalars] == list(range(13))
    assert run.scalars[-2]["loss"] == record["loss"]
    assert run.scalars[-1] == {"step": 12, "validation_accuracy": record["validation_accuracy"]}
    assert {f"stage_ms_{part}" for part in ("data", "augmentation", "encoder", "loss", "optimiser")} <= record.keys()


def test_training_learns_more_than_an_untrained_encoder_knows(train: Train) -> None:
    longer = {"data": {**SMALL["data"], "train": 480, "validation": 200, "test": 200}, "probe": {"labelled": 300}}
    scores = [[train(replicate=k, epochs=epochs, **longer)["accuracy"] for epochs in (0.01, 12)] for k in range(3)]
    gains = [after - before for before, after in scores]
    assert numpy.mean(gains) > 3, gains


def test_heads_of_one_replicate_see_the_same_batches(train: Train) -> None:
    first, second = (train(head=head, output_dimension=8) for head in ("none", "linear"))
    assert first["head_parameters"] == 0 and second["head_parameters"] == 64
    assert metrics(first) != metrics(second)


def test_without_a_head_the_output_dimension_is_that_of_h(train: Train) -> None:
    assert metrics(train(head="none", output_dimension=8)) == metrics(train(head="none", output_dimension=128))


def test_a_learning_rate_of_its_own_takes_the_place_of_the_optimisers(train: Train) -> None:
    optimiser = {**SMALL["optimiser"], "learning_rate": 0.01}
    assert metrics(train(learning_rate=0.01)) == metrics(train(optimiser=optimiser)) != metrics(train())


def test_a_diverged_training_says_so_with_nan(train: Train) -> None:
    record = train(optimiser={"kind": "sgd", "learning_rate": 1e30, "schedule": "constant"}, normalise=False)
    assert math.isnan(record["accuracy"]) and math.isnan(record["validation_accuracy"])


def test_a_batch_larger_than_the_data_gets_one_sentence(train: Train) -> None:
    with pytest.raises(UserError, match="a batch of 97 needs as many training images; there are 96"):
        train(batch_size=97)


def test_transformations_of_figure_5_leave_the_others_out(train: Train) -> None:
    augmentation = {"crop": {"scale": [0.3, 1.0]}, "blur": {}, "one_branch": True}
    crop, pair, none = (
        metrics(train(augmentation=augmentation, first=first, second=second))
        for first, second in (("crop", "crop"), ("crop", "colour"), ("none", "none"))
    )
    assert crop != pair != none != crop
    # With two equal views a head of any kind has nothing to tell apart but the images themselves.
    assert none["contrastive_accuracy"] == 100.0


def test_layers_are_read_from_one_training() -> None:
    records = called("compare_layers", Run("small", threads=1), layer={"h": "h", "z": "z", "fresh": "untrained"})
    assert [record["layer"] for record in records] == ["h", "z", "fresh"]
    assert len({record["accuracy"] for record in records}) > 1
    assert all(f"transformation_{name}" in records[0] for name in ("rotation", "colour-or-grey"))
    again = called("compare_layers", Run("small", threads=1), layer={"z": "z"})
    assert metrics(again[0])["accuracy"] == records[1]["accuracy"]
    plain = called("train_and_evaluate", Run("small", threads=1))
    assert plain["accuracy"] == records[0]["accuracy"]


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_every_image_is_seen_once_an_epoch_whatever_the_number_of_processes(processes: int) -> None:
    orders = [Order(Stream("a", 0, "data_order"), 50, 8, Share(rank, processes)) for rank in range(processes)]
    steps = [numpy.concatenate([order.indices(step) for order in orders]) for step in range(12)]
    for epoch in (0, 1):
        seen = numpy.concatenate(steps[6 * epoch : 6 * epoch + 6])
        assert len(set(seen)) == 48 and all(0 <= index < 50 for index in seen)
    alone = Order(Stream("a", 0, "data_order"), 50, 8, Share())
    assert all(numpy.array_equal(alone.indices(step), found) for step, found in enumerate(steps))
    # Any step by itself is what it is in its turn.
    assert numpy.array_equal(Order(Stream("a", 0, "data_order"), 50, 8, Share()).indices(7), steps[7])


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be divided among 3 processes"):
        Order(Stream("a"), 50, 8, Share(0, 3))


def test_views_need_a_size_where_images_have_none() -> None:
    from experiments.data import DecodedPart

    part = DecodedPart("folder", ("image.png",) * 8, {"label": numpy.zeros(8, dtype=numpy.int64)})
    with pytest.raises(ValueError, match="need 'view_size'"):
        views_of(part, 4, AugmentationSettings(), Stream("o"), Stream("a"), torch.device("cpu"))
