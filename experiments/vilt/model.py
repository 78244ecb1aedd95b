"""ViLT-B/32: transformers' own model, and a lean path with the same weights and the same outputs.

Kim et al. (arXiv 2102.03334), section 3: word look-up and a linear projection of 32 x 32 patches go into one
pre-norm transformer, 12 layers of 768 with 12 heads. Stages: ``text_embedding``, ``patch_embedding``,
``fusion``.
"""

from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional
from transformers import ViltConfig, ViltModel
from transformers.models.vilt.modeling_vilt import ViltLayer

from baselines.attention import fused_linear, heads
from baselines.errors import WeightsError
from baselines.fusion import count_parameters
from baselines.graphs import Graphs
from baselines.marks import Mark, no_mark

__all__ = ["STAGES", "VISUAL_STAGES", "LeanVilt", "NaiveVilt", "ViltOutput", "build_vilt", "vilt_parameters"]

STAGES = ("text_embedding", "patch_embedding", "fusion")
VISUAL_STAGES = ("patch_embedding",)


class ViltOutput(NamedTuple):
    """``pooled`` [B, H]; ``tokens`` [B, T + 1 + P, H]: text, image class token, patches.

    The patches of the lean path stand in reading order; transformers shuffles them in every call.
    """

    pooled: torch.Tensor
    tokens: torch.Tensor


def build_vilt(weights: str | None = None) -> ViltModel:
    """transformers' ViLT with random weights, or those of a checkpoint by hub name or local folder.

    Raises ``WeightsError`` with one sentence where the checkpoint cannot be read or lacks weights of the
    model.
    """
    if weights is None:
        return ViltModel(ViltConfig()).eval()
    try:
        model, report = ViltModel.from_pretrained(weights, output_loading_info=True)
    except Exception as error:  # transformers, the hub's client and safetensors each raise kinds of their own
        reason = str(error).strip().splitlines()
        raise WeightsError(
            f"The ViLT checkpoint {weights!r} cannot be loaded: {reason[0] if reason else type(error).__name__}"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise WeightsError(
            f"The ViLT checkpoint {weights!r} lacks {len(missing)} weights of the model, for example {missing[0]}."
        )
    return cast(ViltModel, model.eval())


def vilt_parameters(model: ViltModel) -> dict[str, int]:
    """Weights by component. The paper's 87.4 M are ``patch_projection`` and ``transformer_layers``:
    87,414,528.
    """
    table = model.embeddings
    counts = {
        "text_embedding": count_parameters(table.text_embeddings),
        "patch_projection": count_parameters(table.patch_embeddings),
        "visual_positions": count_parameters(table.cls_token, table.position_embeddings, table.token_type_embeddings),
        "transformer_layers": count_parameters(model.encoder),
        "final_norm": count_parameters(model.layernorm),
        "pooler": count_parameters(model.pooler),
    }
    if sum(counts.values()) != count_parameters(model):
        raise AssertionError("the components do not add up to the model")
    return counts


class NaiveVilt(nn.Module):
    """transformers' ``ViltModel.forward`` as it comes; hooks on its embeddings say where its stages end."""

    def __init__(self, model: ViltModel) -> None:
        super().__init__()
        self.model = model
        self._mark: Mark = no_mark
        model.embeddings.text_embeddings.register_forward_hook(lambda *_: self._mark("text_embedding"))
        model.embeddings.register_forward_hook(lambda *_: self._mark("patch_embedding"))

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor, mark: Mark = no_mark) -> ViltOutput:
        """Pixels [B, 3, H, W] and token ids [B, T]."""
        # Without a mask transformers assumes square images of its configured size.
        mask = torch.ones(pixels.shape[0], *pixels.shape[-2:], dtype=torch.long, device=pixels.device)
        self._mark = mark
        try:
            output = self.model(input_ids=tokens, pixel_values=pixels, pixel_mask=mask)
        finally:
            self._mark = no_mark
        mark("fusion")
        return ViltOutput(output.pooler_output, output.last_hidden_state)

    def dense_parts(self) -> list[nn.Module]:
        """The modules worth compiling."""
        return [self.model.encoder]


