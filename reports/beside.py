"""Claims that are to be read together, such as an effect against plain training and at equal compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.verdicts.judgement import Judgement


@dataclass(frozen=True)
class Companion:
    """The verdict on a claim that another is to be read with, and whether the two verdicts differ."""

    judgement: Judgement
    disagrees: bool


def companions(judgements: Sequence[Judgement]) -> dict[str, list[Companion]]:
    """Return, by a judgement's anchor, those it is to be read with: the claim that it names, and those that name it.

    Only verdicts of one experiment, profile and reading are read together.
    """
    found: dict[str, list[Companion]] = {}
    for one in judgements:
        for other in judgements:
            named = other.claim.id == one.claim.beside or one.claim.id == other.claim.beside
            if named and _place(one) == _place(other) and one is not other:
                found.setdefault(one.anchor, []).append(Companion(other, one.verdict != other.verdict))
    return found


def _place(judgement: Judgement) -> tuple[str, str, str | None]:
    return judgement.experiment, judgement.profile, judgement.reading
