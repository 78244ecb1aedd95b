"""The learned heads of a region detector: proposals, classes with boxes, attributes."""

from typing import NamedTuple

import torch
from torch import nn
from torchvision.models.detection.rpn import RPNHead, concat_box_prediction_layers

__all__ = ["Prediction", "Predictor", "ProposalHead"]


class ProposalHead(RPNHead):
    """torchvision's RPN head, its outputs flattened: maps to logits [B, A] and deltas [B, A, 4] in anchor
    order.

    One 3x3 convolution with as many channels as its input (1,024 on C4 as in detectron2, 256 on a pyramid).
    """

    def forward(self, x: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        logits, deltas = super().forward(x)
        batch = x[0].shape[0]
        flat_logits, flat_deltas = concat_box_prediction_layers(logits, deltas)
        return flat_logits.view(batch, -1), flat_deltas.view(batch, -1, 4)


class Prediction(NamedTuple):
    """``classes`` [N, C + 1] posteriors, background first; ``deltas`` [N, 4 (C + 1)] or [N, 4];
    ``attributes`` [N, K].
    """

    classes: torch.Tensor
    deltas: torch.Tensor
    attributes: torch.Tensor | None


class Predictor(nn.Module):
    """Class scores, box regression and, where ``attributes`` is not 0, attributes from region features [N,
    D].

    The attribute head is Anderson et al.'s (1707.07998, section 3.1): the feature beside a learned embedding
    of the predicted class, one hidden layer, one score an attribute; widths D/8 and D/4 as in their released
    network.
    """

    def __init__(self, features: int, classes: int, *, attributes: int, one_box_for_all: bool) -> None:
        super().__init__()
        self.class_scores = nn.Linear(features, classes + 1)
        self.box_deltas = nn.Linear(features, 4 if one_box_for_all else 4 * (classes + 1))
        self.has_attributes = attributes > 0
        if self.has_attributes:
            self.class_embedding = nn.Embedding(classes + 1, features // 8)
            self.attribute_hidden = nn.Linear(features + features // 8, features // 4)
            self.attribute_scores = nn.Linear(features // 4, attributes)

    def forward(self, features: torch.Tensor) -> Prediction:
        scores = self.class_scores(features)
        deltas = self.box_deltas(features)
        attributes = None
        if self.has_attributes:
            embedded = self.class_embedding(scores.argmax(dim=1))
            hidden = self.attribute_hidden(torch.cat([features, embedded], dim=1)).relu()
            attributes = self.attribute_scores(hidden)
        return Prediction(scores.softmax(dim=1), deltas, attributes)
