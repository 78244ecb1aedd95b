"""Fused attention that takes the place of transformers' own inside its BERT-like layers.

transformers projects queries, keys and values by three products; VisualBERT and LXMERT then spell the softmax
out. These modules hold the same weights as one product and call ``scaled_dot_product_attention``. They ignore
masks: every token of a request is real here.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.models.bert.modeling_bert import BertSelfAttention
from transformers.models.lxmert.modeling_lxmert import LxmertAttention, LxmertCrossAttentionLayer
from transformers.models.visual_bert.modeling_visual_bert import VisualBertSelfAttention

__all__ = ["FusedCrossAttention", "FusedSelfAttention", "fuse_attention", "fused_linear", "heads"]


def fused_linear(*parts: nn.Linear) -> nn.Linear:
    """One linear layer whose output is the outputs of ``parts`` side by side."""
    first = parts[0]
    fused = nn.Linear(
        first.in_features,
        sum(part.out_features for part in parts),
        bias=first.bias is not None,
        device=first.weight.device,
        dtype=first.weight.dtype,
    )
    with torch.no_grad():
        fused.weight.copy_(torch.cat([part.weight for part in parts]))
        if first.bias is not None:
            fused.bias.copy_(torch.cat([part.bias for part in parts]))
    return fused


def heads(tensor: torch.Tensor, count: int) -> torch.Tensor:
    """[B, N, H] to [B, count, N, H / count]."""
    return tensor.unflatten(-1, (count, -1)).transpose(1, 2)


class FusedSelfAttention(nn.Module):
    """Self-attention [B, N, H] to [B, N, H] from the weights of a transformers module; the output is its
    tuple.
    """

    def __init__(self, original: BertSelfAttention, *, result_size: int) -> None:
        super().__init__()
        self.heads: int = original.num_attention_heads
        self.projection = fused_linear(original.query, original.key, original.value)
        # BERT's layer unpacks two results, VisualBERT's and LXMERT's read the first of one.
        self.padding = (None,) * (result_size - 1)

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor | None, ...]:
        query, key, value = self.projection(hidden_states).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(
            heads(query, self.heads), heads(key, self.heads), heads(value, self.heads)
        )
        return (mixed.transpose(1, 2).flatten(2), *self.padding)


class FusedCrossAttention(nn.Module):
    """Attention of [B, N, H] over a context [B, M, H'] from the weights of LXMERT's module."""

    def __init__(self, original: LxmertAttention) -> None:
        super().__init__()
        self.heads: int = original.num_attention_heads
        self.query = original.query
        self.context = fused_linear(original.key, original.value)

    def forward(
        self, hidden_states: torch.Tensor, context: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor]:
        key, value = self.context(context).chunk(2, dim=-1)
        mixed = functional.scaled_dot_product_attention(
            heads(self.query(hidden_states), self.heads), heads(key, self.heads), heads(value, self.heads)
        )
        return (mixed.transpose(1, 2).flatten(2),)


def fuse_attention(network: nn.Module) -> nn.Module:
    """Replace every BERT, VisualBERT and LXMERT attention inside ``network``, in place, and return it."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BertSelfAttention):
                replacement: nn.Module = FusedSelfAttention(child, result_size=2)
            elif isinstance(child, VisualBertSelfAttention):
                replacement = FusedSelfAttention(child, result_size=1)
            elif isinstance(child, LxmertAttention):
                crosses = isinstance(parent, LxmertCrossAttentionLayer)
                replacement = FusedCrossAttention(child) if crosses else FusedSelfAttention(child, result_size=1)
            else:
                continue
            setattr(parent, name, replacement.train(child.training))
    return network
