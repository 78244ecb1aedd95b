"""The trial on what training never had: new pairs of known words, attributes that no caption tells, other labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from experiments.clip.caption_settings import CaptionSettings
from experiments.clip.data_settings import ImageSettings
from experiments.clip.model_settings import ModelSettings, OpenClipSettings, SmallSettings
from experiments.clip.optimiser_settings import OptimiserSettings
from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.task_settings import (
    AttributeSettings,
    LabelsSettings,
    PairsSettings,
    SupervisedSettings,
    UnseenSettings,
)
from experiments.clip.trial import DEFAULT_CAPTIONS, DEFAULT_OPTIMISER, HELD_OUT, Count, DataRoot, Download, Share
from experiments.clip.words import require_captions
from harness.errors import UserError

if TYPE_CHECKING:
    import numpy
    from torch import Tensor

    from experiments.clip.setup import Ready, Training
    from experiments.clip.templates import Subject
    from experiments.data import Dataset, Part
    from harness.execution.run import Run
    from harness.execution.streams import Stream

Reader = Literal["zero-shot", "chance", "supervised"]
Tasks = Annotated[Mapping[str, UnseenSettings], Field(min_length=1)]
Readers = Annotated[Mapping[str, Reader], Field(min_length=1)]


def classify_unseen(
    *,
    run: Run,
    task: Tasks,
    reader: Readers,
    data: ImageSettings,
    model: ModelSettings,
    captions: CaptionSettings = DEFAULT_CAPTIONS,
    optimiser: OptimiserSettings = DEFAULT_OPTIMISER,
    steps: Count = 350,
    batch_size: Count = 128,
    withheld: Share = 0.25,
    prompts: PromptSettings = HELD_OUT,
    supervised: SupervisedSettings | None = None,
    data_root: DataRoot = None,
    download: Download = False,
) -> list[dict[str, Any]]:
    """Train a small dual encoder, or load a released one, and return a record for each task and reader (section 3.1).

    ``accuracy`` (top-1, %) is of the test items that a task is about, ``chance`` (%) that of guessing among its labels,
    of which there are ``classes``. ``zero-shot`` classifies by prompts, ``chance`` guesses, and ``supervised`` is a
    classifier of torchvision that was trained on the data set's labels. What came out for every item is kept as the
    table ``outcomes``. Where training diverged, the zero-shot scores are NaN.

    Args:
        withheld: share of the pairs of two classes whose training images a small encoder does not see, where a task is
            about pairs: drawn in each replicate, so that every class is left in other pairs.
        prompts: of the tasks that have none of their own.

    Raises:
        UserError: data, weights or templates are missing, or do not fit each other.
    """
    import torch

    from experiments.clip.images import load_images
    from experiments.clip.setup import Training, trained_or_loaded
    from experiments.clip.supervised import supervised_classes
    from experiments.clip.withheld import withheld_pairs

    torch.set_num_threads(run.threads or torch.get_num_threads())
    require_unseen(task, reader, model, captions, supervised)
    training, ready = Training(captions, optimiser, steps, batch_size), None
    if isinstance(model, OpenClipSettings) and "zero-shot" in reader.values():
        ready = trained_or_loaded(run, data, model, training, data_root, download)
    dataset = ready.dataset if ready else load_images(data, run.stream("data").seed, data_root, download)
    if isinstance(model, SmallSettings) and "zero-shot" in reader.values():
        require_captions(dataset.name)
    factors, kept = pair_factors(task), None
    if factors is not None:
        first, second = (len(_names(dataset, factor)) for factor in factors)
        kept = ~withheld_pairs(first, second, withheld, run.stream("withheld"))
    asked = {name: _asked(dataset, settings, kept) for name, settings in task.items()}
    correct: dict[tuple[str, str], Tensor | None] = {}
    for name, one in asked.items():
        correct[name, "chance"] = torch.full((len(one.items),), 1 / len(one.subject.names), dtype=torch.float64)
    if "supervised" in reader.values() and supervised is not None:
        found = supervised_classes(dataset, supervised, torch.device(run.device), data_root, download)
        correct |= {(name, "supervised"): (found[one.items] == one.labels).float() for name, one in asked.items()}
    facts: dict[str, Mapping[str, float]] = {}
    if "zero-shot" in reader.values():
        if isinstance(model, SmallSettings):
            ready = _small(run, dataset, model, training, factors, kept)
        assert ready is not None  # a released one is loaded with its data
        facts["zero-shot"] = ready.facts
        for name, one in asked.items():
            used, stream = task[name].prompts or prompts, run.stream("subsets").child(name)
            correct[name, "zero-shot"] = None if ready.diverged else _zero_shot(ready, one, used, stream, data_root)
    return _records(run, reader, asked, correct, facts)


def require_unseen(
    task: Mapping[str, UnseenSettings],
    reader: Mapping[str, Reader],
    model: ModelSettings,
    captions: CaptionSettings,
    supervised: SupervisedSettings | None,
) -> None:
    """Refuse what cannot be asked of whom, as far as it shows without data.

    Raises:
        UserError: the sentence says what.
    """
    for name, settings in task.items():
        if isinstance(model, OpenClipSettings) and not isinstance(settings, LabelsSettings):
            raise UserError(
                f"task '{name}': nothing is withheld from the training of a released model; choose the kind 'labels'"
            )
        if "supervised" in reader.values() and not isinstance(settings, LabelsSettings):
            raise UserError(
                f"task '{name}': the reader 'supervised' knows the data set's labels alone; choose the kind 'labels'"
            )
        if isinstance(settings, AttributeSettings) and settings.factor not in captions.never:
            raise UserError(
                f"task '{name}': captions mention '{settings.factor}', so it is not unseen; add it to 'never' of "
                "'captions'"
            )
    if "supervised" in reader.values() and supervised is None:
        raise UserError("the reader 'supervised' needs a classifier; name it under 'supervised'")
    pair_factors(task)


def pair_factors(task: Mapping[str, UnseenSettings]) -> tuple[str, str] | None:
    """Return the two factors whose pairs are withheld; None where no task is about pairs.

    Raises:
        UserError: tasks are about pairs of different factors.
    """
    found = {settings.factors: name for name, settings in task.items() if isinstance(settings, PairsSettings)}
    if len(found) > 1:
        one, other = list(found.values())[:2]
        raise UserError(
            f"tasks '{one}' and '{other}' have different 'factors', but one training withholds pairs of two alone; "
            "give both the same, in one order"
        )
    return next(iter(found), None)


def _names(dataset: Dataset, factor: str) -> tuple[tuple[str, ...], ...]:
    from experiments.clip.templates import subject_of

    return subject_of(dataset, factor).names


@dataclass(frozen=True)
class _Asked:
    """A task's labels, and the test and validation items that it is about, with the places of their labels."""

    subject: Subject
    items: numpy.ndarray
    labels: Tensor
    held: numpy.ndarray
    held_labels: Tensor


