"""The small models against torch's own modules with the same weights, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from experiments.rdrop.dropout import Masks
from experiments.rdrop.model_settings import PerceptronSettings, TransformerSettings, VisionTransformerSettings
from experiments.rdrop.models import Block, Perceptron, TextTransformer, VisionTransformer, build_small_model
from harness.execution.streams import Stream

PERCEPTRON = PerceptronSettings(kind="perceptron", widths=(7, 5))
TRANSFORMER = TransformerSettings(kind="transformer", width=12, layers=2, heads=3)
VISION = VisionTransformerSettings(kind="vision-transformer", width=12, layers=2, heads=3, patch=2)


def stream(seed: int = 0) -> Stream:
    return Stream("models", "init", seed)


def torchs_layer(block: Block) -> nn.TransformerEncoderLayer:
    """torch's pre-norm layer with the weights of a block."""
    width = block.norm1.normalized_shape[0]
    layer = nn.TransformerEncoderLayer(
        width, block.heads, 4 * width, dropout=0.0, activation="relu", batch_first=True, norm_first=True
    )
    pairs = [
        (layer.self_attn.in_proj_weight, block.in_projection.weight),
        (layer.self_attn.in_proj_bias, block.in_projection.bias),
        (layer.self_attn.out_proj.weight, block.out_projection.weight),
        (layer.self_attn.out_proj.bias, block.out_projection.bias),
    ]
    for theirs, ours in (
        (layer.linear1, block.wide),
        (layer.linear2, block.narrow),
        (layer.norm1, block.norm1),
        (layer.norm2, block.norm2),
    ):
        pairs += [(theirs.weight, ours.weight), (theirs.bias, ours.bias)]
    with torch.no_grad():
        for theirs, ours in pairs:
            theirs.copy_(ours)
    assert sum(p.numel() for p in layer.parameters()) == sum(p.numel() for p in block.parameters())
    return layer


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Move all weights, so that no bias is zero and no norm is the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module


@pytest.mark.parametrize(("width", "heads", "length"), [(8, 1, 1), (8, 2, 5), (12, 3, 4), (6, 6, 7)])
def test_a_block_is_torchs_encoder_layer(width: int, heads: int, length: int) -> None:
    with stream().as_torch_default():
        block = shaken(Block(Masks(), "b", width, heads, length))
    assert isinstance(block, Block)
    layer = torchs_layer(block)
    ours, theirs = (torch.randn(3, length, width, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    found, expected = block(ours.requires_grad_()), layer(theirs.requires_grad_())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 if width > 8 else 1e-6)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    for value in (found, expected):
        (value * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        block.in_projection.weight.grad, layer.self_attn.in_proj_weight.grad, rtol=1e-4, atol=1e-5
    )


def test_a_block_drops_attention_weights_and_what_both_sublayers_add() -> None:
    width, heads, length, batch = 6, 2, 4, 3
    masks = Masks()
    with stream().as_torch_default():
        block = shaken(Block(masks, "b", width, heads, length)).double()
    assert isinstance(block, Block)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(batch, length, width, generator=generator, dtype=torch.float64)
    shapes = {
        "b attention": (heads, length, length),
        "b after attention": (length, width),
        "b after feed-forward": (length, width),
    }
    laid = {
        site: 2.0 * (torch.rand(batch, *shape, generator=generator, dtype=torch.float64) < 0.5)
        for site, shape in shapes.items()
    }
    masks.current = laid

    def attended(h: Tensor, mask: Tensor) -> Tensor:
        """Of one example, head by head; the masks fall on softmaxed weights."""
        query, key, value = (
            h @ weight.T + bias
            for weight, bias in zip(block.in_projection.weight.chunk(3), block.in_projection.bias.chunk(3), strict=True)
        )
        size = width // heads
        heads_out = []
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            weights = torch.softmax(query[:, own] @ key[:, own].T / size**0.5, dim=-1) * mask[head]
            heads_out.append(weights @ value[:, own])
        return block.out_projection(torch.cat(heads_out, dim=-1))

    expected = []
    for place in range(batch):
        attention, first, second = (laid[site][place] for site in shapes)
        h = x[place] + first * attended(block.norm1(x[place]), attention)
        expected.append(h + second * block.narrow(torch.relu(block.wide(block.norm2(h)))))
    torch.testing.assert_close(block(x), torch.stack(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("patch", "side", "channels"), [(2, 4, 3), (4, 8, 1), (1, 3, 2), (3, 3, 3)])
def test_the_patch_embedding_is_a_convolution(patch: int, side: int, channels: int) -> None:
    settings = VISION.model_copy(update={"patch": patch})
    with stream().as_torch_default():
        model = VisionTransformer(settings, (channels, side, side), 4)
    found: list[Tensor] = []
    model.embedding.register_forward_hook(lambda module, inputs, output: found.append(output))
    images = torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(4))
    model(images)
    convolution = nn.Conv2d(channels, settings.width, patch, stride=patch)
    with torch.no_grad():
        convolution.weight.copy_(model.embedding.weight.view(settings.width, channels, patch, patch))
        convolution.bias.copy_(model.embedding.bias)  # type: ignore[union-attr]
    # Row by row, as convolutions are flattened.
    expected = convolution(images).flatten(2).transpose(1, 2)
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-5)
    assert model.position.shape == expected.shape[1:]


