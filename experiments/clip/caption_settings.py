"""How captions of embedded images are written. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class CaptionSettings(BaseModel):
    """A grammar's knobs; every share is of captions unless it says otherwise.

    Templates are drawn in each replicate: ``templates`` for the captions, and ``held_out`` others for evaluation.
    ``plain`` is the share of captions that are a noun phrase and no sentence. ``synonyms`` is the share of mentions
    that use another name than the label; ``omitted`` the share of captions that leave the label out,
    ``attributes_omitted`` that of the other attributes, each by itself. A ``distractor`` says nothing about the image.
    ``polysemy`` is the share with a phrase that uses some class's name in another sense, such as "channel three", the
    class drawn at random; in ``polysemy_alone`` of those the phrase is all there is. ``unknown`` is the share of words
    that nobody can read (they become the unknown word).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    templates: int = Field(default=24, ge=1, le=120)
    held_out: int = Field(default=16, ge=1, le=80)
    plain: Share = 0.15
    synonyms: Share = 0.3
    omitted: Share = 0.1
    attributes_omitted: Share = 0.3
    distractors: Share = 0.4
    polysemy: Share = 0.0
    polysemy_alone: Share = 0.15
    unknown: Share = 0.05
    never: tuple[str, ...] = Field(default=(), description="factors that no caption mentions")