class LeanLayer(nn.Module):
    """One pre-norm layer [B, N, H] to [B, N, H]: one product for queries, keys and values, fused softmax."""

    def __init__(self, layer: ViltLayer) -> None:
        super().__init__()
        attention = layer.attention.attention
        self.heads: int = attention.num_attention_heads
        self.attention_norm: nn.LayerNorm = layer.layernorm_before
        self.projection = fused_linear(attention.query, attention.key, attention.value)
        self.output: nn.Linear = layer.attention.output.dense
        self.norm: nn.LayerNorm = layer.layernorm_after
        self.inner: nn.Linear = layer.intermediate.dense
        self.activation: nn.Module = layer.intermediate.intermediate_act_fn
        self.outer: nn.Linear = layer.output.dense

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        query, key, value = self.projection(self.attention_norm(hidden)).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(
            heads(query, self.heads), heads(key, self.heads), heads(value, self.heads)
        )
        hidden = hidden + self.output(mixed.transpose(1, 2).flatten(2))
        out: torch.Tensor = hidden + self.outer(self.activation(self.inner(self.norm(hidden))))
        return out


class LeanVilt(nn.Module):
    """The same function for images of one size, without shuffle, mask and interpolation in each call.

    Everything that does not depend on the image is made once: positions resized to the patch grid (bilinear,
    corners aligned, as in transformers), the image class token, modality types.
    """

    def __init__(self, model: ViltModel, size: tuple[int, int]) -> None:
        """``model``'s weights are shared, not copied, except those of the fused projections."""
        super().__init__()
        table = model.embeddings
        patch = model.config.patch_size
        rows, columns = size[0] // patch, size[1] // patch
        self.text = table.text_embeddings
        self.patches = table.patch_embeddings.projection
        self.layers = nn.Sequential(*(LeanLayer(layer) for layer in model.encoder.layer))
        self.norm = model.layernorm
        self.pooler = model.pooler
        with torch.no_grad():
            side = model.config.image_size // patch
            positions = table.position_embeddings
            grid = positions[:, 1:].transpose(1, 2).unflatten(2, (side, side))
            resized = functional.interpolate(grid, (rows, columns), mode="bilinear", align_corners=True)
            types = table.token_type_embeddings.weight
            class_token = table.cls_token + positions[:, :1] + types[1]
            self.class_token = nn.Buffer(class_token.clone())
            self.positions = nn.Buffer(resized.flatten(2).transpose(1, 2) + types[1])
            self.text_type = nn.Buffer(types[0].clone())

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor, mark: Mark = no_mark) -> ViltOutput:
        """Pixels [B, 3, H, W] of the one size and token ids [B, T]."""
        text = self.embed_text(tokens)
        mark("text_embedding")
        hidden = self.embed_patches(pixels, text)
        mark("patch_embedding")
        output = self.fuse(hidden)
        mark("fusion")
        return output

    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token ids [B, T] to vectors [B, T, H] of the text's type."""
        text: torch.Tensor = self.text(tokens) + self.text_type
        return text

    def embed_patches(self, pixels: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Pixels [B, 3, H, W] to the whole sequence [B, T + 1 + P, H], the embedded text in front."""
        patches = self.patches(pixels).flatten(2).transpose(1, 2) + self.positions
        return torch.cat([text, self.class_token.expand(pixels.shape[0], -1, -1), patches], dim=1)

    def fuse(self, hidden: torch.Tensor) -> ViltOutput:
        """The sequence [B, N, H] through the transformer."""
        hidden = self.norm(self.layers(hidden))
        return ViltOutput(self.pooler(hidden), hidden)

    def dense_parts(self) -> list[nn.Module]:
        """The modules worth compiling."""
        return [self.layers]

    def use_graphs(self, graphs: Graphs) -> None:
        """Replay each stage from a graph: all of a request."""
        self.embed_text = graphs.graphed(self.embed_text)  # type: ignore[method-assign]
        self.embed_patches = graphs.graphed(self.embed_patches)  # type: ignore[method-assign]
        self.fuse = graphs.graphed(self.fuse)  # type: ignore[method-assign]
