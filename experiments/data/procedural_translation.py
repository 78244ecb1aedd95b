"""``procedural-translation``: two made-up languages, of which one is translated into the other.

The source language has fixed forms and the order subject, verb, object:

    sentence     clause [(conjunction | subordinator) clause]
    clause       [adverb] noun-phrase [preposition noun-phrase] [past] verb noun-phrase
    noun-phrase  (definite | indefinite | plural) adjective* noun

The target language puts the verb second in a main clause (an adverb counts as the first) and last after a
subordinator; the particle of a separable verb ends the main clause and precedes the last verb. Adjectives follow
their noun. Articles, adjectives and plural nouns have forms by gender and number; verbs by tense and the subject's
number. Which of two translations an ambiguous word has is chosen by its neighbour's kind: the kind of the clause's
verb for a noun, of the object for a verb, of its own noun for an adjective or a preposition.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from experiments.data.draws import Draws
from experiments.data.made_languages import Language, Sense, Word, draw_language
from experiments.data.made_sentences import (
    DEFINITE,
    INDEFINITE,
    PLURAL,
    Clause,
    NounPhrase,
    Sentence,
    adjective_form,
    noun_form,
    source_words,
    target_words,
    verb_form,
)
from experiments.data.translation_settings import ProceduralTranslationSettings

# So many draws in a row without a new sentence mean that there are too few.
PATIENCE = 2000


@dataclass(frozen=True)
class Pairs:
    """Sentences, their words parted by single spaces; ``target[i]`` translates ``source[i]``."""

    source: tuple[str, ...]
    target: tuple[str, ...]


@dataclass(frozen=True)
class ProceduralTranslation:
    """Three parts of one corpus, and all words that its grammar can produce, sorted, also those never drawn."""

    train: Pairs
    validation: Pairs
    test: Pairs
    source_vocabulary: tuple[str, ...]
    target_vocabulary: tuple[str, ...]
    language: Language


def make_translation(settings: ProceduralTranslationSettings, seed: int) -> ProceduralTranslation:
    """Draw two languages and their parallel sentences: the same for the same settings and seed.

    Raises ``ValueError`` when the grammar has too few sentences for the counts that are asked for.
    """
    language = draw_language(settings, Draws("procedural-translation", seed, "language"))
    # The part that grows in an experiment comes last, because a part leaves out what those before it have.
    counts = {"test": settings.test, "validation": settings.validation, "train": settings.train}
    taken: set[str] = set()
    parts = {
        part: _pairs(settings, language, part, count, Draws("procedural-translation", seed, part), taken)
        for part, count in counts.items()
    }
    return ProceduralTranslation(
        **parts,
        source_vocabulary=tuple(sorted(_source_vocabulary(settings, language))),
        target_vocabulary=tuple(sorted(_target_vocabulary(settings, language))),
        language=language,
    )


def _pairs(
    settings: ProceduralTranslationSettings, language: Language, part: str, count: int, draws: Draws, taken: set[str]
) -> Pairs:
    """Return so many pairs whose sources are not in ``taken``, and add them to it."""
    numbers, synonyms = draws.stream("sentences"), draws.stream("synonyms")

    def stem(sense: Sense) -> str:
        return sense.stems[1] if len(sense.stems) > 1 and synonyms.random() < settings.synonyms else sense.stems[0]

    grammar = _Grammar(settings, language)
    sources: list[str] = []
    targets: list[str] = []
    in_vain = 0
    while len(sources) < count:
        sentence = grammar.sentence(iter(numbers.random(_Grammar.NUMBERS).tolist()))
        words = source_words(language, sentence)
        text = " ".join(words)
        if len(words) > settings.longest or text in taken:
            in_vain += 1
            if in_vain == PATIENCE:
                raise ValueError(
                    f"{part} asks for {count} sentences, but after {len(sources)} the grammar gave no new one in "
                    f"{PATIENCE} draws: ask for fewer, or for more words"
                )
            continue
        in_vain = 0
        taken.add(text)
        sources.append(text)
        targets.append(" ".join(target_words(language, sentence, stem)))
    return Pairs(tuple(sources), tuple(targets))


class _Grammar:
    """Makes sentences of uniform numbers.

    Every sentence takes ``NUMBERS`` of them, also for what it does not have, so that another share leaves the other
    choices as they were.
    """

    NUMBERS = 2 + 2 * (2 + 2 + 2 + 3 * 6)

    def __init__(self, settings: ProceduralTranslationSettings, language: Language) -> None:
        self._settings = settings
        self._language = language
        self._connectives = language.conjunctions + language.subordinators
        self._zipf = list(accumulate(1 / rank for rank in range(1, 1 + max(map(len, _classes(language))))))

    def sentence(self, numbers: Iterator[float]) -> Sentence:
        two = next(numbers) < self._settings.second_clause_share
        connective = self._connectives[int(next(numbers) * len(self._connectives))]
        first, second = self._clause(numbers), self._clause(numbers)
        return Sentence(first, connective, second) if two else Sentence(first)

    def _clause(self, numbers: Iterator[float]) -> Clause:
        settings, language = self._settings, self._language
        has_adverb, adverb = next(numbers) < settings.adverb_share, self._word(language.adverbs, numbers)
        has_place, preposition = next(numbers) < settings.place_share, self._word(language.prepositions, numbers)
        past, verb = next(numbers) < settings.past_share, self._word(language.verbs, numbers)
        subject, within, object_ = (self._phrase(numbers) for _ in range(3))
        return Clause(
            subject, verb, object_, past, adverb if has_adverb else None, (preposition, within) if has_place else None
        )

    def _phrase(self, numbers: Iterator[float]) -> NounPhrase:
        settings = self._settings
        number, noun = next(numbers), self._word(self._language.nouns, numbers)
        if number < settings.plural_share:
            determiner = PLURAL
        else:
            determiner = DEFINITE if number < (1 + settings.plural_share) / 2 else INDEFINITE
        adjectives: list[Word] = []
        for _ in range(2):
            has, adjective = next(numbers) < settings.adjective_share, self._word(self._language.adjectives, numbers)
            if has and adjective not in adjectives:
                adjectives.append(adjective)
        return NounPhrase(determiner, tuple(adjectives), noun)

    def _word(self, words: tuple[Word, ...], numbers: Iterator[float]) -> Word:
        """Return a word whose probability falls as the inverse of its rank."""
        ends = self._zipf
        place = bisect_right(ends, next(numbers) * ends[len(words) - 1], hi=len(words))
        # Rounding may give the last end itself.
        return words[min(place, len(words) - 1)]


def _classes(language: Language) -> tuple[tuple[Word, ...], ...]:
    return language.nouns, language.verbs, language.adjectives, language.adverbs, language.prepositions


def _source_vocabulary(settings: ProceduralTranslationSettings, language: Language) -> set[str]:
    words = {*language.determiners[: 3 if settings.plural_share else 2]}
    if settings.past_share:
        words.add(language.past)
    return words | {word.source for group in _used(settings, language) for word in group}


def _used(settings: ProceduralTranslationSettings, language: Language) -> list[tuple[Word, ...]]:
    """Return the classes of words that a sentence can have: a share of nought leaves its class out."""
    groups = [language.nouns, language.verbs]
    for share, group in (
        (settings.adjective_share, language.adjectives),
        (settings.adverb_share, language.adverbs),
        (settings.place_share, language.prepositions),
        (settings.second_clause_share, language.conjunctions + language.subordinators),
    ):
        if share:
            groups.append(group)
    return groups


def _target_vocabulary(settings: ProceduralTranslationSettings, language: Language) -> set[str]:
    numbers = range(2 if settings.plural_share else 1)
    tenses = range(2 if settings.past_share else 1)
    # A gender may have no noun when there are few.
    genders = {(noun.kind, sense.gender) for noun in language.nouns for sense in noun.senses}
    words = {
        language.articles[row][gender] for row in range(3 if settings.plural_share else 2) for _, gender in genders
    }
    for group in _used(settings, language):
        for word in group:
            for sense in word.senses:
                if sense.particle:
                    words.add(sense.particle)
                for stem in sense.stems:
                    if group is language.nouns:
                        words |= {noun_form(language, stem, sense.gender, number) for number in numbers}
                    elif group is language.verbs:
                        words |= {verb_form(language, stem, tense, number) for tense in tenses for number in numbers}
                    elif group is language.adjectives:
                        words |= {
                            adjective_form(language, stem, gender, number)
                            for kind, gender in genders
                            if word.sense(kind) is sense
                            for number in numbers
                        }
                    else:
                        words.add(stem)
    return words
