"""ViLBERT's two streams (Lu et al., 1908.02265): BERT-base on text, six narrower-deeper blocks on regions,
co-attention.

Text: 12 layers of 768 with 12 heads. Vision: 6 layers of 1,024 with 8 heads and an inner width of 1,024. Six
co-attention layers of 1,024 with 8 heads sit between the last six of each: text layers 0-5 come first, then
co-attention alternates with one layer of either stream (the released ``bert_base_6layer_6conect.json``).
"""

import torch
from torch import nn
from torch.nn import functional
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer

from baselines.attention import heads
from baselines.fusion import BoxEncoding, Fusion, count_parameters

__all__ = ["CoAttention", "VilbertFusion"]

TEXT = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
VISION = {"hidden_size": 1024, "num_attention_heads": 8, "intermediate_size": 1024}
TEXT_LAYERS, VISION_LAYERS, CO_LAYERS = 12, 6, 6
CO_HIDDEN, CO_HEADS = 1024, 8


class FeedForward(nn.Module):
    """Residual sum, norm, two products with GELU between, residual sum, norm: what follows attention in BERT."""

    def __init__(self, attended: int, hidden: int, inner: int, eps: float) -> None:
        super().__init__()
        self.output = nn.Linear(attended, hidden)
        self.attention_norm = nn.LayerNorm(hidden, eps=eps)
        self.inner = nn.Linear(hidden, inner)
        self.outer = nn.Linear(inner, hidden)
        self.norm = nn.LayerNorm(hidden, eps=eps)

    def forward(self, attended: torch.Tensor, stream: torch.Tensor) -> torch.Tensor:
        stream = self.attention_norm(self.output(attended) + stream)
        out: torch.Tensor = self.norm(self.outer(functional.gelu(self.inner(stream))) + stream)
        return out


class CoAttention(nn.Module):
    """Each stream asks, the other answers: text [B, T, 768] and vision [B, k, 1024] to the same shapes.

    ``fused`` chooses between the softmax spelt out, as in the released code, and the fused operator.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.text_projection = nn.Linear(TEXT["hidden_size"], 3 * CO_HIDDEN)
        self.vision_projection = nn.Linear(VISION["hidden_size"], 3 * CO_HIDDEN)
        self.text_rest = FeedForward(CO_HIDDEN, TEXT["hidden_size"], TEXT["intermediate_size"], eps)
        self.vision_rest = FeedForward(CO_HIDDEN, VISION["hidden_size"], VISION["intermediate_size"], eps)
        self.fused = False

    def forward(self, text: torch.Tensor, vision: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        text_query, text_key, text_value = self.text_projection(text).chunk(3, dim=-1)
        query, key, value = self.vision_projection(vision).chunk(3, dim=-1)
        to_text = self._attend(text_query, key, value)
        to_vision = self._attend(query, text_key, text_value)
        return self.text_rest(to_text, text), self.vision_rest(to_vision, vision)

    def _attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        query, key, value = (heads(tensor, CO_HEADS) for tensor in (query, key, value))
        if self.fused:
            mixed = functional.scaled_dot_product_attention(query, key, value)
        else:
            scores = torch.matmul(query, key.transpose(-1, -2)) / query.shape[-1] ** 0.5
            mixed = torch.matmul(scores.softmax(dim=-1), value)
        return mixed.transpose(1, 2).flatten(2)


class _TwoStreams(nn.Module):
    """The layers of both streams in the order in which they run."""

    def __init__(self, text: BertConfig, vision: BertConfig) -> None:
        super().__init__()
        self.text = nn.ModuleList([BertLayer(text) for _ in range(TEXT_LAYERS)])
        self.vision = nn.ModuleList([BertLayer(vision) for _ in range(VISION_LAYERS)])
        self.co = nn.ModuleList([CoAttention(text.layer_norm_eps) for _ in range(CO_LAYERS)])

    def forward(self, text: torch.Tensor, vision: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = TEXT_LAYERS - CO_LAYERS
        for layer in self.text[:first]:
            text = layer(text)
        for co, text_layer, vision_layer in zip(self.co, self.text[first:], self.vision, strict=True):
            text, vision = co(text, vision)
            text, vision = text_layer(text), vision_layer(vision)
        return text, vision


class VilbertFusion(Fusion):
    """Text [B, T, 768] and region features [B, k, D] with boxes to the product of both poolers, [B, 1024]."""

    def __init__(self, features: int) -> None:
        super().__init__()
        # The same attention that transformers chooses for a whole BertModel.
        text = BertConfig(**TEXT, attn_implementation="sdpa")
        vision = BertConfig(**VISION, attn_implementation="sdpa")
        self.embeddings = BertEmbeddings(text)
        self.feature_projection = nn.Linear(features, vision.hidden_size)
        self.box_encoding = BoxEncoding(5, vision.hidden_size)
        self.norm = nn.LayerNorm(vision.hidden_size, eps=vision.layer_norm_eps)
        self.streams = _TwoStreams(text, vision)
        self.text_pooler = nn.Linear(text.hidden_size, CO_HIDDEN)
        self.vision_pooler = nn.Linear(vision.hidden_size, CO_HIDDEN)

    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.embeddings(tokens)
        return out

    def forward(self, text: torch.Tensor, features: torch.Tensor, boxes: torch.Tensor | None) -> torch.Tensor:
        if boxes is None:
            raise ValueError("ViLBERT needs the boxes of its regions")
        vision = self.norm(self.feature_projection(features) + self.box_encoding(boxes))
        text, vision = self.streams(text, vision)
        return self.text_pooler(text[:, 0]).relu() * self.vision_pooler(vision[:, 0]).relu()

    def parameters_by_component(self) -> dict[str, int]:
        return {
            "text_embedding": count_parameters(self.embeddings),
            "visual_projection": count_parameters(self.feature_projection, self.box_encoding, self.norm),
            "transformer_layers": count_parameters(self.streams),
            "pooler": count_parameters(self.text_pooler, self.vision_pooler),
        }

    def dense_parts(self) -> list[nn.Module]:
        return [self.streams]
