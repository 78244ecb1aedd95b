"""What an alpha means: the same letter stands before different things in the paper, in notes on it and in its code.

Every form is w1 CE1 + w2 CE2 + alpha v (KL12 + KL21), with the cross-entropy averaged over examples and the divergence
averaged or summed over them. A multiple of a loss has the same minimum, so an alpha is translated by what it weighs
against the cross-entropy. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ConventionName = Literal[
    "paper",
    "notes",
    "official-translation",
    "official-roberta-large",
    "official-readme",
    "official-bert",
    "official-roberta",
    "official-vision-transformer",
]


@dataclass(frozen=True)
class Convention:
    """One form of the loss.

    ``first`` and ``second`` are the weights of the two passes' cross-entropy, ``divergence`` that of KL12 + KL21;
    ``summed`` says that the divergence is summed over the batch where the cross-entropy is averaged. ``alpha`` is the
    figure that the source itself writes there (None: it leaves it to the user), ``batch`` the examples it sums over.
    """

    first: float
    second: float
    divergence: float
    summed: bool
    source: str
    alpha: float | None = None
    batch: int | None = None

    @property
    def cross_entropy(self) -> float:
        """The weight of the cross-entropy, both passes together."""
        return self.first + self.second

    def weight(self, batch: int) -> float:
        """Return what one unit of alpha weighs against one unit of cross-entropy, at a batch of so many examples."""
        return self.divergence * (batch if self.summed else 1) / self.cross_entropy


CONVENTIONS: dict[ConventionName, Convention] = {
    "paper": Convention(1.0, 1.0, 0.5, False, "Equations 2 to 4"),
    "notes": Convention(0.5, 0.5, 1.0, False, "notes: L_orig + alpha (KL12 + KL21), L_orig the mean of both passes"),
    "official-translation": Convention(1.0, 1.0, 0.5, False, "released code, fairseq, translation", 5.0),
    "official-roberta-large": Convention(1.0, 1.0, 0.5, False, "released code, fairseq, RoBERTa-large", 1.0),
    "official-readme": Convention(0.5, 0.5, 0.5, True, "released code, README"),
    "official-bert": Convention(1.0, 1.0, 0.5, True, "released code, Hugging Face BERT", 0.5, 16),
    "official-roberta": Convention(0.5, 0.0, 0.5, True, "released code, Hugging Face RoBERTa", 0.7),
    "official-vision-transformer": Convention(1.0, 1.0, 1.0, True, "released code, ViT", 0.3, 32),
}


def translated(alpha: float, source: ConventionName, target: ConventionName = "paper", batch: int = 1) -> float:
    """Return the alpha of one form that weighs in another what ``alpha`` weighs in ``source``.

    Args:
        batch: examples in the batch over which a form sums, where one does.

    Raises:
        ValueError: the batch is below one.
    """
    if batch < 1:
        raise ValueError(f"a batch has one example at least, not {batch}")
    return alpha * CONVENTIONS[source].weight(batch) / CONVENTIONS[target].weight(batch)
