"""The small dual encoder: what its towers read, the space that they share, its temperature and its first weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from experiments.clip.loss import contrastive_loss
from experiments.clip.model import Block, SmallClip, build_small_clip, image_tower
from experiments.clip.model_settings import (
    ConvolutionalSettings,
    PatchesSettings,
    SmallSettings,
    TextSettings,
)
from experiments.clip.vocabulary import CONTEXT, END, PADDING, SPECIAL, START
from harness.execution.streams import Stream

VOCABULARY = 40
CONVOLUTIONS = ConvolutionalSettings(widths=(4, 6), strides=(1, 2), grid=2)
PATCHES = PatchesSettings(patch=4, width=8, layers=2, heads=2)
TEXT = TextSettings(width=8, layers=2, heads=2)
TOWERS = [CONVOLUTIONS, PATCHES]


def model(image: Any = CONVOLUTIONS, seed: int = 0, **given: Any) -> SmallClip:
    settings = SmallSettings(**{"image": image, "text": TEXT, "dimension": 5, **given})
    return build_small_clip(settings, VOCABULARY, 3, 12, Stream("model", seed)).eval()


def images(count: int = 7, side: int = 12, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0))


def texts(lengths: tuple[int, ...], seed: int = 0) -> Tensor:
    """Return random tokens with so many words a row, with start, end and padding."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.full((len(lengths), max(lengths) + 2), PADDING)
    for row, length in zip(rows, lengths, strict=True):
        row[0], row[length + 1] = START, END
        row[1 : length + 1] = torch.randint(SPECIAL, VOCABULARY, (length,), generator=generator)
    return rows


# Text


def test_padding_and_company_do_not_matter_to_a_text() -> None:
    lengths = (3, 1, CONTEXT - 2, 8, 0, 12)
    together, encoder = texts(lengths), model().text
    found = encoder(together)
    for row, length in enumerate(lengths):
        alone = encoder(together[row : row + 1, : length + 2])
        torch.testing.assert_close(found[row : row + 1], alone, rtol=0, atol=1e-6)
    # Whatever stands behind the end.
    noise = torch.where(together == PADDING, torch.randint(SPECIAL, VOCABULARY, together.shape), together)
    torch.testing.assert_close(encoder(noise), found, rtol=0, atol=1e-6)


