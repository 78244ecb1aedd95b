"""What a trial trains, put together: task, models, dropout masks and evaluations, then the training itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from baselines.regimes import DOUBLED_BATCH, PLAIN, TWICE_THE_STEPS, Regime
from experiments.rdrop.conventions import ConventionName
from experiments.rdrop.data_settings import ClassificationSettings, TextFilesSettings
from experiments.rdrop.dropout import MaskDrawer, sites_of
from experiments.rdrop.evaluation import CHUNK, Evaluation, nothing, readings
from experiments.rdrop.fit import require_fit
from experiments.rdrop.model_settings import HuggingFaceSettings, ModelSettings
from experiments.rdrop.models import SmallModel, build_small_model
from experiments.rdrop.optimiser_settings import OptimiserSettings
from experiments.rdrop.stacks import OneByOne, Stack, Together
from experiments.rdrop.tasks import Task, corrupted, load_task, with_noisy_labels
from experiments.rdrop.training import Order, Outcome, Training, train
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.execution.run import Run

DROPOUT_PASSES = 4
"""Dropout passes of an evaluation."""
LARGE_CHUNK = 128
"""Examples in one pass of an evaluation of a transformers model."""


@dataclass(frozen=True)
class Setup:
    """Everything that decides what is trained, apart from the random streams; the trial function says what is what."""

    alpha: float | str
    data: ClassificationSettings
    model: ModelSettings
    optimiser: OptimiserSettings
    steps: int
    batch_size: int
    dropout: float | None
    second_dropout: float | None
    seeds: tuple[int, ...]
    together: bool
    passes: int
    every: int
    convention: ConventionName
    label_smoothing: float
    label_noise: float
    input_noise: tuple[float, ...]
    evaluations: int
    precision: str
    data_root: str | None
    download: bool

    @property
    def training(self) -> Training:
        return training_of(
            self.alpha,
            self.steps,
            self.evaluations,
            batch_size=self.batch_size,
            passes=self.passes,
            every=self.every,
            optimiser=self.optimiser,
            convention=self.convention,
            label_smoothing=self.label_smoothing,
        )


def regime_of(alpha: float | str) -> Regime:
    """Return how often a step passes over its examples, and how long is trained: ``plain``, ``twice`` or R-Drop."""
    named = {"plain": PLAIN, "twice": TWICE_THE_STEPS}
    return named[alpha] if isinstance(alpha, str) else DOUBLED_BATCH


def training_of(
    alpha: float | str, steps: int, evaluations: int, *, passes: int = 2, every: int = 1, **more: Any
) -> Training:
    """Return how long, and by what loss, is trained at an alpha: ``passes`` and ``every`` are R-Drop's alone.

    Args:
        evaluations: over ``steps``, at equal distances.
        more: what else a ``Training`` is given.
    """
    regime = regime_of(alpha)
    more |= {"steps": steps * regime.steps, "evaluate": max(1, steps // evaluations)}
    if isinstance(alpha, str):
        return Training(passes=regime.passes, alpha=0.0, **more)
    return Training(passes=passes, alpha=alpha, every=every, **more)


def train_setup(run: Run, setup: Setup) -> list[dict[str, Any]]:
    """Load the data, build the models and train them, with the streams ``data``, ``label_noise``, ``init``,
    ``data_order`` and ``dropout``; return a record a seed.

    Raises:
        UserError: data or model are missing or do not fit each other.
    """
    require_fit(
        data=setup.data,
        model=setup.model,
        optimiser=setup.optimiser,
        second_dropout=setup.second_dropout,
        together=setup.together,
        passes=setup.passes,
        convention=setup.convention,
        input_noise=setup.input_noise,
        precision=setup.precision,
    )
    torch.set_num_threads(run.threads or torch.get_num_threads())
    device = torch.device(run.device)
    task = task_of(run, setup)
    models, stack = stack_of(run, setup, task, device)
    small, training = isinstance(models[0], SmallModel), setup.training
    sites = sites_of(models[0])
    rate = setup.dropout or 0.0
    rates = [rate] + [rate if setup.second_dropout is None else setup.second_dropout] * (training.passes - 1)
    drawers = None
    if small and max(rates) > 0:
        drawers = [MaskDrawer(run.stream("dropout").child(seed), sites, rates) for seed in setup.seeds]
    evaluation = Evaluation(
        task.validation,
        task.test,
        MaskDrawer(run.stream("eval"), sites, [rate] * DROPOUT_PASSES) if small and rate > 0 else None,
        passes=DROPOUT_PASSES,
        own_dropout=None if small else run.stream("eval"),
        noisy={f"noise_{amount:g}": corrupted(task, amount, run.stream("eval").seed) for amount in setup.input_noise},
        device=device,
        chunk=CHUNK if small else LARGE_CHUNK,
    )
    try:
        orders = [
            Order(run.stream("data_order").child(seed), len(task.train), setup.batch_size) for seed in setup.seeds
        ]
    except ValueError as error:
        raise UserError(f"{setup.data.source}: {error}") from None
    outcome = train(
        stack,
        task.train,
        training,
        orders,
        drawers,
        lambda done: evaluation(stack),
        device=device,
        dropout=None if small else [run.stream("dropout").child(seed) for seed in setup.seeds],
        checkpoint=run.checkpoint,
        progress=run.progress,
    )
    return _records(run, setup.seeds, training, models[0], outcome)


def _records(
    run: Run, seeds: Sequence[int], training: Training, model: nn.Module, outcome: Outcome
) -> list[dict[str, Any]]:
    """Return a record a seed, and keep the course over steps and the scalars."""
    import pandas

    facts = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "compute": training.passes_in_all,
        "steps": training.steps,
    }
    for row in outcome.logged:
        run.log(row["step"], seed=str(seeds[row["model"]]), loss=row["loss"], gradient_norm=row["gradient_norm"])
    for row in outcome.course:
        run.log(row["step"], seed=str(seeds[row["model"]]), validation_accuracy=row["validation_accuracy"])
    if outcome.course:
        course = pandas.DataFrame(outcome.course)
        course.insert(0, "seed", [str(seeds[place]) for place in course.pop("model")])
        run.samples("course", course)
    return [
        {**nothing(), "diverged_at": outcome.diverged[place], **facts}
        if place in outcome.diverged
        else {**readings(outcome.course, place), **facts}
        for place in range(len(seeds))
    ]


def task_of(run: Run, setup: Setup) -> Task:
    """Return the data of a trial, with its noisy labels."""
    from experiments.rdrop.hugging_face import Tokenizer

    tokenizer = None
    if isinstance(setup.model, HuggingFaceSettings) and isinstance(setup.data, TextFilesSettings):
        tokenizer = Tokenizer(setup.model, setup.download)
    task = load_task(setup.data, run.stream("data"), root=setup.data_root, download=setup.download, tokenizer=tokenizer)
    return with_noisy_labels(task, setup.label_noise, run.stream("label_noise"))


def stack_of(run: Run, setup: Setup, task: Task, device: torch.device) -> tuple[list[nn.Module], Stack]:
    """Return the models before training, one a seed, and the stack that trains them.

    Raises:
        UserError: a transformers model is not there, or its batch cannot be cut into pieces.
    """
    from experiments.rdrop.hugging_face import build_hugging_face

    streams = [run.stream("init").child(seed) for seed in setup.seeds]
    shape = tuple(task.train.inputs.shape[1:])
    if isinstance(setup.model, HuggingFaceSettings):
        wanted = (setup.model, task.vocabulary == 0, task.classes, setup.dropout)
        built = [build_hugging_face(*wanted, stream, setup.download) for stream in streams]
        pieces, precision = setup.model.pieces, getattr(torch, setup.precision)
        if setup.batch_size % pieces:
            raise UserError(f"a batch of {setup.batch_size} cannot be cut into {pieces} equal 'pieces'")
        return built, OneByOne(built, setup.optimiser, device, precision, pieces)
    models = [build_small_model(setup.model, shape, task.vocabulary, task.classes, stream) for stream in streams]
    if setup.together:
        return list(models), Together(models, setup.optimiser, device)
    return list(models), OneByOne(models, setup.optimiser, device, getattr(torch, setup.precision))
