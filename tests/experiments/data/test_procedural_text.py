"""Texts by topic: the same bytes for a seed, words by the stated probabilities, parts that do not move each other."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy
import pytest
import scipy.stats
from pydantic import ValidationError

from experiments.data.language_settings import ProceduralTextSettings
from experiments.data.procedural_text import ProceduralText, make_text

PARTS = ("train", "validation", "test")
DIGEST = "222a9fd7da0efa17257d796cf452706497f4ea8f696ddbd3013410ea2c5010a9"


def made(seed: int = 0, **changed: Any) -> ProceduralText:
    small = {"classes": 3, "vocabulary": 30, "topic_words": 8, "length": 5, "train": 40, "validation": 31, "test": 50}
    return make_text(ProceduralTextSettings(**{**small, **changed}), seed)


def same(one: ProceduralText, two: ProceduralText, part: str) -> bool:
    first, second = getattr(one, part), getattr(two, part)
    return numpy.array_equal(first.words, second.words) and numpy.array_equal(first.topic, second.topic)


def test_the_texts_of_a_seed_never_change() -> None:
    text = made(7)
    digest = hashlib.sha256()
    for part in PARTS:
        for array in (getattr(text, part).words, getattr(text, part).topic):
            assert array.dtype == numpy.int64
            digest.update(array.astype("<i8").tobytes())
    assert digest.hexdigest() == DIGEST


def test_a_seed_gives_the_same_texts_and_another_one_others() -> None:
    for part in PARTS:
        assert same(made(1), made(1), part)
        assert not numpy.array_equal(getattr(made(1), part).words, getattr(made(2), part).words)
    assert numpy.array_equal(made(1).probabilities, made(1).probabilities)
    assert not numpy.array_equal(made(1).probabilities, made(2).probabilities)


@pytest.mark.parametrize("changed", PARTS)
def test_the_size_of_a_part_moves_no_other(changed: str) -> None:
    usual, other = made(3), made(3, **{changed: 77})
    for part in PARTS:
        assert same(usual, other, part) == (part != changed)
    assert numpy.array_equal(usual.probabilities, other.probabilities)
    assert len(getattr(other, changed).topic) == 77


def test_parts_have_texts_of_their_own() -> None:
    text = made(0, train=60, validation=60, test=60, length=10)
    found = [{tuple(row) for row in getattr(text, part).words} for part in PARTS]
    assert all(not one & two for one, two in ((found[0], found[1]), (found[0], found[2]), (found[1], found[2])))
    assert not numpy.array_equal(text.train.topic, text.test.topic)


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_topics_are_balanced_and_in_no_order(classes: int) -> None:
    text = made(0, classes=classes)
    for part in PARTS:
        counts = numpy.bincount(getattr(text, part).topic, minlength=classes)
        assert len(counts) == classes and counts.max() - counts.min() <= 1
        assert (numpy.diff(getattr(text, part).topic) < 0).sum() > 3


def test_shapes_and_words_are_within_the_vocabulary() -> None:
    text = made(0)
    for part, count in (("train", 40), ("validation", 31), ("test", 50)):
        words = getattr(text, part).words
        assert words.shape == (count, 5) and words.min() >= 0 and words.max() < 30
    assert text.probabilities.shape == (3, 30)


def test_probabilities_are_a_mixture_of_zipfs_law_and_the_topics_own_words() -> None:
    text = made(0, topic_share=0.4)
    numpy.testing.assert_allclose(text.probabilities.sum(1), 1.0, rtol=1e-12)
    common = 1 / numpy.arange(1, 31)
    common /= common.sum()
    own = (text.probabilities - 0.6 * common) / 0.4
    expected = 1 / numpy.arange(1, 9)
    expected /= expected.sum()
    for row in own:
        numpy.testing.assert_allclose(numpy.sort(row)[::-1][:8], expected, rtol=1e-9)
        numpy.testing.assert_allclose(numpy.sort(row)[::-1][8:], 0.0, atol=1e-12)
    assert len({tuple(numpy.argsort(-row)[:8]) for row in own}) == 3


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_of_the_topics_share(share: float) -> None:
    text = made(0, topic_share=share)
    if share == 0:
        assert (text.probabilities == text.probabilities[0]).all()
    else:
        assert ((text.probabilities > 0).sum(1) == 8).all()
        for word, topic in zip(text.train.words, text.train.topic, strict=True):
            assert (text.probabilities[topic, word] > 0).all()


def test_words_are_drawn_by_their_topics_probabilities() -> None:
    text = made(5, train=3000, length=20)
    for topic in range(3):
        words = text.train.words[text.train.topic == topic]
        counts = numpy.bincount(words.ravel(), minlength=30)
        assert scipy.stats.chisquare(counts, counts.sum() * text.probabilities[topic]).pvalue > 1e-4
        # Another topic's probabilities are seen to be wrong, and so are words that depend on their place.
        other = text.probabilities[(topic + 1) % 3]
        assert scipy.stats.chisquare(counts, counts.sum() * other).pvalue < 1e-4
        places = numpy.array([numpy.bincount(column, minlength=30) for column in words.T])
        assert scipy.stats.chi2_contingency(places).pvalue > 1e-4


def test_neighbouring_words_are_independent() -> None:
    text = made(5, vocabulary=10, topic_words=4, train=6000, length=2)
    words = text.train.words[text.train.topic == 0]
    pairs = numpy.zeros((10, 10))
    numpy.add.at(pairs, (words[:, 0], words[:, 1]), 1)
    assert scipy.stats.chi2_contingency(pairs).pvalue > 1e-4


def bayes(text: ProceduralText) -> float:
    scores = numpy.log(text.probabilities)[:, text.test.words].sum(-1)
    return float((scores.argmax(0) == text.test.topic).mean())


def test_topics_can_be_told_by_their_words_the_better_the_more_these_say() -> None:
    found = [bayes(made(0, topic_share=share, length=12, test=900)) for share in (0.0, 0.1, 0.3, 0.6)]
    assert found[0] < 0.4 < found[1] < found[2] < found[3]
    assert found[3] > 0.9
    # A text of one word says less.
    assert bayes(made(0, topic_share=0.3, length=1, test=900)) < found[2] - 0.1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"topic_words": 401}, "topic_words 401 is more than the vocabulary's 400 words"),
        ({"vocabulary": 9}, "greater than or equal to 10"),
        ({"classes": 1}, "greater than or equal to 2"),
        ({"topic_share": 1.1}, "less than or equal to 1"),
        ({"topic_share": -0.1}, "greater than or equal to 0"),
        ({"length": 0}, "greater than or equal to 1"),
        ({"train": 0}, "greater than or equal to 1"),
        ({"topics": 4}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_make_no_language_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ProceduralTextSettings(**given)


def test_as_many_topic_words_as_there_are_words_will_do() -> None:
    assert (made(0, topic_words=30, topic_share=1.0).probabilities > 0).all()