def test_blocks_of_the_text_tower_look_back_only() -> None:
    x = torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(0))
    tower = model().text
    for place in (1, 5, 8):
        changed = x.clone()
        changed[:, place] = torch.linspace(-1, 2, 8) ** 2
        before, after = tower.blocks(x), tower.blocks(changed)
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=1e-6)
        assert not torch.allclose(after[:, place:], before[:, place:], atol=1e-3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        looks_everywhere = Block(8, 2, False)
    changed = x.clone()
    changed[:, 8] = torch.linspace(-1, 2, 8) ** 2
    assert not torch.allclose(looks_everywhere(changed)[:, 0], looks_everywhere(x)[:, 0], atol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_a_block_is_a_pre_norm_transformer_layer_of_torch(causal: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        own = Block(8, 2, causal)
        x = torch.randn(3, 6, 8)
    theirs = nn.TransformerEncoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True)
    theirs.self_attn.in_proj_weight = own.in_projection.weight
    theirs.self_attn.in_proj_bias = own.in_projection.bias
    theirs.self_attn.out_proj = own.out_projection
    theirs.linear1, theirs.linear2 = own.feed_forward[0], own.feed_forward[2]
    theirs.norm1, theirs.norm2 = own.norm1, own.norm2
    mask = nn.Transformer.generate_square_subsequent_mask(6) if causal else None
    torch.testing.assert_close(own(x), theirs(x, src_mask=mask, is_causal=causal), rtol=0, atol=1e-5)


def test_every_word_and_its_place_matter() -> None:
    encoder, tokens = model().text, texts((6,))
    before = encoder(tokens)
    for place in range(1, 7):
        changed = tokens.clone()
        changed[0, place] = SPECIAL + (int(tokens[0, place]) - SPECIAL + 1) % (VOCABULARY - SPECIAL)
        assert not torch.allclose(encoder(changed), before, atol=1e-6)
    swapped = tokens[:, [0, 2, 1, 3, 4, 5, 6, 7]]
    assert not torch.equal(swapped, tokens) and not torch.allclose(encoder(swapped), before, atol=1e-7)


def test_the_longest_text_can_be_read() -> None:
    assert model().text(texts((CONTEXT - 2,))).shape == (1, 5)


# Images


@pytest.mark.parametrize("settings", TOWERS)
@pytest.mark.parametrize(("channels", "side"), [(3, 12), (1, 16), (3, 32)])
def test_image_towers_have_their_shapes_and_the_projection_reads_features(
    settings: Any, channels: int, side: int
) -> None:
    tower = image_tower(settings, channels, side, 5).eval()
    own = images(4, side, channels)
    width = 6 * 2 * 2 if settings is CONVOLUTIONS else 8
    features = tower.features(own)
    assert features.shape == (4, width) and tower.projection.weight.shape == (5, width)
    found = tower(own)
    assert found.shape == (4, 5)
    torch.testing.assert_close(tower.projection(features), found, rtol=0, atol=1e-6)
    seen: list[Tensor] = []
    tower.projection.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    tower(own)
    assert torch.equal(seen[0], features)


def test_a_grid_of_one_averages_over_all_positions() -> None:
    tower = image_tower(ConvolutionalSettings(widths=(4,), strides=(1,), grid=1), 3, 12, 5).eval()
    own = images()
    expected = tower.layers[:3](own).mean((2, 3))
    torch.testing.assert_close(tower.features(own), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("settings", TOWERS)
def test_an_image_is_the_same_alone_and_in_a_batch(settings: Any) -> None:
    tower, own = model(settings).image, images()
    torch.testing.assert_close(tower(own[2:3]), tower(own)[2:3], rtol=0, atol=1e-5)


def test_every_patch_and_its_place_matter() -> None:
    tower, own = model(PATCHES).image, images(1)
    before = tower(own)
    for row in range(3):
        for column in range(3):
            changed = own.clone()
            changed[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 0
            assert not torch.allclose(tower(changed), before, atol=1e-6)
    assert not torch.allclose(tower(own.roll(4, 3)), before, atol=1e-6)


def test_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="images of 12 x 12 cannot be cut into patches of 5"):
        image_tower(PatchesSettings(patch=5), 3, 12, 5)
    with pytest.raises(ValueError, match="patches of 16"):
        build_small_clip(SmallSettings(image=PatchesSettings(patch=16)), VOCABULARY, 3, 12, Stream("model"))


@pytest.mark.parametrize("settings", [PatchesSettings, TextSettings])
def test_heads_that_do_not_divide_the_width_are_refused(settings: Any) -> None:
    with pytest.raises(ValidationError, match="'width' 48 cannot be shared among 5 'heads'; choose a multiple"):
        settings(width=48, heads=5)
    assert settings(width=48, heads=6).heads == 6


@pytest.mark.parametrize("given", [{"widths": (4, 8), "strides": (1,)}, {"widths": (), "strides": ()}])
def test_layers_without_widths_or_strides_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="must name the same number of layers, one at least"):
        ConvolutionalSettings(**given)


# Both


@pytest.mark.parametrize("settings", TOWERS)
def test_both_sides_are_unit_vectors_of_one_space(settings: Any) -> None:
    left, right = model(settings)(images(6), texts((1, 2, 3, 4, 5, 6)))
    assert left.shape == right.shape == (6, 5)
    for side in (left, right):
        torch.testing.assert_close(side.norm(dim=1), torch.ones(6), rtol=0, atol=1e-6)


@pytest.mark.parametrize("settings", TOWERS)
def test_every_weight_has_a_gradient(settings: Any) -> None:
    own = model(settings).train()
    contrastive_loss(*own(images(6), texts((1, 2, 3, 4, 5, 6))), own.scale).backward()
    for name, parameter in own.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_the_scale_begins_at_one_over_the_temperature() -> None:
    assert model().scale.item() == pytest.approx(1 / 0.07, rel=1e-6)
    assert model(temperature=0.5).scale.item() == pytest.approx(2, rel=1e-6)


def test_the_scale_is_clipped_at_100() -> None:
    own = model()
    own.clip_scale()
    assert own.scale.item() == pytest.approx(1 / 0.07, rel=1e-6)
    optimiser = torch.optim.SGD([own.logit_scale], lr=1.0)
    for _ in range(3):
        own.logit_scale.grad = torch.tensor(-1e30)
        optimiser.step()
        own.clip_scale()
        assert own.scale.item() == pytest.approx(100, rel=1e-6) and own.scale.item() <= 100 * (1 + 1e-6)
    assert isinstance(own.logit_scale, nn.Parameter) and own.logit_scale.requires_grad
    # It can come down again from there.
    own.logit_scale.grad = torch.tensor(1.0)
    optimiser.step()
    own.clip_scale()
    assert own.scale.item() == pytest.approx(100 / math.e, rel=1e-5)


@pytest.mark.parametrize("settings", TOWERS)
def test_a_stream_gives_the_same_weights_again_and_another_one_others(settings: Any) -> None:
    first = model(settings).state_dict()
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    again, other = model(settings).state_dict(), model(settings, seed=1).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.keys() == again.keys() and all(torch.equal(first[name], again[name]) for name in first)
    drawn = [name for name in first if first[name].ndim >= 2]
    assert drawn and all(not torch.equal(first[name], other[name]) for name in drawn)
