"""What a trial trains, put together: data, model, views and optimiser, then the training itself."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from experiments.data import Dataset, load
from experiments.data.settings import DataSettings
from experiments.simclr.augmentation_settings import AugmentationSettings
from experiments.simclr.encoder_settings import EncoderSettings, HeadName
from experiments.simclr.model import ContrastiveModel, build_model
from experiments.simclr.optimiser_settings import OptimiserSettings, Precision
from experiments.simclr.training import Looks, Outcome, Training, train
from experiments.simclr.views import Share, Views, views_of
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.execution.run import Run

PARTS = ("data", "augmentation", "encoder", "loss", "optimiser")
"""The parts of a step whose time is taken; the encoder's has the head's and both their ways back in it."""


@dataclass(frozen=True)
class Setup:
    """Everything that decides what is trained, apart from the random streams.

    ``data_root``, ``download``, ``loaders`` and ``processes`` say where and by how many it is done, and
    ``probes_on_the_way`` how often it is looked at, which changes nothing.
    """

    data: DataSettings
    encoder: EncoderSettings
    optimiser: OptimiserSettings
    augmentation: AugmentationSettings
    epochs: float
    batch_size: int
    temperature: float
    head: HeadName = "nonlinear"
    output_dimension: int = 128
    hidden_dimension: int | None = None
    hidden_batch_norm: bool = False
    normalise: bool = True
    view_size: int | None = None
    precision: Precision = "float32"
    data_root: str | None = None
    download: bool = False
    loaders: int = 4
    processes: int = 1
    probes_on_the_way: int = 0

    def with_rate(self, learning_rate: float | None) -> Setup:
        """Return the setup with another learning rate, where one is given."""
        if learning_rate is None:
            return self
        return replace(self, optimiser=self.optimiser.model_copy(update={"learning_rate": learning_rate}))


@dataclass(frozen=True)
class Trained:
    """A model after training, with the data that it was trained on and what was seen on the way."""

    model: ContrastiveModel
    dataset: Dataset
    outcome: Outcome
    device: torch.device

    def facts(self) -> dict[str, Any]:
        """Return what a record says of the training: parameters, and the median time of a step by part (ms)."""
        times = {name: self.outcome.milliseconds.get(name) for name in PARTS}
        return {
            "encoder_parameters": sum(parameter.numel() for parameter in self.model.encoder.parameters()),
            "head_parameters": sum(parameter.numel() for parameter in self.model.head.parameters()),
            "steps": self.outcome.steps,
            **{f"stage_ms_{name}": statistics.median(found) for name, found in times.items() if found},
        }


def train_setup(run: Run, setup: Setup, measure: Callable[[Trained], Mapping[str, float]] | None = None) -> Trained:
    """Load the data, build the model and train it, with the streams ``data``, ``init``, ``data_order`` and ``augment``.

    What was seen on the way goes into the run's scalars.

    Args:
        measure: what ``probes_on_the_way`` are; it must leave the model and all streams alone.

    Raises:
        UserError: the data are missing, or do not fit the batch; probes on the way are asked of several processes.
    """
    torch.set_num_threads(run.threads or torch.get_num_threads())
    device = torch.device(run.device)
    dataset, model = build_for(run, setup)
    if setup.processes > 1:
        from experiments.simclr.parallel import train_in_processes

        if setup.probes_on_the_way:
            raise UserError("'probes_on_the_way' are made by one process; set 'processes' to 1, or leave them out")
        state, outcome = train_in_processes(run, setup)
        model.load_state_dict(state)
        model.to(device)
    else:
        views, training = views_for(run, setup, dataset, device)
        model.to(device)
        looks = None
        if measure is not None:
            seen = Trained(model, dataset, Outcome(training.steps), device)
            looks = Looks(setup.probes_on_the_way, partial(measure, seen))
        outcome = train(model, views, training, device, checkpoint=run.checkpoint, progress=run.progress, looks=looks)
    run.log_rows((*outcome.logged, *outcome.looks))
    return Trained(model, dataset, outcome, device)


def build_for(run: Run, setup: Setup) -> tuple[Dataset, ContrastiveModel]:
    """Return the data and the model as they are before training."""
    dataset = load(setup.data, run.stream("data").seed, root=setup.data_root, download=setup.download)
    model = build_model(
        setup.encoder,
        setup.head,
        setup.output_dimension,
        run.stream("init"),
        hidden_dimension=setup.hidden_dimension,
        hidden_batch_norm=setup.hidden_batch_norm,
    )
    return dataset, model


def views_for(
    run: Run, setup: Setup, dataset: Dataset, device: torch.device, share: Share | None = None
) -> tuple[Views, Training]:
    """Return the batches of a setup, and how long it is trained on them.

    Raises:
        UserError: the training images do not fit the batch, or need a size.
    """
    try:
        views = views_of(
            dataset.train,
            setup.batch_size,
            setup.augmentation,
            run.stream("data_order"),
            run.stream("augment"),
            device,
            size=setup.view_size,
            share=share,
            loaders=setup.loaders,
        )
    except ValueError as error:
        raise UserError(f"{dataset.name}: {error}") from None
    steps = max(1, round(setup.epochs * views.order.steps_per_epoch))
    optimiser, normalise = setup.optimiser, setup.normalise
    return views, Training(steps, setup.batch_size, setup.temperature, optimiser, normalise, setup.precision)
