"""Which procedural parallel corpus is asked for, and how difficult it is made. Imports no torch and no numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
# The words are spelt from so many syllables, which these limits keep from running out.
ContentWords = Annotated[int, Field(ge=1, le=1000)]
FunctionWords = Annotated[int, Field(ge=1, le=20)]
Share = Annotated[float, Field(ge=0, le=1)]
# Never one: what may be absent leaves room for every other word below the greatest length.
ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]


class ProceduralTranslationSettings(BaseModel):
    """Pairs of a sentence and its translation, in two languages that are drawn per seed.

    ``train``, ``validation`` and ``test`` pairs, no source sentence twice. ``nouns`` to ``subordinators`` count the
    words of the source language; within a class their frequencies follow Zipf's law, but for conjunctions and
    subordinators, which are equally frequent. A sentence has five to ``longest`` words, and its target up to two more.

    What makes the translation difficult: ``genders`` of nouns, with which articles and adjectives agree; of the nouns,
    verbs, adjectives and prepositions the share ``ambiguous_share`` has two translations, of which a neighbouring word
    chooses; of the verbs ``separable_share`` has one of the ``particles``, which stands at the clause's end.

    How often a sentence has what it need not have: ``adverb_share`` of the clauses an adverb, ``place_share`` a
    preposition with a noun phrase, ``past_share`` the past tense; ``plural_share`` of the noun phrases are plural and
    have, with ``adjective_share`` each, a first and a second adjective; ``second_clause_share`` of the sentences have
    another clause. With the probability ``synonyms`` a noun, verb, adjective or adverb of the target is told by
    its synonym: at 0 the target is a function of the source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Literal["procedural-translation"] = "procedural-translation"
    train: Count = 600
    validation: Count = 200
    test: Count = 400
    # Two at least, so that there are both kinds of nouns and of verbs, which choose among translations.
    nouns: int = Field(default=30, ge=2, le=1000)
    verbs: int = Field(default=16, ge=2, le=1000)
    adjectives: ContentWords = 16
    adverbs: ContentWords = 8
    prepositions: FunctionWords = 6
    conjunctions: FunctionWords = 2
    subordinators: FunctionWords = 2
    particles: FunctionWords = 4
    genders: int = Field(default=3, ge=1, le=4)
    ambiguous_share: Share = 0.25
    separable_share: Share = 0.3
    adverb_share: ShareBelowOne = 0.3
    adjective_share: ShareBelowOne = 0.35
    place_share: ShareBelowOne = 0.25
    plural_share: ShareBelowOne = 0.35
    past_share: ShareBelowOne = 0.5
    second_clause_share: ShareBelowOne = 0.35
    # Eleven words are the shortest sentence of two clauses.
    longest: int = Field(default=14, ge=11)
    synonyms: float = Field(default=0.0, ge=0, le=0.5)
