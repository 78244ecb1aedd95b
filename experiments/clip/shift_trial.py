"""The trial on distribution shift: a dual encoder's zero-shot classifier beside a supervised one of equal size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from experiments.clip.caption_settings import CaptionSettings
from experiments.clip.data_settings import ImageSettings
from experiments.clip.model_settings import SmallSettings
from experiments.clip.optimiser_settings import OptimiserSettings
from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.shift_settings import ShiftSettings
from experiments.clip.trial import DEFAULT_CAPTIONS, DEFAULT_OPTIMISER, HELD_OUT, Count, DataRoot, Download
from experiments.clip.words import require_captions
from harness.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from experiments.clip.setup import Training
    from experiments.data import Dataset, Part
    from harness.execution.run import Run

LearnerName = Literal["zero-shot", "supervised"]
Tests = Annotated[Mapping[str, tuple[ShiftSettings, ...]], Field(min_length=1)]
Learners = Annotated[Mapping[str, LearnerName], Field(min_length=1)]


def classify_under_shift(
    *,
    run: Run,
    test: Tests,
    learner: Learners,
    data: ImageSettings,
    model: SmallSettings,
    captions: CaptionSettings = DEFAULT_CAPTIONS,
    optimiser: OptimiserSettings = DEFAULT_OPTIMISER,
    steps: Count = 350,
    batch_size: Count = 128,
    attribute: str | None = None,
    prompts: PromptSettings = HELD_OUT,
    data_root: DataRoot = None,
    download: Download = False,
) -> list[dict[str, Any]]:
    """Train both learners on the same images, and return a record for each test and learner (section 3.3).

    ``accuracy`` is the top-1 accuracy (%) on the test part; ``kept`` is it in percent of the same learner's on the
    unshifted test part, NaN where no level of ``test`` is that one. ``parameters`` are those of both towers, or of the
    one. What came out for every item is kept as the table ``outcomes``. Where a learner's training diverged, its scores
    are NaN, and the other's are not.

    The supervised learner is the dual encoder's image tower with a linear classifier in the projection's place, from
    the same initial weights, trained by cross-entropy on the labels of the same images in the same batches, for as many
    steps. Both see a shift as the same bytes.

    Args:
        test: level to shifts; none of them is the test part as it is, and of several, each applied alone, the mean is
            taken.
        attribute: the factor whose classes are told apart; default: the data set's label.
        prompts: of the zero-shot classifier.

    Raises:
        UserError: data or templates are missing, or do not fit each other.
    """
    import torch

    from experiments.clip.images import load_images
    from experiments.clip.setup import Training
    from experiments.clip.templates import subject_of

    torch.set_num_threads(run.threads or torch.get_num_threads())
    dataset = load_images(data, run.stream("data").seed, data_root, download)
    training = Training(captions, optimiser, steps, batch_size)
    factor = attribute or dataset.label
    require_captions(dataset.name)
    subject_of(dataset, factor)  # refuses what has no classes or no words for them, before anything is trained
    trained: dict[str, _Learner] = {}
    for kind in dict.fromkeys(learner.values()):
        if kind == "zero-shot":
            trained[kind] = _zero_shot(run, dataset, factor, model, training, prompts, data_root)
        else:
            trained[kind] = _supervised(run, dataset, factor, model, training)
    return _records(run, dataset, factor, test, learner, trained)


@dataclass(frozen=True)
class _Learner:
    """A trained classifier: for each image of a part whether its class is found, and what a record says of it.

    ``correct`` is None where training diverged.
    """

    correct: Callable[[Part], Tensor] | None
    facts: Mapping[str, float]


def _zero_shot(
    run: Run,
    dataset: Dataset,
    factor: str,
    model: SmallSettings,
    training: Training,
    prompts: PromptSettings,
    root: str | None,
) -> _Learner:
    from experiments.clip.scoring import Scorer, encoded
    from experiments.clip.setup import facts_of, train_small
    from experiments.clip.stored import FreshVectors
    from experiments.clip.templates import subject_of

    trained = train_small(run, dataset, model, training)
    subject = subject_of(dataset, factor, trained.templates, root)
    vectors = FreshVectors(trained.encoder)
    validation = encoded(vectors, dataset, "validation", factor)

    def correct(part: Part) -> Tensor:
        seen = encoded(vectors, replace(dataset, test=part), "test", factor)
        scorer = Scorer(vectors, subject, seen, validation)
        return scorer.score(prompts, run.stream("subsets").child("prompts")).correct

    facts = facts_of(trained.encoder.model, trained.outcome)
    return _Learner(None if trained.outcome.diverged_at is not None else correct, facts)


def _supervised(run: Run, dataset: Dataset, factor: str, model: SmallSettings, training: Training) -> _Learner:
    import numpy
    import torch
    from torch.nn import functional

    from experiments.clip.model import image_tower
    from experiments.clip.setup import as_float, batches, facts_of
    from experiments.clip.training import train

    part, device = dataset.train, torch.device(run.device)
    _, channels, side, _ = part.images.shape
    try:
        # The dual encoder draws its image tower first from this stream: both begin with the same one.
        with run.stream("init").as_torch_default():
            tower = image_tower(model.image, channels, side, len(dataset.factors[factor].values)).to(device)
    except ValueError as error:
        raise UserError(f"{dataset.name}: {error}") from None
    tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    labels = torch.from_numpy(numpy.array(part.factors[factor], dtype=numpy.int64))

    def loss_of(chosen: Tensor) -> Tensor:
        images = as_float(part, chosen.numpy(), device).contiguous(memory_format=torch.channels_last)
        return functional.cross_entropy(tower(images), labels[chosen].to(device))

    outcome = train(
        tower,
        loss_of,
        len(part),
        training.optimiser,
        training.steps,
        training.batch_size,
        run.stream("data_order"),
        # Beside the dual encoder's, which an interrupted trial still needs to know that it is trained.
        checkpoint=run.checkpoint.within("supervised"),
        progress=run.progress,
    )
    run.log_rows(outcome.logged, learner="supervised")

    @torch.no_grad()
    def correct(part: Part) -> Tensor:
        found = torch.cat([tower(images).argmax(1) for images in batches(part, device)]).cpu()
        return (found == torch.from_numpy(numpy.array(part.factors[factor], dtype=numpy.int64))).float()

    return _Learner(None if outcome.diverged_at is not None else correct, facts_of(tower, outcome))


def _records(
    run: Run,
    dataset: Dataset,
    factor: str,
    test: Mapping[str, tuple[ShiftSettings, ...]],
    learner: Mapping[str, LearnerName],
    trained: Mapping[str, _Learner],
) -> list[dict[str, Any]]:
    import numpy
    import pandas
    import torch

    from experiments.clip.shifts import shifted

    images = torch.from_numpy(numpy.array(dataset.test.images))
    found: dict[tuple[ShiftSettings | None, str], Tensor] = {}
    for shift in dict.fromkeys(shift for shifts in test.values() for shift in shifts or (None,)):
        part = dataset.test
        if shift is not None:
            part = replace(part, images=shifted(images, shift, run.stream("shift").child(shift.kind)).numpy())
        found |= {(shift, kind): one.correct(part) for kind, one in trained.items() if one.correct is not None}
    whole = {kind: 100 * float(found[None, kind].double().mean()) for kind in trained if (None, kind) in found}
    values = dataset.factors[factor].values
    classes = [values[label] for label in dataset.test.factors[factor].tolist()]
    records, tables = [], []
    for level, shifts in test.items():
        for name, kind in learner.items():
            accuracy = math.nan
            if trained[kind].correct is not None:
                correct = torch.stack([found[shift, kind] for shift in shifts or (None,)]).double().mean(0)
                accuracy = 100 * float(correct.mean())
                table = {"class": classes, "test": level, "learner": name, "accuracy": correct.numpy()}
                tables.append(pandas.DataFrame({"item": numpy.arange(len(classes)), **table}))
            kept = 100 * accuracy / whole[kind] if whole.get(kind) else math.nan
            records.append({"test": level, "learner": name, "accuracy": accuracy, "kept": kept, **trained[kind].facts})
    if tables:
        run.samples("outcomes", pandas.concat(tables, ignore_index=True))
    return records
