"""CLIP: its loss and its zero-shot classifier beside open_clip's, 200 sets of prompts beside plain arithmetic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import open_clip
import pytest
import torch
from beside import Beside
from losses import same_step, step_of
from open_clip import ClipLoss
from torch import Tensor
from torch.nn import functional

from experiments.clip.classifier import embedding_ensemble, encode_prompts
from experiments.clip.loss import contrastive_loss
from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.scoring import Encoded, Scorer
from experiments.clip.short_texts import TextSide
from experiments.clip.templates import Subject, openai_templates
from experiments.data import Dataset
from harness.execution.streams import Stream

DIMENSION, CLASSES, ITEMS, SCALE = 64, 100, 2000, 100.0
SIZES = {"batch": (256, 2048)}
SHORT_CLASSES = 10
"""Of the zero-shot classifier: with a hundred open_clip takes ten seconds for each."""


def unit(*shape: int) -> Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))), dim=-1)


def test_bench_contrastive_loss(beside: Beside, batch: int) -> None:
    images = unit(batch, DIMENSION).requires_grad_()
    texts = unit(batch, DIMENSION).flip(0).requires_grad_()
    scale = torch.tensor(14.3, requires_grad=True)
    beside(
        f"contrastive loss with gradients, batch {batch:,}",
        step_of(contrastive_loss, images, texts, scale),
        step_of(ClipLoss(), images, texts, scale),
        rival="open_clip",
        group="Losses",
        agree=same_step,
    )


class Known:
    """Vectors that are there already: what is left is the classification."""

    scale = SCALE

    def __init__(self, prompts: Tensor) -> None:
        self._known = dict(zip(openai_templates(80), prompts, strict=True))

    def images(self, dataset: Dataset, part: str) -> Tensor:
        raise NotImplementedError

    def prompts(self, templates: Sequence[str], rows: Sequence[Sequence[str]]) -> Tensor:
        return torch.stack([self._known[template] for template in templates])[:, None]


def test_bench_200_sets_of_prompts(beside: Beside) -> None:
    images, prompts, labels = unit(ITEMS, DIMENSION), unit(80, CLASSES, DIMENSION), torch.arange(ITEMS) % CLASSES
    draws = numpy.random.default_rng(0)
    chosen = [draws.permutation(80)[: draws.integers(1, 81)] for _ in range(200)]
    sets = [PromptSettings(templates=tuple(openai_templates(80)[index] for index in one)) for one in chosen]
    subject = Subject("some set", tuple((f"class {place}",) for place in range(CLASSES)))
    items = Encoded(images, labels)

    def ours() -> list[float]:
        scorer = Scorer(Known(prompts), subject, items, items)
        scorer.prepare({str(number): settings for number, settings in enumerate(sets)})
        return [scorer.score(settings, Stream("bench")).accuracy for settings in sets]

    def plain() -> list[float]:
        found = []
        for one in chosen:
            classifier = functional.normalize(prompts[torch.from_numpy(one)].mean(0), dim=1)
            logits = SCALE * images @ classifier.T
            functional.cross_entropy(logits, labels, reduction="none")
            found.append(100 * float((logits.argmax(1) == labels).double().mean()))
        return found

    def same(mine: Any, other: Any) -> None:
        # Of 2,000 items two may lie so near to a border that rounding decides.
        assert mine == pytest.approx(other, abs=0.11)

    beside("200 sets of prompts", ours, plain, rival="plain arithmetic", group="CLIP's prompts", agree=same)


@pytest.fixture
def small_text_tower(tmp_path: Path) -> Iterator[Any]:
    """A model of open_clip with two small layers for texts, random weights."""
    configuration = {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    }
    (tmp_path / "bench-text.json").write_text(json.dumps(configuration))
    open_clip.add_model_config(tmp_path / "bench-text.json")
    yield open_clip.create_model("bench-text").eval().requires_grad_(False)
    open_clip.factory._MODEL_CONFIG_PATHS.remove(tmp_path / "bench-text.json")
    del open_clip.factory._MODEL_CONFIGS["bench-text"]


class OnlyTexts:
    """The text half of our encoder."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._side, self._tokenizer = TextSide(model), tokenizer

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        return functional.normalize(self._side.vectors(self._tokenizer(list(texts))), dim=-1)


def test_bench_zero_shot_classifier(beside: Beside, small_text_tower: Any) -> None:
    tokenizer, names = open_clip.get_tokenizer("bench-text"), open_clip.IMAGENET_CLASSNAMES[:SHORT_CLASSES]
    encoder: Any = OnlyTexts(small_text_tower, tokenizer)

    def ours() -> Tensor:
        return embedding_ensemble(encode_prompts(encoder, openai_templates(80), [names]))

    def theirs() -> Tensor:
        templates = open_clip.OPENAI_IMAGENET_TEMPLATES
        return open_clip.build_zero_shot_classifier(small_text_tower, tokenizer, names, templates).T

    def same(mine: Any, other: Any) -> None:
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=0)

    beside(
        f"zero-shot classifier, 80 templates x {SHORT_CLASSES} classes",
        ours,
        theirs,
        rival="open_clip",
        group="CLIP's prompts",
        agree=same,
    )
