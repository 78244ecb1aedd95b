"""Tasks as tensors; labels that are wrong on purpose, and inputs with noise."""

from __future__ import annotations

import numpy
import pytest
import scipy.stats
import torch

from experiments.data import load
from experiments.data.language_settings import ProceduralTextSettings
from experiments.data.procedural_text import make_text
from experiments.data.settings import DigitsSettings
from experiments.data.text_settings import TextFilesSettings
from experiments.rdrop.tasks import Examples, Task, corrupted, load_task, with_noisy_labels
from harness.execution.streams import Stream

TEXT = ProceduralTextSettings(classes=4, vocabulary=50, topic_words=10, length=7, train=30, validation=20, test=3000)
DIGITS = DigitsSettings(size=8, train=40, validation=30, test=50)


def labelled(count: int = 4000, classes: int = 5) -> Task:
    """A task whose inputs are numbers of examples."""
    inputs = torch.arange(count).view(-1, 1)
    part = Examples(inputs, torch.arange(count) % classes)
    return Task(part, Examples(inputs[:50], part.targets[:50]), Examples(inputs[:70], part.targets[:70]), classes, 9)


def changed(share: float, *path: str | int) -> torch.Tensor:
    task = labelled()
    return with_noisy_labels(task, share, Stream("labels", *path)).train.targets != task.train.targets


# Labels


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4, 1.0])
def test_the_share_of_wrong_labels_is_the_one_asked_for(share: float) -> None:
    low, high = scipy.stats.binom.interval(1 - 1e-6, 4000, share)
    assert low <= int(changed(share).sum()) <= high


def test_a_wrong_label_is_any_other_class_alike() -> None:
    task = labelled()
    noisy = with_noisy_labels(task, 1.0, Stream("labels")).train.targets
    assert (noisy != task.train.targets).all() and noisy.dtype == torch.int64
    table = numpy.zeros((5, 5))
    numpy.add.at(table, (task.train.targets.numpy(), noisy.numpy()), 1)
    others = table[~numpy.eye(5, dtype=bool)]
    assert scipy.stats.chisquare(others).pvalue > 1e-4


def test_only_training_labels_are_changed() -> None:
    task = labelled()
    before = task.train.targets.clone()
    noisy = with_noisy_labels(task, 0.5, Stream("labels"))
    assert torch.equal(task.train.targets, before)
    assert noisy.validation is task.validation and noisy.test is task.test
    assert torch.equal(noisy.train.inputs, task.train.inputs)
    assert (noisy.classes, noisy.vocabulary) == (task.classes, task.vocabulary)


def test_labels_wrong_at_a_small_share_are_wrong_at_a_larger_one_and_alike() -> None:
    task = labelled()
    few, many = (with_noisy_labels(task, share, Stream("labels")).train.targets for share in (0.2, 0.4))
    wrong = few != task.train.targets
    assert wrong.any() and torch.equal(few[wrong], many[wrong])
    assert int((many != task.train.targets).sum()) > int(wrong.sum())


def test_wrong_labels_are_those_of_their_stream() -> None:
    assert torch.equal(changed(0.3), changed(0.3))
    assert not torch.equal(changed(0.3), changed(0.3, 1))


def test_no_share_leaves_the_task_as_it_is() -> None:
    task = labelled()
    assert with_noisy_labels(task, 0.0, Stream("labels")) is task


# Tasks


def test_digits_are_scaled_to_one_and_are_those_of_the_data_set() -> None:
    task = load_task(DIGITS, Stream("tasks", "data"))
    drawn = load(DIGITS, Stream("tasks", "data").seed)
    assert (task.classes, task.vocabulary) == (10, 0)
    for part, count in (("train", 40), ("validation", 30), ("test", 50)):
        found, own = getattr(task, part), getattr(drawn, part)
        assert found.inputs.shape == (count, 1, 8, 8) and found.inputs.dtype == torch.float32
        assert found.inputs.min() == 0.0 and found.inputs.max() == 1.0
        assert numpy.array_equal((found.inputs.numpy() * 255).round(), own.images)
        assert numpy.array_equal(found.targets.numpy(), own.factors[drawn.label])
        assert found.targets.dtype == torch.int64 and len(found) == count


