"""The network that SimCLR trains: an encoder f, h = f(x), and a projection head g, z = g(h)."""

from __future__ import annotations

from torch import Tensor, nn

from experiments.simclr.encoder_settings import EncoderSettings, HeadName
from experiments.simclr.encoders import Encoder, build_encoder
from experiments.simclr.heads import projection_head
from harness.execution.streams import Stream


class ContrastiveModel(nn.Module):
    """An encoder with a projection head; calling it gives z, the head's output (section 2.1 of the paper)."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Return z, [N, output dimension], of images [N, C, H, W]."""
        z: Tensor = self.head(self.encoder(images))
        return z


def build_model(
    encoder: EncoderSettings,
    head: HeadName,
    output_dimension: int,
    init: Stream,
    *,
    hidden_dimension: int | None = None,
    hidden_batch_norm: bool = False,
) -> ContrastiveModel:
    """Return the model with weights from the stream ``init``; without a head the output dimension is that of h.

    Encoder and head draw from children of their own, so that all heads start over the very same encoder.
    """
    with init.child("encoder").as_torch_default():
        built = build_encoder(encoder)
    width = built.dimension if head == "none" else output_dimension
    with init.child("head").as_torch_default():
        projection = projection_head(
            head, built.dimension, width, hidden_dimension, hidden_batch_norm=hidden_batch_norm
        )
    return ContrastiveModel(built, projection)
