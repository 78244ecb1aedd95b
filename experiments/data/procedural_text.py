"""``procedural-text``: topics that are told by many words, each of which says little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from experiments.data.draws import Draws
from experiments.data.language_settings import ProceduralTextSettings


@dataclass(frozen=True, eq=False)
class Texts:
    """``words`` int64 [count, length], numbers below the vocabulary's size; ``topic`` int64 [count]."""

    words: numpy.ndarray
    topic: numpy.ndarray


@dataclass(frozen=True, eq=False)
class ProceduralText:
    """Three parts of texts of one language, and its probabilities of words by topic, [classes, vocabulary]."""

    train: Texts
    validation: Texts
    test: Texts
    probabilities: numpy.ndarray


def make_text(settings: ProceduralTextSettings, seed: int) -> ProceduralText:
    """Draw a language and its texts: the same for the same settings and seed."""
    probabilities = _language(settings, Draws("procedural-text", seed, "language"))
    counts = {"train": settings.train, "validation": settings.validation, "test": settings.test}
    parts = {
        part: _texts(settings, probabilities, count, Draws("procedural-text", seed, part))
        for part, count in counts.items()
    }
    return ProceduralText(**parts, probabilities=probabilities)


def _language(settings: ProceduralTextSettings, draws: Draws) -> numpy.ndarray:
    """Return the probability of every word in every topic."""
    common = _zipf(settings.vocabulary)
    order = draws.permutation("topic words", settings.classes, settings.vocabulary)[:, : settings.topic_words]
    topics = numpy.zeros((settings.classes, settings.vocabulary))
    numpy.put_along_axis(topics, order, _zipf(settings.topic_words)[None], axis=1)
    return (1 - settings.topic_share) * common + settings.topic_share * topics


def _zipf(count: int) -> numpy.ndarray:
    weights = 1.0 / numpy.arange(1, count + 1)
    return weights / weights.sum()


def _texts(settings: ProceduralTextSettings, probabilities: numpy.ndarray, count: int, draws: Draws) -> Texts:
    topic = numpy.arange(count) % settings.classes
    topic = topic[draws.permutation("order", count)]
    uniform = draws.uniform("words", 0.0, 1.0, count, settings.length)
    words = numpy.empty((count, settings.length), dtype=numpy.int64)
    for value, row in enumerate(probabilities):
        own = topic == value
        ends = numpy.cumsum(row)
        # Rounding may leave the last end a hair below one.
        words[own] = numpy.minimum(numpy.searchsorted(ends, uniform[own], side="right"), settings.vocabulary - 1)
    return Texts(words, topic)