def encoded(model: TextTransformer | VisionTransformer, embedded: Tensor) -> Tensor:
    """What torch's modules make of embeddings: positions, layers, norm, the mean over positions, classes."""
    h = embedded + model.position
    for block in model.blocks:
        assert isinstance(block, Block)
        h = torchs_layer(block)(h)
    h = nn.functional.layer_norm(h, h.shape[-1:], model.norm.weight, model.norm.bias)
    return nn.functional.linear(h.mean(1), model.classifier.weight, model.classifier.bias)


def test_the_text_transformer_is_torchs_layers_on_embeddings() -> None:
    model = shaken(build_small_model(TRANSFORMER, (6,), 9, 4, stream()))
    assert isinstance(model, TextTransformer) and len(model.blocks) == 2
    words = torch.randint(9, (5, 6), generator=torch.Generator().manual_seed(5))
    embedded = nn.functional.embedding(words, model.embedding.weight)
    torch.testing.assert_close(model(words), encoded(model, embedded), rtol=0, atol=1e-5)
    # The order of words counts.
    assert (model(words) - model(words.flip(1))).abs().max() > 1e-3


def test_the_vision_transformer_is_torchs_layers_on_patches() -> None:
    model = shaken(build_small_model(VISION, (3, 4, 4), 0, 4, stream()))
    assert isinstance(model, VisionTransformer) and len(model.blocks) == 2
    images = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(6))
    # torch unfolds patches into columns: channels, then rows, then columns of a patch.
    patches = nn.functional.unfold(images, 2, stride=2).transpose(1, 2)
    embedded = nn.functional.linear(patches, model.embedding.weight, model.embedding.bias)
    torch.testing.assert_close(model(images), encoded(model, embedded), rtol=0, atol=1e-5)
    assert (model(images) - model(images.flip(3))).abs().max() > 1e-3


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 2, 2), (3, 2, 5)])
def test_the_perceptron_is_a_row_of_linear_layers(shape: tuple[int, ...]) -> None:
    model = build_small_model(PERCEPTRON, shape, 0, 3, stream())
    assert isinstance(model, Perceptron)
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    inputs = shape[0] * shape[1] * shape[2]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(inputs, 7), (7, 5), (5, 3)]
    images = torch.randn(4, *shape, generator=torch.Generator().manual_seed(7))
    h = images.reshape(4, -1)
    for layer in linear[:-1]:
        h = torch.relu(h @ layer.weight.T + layer.bias)
    torch.testing.assert_close(model(images), h @ linear[-1].weight.T + linear[-1].bias, rtol=0, atol=1e-6)


def test_inputs_a_model_does_not_take_are_refused() -> None:
    for settings in (PERCEPTRON, VISION):
        with pytest.raises(ValueError, match=f"'{settings.kind}' does not take texts"):
            build_small_model(settings, (6,), 9, 4, stream())
    with pytest.raises(ValueError, match="'transformer' does not take images"):
        build_small_model(TRANSFORMER, (3, 4, 4), 0, 4, stream())
    for shape in ((3, 5, 5), (3, 4, 6), (3, 6, 4), (3, 1, 1)):
        with pytest.raises(ValueError, match=f"{shape[1]} x {shape[2]} cannot be cut into patches of 2"):
            build_small_model(VISION, shape, 0, 4, stream())


@pytest.mark.parametrize(
    ("settings", "shape", "vocabulary"),
    [(PERCEPTRON, (1, 4, 4), 0), (TRANSFORMER, (6,), 9), (VISION, (3, 4, 4), 0)],
    ids=["perceptron", "transformer", "vision-transformer"],
)
def test_one_stream_gives_one_set_of_weights(settings: object, shape: tuple[int, ...], vocabulary: int) -> None:
    def weights(seed: int) -> dict[str, Tensor]:
        return build_small_model(settings, shape, vocabulary, 4, stream(seed)).state_dict()  # type: ignore[arg-type]

    torch.manual_seed(11)
    before = torch.get_rng_state()
    one = weights(0)
    # Nothing else is moved, and nothing else moves it.
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    two, other = weights(0), weights(1)
    assert all(torch.equal(one[name], two[name]) for name in one)
    drawn = [name for name in one if one[name].unique().numel() > 1]
    assert len(drawn) > len(one) / 2 and all(not torch.equal(one[name], other[name]) for name in drawn)
