"""The procedural parallel corpus: its grammar by hand, its sentences by a second translator, its draws."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from experiments.data import translation_settings
from experiments.data.made_languages import Language, Sense, Word
from experiments.data.made_sentences import (
    DEFINITE,
    INDEFINITE,
    PLURAL,
    Clause,
    NounPhrase,
    Sentence,
    source_words,
    target_words,
)
from experiments.data.procedural_translation import Pairs, ProceduralTranslation, make_translation
from experiments.data.translation_settings import ProceduralTranslationSettings

# A bat flies or hits, by what is done; one hits a thing but meets a person; good is gut of a person and lecker else.
CAT = Word("cat", (Sense(("Katz",), gender=0),), kind=1)
BAT = Word("bat", (Sense(("Schlaeger",), gender=1), Sense(("Fledermaus",), gender=0)), kind=0)
SEES = Word("see", (Sense(("seh",)),), kind=0)
FEEDS = Word("feed", (Sense(("fuetter",), particle="durch"),), kind=1)
HITS = Word("hit", (Sense(("hau",), particle="um"), Sense(("treff",))), kind=0)
GOOD = Word("good", (Sense(("lecker",)), Sense(("gut",))))
OLD = Word("old", (Sense(("alt",)),))
TODAY = Word("today", (Sense(("heute",)),))
NEAR = Word("near", (Sense(("neben",)), Sense(("bei",))))
AND = Word("and", (Sense(("und",)),))
WHILE = Word("while", (Sense(("waehrend",)),))
BY_HAND = Language(
    determiners=("the", "a", "some"),
    past="did",
    nouns=(CAT, BAT),
    verbs=(SEES, FEEDS, HITS),
    adjectives=(GOOD, OLD),
    adverbs=(TODAY,),
    prepositions=(NEAR,),
    conjunctions=(AND,),
    subordinators=(WHILE,),
    articles=(("die", "der"), ("eine", "ein"), ("manche", "mancher")),
    noun_endings=("en", "e"),
    adjective_endings=(("-F", "-M"), ("-FF", "-MM")),
    verb_endings=(("t", "en"), ("te", "ten")),
)
THE_CAT, THE_BAT = NounPhrase(DEFINITE, (), CAT), NounPhrase(DEFINITE, (), BAT)


@pytest.mark.parametrize(
    ("sentence", "source", "target"),
    [
        (
            Sentence(Clause(NounPhrase(INDEFINITE, (GOOD, OLD), CAT), SEES, NounPhrase(PLURAL, (GOOD,), BAT))),
            "a good old cat see some good bat",
            "eine Katz gut-F alt-F seht mancher Schlaegere lecker-MM",
        ),
        # The other kind of verb: the bat changes its meaning, and its gender with it. The particle ends the clause.
        (
            Sentence(Clause(NounPhrase(PLURAL, (OLD,), BAT), FEEDS, THE_CAT, past=True)),
            "some old bat did feed the cat",
            "manche Fledermausen alt-FF fuetterten die Katz durch",
        ),
        # The verb stays in second place behind an adverb, and agrees with the subject, not with what is near it.
        (
            Sentence(
                Clause(THE_CAT, HITS, THE_BAT, adverb=TODAY, place=(NEAR, NounPhrase(PLURAL, (), BAT))),
                AND,
                Clause(THE_BAT, HITS, THE_CAT, place=(NEAR, THE_CAT)),
            ),
            "today the cat near some bat hit the bat and the bat near the cat hit the cat",
            "heute haut die Katz neben mancher Schlaegere der Schlaeger um und der Schlaeger bei die Katz trefft die Katz",
        ),
        # After a subordinator the verb is last.
        (
            Sentence(Clause(THE_CAT, SEES, THE_CAT), WHILE, Clause(THE_BAT, FEEDS, THE_BAT, past=True, adverb=TODAY)),
            "the cat see the cat while today the bat did feed the bat",
            "die Katz seht die Katz waehrend heute die Fledermaus die Fledermaus durch fuetterte",
        ),
    ],
)
def test_sentences_translated_by_hand(sentence: Sentence, source: str, target: str) -> None:
    assert " ".join(source_words(BY_HAND, sentence)) == source
    assert " ".join(target_words(BY_HAND, sentence)) == target
    assert second_translator(BY_HAND, source) == target


def second_translator(language: Language, source: str) -> str:
    """Translate from the words alone, right to left within noun phrases, as nothing of the module does."""
    words = source.split()
    for last, connectives in ((False, language.conjunctions), (True, language.subordinators)):
        for connective in connectives:
            if connective.source in words:
                cut = words.index(connective.source)
                main, second = clause(language, words[:cut], False), clause(language, words[cut + 1 :], last)
                return f"{main} {connective.senses[0].stems[0]} {second}"
    return clause(language, words, False)


def clause(language: Language, words: list[str], verb_last: bool) -> str:
    nouns, verbs, adjectives, adverbs, prepositions = (
        {word.source: word for word in group}
        for group in (language.nouns, language.verbs, language.adjectives, language.adverbs, language.prepositions)
    )
    verb = next(verbs[word] for word in words if word in verbs)
    governed = [nouns[word] for word in words if word in nouns]
    phrases: list[list[str]] = []
    numbers: list[int] = []
    adverb = preposition = ""
    for word in reversed(words):
        if word in nouns:
            noun = nouns[word]
            meaning = noun.senses[verb.kind if len(noun.senses) == 2 else 0]
            agreeing: list[str] = []
        elif word in adjectives:
            senses = adjectives[word].senses
            agreeing.insert(0, senses[noun.kind if len(senses) == 2 else 0].stems[0])
        elif word in language.determiners:
            row = language.determiners.index(word)
            plural = int(row == 2)
            head = meaning.stems[0] + (language.noun_endings[meaning.gender] if plural else "")
            ending = language.adjective_endings[plural][meaning.gender]
            phrases.insert(0, [language.articles[row][meaning.gender], head, *(stem + ending for stem in agreeing)])
            numbers.insert(0, plural)
        elif word in prepositions:
            senses = prepositions[word].senses
            preposition = senses[governed[1].kind if len(senses) == 2 else 0].stems[0]
        elif word in adverbs:
            adverb = adverbs[word].senses[0].stems[0]
    sense = verb.senses[governed[-1].kind if len(verb.senses) == 2 else 0]
    finite = sense.stems[0] + language.verb_endings[int(language.past in words)][numbers[0]]
    subject = " ".join(phrases[0] + ([preposition, *phrases[1]] if preposition else []))
    done, particle = " ".join(phrases[-1]), sense.particle or ""
    if verb_last:
        order = [adverb, subject, done, particle, finite]
    elif adverb:
        order = [adverb, finite, subject, done, particle]
    else:
        order = [subject, finite, done, particle]
    return " ".join(" ".join(order).split())


@cache
def corpus(seed: int = 0, **knobs: Any) -> ProceduralTranslation:
    return make_translation(ProceduralTranslationSettings(**knobs), seed)


def parts(made: ProceduralTranslation) -> tuple[Pairs, Pairs, Pairs]:
    return made.train, made.validation, made.test


def everything(made: ProceduralTranslation) -> list[tuple[str, str]]:
    return [pair for part in parts(made) for pair in zip(part.source, part.target, strict=True)]


def tokens(sentences: Any) -> Counter[str]:
    return Counter(word for sentence in sentences for word in sentence.split())


def test_the_default_corpus() -> None:
    made = corpus()
    assert [len(part.source) for part in parts(made)] == [600, 200, 400]
    lengths = Counter(len(source.split()) for source, _ in everything(made))
    assert set(lengths) == set(range(5, 15)) and min(lengths.values()) >= 20
    assert make_translation(ProceduralTranslationSettings(), 0) == made
    assert corpus(1).language != made.language and corpus(1).train != made.train


def test_the_languages_are_as_the_settings_say() -> None:
    language = corpus(nouns=31, verbs=20, separable_share=0.4, ambiguous_share=0.3, genders=3).language
    assert sorted(Counter(noun.senses[0].gender for noun in language.nouns).values()) == [10, 10, 11]
    assert Counter(noun.kind for noun in language.nouns) == {0: 16, 1: 15}
    assert Counter(verb.kind for verb in language.verbs) == {0: 10, 1: 10}
    assert sum(verb.senses[0].particle is not None for verb in language.verbs) == 8
    for group, count in (
        (language.nouns, 9),
        (language.verbs, 6),
        (language.adjectives, 5),
        (language.prepositions, 2),
    ):
        assert sum(len(word.senses) == 2 for word in group) == count
    # Every word tells its class and its stem: no two meanings share a form but where a table has it.
    stems = [
        s.stems[0] for group in (language.nouns, language.verbs, language.adjectives) for w in group for s in w.senses
    ]
    assert len(set(stems)) == len(stems)
    tables = [language.articles, language.adjective_endings, language.verb_endings, (language.noun_endings,)]
    for table in tables:
        assert len({form for row in table for form in row}) == sum(map(len, table))


def test_adjectives_follow_nouns_and_agree_with_them() -> None:
    language = corpus().language
    nouns = {
        sense.stems[0] + ending: (sense.gender, number)
        for noun in language.nouns
        for sense in noun.senses
        for number, ending in enumerate(["", language.noun_endings[sense.gender]])
    }
    articles = {
        word: (gender, int(row == 2))
        for row, words in enumerate(language.articles)
        for gender, word in enumerate(words)
    }
    stems = {sense.stems[0] for word in language.adjectives for sense in word.senses}
    found = 0
    for _, target in everything(corpus()):
        words = target.split()
        for before, word in zip(words, words[1:], strict=False):
            if before in articles:
                assert articles[before] == nouns[word]
            if word in nouns:
                assert before in articles
                gender, number = nouns[word]
            if word[:5] in stems:
                assert word[5:] == language.adjective_endings[number][gender]
                assert before in nouns or before[:5] in stems
                found += 1
    assert found > 500


def test_ambiguous_words_and_word_order_matter() -> None:
    made = corpus()
    seen = {form[:5] for form in tokens(target for _, target in everything(made))}
    for group in (made.language.nouns[:10], made.language.verbs[:8], made.language.adjectives[:8]):
        for word in group:
            assert {sense.stems[0] for sense in word.senses} <= seen
    subordinators = {word.source for word in made.language.subordinators}
    adverbs = {word.source for word in made.language.adverbs}
    moved = sum(bool({*source.split()} & (subordinators | adverbs)) for source, _ in everything(made))
    assert moved > 0.3 * len(everything(made))


def test_frequencies_follow_zipfs_law() -> None:
    made = corpus(train=4000, validation=1, test=1, nouns=20, longest=40)
    counts = tokens(made.train.source)
    for group in (made.language.nouns, made.language.adverbs, made.language.verbs):
        found = [counts[word.source] for word in group]
        weights = [1 / rank for rank in range(1, len(group) + 1)]
        for count, weight in zip(found, weights, strict=True):
            # Leaving out what is drawn twice makes the most frequent a little rarer.
            assert count / sum(found) == pytest.approx(weight / sum(weights), rel=0.25, abs=0.015)


def test_the_vocabularies_are_what_many_sentences_show() -> None:
    """The words are found by another way: by drawing until nothing new comes."""
    few = dict(validation=1, test=1, nouns=4, verbs=3, adjectives=3, adverbs=2, prepositions=2, ambiguous_share=0.7)
    for more in (
        dict(synonyms=0.5),
        dict(adverb_share=0, longest=11),
        dict(place_share=0, past_share=0, second_clause_share=0.6),
        dict(plural_share=0, genders=4, separable_share=0),
        dict(adjective_share=0, separable_share=1, nouns=2),
        dict(second_clause_share=0, synonyms=0.3),
    ):
        made = corpus(2, **(few | dict(train=6000) | more))
        assert made.source_vocabulary == tuple(sorted(tokens(source for source, _ in everything(made))))
        assert made.target_vocabulary == tuple(sorted(tokens(target for _, target in everything(made))))


def test_one_more_pair_leaves_the_others() -> None:
    made, more = corpus(), corpus(train=900)
    assert (more.validation, more.test, more.language) == (made.validation, made.test, made.language)
    assert more.train.source[:600] == made.train.source and more.train.target[:600] == made.train.target
    assert corpus(validation=300).test == made.test
    assert corpus(validation=300).validation.source[:200] == made.validation.source


def test_synonyms_change_the_target_alone() -> None:
    plain, told = corpus(), corpus(synonyms=0.2)
    sources = [[part.source for part in parts(made)] for made in (plain, told)]
    assert sources[0] == sources[1]
    first = {sense.stems[0] for word in told.language.nouns for sense in word.senses}
    other = {sense.stems[1] for word in told.language.nouns for sense in word.senses}
    counts = Counter(word[:5] for _, target in everything(told) for word in target.split())
    second = sum(counts[stem] for stem in other)
    assert second / (second + sum(counts[stem] for stem in first)) == pytest.approx(0.2, abs=0.03)
    assert not first & other and set(plain.target_vocabulary) < set(told.target_vocabulary)


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "train": st.integers(1, 40),
            "validation": st.integers(1, 10),
            "test": st.integers(1, 10),
            "nouns": st.integers(8, 40),
            "verbs": st.integers(2, 20),
            "adjectives": st.integers(1, 20),
            "adverbs": st.integers(1, 8),
            "prepositions": st.integers(1, 8),
            "conjunctions": st.integers(1, 3),
            "subordinators": st.integers(1, 3),
            "particles": st.integers(1, 5),
            "genders": st.integers(1, 4),
            "longest": st.integers(11, 20),
            "synonyms": st.sampled_from([0.0, 0.3]),
            **{name: st.floats(0, 1) for name in ("ambiguous_share", "separable_share")},
            **{
                name: st.floats(0, 0.6)
                for name in (
                    "adverb_share",
                    "adjective_share",
                    "place_share",
                    "plural_share",
                    "past_share",
                    "second_clause_share",
                )
            },
        }
    ),
    st.integers(0, 2**63),
)
def test_every_corpus(knobs: dict[str, Any], seed: int) -> None:
    made = make_translation(ProceduralTranslationSettings(**knobs), seed)
    pairs = everything(made)
    assert [len(part.target) for part in parts(made)] == [knobs["train"], knobs["validation"], knobs["test"]]
    assert len({source for source, _ in pairs}) == len(pairs)
    assert all(5 <= len(source.split()) <= knobs["longest"] for source, _ in pairs)
    assert set(tokens(source for source, _ in pairs)) <= set(made.source_vocabulary)
    assert set(tokens(target for _, target in pairs)) <= set(made.target_vocabulary)
    assert not set(made.source_vocabulary) & set(made.target_vocabulary)
    for vocabulary in (made.source_vocabulary, made.target_vocabulary):
        assert list(vocabulary) == sorted(set(vocabulary))
    translated = [second_translator(made.language, source) for source, _ in pairs]
    # Synonyms have forms of their own and stand where the word would.
    assert [len(text.split()) for text in translated] == [len(target.split()) for _, target in pairs]
    if not knobs["synonyms"]:
        assert translated == [target for _, target in pairs]


def test_the_largest_languages_have_words_enough() -> None:
    names = ("nouns", "verbs", "adjectives", "adverbs"), ("prepositions", "conjunctions", "subordinators", "particles")
    knobs: dict[str, Any] = {name: 1000 for name in names[0]} | {name: 20 for name in names[1]}
    made = corpus(genders=4, synonyms=0.1, ambiguous_share=1, **knobs)
    assert len(made.source_vocabulary) == 4000 + 60 + 4


def test_a_grammar_with_too_few_sentences_is_refused() -> None:
    tiny: dict[str, Any] = dict(nouns=2, verbs=2, adverb_share=0, adjective_share=0, place_share=0, past_share=0)
    tiny |= dict(plural_share=0, second_clause_share=0)
    # Two determiners and two nouns on each side of two verbs: 32 sentences.
    made = corpus(train=20, validation=6, test=6, **tiny)
    assert len({source for source, _ in everything(made)}) == 32
    with pytest.raises(ValueError, match=r"train asks for 21 sentences, but after 20 the grammar gave no new one"):
        corpus(train=21, validation=6, test=6, **tiny)


@pytest.mark.parametrize(
    "knobs",
    [
        {"train": 0},
        {"nouns": 1},
        {"verbs": 1},
        {"nouns": 1001},
        {"prepositions": 21},
        {"genders": 5},
        {"longest": 10},
        {"past_share": 1.0},
        {"adverb_share": -0.1},
        {"synonyms": 0.6},
        {"ambiguous_share": 1.1},
        {"colour": 1},
        {"source": "translation"},
    ],
)
def test_settings_that_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(knobs))):
        ProceduralTranslationSettings(**knobs)


def test_settings_import_nothing_heavy() -> None:
    # As a file of its own: its package imports numpy.
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); sys.exit(bool({'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code, translation_settings.__file__]).returncode == 0
