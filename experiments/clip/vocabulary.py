"""Words as numbers, for the small text encoder: one number a word, and one for all that it has never seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

from experiments.clip.captions import split

PADDING, START, END, UNKNOWN = range(4)
SPECIAL = 4
CONTEXT = 32
"""The longest text, with its start and its end; what is longer is cut."""


class Vocabulary:
    """``words`` in their order; a number is the word's place, behind those of the special ones."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._numbers = {word: SPECIAL + place for place, word in enumerate(self.words)}

    def __len__(self) -> int:
        return SPECIAL + len(self.words)

    def tokens(
        self, texts: Sequence[str], *, unknown: float = 0.0, draws: numpy.random.Generator | None = None
    ) -> Tensor:
        """Return texts as numbers, int64 [count, longest], with start, end and padding.

        With ``draws`` so many of the words, drawn at random, are taken as never seen.

        Raises:
            ValueError: ``unknown`` without ``draws``.
        """
        if unknown and draws is None:
            raise ValueError("which words are unknown has to be drawn from a generator")
        rows = []
        for text in texts:
            numbers = [self._numbers.get(word, UNKNOWN) for word in split(text)][: CONTEXT - 2]
            if draws is not None and unknown:
                hidden = draws.random(CONTEXT)[: len(numbers)] < unknown
                numbers = [UNKNOWN if hide else number for number, hide in zip(numbers, hidden, strict=True)]
            rows.append([START, *numbers, END])
        longest = max((len(row) for row in rows), default=2)
        padded = [row + [PADDING] * (longest - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64).reshape(len(rows), longest)
