"""Sentences of ``procedural-translation`` as structures, and their words in both languages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from experiments.data.made_languages import Language, Sense, Word

DEFINITE, INDEFINITE, PLURAL = range(3)


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


# Which of a sense's stems tells it.
Chooser = Callable[[Sense], str]


def first_stem(sense: Sense) -> str:
    """Return the stem that is always there."""
    return sense.stems[0]


def source_words(language: Language, sentence: Sentence) -> list[str]:
    """Return the words of a sentence in the source language."""
    words = _source_clause(language, sentence.first)
    if sentence.connective and sentence.second:
        words += [sentence.connective.source, *_source_clause(language, sentence.second)]
    return words


def target_words(language: Language, sentence: Sentence, stem: Chooser = first_stem) -> list[str]:
    """Return the words of its translation; ``stem`` chooses among a sense's synonyms."""
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
    verb = [verb_form(language, stem(sense), int(clause.past), clause.subject.number)]
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
        noun_form(language, stem(sense), sense.gender, number),
        *(
            adjective_form(language, stem(word.sense(phrase.noun.kind)), sense.gender, number)
            for word in phrase.adjectives
        ),
    ]


def noun_form(language: Language, stem: str, gender: int, number: int) -> str:
    """Return a noun in a number."""
    return stem + language.noun_endings[gender] if number else stem


def adjective_form(language: Language, stem: str, gender: int, number: int) -> str:
    """Return an adjective as it agrees with a noun."""
    return stem + language.adjective_endings[number][gender]


def verb_form(language: Language, stem: str, tense: int, number: int) -> str:
    """Return a verb in a tense and its subject's number."""
    return stem + language.verb_endings[tense][number]
