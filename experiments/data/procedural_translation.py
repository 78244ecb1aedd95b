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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from experiments.data.draws import Draws
from experiments.data.translation_settings import ProceduralTranslationSettings

DEFINITE, INDEFINITE, PLURAL = range(3)
# So many draws in a row without a new sentence mean that there are too few.
PATIENCE = 2000

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


@dataclass(frozen=True)
class NounPhrase:
    determiner: int
    adjectives: tuple[Word, ...]
    noun: Word

    @property
    def number(self) -> int:
        return int(self.determiner == PLURAL)


@dataclass(frozen=True)
class Clause:
    subject: NounPhrase
    verb: Word
    object: NounPhrase
    past: bool = False
    adverb: Word | None = None
    place: tuple[Word, NounPhrase] | None = None


@dataclass(frozen=True)
class Sentence:
    first: Clause
    connective: Word | None = None
    second: Clause | None = None


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


# Which of a sense's stems tells it.
Chooser = Callable[[Sense], str]


def first_stem(sense: Sense) -> str:
    return sense.stems[0]


def make_translation(settings: ProceduralTranslationSettings, seed: int) -> ProceduralTranslation:
    """Draw two languages and their parallel sentences: the same for the same settings and seed.

    Raises ``ValueError`` when the grammar has too few sentences for the counts that are asked for.
    """
    language = _language(settings, Draws("procedural-translation", seed, "language"))
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


def source_words(language: Language, sentence: Sentence) -> list[str]:
    words = _source_clause(language, sentence.first)
    if sentence.connective and sentence.second:
        words += [sentence.connective.source, *_source_clause(language, sentence.second)]
    return words


def target_words(language: Language, sentence: Sentence, stem: Chooser = first_stem) -> list[str]:
    words = _target_clause(language, sentence.first, False, stem)
    if sentence.connective and sentence.second:
        last = sentence.connective in language.subordinators
        words += [stem(sentence.connective.sense(0)), *_target_clause(language, sentence.second, last, stem)]
    return words


def _source_clause(language: Language, clause: Clause) -> list[str]:
    words = [clause.adverb.source] if clause.adverb else []
    words += _source_phrase(language, clause.subject)
    if clause.place:
        preposition, phrase = clause.place
        words += [preposition.source, *_source_phrase(language, phrase)]
    if clause.past:
        words.append(language.past)
    return [*words, clause.verb.source, *_source_phrase(language, clause.object)]


def _source_phrase(language: Language, phrase: NounPhrase) -> list[str]:
    adjectives = [word.source for word in phrase.adjectives]
    return [language.determiners[phrase.determiner], *adjectives, phrase.noun.source]


def _target_clause(language: Language, clause: Clause, verb_last: bool, stem: Chooser) -> list[str]:
    """Return the words of one clause; ``stem`` is asked once for every sense, in the order of the grammar."""
    adverb = [stem(clause.adverb.sense(0))] if clause.adverb else []
    kind = clause.verb.kind
    subject = _target_phrase(language, clause.subject, kind, stem)
    if clause.place:
        preposition, phrase = clause.place
        subject.append(stem(preposition.sense(phrase.noun.kind)))
        subject += _target_phrase(language, phrase, kind, stem)
    sense = clause.verb.sense(clause.object.noun.kind)
    verb = [_verb(language, stem(sense), int(clause.past), clause.subject.number)]
    particle = [sense.particle] if sense.particle else []
    object_ = _target_phrase(language, clause.object, kind, stem)
    if verb_last:
        return adverb + subject + object_ + particle + verb
    front, rest = (adverb, subject) if adverb else (subject, [])
    return front + verb + rest + object_ + particle


def _target_phrase(language: Language, phrase: NounPhrase, verb_kind: int, stem: Chooser) -> list[str]:
    sense = phrase.noun.sense(verb_kind)
    number = phrase.number
    return [
        language.articles[phrase.determiner][sense.gender],
        _noun(language, stem(sense), sense.gender, number),
        *(_adjective(language, stem(word.sense(phrase.noun.kind)), sense.gender, number) for word in phrase.adjectives),
    ]


def _noun(language: Language, stem: str, gender: int, number: int) -> str:
    return stem + language.noun_endings[gender] if number else stem


def _adjective(language: Language, stem: str, gender: int, number: int) -> str:
    return stem + language.adjective_endings[number][gender]


def _verb(language: Language, stem: str, tense: int, number: int) -> str:
    return stem + language.verb_endings[tense][number]


def _language(settings: ProceduralTranslationSettings, draws: Draws) -> Language:
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
                        words |= {_noun(language, stem, sense.gender, number) for number in numbers}
                    elif group is language.verbs:
                        words |= {_verb(language, stem, tense, number) for tense in tenses for number in numbers}
                    elif group is language.adjectives:
                        words |= {
                            _adjective(language, stem, gender, number)
                            for kind, gender in genders
                            if word.sense(kind) is sense
                            for number in numbers
                        }
                    else:
                        words.add(stem)
    return words
