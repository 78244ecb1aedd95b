"""The symmetric contrastive loss of the paper's Figure 3."""

from __future__ import annotations

import torch
from torch import Tensor


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor | float) -> Tensor:
    """Return the mean cross-entropy of finding each image's text among the batch's and each text's image (Figure 3).

    One product of the two sides serves both directions.

    Args:
        images, texts: unit vectors, [pairs, dimension]; row i of both belong together.
        scale: what cosines are multiplied by: exp(t), one over the temperature.

    Raises:
        ValueError: the two sides are not of one shape, or have no pair.
    """
    if images.shape != texts.shape or images.ndim != 2 or not len(images):
        raise ValueError(f"images {tuple(images.shape)} and texts {tuple(texts.shape)} must be pairs of vectors")
    logits = scale * (images @ texts.T)
    matched = torch.log_softmax(logits, 1).diagonal() + torch.log_softmax(logits, 0).diagonal()
    return -0.5 * matched.mean()