def _asked(dataset: Dataset, settings: UnseenSettings, kept: numpy.ndarray | None) -> _Asked:
    """Return a task's items.

    Args:
        kept: the pairs that training sees, bool [classes of the first factor, of the second].

    Raises:
        UserError: the data have no such classes, or no test item is of one of them.
    """
    import numpy
    import torch

    from experiments.clip.templates import Subject, subject_of
    from experiments.clip.withheld import names_of_pair

    if isinstance(settings, PairsSettings):
        assert kept is not None  # drawn where a task is about pairs
        first, second = (_names(dataset, factor) for factor in settings.factors)
        group = kept if settings.kind == "seen pairs" else ~kept
        pairs = numpy.argwhere(group).tolist()
        if not pairs:
            raise UserError("no pair is withheld, so 'unseen pairs' has no labels; choose a larger share 'withheld'")
        places = numpy.full(group.shape, -1)
        places[group] = numpy.arange(len(pairs))
        subject = Subject(dataset.name, tuple(names_of_pair(first[row], second[column]) for row, column in pairs))

        def labels_of(part: Part) -> numpy.ndarray:
            found: numpy.ndarray = places[tuple(part.factors[factor] for factor in settings.factors)]
            return found
    else:
        factor = settings.factor if isinstance(settings, AttributeSettings) else dataset.label
        subject = subject_of(dataset, factor)

        def labels_of(part: Part) -> numpy.ndarray:
            return numpy.array(part.factors[factor], dtype=numpy.int64)

    items, held = (numpy.flatnonzero(labels_of(part) >= 0) for part in (dataset.test, dataset.validation))
    test_labels, held_labels = (
        torch.from_numpy(labels_of(part)[chosen].astype(numpy.int64))
        for part, chosen in ((dataset.test, items), (dataset.validation, held))
    )
    if not len(items):
        raise UserError(f"{dataset.name}: no test image is of the {settings.kind}; make the test part larger")
    return _Asked(subject, items, test_labels, held, held_labels)


def _small(
    run: Run,
    dataset: Dataset,
    model: SmallSettings,
    training: Training,
    factors: tuple[str, str] | None,
    kept: numpy.ndarray | None,
) -> Ready:
    """Return a small encoder that has not seen the pairs that are not kept."""
    from experiments.clip.setup import ready_of, train_small
    from experiments.clip.withheld import subset

    part = dataset.train
    if factors is not None and kept is not None:
        part = subset(part, kept[tuple(part.factors[factor] for factor in factors)])
        if not len(part):
            raise UserError(f"{dataset.name}: no training image is of a pair that is seen; ask for more images")
    return ready_of(dataset, train_small(run, dataset, model, training, part))


def _zero_shot(ready: Ready, one: _Asked, prompts: PromptSettings, stream: Stream, root: str | None) -> Tensor:
    """Return for each item of a task whether its label had the highest score."""
    from experiments.clip.scoring import Encoded, Scorer

    test = ready.vectors.images(ready.dataset, "test")[one.items]
    # Without weights nothing of the validation part is read, and ImageNet's would take a quarter more time.
    weighted = prompts.weights != "uniform"
    held = ready.vectors.images(ready.dataset, "validation")[one.held] if weighted else test[:0]
    validation = Encoded(held, one.held_labels[: len(held)])
    subject = replace(one.subject, grammar=ready.templates, root=root)
    return Scorer(ready.vectors, subject, Encoded(test, one.labels), validation).score(prompts, stream).correct


def _records(
    run: Run,
    reader: Mapping[str, Reader],
    asked: Mapping[str, _Asked],
    correct: Mapping[tuple[str, str], Tensor | None],
    facts: Mapping[str, Mapping[str, float]],
) -> list[dict[str, Any]]:
    import pandas

    records, tables = [], []
    for name, one in asked.items():
        count = len(one.subject.names)
        classes = [one.subject.names[label][0] for label in one.labels.tolist()]
        for level, kind in reader.items():
            found, accuracy = correct[name, kind], math.nan
            if found is not None:
                accuracy = 100 * float(found.double().mean())
                table = {"item": one.items, "class": classes, "task": name, "reader": level, "accuracy": found.numpy()}
                tables.append(pandas.DataFrame(table))
            said = {"accuracy": accuracy, "chance": 100 / count, "classes": count}
            records.append({"task": name, "reader": level, **said, **facts.get(kind, {})})
    if tables:
        run.samples("outcomes", pandas.concat(tables, ignore_index=True))
    return records
