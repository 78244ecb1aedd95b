"""Images in files: cropped by loaders, trained on by several processes, up to a finished report on files in the true format."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import true_format_files
import yaml
from simclr_small import called
from torchvision.transforms.v2 import functional

from experiments.data import DecodedPart, load
from experiments.data.settings import ImageFolderSettings
from experiments.simclr.augmentation_settings import AugmentationSettings, CropSettings
from experiments.simclr.loading import CropPlan, InSequence, crop_batches
from experiments.simclr.operations import of_training
from experiments.simclr.views import FileViews, Share, views_of
from harness.execution.run import Run
from harness.execution.streams import Stream
from harness.plan.cost import predicted_cost
from harness.plan.design import make_design
from harness.plan.state import state_of
from harness.spec.find import find_experiment
from harness.store.store import Store

SPECS = Path(__file__).parents[3] / "experiments" / "simclr"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    true_format_files.write_image_folder(tmp_path / "images")
    return tmp_path / "images"


@pytest.fixture
def part(folder: Path) -> DecodedPart:
    found = load(ImageFolderSettings(), 0, root=str(folder)).train
    assert isinstance(found, DecodedPart)
    return found


def crops_of(part: DecodedPart, loaders: int, first: int = 0, last: int = 3) -> list[torch.Tensor]:
    plan = CropPlan(CropSettings(), 0.5, 16, crops=2)
    batches = crop_batches(part, InSequence(len(part), 4), first, last, plan, Stream("a", 0, "crop"), loaders)
    return [crops for crops, _ in batches]


def test_crops_depend_on_the_stream_and_the_step_alone(part: DecodedPart) -> None:
    here, there = crops_of(part, 0), crops_of(part, 2)
    assert all(torch.equal(one, two) for one, two in zip(here, there, strict=True))
    assert torch.equal(crops_of(part, 0, first=2)[0], here[2])
    assert here[0].shape == (4, 2, 3, 16, 16) and here[0].dtype == torch.uint8
    assert not torch.equal(here[0][:, 0], here[0][:, 1])


def test_the_middle_is_resized_and_cut_as_in_appendix_b6(part: DecodedPart) -> None:
    plan = CropPlan(None, 0.0, 14)
    order = InSequence(len(part), 3)
    batches = list(crop_batches(part, order, 0, order.steps, plan, Stream("a"), 0))
    assert torch.cat([labels for _, labels in batches]).tolist() == part.factors["label"].tolist()
    image = functional.pil_to_tensor(part.image(1))
    expected = functional.center_crop(functional.resize(image, [16], antialias=True), [14, 14])
    assert torch.equal(batches[0][0][1, 0], expected)


def test_views_of_files_are_two_augmented_crops(part: DecodedPart) -> None:
    def views(settings: AugmentationSettings) -> tuple[torch.Tensor, torch.Tensor]:
        made = views_of(part, 4, settings, Stream("o"), Stream("a"), torch.device("cpu"), size=16, loaders=0)
        assert isinstance(made, FileViews)
        return made.augmented(next(made.batches(1, 2)), 1)

    first, second = views(AugmentationSettings())
    assert first.shape == second.shape == (4, 3, 16, 16) and first.dtype == torch.float32
    assert not torch.equal(first, second) and first.min() >= 0 and first.max() <= 1
    plain_first, _ = views(AugmentationSettings(colour=None, grey=0.0, blur=None))
    assert torch.equal(plain_first * 255, (plain_first * 255).round())
    # One branch alone: both get one common crop, which the other branch leaves as it is.
    off = {"crop": None, "flip": 0.0, "colour": None, "grey": 0.0, "blur": None}
    same, untouched = views(AugmentationSettings(one_branch=True, **off))
    assert torch.equal(same, untouched)
    changed, again = views(AugmentationSettings(one_branch=True, **{**off, "grey": 1.0}))
    assert torch.equal(again, untouched) and (changed.amax(dim=1) == changed.amin(dim=1)).all()


def test_processes_crop_by_streams_of_their_own(part: DecodedPart) -> None:
    def crops(rank: int, processes: int) -> torch.Tensor:
        views = FileViews(
            part, Everything(Share(rank, processes)), AugmentationSettings(), Stream("a"), torch.device("cpu"), 16, 0
        )  # type: ignore[arg-type]
        return next(views.batches(0, 1))

    first, second = crops(0, 2), crops(1, 2)
    assert first.shape == second.shape and not torch.equal(first, second), "the same images, cropped alike"


class Everything:
    """An order in which every process sees the same images, so that only their crops can differ."""

    def __init__(self, share: Share) -> None:
        self.share = share

    def indices(self, step: int) -> numpy.ndarray:
        return numpy.arange(4)


def test_a_folder_of_images_is_trained_on_and_evaluated_as_the_paper_does(folder: Path) -> None:
    record = called(
        "train_and_evaluate", Run("small", threads=1), data={"source": "image-folder"}, data_root=str(folder),
        view_size=16, batch_size=4, epochs=1, loaders=0, probe=...,
        linear_evaluation={"epochs": 30, "batch_size": 8, "learning_rate": 5.0},
    )  # fmt: skip
    assert record.keys() >= {"accuracy", "top5_accuracy", "validation_accuracy", "loss"}
    assert 0 <= record["accuracy"] <= record["top5_accuracy"] <= 100


@pytest.mark.slow
def test_two_processes_train_one_model() -> None:
    run = Run("small", threads=1)
    record = called("train_and_evaluate", run, processes=2, epochs=3)
    assert record["steps"] == 18 and [row["step"] for row in run.scalars] == list(range(19))
    # Each view has 31 others in the global batch of 16, of which a process has half.
    assert run.scalars[0]["loss"] > math.log(16), "the negatives are those of both processes"
    again = called("train_and_evaluate", Run("small", threads=1), processes=2, epochs=3)
    assert again["loss"] == record["loss"] and again["accuracy"] == record["accuracy"]


@pytest.mark.slow
def test_two_processes_that_diverge_stop_together() -> None:
    optimiser = {"kind": "sgd", "learning_rate": 1e30, "schedule": "constant"}
    record = called("train_and_evaluate", Run("small", threads=1), processes=2, optimiser=optimiser, normalise=False)
    assert math.isnan(record["accuracy"])


@pytest.mark.parametrize("profile", ["cifar10", "imagenet"])
def test_the_papers_protocols_are_planned_with_their_gpu_hours(profile: str, tmp_path: Path) -> None:
    design = make_design(find_experiment(str(SPECS / "simclr-head.yaml")), profile, device="cpu")
    cost = predicted_cost(state_of(design, Store(tmp_path)), workers=1)
    assert cost is not None and cost.device_hours > 10
    images, size, gflops = {"cifar10": (45_000, None, 1.11e9), "imagenet": (1_268_355, 224, 8.2e9)}[profile]
    parameters = dict(design.fixed)
    named = ("data", "encoder", "epochs", "linear_evaluation")
    known = {name: design.function.parameters[name].check(parameters[name].given) for name in named}
    one = of_training(view_size=size, **known)
    epochs, evaluated = known["epochs"], known["linear_evaluation"].epochs
    assert one == pytest.approx(gflops * images * (6 * epochs + evaluated), rel=0.02)
    assert cost.operations == pytest.approx(one * cost.trials, rel=1e-9)


def small_cifar_spec(where: Path) -> Path:
    """Write the real spec with a budget for small files on the CPU; the protocol's code is that of its cifar10 profile."""
    spec = yaml.safe_load((SPECS / "simclr-head.yaml").read_text())
    profile: dict[str, Any] = spec["profiles"]["cifar10"]
    profile |= {"device": "cpu", "resources": {}, "replicates": 2, "conclusive": False}
    profile["factors"] = {"output_dimension": [128], "temperature": [0.5], "learning_rate": [1.0]}
    profile["fixed"] |= {
        "data": {"source": "cifar10", "verify_checksums": False},
        "encoder": {"kind": "small", "widths": [8, 16], "strides": [2, 2]},
        "batch_size": 20, "epochs": 2, "precision": "float32", "linear_evaluation": {"epochs": 20, "batch_size": 20},
    }  # fmt: skip
    spec |= {"skip": [], "profiles": {"cifar10": profile}, "claims_file": str(SPECS / "claims.yaml")}
    path = where / "simclr-head.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return path


