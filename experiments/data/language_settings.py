"""Which procedural language is asked for, and how difficult it is made. Imports no torch and no numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProceduralTextSettings(_Settings):
    """Texts of one of several topics, in a language that is drawn per seed.

    Words are drawn from a vocabulary whose frequencies follow Zipf's law. With the probability ``topic_share`` a word
    comes from the topic's own ``topic_words``, frequent and rare ones alike, so that a word says little by itself
    and topics share words. ``length`` words a text; ``train``, ``validation``, ``test`` texts, in equal numbers a
    topic as far as they divide.
    """

    source: Literal["procedural-text"] = "procedural-text"
    classes: int = Field(default=6, ge=2)
    vocabulary: int = Field(default=400, ge=10)
    topic_words: Count = 40
    topic_share: float = Field(default=0.3, ge=0, le=1)
    length: int = Field(default=16, ge=1)
    train: Count = 300
    validation: Count = 500
    test: Count = 1000

    @model_validator(mode="after")
    def _enough(self) -> ProceduralTextSettings:
        if self.topic_words > self.vocabulary:
            raise ValueError(f"topic_words {self.topic_words} is more than the vocabulary's {self.vocabulary} words")
        return self
