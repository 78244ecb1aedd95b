"""The trial on abstract and fine-grained tasks: zero-shot beside a linear probe on the same encoder's features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from experiments.clip.caption_settings import CaptionSettings
from experiments.clip.data_settings import ImageSettings
from experiments.clip.model_settings import SmallSettings
from experiments.clip.optimiser_settings import OptimiserSettings
from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.task_settings import TaskSettings
from experiments.clip.trial import DEFAULT_CAPTIONS, DEFAULT_OPTIMISER, HELD_OUT, Count, DataRoot, Download
from experiments.clip.words import require_captions
from harness.errors import UserError, listed, nearest

if TYPE_CHECKING:
    import numpy
    from torch import Tensor

    from experiments.clip.setup import SmallEncoder
    from experiments.clip.templates import Subject
    from experiments.data import Dataset
    from harness.execution.run import Run

Reader = Literal["zero-shot", "probe"]
Tasks = Annotated[Mapping[str, TaskSettings], Field(min_length=1)]
Readers = Annotated[Mapping[str, Reader], Field(min_length=1)]


def classify_tasks(
    *,
    run: Run,
    task: Tasks,
    reader: Readers,
    data: ImageSettings,
    model: SmallSettings,
    captions: CaptionSettings = DEFAULT_CAPTIONS,
    optimiser: OptimiserSettings = DEFAULT_OPTIMISER,
    steps: Count = 350,
    batch_size: Count = 128,
    labelled: Count = 1000,
    prompts: PromptSettings = HELD_OUT,
    data_root: DataRoot = None,
    download: Download = False,
) -> list[dict[str, Any]]:
    """Train one dual encoder, and return a record for each task and reader (section 6; Tables 10 and 11).

    ``accuracy`` (top-1, %) is of the test part, ``chance`` (%) that of guessing among the task's classes, and
    ``above_chance`` the share (%) of what there was to be gained over chance. ``zero-shot`` classifies by prompts;
    ``probe`` is a linear classifier on the features before the projection (appendix A.3), fitted on ``labelled``
    training images with its penalty chosen on the validation part. What came out for every item is kept as the table
    ``outcomes`` (once a pair that the item is in), the chosen penalties as ``probes``. Where training diverged the
    scores are NaN.

    Args:
        labelled: training images that a probe may learn from; in a task of two classes, those of them that are of one.
        prompts: of the zero-shot classifiers of tasks that have none of their own.

    Raises:
        UserError: data, classes or templates are missing, or do not fit each other.
    """
    import torch

    from experiments.clip.images import load_images
    from experiments.clip.setup import Training, facts_of, train_small

    torch.set_num_threads(run.threads or torch.get_num_threads())
    dataset = load_images(data, run.stream("data").seed, data_root, download)
    require_captions(dataset.name)
    require_tasks(dataset, task)
    _require_items(dataset, task)
    if "probe" in reader.values():
        require_labelled(labelled, len(dataset.train))
    trained = train_small(run, dataset, model, Training(captions, optimiser, steps, batch_size))
    facts = facts_of(trained.encoder.model, trained.outcome)
    diverged = trained.outcome.diverged_at is not None
    asked = _Asked(run, dataset, trained.encoder)
    chosen = run.stream("probe").numpy.permutation(len(dataset.train))[:labelled]
    records = []
    for name, settings in task.items():
        for level, kind in reader.items():
            accuracy, chance = math.nan, chance_of(dataset, settings)
            if not diverged and kind == "zero-shot":
                accuracy = asked.zero_shot(name, level, settings, prompts, trained.templates, data_root)
            elif not diverged:
                accuracy = asked.probe(name, level, settings, chosen)
            gained = 100 * (accuracy - chance) / (100 - chance)
            records.append(
                {"task": name, "reader": level, "accuracy": accuracy, "chance": chance, "above_chance": gained, **facts}
            )
    asked.keep()
    return records


def require_tasks(dataset: Dataset, task: Mapping[str, TaskSettings]) -> None:
    """Refuse tasks about factors or classes that a data set has not.

    Raises:
        UserError: there is no such factor of classes, no words for it, or a pair names a class that it has not.
    """
    from experiments.clip.templates import subject_of

    for name, settings in task.items():
        subject_of(dataset, settings.factor)
        values = list(dataset.factors[settings.factor].values)
        if len(values) < 2:
            raise UserError(f"task '{name}': all images have one {settings.factor}, {values[0]}; give 'data' several")
        for wanted in (wanted for pair in settings.pairs or () for wanted in pair):
            if wanted not in values:
                hint = nearest(wanted, values)
                raise UserError(
                    f"task '{name}': {settings.factor} has no class '{wanted}'{hint} (known: {listed(values)})"
                )


def require_labelled(labelled: int, there: int) -> None:
    """Refuse more labelled images than there are training images.

    Raises:
        UserError: it is so.
    """
    if labelled > there:
        raise UserError(f"'labelled' asks for {labelled} of {there} training images; ask for fewer")


def chance_of(dataset: Dataset, settings: TaskSettings) -> float:
    """Return the accuracy (%) of guessing among a task's classes."""
    return 50.0 if settings.pairs else 100.0 / len(dataset.factors[settings.factor].values)


