"""Made-up languages for ``procedural-translation``: words, their senses in the other language, and tables of forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from experiments.data.draws import Draws
from experiments.data.translation_settings import ProceduralTranslationSettings

# Words of one language never look like another's, nor function words like content words: source words are spelt
# CVCV and CVC, the target's CVCVC with endings that begin with a vowel, and VCV.
_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
_CODAS = "klmnrst"
_SYLLABLES = [consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS]


@dataclass(frozen=True)
class Sense:
    """One translation: its stem, and the synonym's if the language has any; a noun's gender; a verb's particle."""

    stems: tuple[str, ...]
    gender: int = 0
    particle: str | None = None


@dataclass(frozen=True)
class Word:
    """A word of the source language and its one or two senses; ``kind`` 0 or 1 chooses its neighbours' senses."""

    source: str
    senses: tuple[Sense, ...]
    kind: int = 0

    def sense(self, kind: int) -> Sense:
        """Return the translation beside a neighbour of that kind."""
        return self.senses[kind % len(self.senses)]


@dataclass(frozen=True)
class Language:
    """The lexicon, the most frequent words first, and the tables of the target's forms.

    ``determiners`` are the source's: definite, indefinite, plural; ``past`` its particle of the past tense.
    ``articles`` [determiner][gender] are words; endings are appended to stems: ``noun_endings`` [gender] in the
    plural alone, ``adjective_endings`` [number][gender], ``verb_endings`` [tense][number], where the number 1 is the
    plural and the tense 1 the past.
    """

    determiners: tuple[str, str, str]
    past: str
    nouns: tuple[Word, ...]
    verbs: tuple[Word, ...]
    adjectives: tuple[Word, ...]
    adverbs: tuple[Word, ...]
    prepositions: tuple[Word, ...]
    conjunctions: tuple[Word, ...]
    subordinators: tuple[Word, ...]
    articles: tuple[tuple[str, ...], ...]
    noun_endings: tuple[str, ...]
    adjective_endings: tuple[tuple[str, ...], ...]
    verb_endings: tuple[tuple[str, ...], ...]


def draw_language(settings: ProceduralTranslationSettings, draws: Draws) -> Language:
    """Return a language of a stream's own: its words, their senses, and the tables of its forms."""
    # The source's words and the target's stems of content words, and the words of function words.
    content = _spelt(draws, "source words", _SYLLABLES, _SYLLABLES), _spelt(draws, "stems", *2 * [_SYLLABLES], _CODAS)
    function = _spelt(draws, "source particles", _SYLLABLES, _CODAS), _spelt(draws, "particles", _VOWELS, _SYLLABLES)
    endings = _spelt(draws, "endings", _VOWELS, ["", *_CODAS])
    share, stems = settings.ambiguous_share, 2 if settings.synonyms else 1
    definite, indefinite, plural, past = _take(function[0], 4)
    return Language(
        determiners=(definite, indefinite, plural),
        past=past,
        nouns=_gendered(settings, draws, _words(draws, "nouns", settings.nouns, share, *content, stems)),
        verbs=_separable(settings, draws, _words(draws, "verbs", settings.verbs, share, *content, stems), function[1]),
        adjectives=_words(draws, "adjectives", settings.adjectives, share, *content, stems),
        adverbs=_words(draws, "adverbs", settings.adverbs, 0, *content, stems),
        prepositions=_words(draws, "prepositions", settings.prepositions, share, *function, 1),
        conjunctions=_words(draws, "conjunctions", settings.conjunctions, 0, *function, 1),
        subordinators=_words(draws, "subordinators", settings.subordinators, 0, *function, 1),
        articles=tuple(_take(function[1], settings.genders) for _ in range(3)),
        noun_endings=_take(endings, settings.genders),
        adjective_endings=tuple(_take(endings, settings.genders) for _ in range(2)),
        verb_endings=tuple(_take(endings, 2) for _ in range(2)),
    )


def _words(
    draws: Draws,
    name: str,
    count: int,
    ambiguous_share: float,
    source: Iterator[str],
    target: Iterator[str],
    stems: int,
) -> tuple[Word, ...]:
    """Return words of one class, a share of them with two senses, each with so many stems."""
    words = []
    for ambiguous in _marked(draws, f"ambiguous {name}", count, ambiguous_share):
        # Both senses and their synonyms are drawn also where they are not used: the other words stay as they are.
        senses = [Sense(_take(target, 2)[:stems]) for _ in range(2)]
        words.append(Word(next(source), tuple(senses if ambiguous else senses[:1])))
    return tuple(words)


def _gendered(settings: ProceduralTranslationSettings, draws: Draws, nouns: tuple[Word, ...]) -> tuple[Word, ...]:
    """Return the nouns with kinds, and with a gender for each sense, in equal numbers as far as they divide."""
    genders = (draws.permutation("genders", 2, len(nouns)) % settings.genders).tolist()
    kinds = (draws.permutation("kinds of nouns", len(nouns)) % 2).tolist()
    return tuple(
        replace(
            noun,
            kind=kinds[row],
            senses=tuple(replace(sense, gender=genders[place][row]) for place, sense in enumerate(noun.senses)),
        )
        for row, noun in enumerate(nouns)
    )


def _separable(
    settings: ProceduralTranslationSettings, draws: Draws, verbs: tuple[Word, ...], words: Iterator[str]
) -> tuple[Word, ...]:
    """Return the verbs with kinds, and some with a particle for each sense."""
    kinds = (draws.permutation("kinds of verbs", len(verbs)) % 2).tolist()
    separable = _marked(draws, "separable verbs", len(verbs), settings.separable_share)
    particles = _take(words, settings.particles)
    which = draws.integers("particles of verbs", settings.particles, 2, len(verbs)).tolist()
    return tuple(
        replace(
            verb,
            kind=kinds[row],
            senses=tuple(
                replace(sense, particle=particles[which[place][row]] if separable[row] else None)
                for place, sense in enumerate(verb.senses)
            ),
        )
        for row, verb in enumerate(verbs)
    )


def _spelt(draws: Draws, name: str, *places: Sequence[str]) -> Iterator[str]:
    """Yield all words that have one of each place's letters or syllables, each once, in random order."""
    total = 1
    for choices in places:
        total *= len(choices)
    for number in draws.permutation(name, total):
        letters = []
        for choices in places:
            number, place = divmod(number, len(choices))
            letters.append(choices[place])
        yield "".join(letters)


def _take(words: Iterator[str], count: int) -> tuple[str, ...]:
    return tuple(next(words) for _ in range(count))


def _marked(draws: Draws, name: str, count: int, share: float) -> list[bool]:
    """Return which of so many words are in a random share of them, rounded to the nearest number."""
    return [bool(place < int(share * count + 0.5)) for place in draws.permutation(name, count)]
