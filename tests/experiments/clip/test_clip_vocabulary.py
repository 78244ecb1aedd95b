"""Words as numbers: what is padded, cut, unknown, and hidden on purpose."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from experiments.clip.captions import all_words, split
from experiments.clip.vocabulary import CONTEXT, END, PADDING, SPECIAL, START, UNKNOWN, Vocabulary

WORDS = ("a", "cat", "dog", "of", "photo")
A, CAT, DOG, OF, PHOTO = range(SPECIAL, SPECIAL + 5)


def generator(seed: int = 0) -> numpy.random.Generator:
    return numpy.random.default_rng(seed)


def test_numbers_with_start_end_and_padding() -> None:
    found = Vocabulary(WORDS).tokens(["A photo, of a CAT.", "dog", ""])
    assert found.dtype == torch.int64
    assert found.tolist() == [
        [START, A, PHOTO, OF, A, CAT, END],
        [START, DOG, END, *[PADDING] * 4],
        [START, END, *[PADDING] * 5],
    ]
    assert len({PADDING, START, END, UNKNOWN}) == SPECIAL == 4 and len(Vocabulary(WORDS)) == 9


def test_words_that_are_not_known_have_one_number() -> None:
    found = Vocabulary(WORDS).tokens(["a zebra of cats", "a-b"])
    assert found.tolist() == [
        [START, A, UNKNOWN, OF, UNKNOWN, END],
        [START, A, UNKNOWN, END, PADDING, PADDING],
    ]


def test_what_is_too_long_is_cut_and_keeps_its_end() -> None:
    vocabulary = Vocabulary(WORDS)
    for count in (CONTEXT - 3, CONTEXT - 2, CONTEXT - 1, 200):
        found = vocabulary.tokens([" ".join(["cat"] * count), "dog"])
        kept = min(count, CONTEXT - 2)
        assert found.shape == (2, kept + 2) and found.shape[1] <= CONTEXT
        assert found[0].tolist() == [START, *[CAT] * kept, END]
        assert found[1].tolist() == [START, DOG, END] + [PADDING] * (kept - 1)


def test_numbers_are_the_words_places() -> None:
    for source in ("coloured-digits", "scenes", "glyphs"):
        words = all_words(source)
        vocabulary = Vocabulary(words)
        found = vocabulary.tokens(words)
        assert found[:, 1].tolist() == list(range(SPECIAL, len(vocabulary)))


def test_no_texts_at_all() -> None:
    assert Vocabulary(WORDS).tokens([]).shape == (0, 2)


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from([*WORDS, "zebra"]), max_size=40), min_size=1, max_size=6))
def test_any_texts(texts: list[list[str]]) -> None:
    found = Vocabulary(WORDS).tokens([" ".join(words) for words in texts])
    assert found.shape == (len(texts), min(CONTEXT, 2 + max(len(words) for words in texts)))
    for row, words in zip(found.tolist(), texts, strict=True):
        length = min(len(words), CONTEXT - 2)
        read = [WORDS[number - SPECIAL] if number != UNKNOWN else "zebra" for number in row[1 : length + 1]]
        assert row[0] == START and read == words[:length]
        assert row[length + 1] == END and set(row[length + 2 :]) <= {PADDING}


def test_the_share_of_hidden_words() -> None:
    texts, vocabulary = ["a photo of a cat"] * 2000, Vocabulary(WORDS)
    found = vocabulary.tokens(texts, unknown=0.05, draws=generator())
    words = found[:, 1:-1]
    assert (found[:, 0] == START).all() and (found[:, -1] == END).all()
    whole = vocabulary.tokens(texts)[:, 1:-1]
    hidden = words == UNKNOWN
    assert binomtest(int(hidden.sum()), words.numel(), 0.05).pvalue > 1e-4
    assert torch.equal(words[~hidden], whole[~hidden])
    for place in range(words.shape[1]):
        assert binomtest(int(hidden[:, place].sum()), len(texts), 0.05).pvalue > 1e-4


def test_all_words_or_none_are_hidden() -> None:
    vocabulary = Vocabulary(WORDS)
    all_hidden = vocabulary.tokens(["a cat", "dog"], unknown=1.0, draws=generator())
    assert all_hidden.tolist() == [[START, UNKNOWN, UNKNOWN, END], [START, UNKNOWN, END, PADDING]]
    assert torch.equal(vocabulary.tokens(["a cat"], unknown=0.0, draws=generator()), vocabulary.tokens(["a cat"]))


def test_a_larger_share_hides_the_same_words_and_more() -> None:
    texts = ["a photo of a cat", "dog", "of a dog"] * 100
    masks = [Vocabulary(WORDS).tokens(texts, unknown=share, draws=generator(3)) == UNKNOWN for share in (0.1, 0.3, 0.8)]
    for smaller, larger in zip(masks, masks[1:], strict=False):
        assert (larger >= smaller).all() and larger.sum() > smaller.sum()


def test_a_longer_caption_does_not_move_what_is_hidden_in_others() -> None:
    vocabulary = Vocabulary(WORDS)
    short, long = (
        vocabulary.tokens([first, *["a photo of a cat"] * 50], unknown=0.5, draws=generator(1))
        for first in ("dog", "a photo of a dog")
    )
    assert torch.equal(short[1:], long[1:])


def test_hidden_words_have_to_be_drawn() -> None:
    with pytest.raises(ValueError, match="has to be drawn from a generator"):
        Vocabulary(WORDS).tokens(["a cat"], unknown=0.1)


def test_splitting() -> None:
    assert split("A photo of {}, in-door (2 x) it's Öl.") == [
        "a",
        "photo",
        "of",
        "in",
        "door",
        "2",
        "x",
        "it",
        "s",
        "öl",
    ]
    assert split(" .,- ") == []