@dataclass(frozen=True)
class _Question:
    """Some classes of a factor, by number, between which is told: all of them, or two."""

    factor: str
    classes: tuple[int, ...]

    def items(self, labels: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return the places of those labels that are of these classes, and the places of theirs among them."""
        import numpy

        places = numpy.flatnonzero(numpy.isin(labels, self.classes))
        return places, (labels[places, None] == numpy.array(self.classes)).argmax(axis=1)


def _questions(dataset: Dataset, settings: TaskSettings) -> Iterator[_Question]:
    values = dataset.factors[settings.factor].values
    for pair in settings.pairs or (values,):
        yield _Question(settings.factor, tuple(values.index(each) for each in pair))


def _labels(dataset: Dataset, part: str, factor: str) -> numpy.ndarray:
    import numpy

    return numpy.array(getattr(dataset, part).factors[factor], dtype=numpy.int64)


def _require_items(dataset: Dataset, task: Mapping[str, TaskSettings]) -> None:
    """Refuse, before anything is trained, a question that no image is asked.

    Raises:
        UserError: a part has no image of either class of a pair.
    """
    for name, settings in task.items():
        for question in _questions(dataset, settings):
            for part in ("validation", "test"):
                if not len(question.items(_labels(dataset, part, settings.factor))[0]):
                    said = " or ".join(dataset.factors[settings.factor].values[each] for each in question.classes)
                    raise UserError(f"task '{name}': the {part} part has no image of {said}; make it larger")


class _Asked:
    """One trained encoder and what it is asked; tables are kept at the end."""

    def __init__(self, run: Run, dataset: Dataset, encoder: SmallEncoder) -> None:
        self._run, self._dataset, self._encoder = run, dataset, encoder
        self._vectors: dict[tuple[str, str], Tensor] = {}
        self._outcomes: list[dict[str, Any]] = []
        self._probes: list[dict[str, Any]] = []

    def zero_shot(
        self, name: str, level: str, settings: TaskSettings, prompts: PromptSettings, grammar: Any, root: str | None
    ) -> float:
        """Return the accuracy (%) of classifiers out of prompts; a pair's has the prompts of its two classes alone."""
        import torch

        from experiments.clip.scoring import Encoded, Scorer
        from experiments.clip.stored import FreshVectors
        from experiments.clip.templates import Subject, subject_of

        whole = subject_of(self._dataset, settings.factor, grammar, root)
        stream = self._run.stream("subsets").child(name)
        found = []
        for place, question in enumerate(_questions(self._dataset, settings)):
            subject = Subject(whole.source, tuple(whole.names[each] for each in question.classes), grammar, root)
            sides = []
            for part in ("test", "validation"):
                items, labels = question.items(_labels(self._dataset, part, settings.factor))
                sides.append(Encoded(self._of("images", part)[items], torch.from_numpy(labels)))
            scorer = Scorer(FreshVectors(self._encoder), subject, sides[0], sides[1])
            outcomes = scorer.score(settings.prompts or prompts, stream.child(place))
            found.append(self._note(name, level, question, whole, outcomes.correct.numpy()))
        return sum(found) / len(found)

    def probe(self, name: str, level: str, settings: TaskSettings, chosen: numpy.ndarray) -> float:
        """Return the accuracy (%) of linear probes; a pair's is fitted on items of its two classes alone."""
        from experiments.clip.probes import fit_probe
        from experiments.clip.templates import subject_of

        whole = subject_of(self._dataset, settings.factor)
        found = []
        for question in _questions(self._dataset, settings):
            train, train_labels = question.items(_labels(self._dataset, "train", settings.factor)[chosen])
            held, held_labels = question.items(_labels(self._dataset, "validation", settings.factor))
            items, labels = question.items(_labels(self._dataset, "test", settings.factor))
            probe = fit_probe(
                self._of("features", "train")[chosen[train]],
                train_labels,
                self._of("features", "validation")[held],
                held_labels,
            )
            said = " or ".join(whole.names[each][0] for each in question.classes) if settings.pairs else ""
            self._probes.append({"task": name, "reader": level, "pair": said, **probe.facts()})
            correct = probe.correct(self._of("features", "test")[items], labels)
            found.append(self._note(name, level, question, whole, correct.astype(float)))
        return sum(found) / len(found)

    def keep(self) -> None:
        """Keep the tables, where there are any."""
        import pandas

        if self._outcomes:
            tables = [pandas.DataFrame(columns) for columns in self._outcomes]
            self._run.samples("outcomes", pandas.concat(tables, ignore_index=True))
        if self._probes:
            self._run.samples("probes", pandas.DataFrame(self._probes))

    def _of(self, what: str, part: str) -> Tensor:
        """Return a part's unit vectors (``images``) or ``features``; each is computed once."""
        if (what, part) not in self._vectors:
            read = self._encoder.encode_images if what == "images" else self._encoder.features
            self._vectors[what, part] = read(getattr(self._dataset, part))
        return self._vectors[what, part]

    def _note(self, name: str, level: str, question: _Question, whole: Subject, correct: numpy.ndarray) -> float:
        """Keep what came out for each item, and return the accuracy in percent."""
        items, labels = question.items(_labels(self._dataset, "test", question.factor))
        classes = [whole.names[question.classes[label]][0] for label in labels.tolist()]
        self._outcomes.append(
            {"item": items, "class": classes, "task": name, "reader": level, "accuracy": correct.astype("float32")}
        )
        return 100.0 * float(correct.mean())
