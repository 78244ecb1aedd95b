"""Texts through open_clip's text tower no further than they go.

open_clip pads every text to the context of 77 tokens. The tower's attention looks back only, and its vector is read at
the end token, so what stands behind that cannot matter: short texts are encoded at their own length, a few times
faster.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

TOKENS_AT_ONCE = 16_384


class TextSide(nn.Module):
    """The text half of a model of open_clip; ``forward`` gives vectors that are not normalised, [texts, dimension]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.encode_text(tokens)  # type: ignore[no-any-return]

    def vectors(self, tokens: Tensor) -> Tensor:
        """Return the vectors of texts, int64 [texts, context], in their order; on the model's device."""
        if not len(tokens) or not _looks_back_only(self.model):
            return torch.cat([self(chunk) for chunk in tokens.split(256)]) if len(tokens) else self(tokens)
        lengths = self._lengths(tokens)
        order = lengths.argsort(stable=True)
        found: list[Tensor] = []
        start = 0
        while start < len(order):
            # The longest of a batch is its last, which no more than so many tokens may be wide.
            size = max(1, TOKENS_AT_ONCE // int(lengths[order[min(start + 256, len(order)) - 1]]))
            batch = order[start : start + size]
            found.append(self._cut(tokens[batch], int(lengths[batch].max())))
            start += size
        together = torch.cat(found)
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order), device=order.device)
        return together[places]

    def _lengths(self, tokens: Tensor) -> Tensor:
        """Return how many tokens of each text count: up to the end token, where the vector is read."""
        if self.model.text_pool_type == "eos":
            return (tokens == self.model.text_eos_id).int().argmax(-1) + 1
        return tokens.argmax(-1) + 1

    def _cut(self, tokens: Tensor, length: int) -> Tensor:
        cut = {
            "model.positional_embedding": self.model.positional_embedding[:length],
            "model.attn_mask": self.model.attn_mask[:length, :length],
        }
        return functional_call(self, cut, (tokens[:, :length],))  # type: ignore[no-any-return]


def _looks_back_only(model: Any) -> bool:
    """Say whether the tower is one whose texts can be cut: causal, and read at the end token."""
    from open_clip import CLIP

    return isinstance(model, CLIP) and model.attn_mask is not None and model.text_pool_type in ("argmax", "eos")
