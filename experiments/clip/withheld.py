"""Pairs of classes of two factors that training does not see, and what is left of a part without them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from experiments.data import Part
from harness.errors import UserError
from harness.execution.streams import Stream


def withheld_pairs(first: int, second: int, share: float, stream: Stream) -> numpy.ndarray:
    """Draw the pairs that are withheld, bool [first, second]; every class of either factor stays in another pair.

    Pairs are withheld in a random order, unless one is the last of a class. When none can be withheld any more, each
    pair that is left is the last of one of its classes, so that at most first + second - 1 are left: every share up to
    there is reached.

    Args:
        first, second: numbers of classes.
        share: of all pairs.

    Raises:
        UserError: fewer than that would be left.
    """
    wanted, least = round(share * first * second), first + second - 1
    if wanted > first * second - least:
        raise UserError(
            f"'withheld' {share:g} of {first} x {second} pairs would leave fewer than the {least} with which "
            "every class surely stays in one; choose a smaller share"
        )
    found = numpy.zeros((first, second), dtype=bool)
    for place in stream.numpy.permutation(first * second):
        row, column = divmod(int(place), second)
        last = found[row].sum() == second - 1 or found[:, column].sum() == first - 1
        if found.sum() < wanted and not last:
            found[row, column] = True
    return found


def subset(part: Part, chosen: numpy.ndarray) -> Part:
    """Return some of a part's images, with their factors and captions; ``chosen`` are indices, or bool [count]."""
    places = numpy.arange(len(part))[chosen]
    captions = None if part.captions is None else tuple(part.captions[place] for place in places)
    return Part(part.images[places], {name: values[places] for name, values in part.factors.items()}, captions)


def names_of_pair(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Return names of a pair: of both labels, then of the synonyms in their order (fewer are repeated)."""
    count = max(len(first), len(second))
    return tuple(f"{first[place % len(first)]} {second[place % len(second)]}" for place in range(count))
