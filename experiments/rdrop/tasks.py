"""Classification tasks as tensors: images, words or tokens with their classes, in three parts; labels made noisy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor

from experiments.data.draws import Draws
from experiments.rdrop.data_settings import ImageSettings, ProceduralTextSettings, TextFilesSettings
from harness.execution.streams import Stream

if TYPE_CHECKING:
    from experiments.rdrop.data_settings import ClassificationSettings
    from experiments.rdrop.hugging_face import Tokenizer


@dataclass(frozen=True, eq=False)
class Examples:
    """``inputs`` [count, ...]: words int64 [count, length], or images float32 [count, channels, side, side] in [0, 1],
    or tokens as a tokenizer of the transformers library gives them; ``targets`` int64 [count]."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Task:
    """Three parts, the number of classes, and the number of different words (0 for images)."""

    train: Examples
    validation: Examples
    test: Examples
    classes: int
    vocabulary: int = 0


def load_task(
    data: ClassificationSettings,
    stream: Stream,
    *,
    root: str | None = None,
    download: bool = False,
    tokenizer: Tokenizer | None = None,
) -> Task:
    """Return the data of a trial: drawn from the stream where they are procedural or digits, else read from files.

    Raises:
        UserError: files are missing or cannot be read.
        ValueError: texts in files have no tokenizer (the model is none of the transformers library).
    """
    if isinstance(data, ProceduralTextSettings):
        from experiments.data.procedural_text import make_text

        made = make_text(data, stream.seed)
        train, validation, test = (
            Examples(_words(part.words), _words(part.topic)) for part in (made.train, made.validation, made.test)
        )
        return Task(train, validation, test, data.classes, data.vocabulary)
    if isinstance(data, TextFilesSettings):
        from experiments.data.text_files import load_text_files

        if tokenizer is None:
            raise ValueError("texts in files are read by a tokenizer: choose a model of kind 'hugging-face'")
        texts = load_text_files(data, root)
        train, validation, test = (
            Examples(tokenizer(part.texts, part.second), _words(part.labels))
            for part in (texts.train, texts.validation, texts.test)
        )
        return Task(train, validation, test, len(texts.classes), tokenizer.vocabulary)
    return _images(data, stream, root, download)


def _images(data: ImageSettings, stream: Stream, root: str | None, download: bool) -> Task:
    from experiments.data import load

    found = load(data, stream.seed, root=root, download=download)
    train, validation, test = (
        Examples(torch.from_numpy(numpy.array(part.images)).float().div_(255.0), _words(part.factors[found.label]))
        for part in (found.train, found.validation, found.test)
    )
    return Task(train, validation, test, len(found.factors[found.label].values))


def _words(numbers: Any) -> Tensor:
    return torch.from_numpy(numpy.array(numbers, dtype=numpy.int64))


def with_noisy_labels(task: Task, share: float, stream: Stream) -> Task:
    """Return the task with a share of the training labels replaced, each by one of the other classes at random.

    Which labels change and to what is the same for one stream, and fewer change with a smaller share; validation and
    test labels stay.
    """
    if share == 0:
        return task
    labels = task.train.targets
    draws = stream.numpy
    chance = torch.from_numpy(draws.random(len(labels)))
    shift = torch.from_numpy(draws.integers(1, task.classes, len(labels)))
    noisy = torch.where(chance < share, (labels + shift) % task.classes, labels)
    return Task(Examples(task.train.inputs, noisy), task.validation, task.test, task.classes, task.vocabulary)


def corrupted(task: Task, amount: float, seed: int) -> Examples:
    """Return the test part with noisy inputs: Gaussian noise of that standard deviation on images in [0, 1], or that
    share of the words drawn anew, by the frequency that words have in the test part.

    Raises:
        ValueError: inputs are tokens of a text in a file.
    """
    inputs = task.test.inputs
    draws = Draws("input noise", seed, "test")
    if inputs.is_floating_point():
        noise = torch.from_numpy(draws.stream("pixels").standard_normal(tuple(inputs.shape)).astype(numpy.float32))
        return Examples(inputs + amount * noise, task.test.targets)
    if inputs.ndim != 2:
        raise ValueError("words of texts in files are not replaced; leave 'input_noise' out")
    words = inputs.flatten()[torch.from_numpy(draws.integers("words", inputs.numel(), inputs.numel()))]
    replaced = torch.from_numpy(draws.uniform("places", 0.0, 1.0, inputs.numel()) < amount)
    return Examples(torch.where(replaced, words, inputs.flatten()).view(inputs.shape), task.test.targets)