def test_texts_are_those_of_the_streams_seed() -> None:
    task = load_task(TEXT, Stream("tasks", "data"))
    text = make_text(TEXT, Stream("tasks", "data").seed)
    assert (task.classes, task.vocabulary) == (4, 50)
    for part in ("train", "validation", "test"):
        assert numpy.array_equal(getattr(task, part).inputs.numpy(), getattr(text, part).words)
        assert numpy.array_equal(getattr(task, part).targets.numpy(), getattr(text, part).topic)
    other = load_task(TEXT, Stream("tasks", "data", 1))
    assert not torch.equal(other.train.inputs, task.train.inputs)


def test_texts_in_files_need_a_tokenizer() -> None:
    with pytest.raises(ValueError, match="read by a tokenizer: choose a model of kind 'hugging-face'"):
        load_task(TextFilesSettings(train="train.csv", test="test.csv"), Stream("tasks"))


# Noisy inputs


@pytest.mark.parametrize("amount", [0.2, 0.5])
def test_noise_on_images_is_normal_with_the_stated_deviation(amount: float) -> None:
    task = load_task(DIGITS, Stream("tasks", "data"))
    found = corrupted(task, amount, 3)
    noise = (found.inputs - task.test.inputs).flatten().numpy() / amount
    assert scipy.stats.kstest(noise, "norm").pvalue > 1e-4
    # So many numbers have a variance this near to one.
    low, high = scipy.stats.chi2.interval(1 - 1e-6, len(noise))
    assert low <= float((noise.astype(float) ** 2).sum()) <= high
    assert torch.equal(found.targets, task.test.targets) and found.inputs.dtype == torch.float32


def test_more_noise_on_images_is_the_same_noise_larger() -> None:
    task = load_task(DIGITS, Stream("tasks", "data"))
    one, two, again, other = (
        corrupted(task, amount, seed).inputs - task.test.inputs
        for amount, seed in ((0.2, 3), (0.4, 3), (0.2, 3), (0.2, 4))
    )
    torch.testing.assert_close(two, 2 * one, rtol=0, atol=1e-6)
    assert torch.equal(one, again) and not torch.allclose(one, other, atol=0.1)


@pytest.mark.parametrize("amount", [0.2, 0.6])
def test_the_share_of_replaced_words_is_the_one_asked_for(amount: float) -> None:
    task = load_task(TEXT, Stream("tasks", "data"))
    before = task.test.inputs.clone()
    found = corrupted(task, amount, 3)
    assert torch.equal(task.test.inputs, before) and torch.equal(found.targets, task.test.targets)
    frequencies = torch.bincount(before.flatten(), minlength=50).double() / before.numel()
    # A word may be replaced by itself.
    seen = amount * (1 - float(frequencies.square().sum()))
    low, high = scipy.stats.binom.interval(1 - 1e-6, before.numel(), seen)
    assert low <= int((found.inputs != before).sum()) <= high


def test_words_are_replaced_by_the_frequency_they_have() -> None:
    task = load_task(TEXT, Stream("tasks", "data"))
    found = corrupted(task, 1.0, 3).inputs
    assert found.dtype == torch.int64
    before, after = (torch.bincount(words.flatten(), minlength=50).numpy() for words in (task.test.inputs, found))
    there = before > 0
    assert (after[~there] == 0).all()
    assert scipy.stats.chisquare(after[there], before[there]).pvalue > 1e-4


def test_words_replaced_at_a_small_share_are_replaced_at_a_larger_one() -> None:
    task = load_task(TEXT, Stream("tasks", "data"))
    few, many, other = (corrupted(task, amount, seed).inputs for amount, seed in ((0.2, 3), (0.5, 3), (0.2, 4)))
    replaced = few != task.test.inputs
    assert torch.equal(few[replaced], many[replaced])
    assert int((many != task.test.inputs).sum()) > int(replaced.sum())
    assert not torch.equal(few, other)


def test_nothing_is_replaced_without_noise() -> None:
    for data in (TEXT, DIGITS):
        task = load_task(data, Stream("tasks", "data"))
        assert torch.equal(corrupted(task, 0.0, 3).inputs, task.test.inputs)


def test_tokens_of_files_are_not_replaced() -> None:
    tokens = Examples(torch.ones(4, 3, 5, dtype=torch.int64), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="words of texts in files are not replaced"):
        corrupted(Task(tokens, tokens, tokens, 2, 9), 0.2, 0)
