"""Transformers that mix text with visual features: one stream, or the two of LXMERT (ViLBERT's are in
``vilbert``).

All share one interface, ``Fusion``: ``embed_text`` turns token ids into vectors (the stage that ViLT's paper
leaves out of parameters, operations and time), ``forward`` adds the visual side and returns the pooled
output.
"""

from abc import abstractmethod

import torch
from torch import nn
from transformers import BertConfig, BertModel, LxmertConfig, LxmertModel, VisualBertConfig, VisualBertModel

from baselines.graphs import Graphs

__all__ = ["BoxEncoding", "Fusion", "LxmertFusion", "SingleStream", "VisualBertFusion", "count_parameters"]

VISUAL_SEGMENT = 1  # token type of visual tokens; text is 0


def count_parameters(*modules: nn.Module | nn.Parameter) -> int:
    """Trainable and frozen weights together; a frozen batch norm's scale and shift count, its statistics do
    not.
    """
    total = 0
    for module in modules:
        if isinstance(module, nn.Parameter):
            total += module.numel()
            continue
        total += sum(parameter.numel() for parameter in module.parameters())
        total += sum(
            buffer.numel() for name, buffer in module.named_buffers() if name.split(".")[-1] in ("weight", "bias")
        )
    return total


class Fusion(nn.Module):
    """What every fusion transformer offers."""

    @abstractmethod
    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token ids [B, T] to vectors [B, T, H]."""

    @abstractmethod
    def forward(self, text: torch.Tensor, features: torch.Tensor, boxes: torch.Tensor | None) -> torch.Tensor:
        """Text [B, T, H], visual features [B, k, D] and boxes [B, k, 4] in parts of the image, to [B, H]
        pooled.
        """

    @abstractmethod
    def parameters_by_component(self) -> dict[str, int]:
        """Weights of ``text_embedding``, ``visual_projection``, ``transformer_layers`` and ``pooler``."""

    @abstractmethod
    def dense_parts(self) -> list[nn.Module]:
        """The modules that hold the matrix products: what ``compile`` compiles."""

    def use_graphs(self, graphs: Graphs) -> None:
        """Replay both methods from graphs."""
        self.embed_text = graphs.graphed(self.embed_text)  # type: ignore[method-assign]
        self.forward = graphs.graphed(self.forward)  # type: ignore[method-assign]


class BoxEncoding(nn.Module):
    """Boxes [B, k, 4] in parts of the image to ``width`` numbers each, then linearly to [B, k, H].

    5: corners and area (ViLBERT, Unicoder-VL, ImageBERT). 6: corners, width, height (OSCAR, VinVL). 7: all of
    these (UNITER). OSCAR appends the six to the feature before one projection, which is the same sum.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.width = width
        self.projection = nn.Linear(width, hidden)

    def forward(self, boxes: torch.Tensor) -> torch.Tensor:
        sides = boxes[..., 2:] - boxes[..., :2]
        area = sides.prod(dim=-1, keepdim=True)
        parts = {5: [boxes, area], 6: [boxes, sides], 7: [boxes, sides, area]}[self.width]
        out: torch.Tensor = self.projection(torch.cat(parts, dim=-1))
        return out


class SingleStream(Fusion):
    """BERT-base over text and visual tokens in one sequence: UNITER, OSCAR, VinVL, Unicoder-VL, ImageBERT,
    Pixel-BERT.

    ``features`` is the width of a visual feature, ``box_width`` that of its position (0: none, as in
    Pixel-BERT). The BERT is transformers'; the vocabulary is bert-base-uncased's.
    """

    def __init__(self, features: int, *, box_width: int) -> None:
        super().__init__()
        self.bert = BertModel(BertConfig())
        hidden = self.bert.config.hidden_size
        self.feature_projection = nn.Linear(features, hidden)
        self.box_encoding = BoxEncoding(box_width, hidden) if box_width else None
        self.segment = nn.Embedding(1, hidden)
        self.norm = nn.LayerNorm(hidden, eps=self.bert.config.layer_norm_eps)

    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.bert.embeddings(tokens)
        return out

    def forward(self, text: torch.Tensor, features: torch.Tensor, boxes: torch.Tensor | None) -> torch.Tensor:
        visual = self.feature_projection(features) + self.segment.weight
        if self.box_encoding is not None and boxes is not None:
            visual = visual + self.box_encoding(boxes)
        tokens = torch.cat([text, self.norm(visual)], dim=1)
        hidden = self.bert.encoder(tokens).last_hidden_state
        out: torch.Tensor = self.bert.pooler(hidden)
        return out

    def parameters_by_component(self) -> dict[str, int]:
        visual = [self.feature_projection, self.segment, self.norm]
        visual += [self.box_encoding] if self.box_encoding is not None else []
        return {
            "text_embedding": count_parameters(self.bert.embeddings),
            "visual_projection": count_parameters(*visual),
            "transformer_layers": count_parameters(self.bert.encoder),
            "pooler": count_parameters(self.bert.pooler),
        }

    def dense_parts(self) -> list[nn.Module]:
        return [self.bert.encoder]


class VisualBertFusion(Fusion):
    """transformers' VisualBERT. Its text positions and its norm are added together with the visual side, in
    ``forward``; ``embed_text`` is the look-up in the table of words."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.model = VisualBertModel(VisualBertConfig(visual_embedding_dim=features))

    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.model.embeddings.word_embeddings(tokens)
        return out

    def forward(self, text: torch.Tensor, features: torch.Tensor, boxes: torch.Tensor | None) -> torch.Tensor:
        out: torch.Tensor = self.model(inputs_embeds=text, visual_embeds=features).pooler_output
        return out

    def parameters_by_component(self) -> dict[str, int]:
        table = self.model.embeddings
        visual = [
            table.visual_projection,
            table.visual_position_embeddings,
            table.visual_token_type_embeddings,
        ]
        return {
            "text_embedding": count_parameters(table) - count_parameters(*visual),
            "visual_projection": count_parameters(*visual),
            "transformer_layers": count_parameters(self.model.encoder),
            "pooler": count_parameters(self.model.pooler),
        }

    def dense_parts(self) -> list[nn.Module]:
        return [self.model.encoder]


class LxmertFusion(Fusion):
    """transformers' LXMERT: 9 layers on text, 5 on regions, 5 of both across each other (1908.07490, section
    2).
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.model = LxmertModel(LxmertConfig(visual_feat_dim=features))

    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.model.embeddings.word_embeddings(tokens)
        return out

    def forward(self, text: torch.Tensor, features: torch.Tensor, boxes: torch.Tensor | None) -> torch.Tensor:
        if boxes is None:
            raise ValueError("LXMERT needs the boxes of its regions")
        out: torch.Tensor = self.model(inputs_embeds=text, visual_feats=features, visual_pos=boxes).pooled_output
        return out

    def parameters_by_component(self) -> dict[str, int]:
        encoder = self.model.encoder
        return {
            "text_embedding": count_parameters(self.model.embeddings),
            "visual_projection": count_parameters(encoder.visn_fc),
            "transformer_layers": count_parameters(encoder.layer, encoder.r_layers, encoder.x_layers),
            "pooler": count_parameters(self.model.pooler),
        }

    def dense_parts(self) -> list[nn.Module]:
        return [self.model.encoder]
