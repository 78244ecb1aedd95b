"""ViLT: the lean path is transformers' model, the count is the paper's, checkpoints load or say why not."""

from pathlib import Path

import pytest
import torch
from transformers import ViltConfig, ViltForMaskedLM, ViltModel

from baselines.errors import WeightsError
from experiments.vilt.inputs import load_inputs
from experiments.vilt.model import LeanVilt, NaiveVilt, build_vilt, vilt_parameters

SIZE = (384, 640)


@pytest.fixture(scope="module")
def vilt() -> ViltModel:
    torch.manual_seed(0)
    return build_vilt().requires_grad_(False)


def test_the_papers_parameters_exactly(vilt: ViltModel) -> None:
    parts = vilt_parameters(vilt)
    assert parts["patch_projection"] + parts["transformer_layers"] == 87_414_528
    assert sum(parts.values()) == sum(parameter.numel() for parameter in vilt.parameters()) == 111_595_008


def test_lean_equals_transformers_at_the_papers_size(vilt: ViltModel) -> None:
    inputs = load_inputs("linear", SIZE, batch=1, text_tokens=40)
    with torch.inference_mode():
        naive = NaiveVilt(vilt)(inputs.pixels, inputs.tokens)
        lean = LeanVilt(vilt, SIZE)(inputs.pixels, inputs.tokens)
    assert naive.tokens.shape == lean.tokens.shape == (1, 281, 768)
    torch.testing.assert_close(lean.pooled, naive.pooled, rtol=0, atol=1e-5)
    # Text and image class token stand at the same place; the patches are the same ones, shuffled by transformers.
    torch.testing.assert_close(lean.tokens[:, :41], naive.tokens[:, :41], rtol=0, atol=1e-5)
    mine, theirs = lean.tokens[0, 41:], naive.tokens[0, 41:]
    nearest = torch.cdist(theirs, mine).argmin(dim=1)
    assert sorted(nearest.tolist()) == list(range(240))
    torch.testing.assert_close(mine[nearest], theirs, rtol=0, atol=1e-5)


def test_naive_is_transformers_own_forward(vilt: ViltModel) -> None:
    inputs = load_inputs("linear", (64, 96), batch=2, text_tokens=6)
    mask = torch.ones(2, 64, 96, dtype=torch.long)
    marked: list[str] = []
    with torch.inference_mode():
        theirs = vilt(input_ids=inputs.tokens, pixel_values=inputs.pixels, pixel_mask=mask).pooler_output
        naive = NaiveVilt(vilt)(inputs.pixels, inputs.tokens, marked.append)
    torch.testing.assert_close(naive.pooled, theirs, rtol=0, atol=1e-5)
    assert marked == ["text_embedding", "patch_embedding", "fusion"]


def small_config() -> ViltConfig:
    return ViltConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=90, image_size=96
    )


def test_checkpoints_load_from_a_folder(tmp_path: Path) -> None:
    torch.manual_seed(1)
    saved = ViltForMaskedLM(small_config())
    saved.save_pretrained(tmp_path / "vilt")
    loaded = build_vilt(str(tmp_path / "vilt"))
    inputs = load_inputs("linear", (64, 96), batch=1, text_tokens=5, vocabulary=90)
    with torch.inference_mode():
        ours = LeanVilt(loaded, (64, 96))(inputs.pixels, inputs.tokens).pooled
        theirs = NaiveVilt(saved.vilt.eval())(inputs.pixels, inputs.tokens).pooled
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_checkpoints_that_lack_weights_or_do_not_exist_are_refused(tmp_path: Path) -> None:
    ViltModel(small_config(), add_pooling_layer=False).save_pretrained(tmp_path / "headless")
    with pytest.raises(WeightsError, match="lacks 2 weights of the model, for example pooler"):
        build_vilt(str(tmp_path / "headless"))
    with pytest.raises(WeightsError, match="cannot be loaded") as caught:
        build_vilt(str(tmp_path / "absent"))
    assert "\n" not in str(caught.value)