@pytest.mark.slow
def test_cifar10_runs_on_files_in_the_true_format_up_to_a_finished_report(tmp_path: Path, in_folder: Any) -> None:
    written = true_format_files.write_cifar10(tmp_path / "data", per_batch=40, test=100)
    assert written["train"][0].shape == (200, 3, 32, 32)
    spec = small_cifar_spec(tmp_path)
    missing = in_folder("run", str(spec), "--executor", "inline")
    assert missing.status == 2 and "--set data_root=" in missing.err and len(missing.err.splitlines()) == 1
    assert not (tmp_path / "results").exists()
    root = f"data_root={tmp_path / 'data'}"
    found = in_folder("run", str(spec), "--executor", "inline", "--set", root)
    assert found.status == 0, found.err
    # The report needs no data: results are found whatever folder the images lay in.
    reported = in_folder("report", str(spec))
    assert reported.status == 0, reported.err
    rows = json.loads((tmp_path / "site" / "claims.json").read_text())
    assert {row["claim"] for row in rows} >= {"simclr.head", "simclr.head.linear"}
    finished = [row for row in rows if row["claim"] == "simclr.head"]
    # Two heads and two replicates; where both heads are best at the same levels, the readings share trials.
    assert [len(row["trials"]) for row in finished] == [4, 4]
    page = (tmp_path / "site" / "index.html").read_text()
    assert "CIFAR-10 in place of ImageNet" in page and "no head" in page
