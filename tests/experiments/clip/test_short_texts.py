"""Texts cut where they end give open_clip's own vectors, in their order, from towers that may be cut and those that may not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip import factory

from experiments.clip import short_texts
from experiments.clip.short_texts import TextSide

VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
MODELS: dict[str, dict[str, Any]] = {
    "short-causal": {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT},
    "short-last": {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": {**TEXT, "pool_type": "last"}},
    "short-all": {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": {**TEXT, "no_causal_mask": True}},
}
TEXTS = [
    "a photo of a dog.",
    "cat",
    "",
    "a " * 100,
    *(f"a bad photo of the {'very ' * n}small thing." for n in range(30)),
]


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    name = request.param
    (tmp_path / f"{name}.json").write_text(json.dumps(MODELS[name]))
    open_clip.add_model_config(tmp_path / f"{name}.json")
    torch.manual_seed(1)
    made = open_clip.create_model(name).eval().requires_grad_(False)
    made.tokens = open_clip.get_tokenizer(name)(TEXTS)
    yield made
    factory._MODEL_CONFIG_PATHS.remove(tmp_path / f"{name}.json")
    del factory._MODEL_CONFIGS[name]


@pytest.mark.parametrize("at_once", [16_384, 200])
def test_vectors_are_those_of_open_clip(model: Any, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_texts, "TOKENS_AT_ONCE", at_once)
    found = TextSide(model).vectors(model.tokens)
    torch.testing.assert_close(found, model.encode_text(model.tokens), atol=1e-6, rtol=1e-5)


def test_only_towers_that_look_back_are_cut(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    side, widths = TextSide(model), []
    forward = model.transformer.forward
    monkeypatch.setattr(model.transformer, "forward", lambda x, **more: widths.append(x.shape[1]) or forward(x, **more))
    side.vectors(model.tokens[:2])
    can_be_cut = model.attn_mask is not None and model.text_pool_type == "argmax"
    assert widths == ([int(model.tokens[:2].argmax(1).max()) + 1] if can_be_cut else [77])
    assert model.positional_embedding.shape[0] == 77, "the model is left as it was"


def test_no_texts_have_no_vectors(model: Any) -> None:
    assert TextSide(model).vectors(model.tokens[:0]).shape == (0, 16)
