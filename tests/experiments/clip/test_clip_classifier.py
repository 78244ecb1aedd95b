"""Zero-shot classifiers against open_clip's, and what they score against scikit-learn's metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy
import open_clip
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score
from torch import Tensor
from torch.nn import functional

from experiments.clip import classifier
from experiments.clip.classifier import (
    Outcomes,
    averaged,
    by_each,
    by_embedding,
    by_probability,
    embedding_ensemble,
    encode_prompts,
)
from experiments.clip.model import build_small_clip
from experiments.clip.model_settings import SmallSettings, TextSettings
from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.scoring import Encoded, Scorer
from experiments.clip.setup import SmallEncoder
from experiments.clip.stored import FreshVectors
from experiments.clip.templates import Subject, openai_templates
from experiments.clip.vocabulary import Vocabulary
from experiments.data import Part
from harness.errors import UserError
from harness.execution.streams import Stream

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
CLASSES = ("goldfish", "great white shark", "tabby cat", "red-breasted merganser", "CD player", "3D printer", "tench")
TEMPLATES = ("a photo of a {}.", "{}", "itap of my {}.", "a bad photo of the {}.", "the {} in a video game.")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A model of open_clip with random weights, made by a configuration file of its own."""
    path = tmp_path_factory.mktemp("configurations") / "harness-tiny.json"
    path.write_text(json.dumps(TINY))
    paths, known = list(open_clip.factory._MODEL_CONFIG_PATHS), dict(open_clip.factory._MODEL_CONFIGS)
    open_clip.add_model_config(path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield open_clip.create_model("harness-tiny", load_weights=False).eval()
    open_clip.factory._MODEL_CONFIG_PATHS, open_clip.factory._MODEL_CONFIGS = paths, known


class Wrapped:
    """A model of open_clip as a dual encoder; counts the texts that it is given."""

    def __init__(self, model: Any, tokenizer: Callable[[list[str]], Tensor]) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.texts: list[str] = []
        self.key, self.scale = "wrapped", 100.0

    def encode_images(self, part: Part) -> Tensor:
        raise NotImplementedError

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        self.texts += texts
        found: Tensor = self.model.encode_text(self.tokenizer(list(texts)), normalize=True)
        return found


class Fixed:
    """An encoder that gives every text a random unit vector of its own."""

    def __init__(self, dimension: int = 12) -> None:
        self.dimension = dimension
        self.texts: list[str] = []
        self.key, self.scale = "fixed", 20.0

    def encode_images(self, part: Part) -> Tensor:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        self.texts += texts
        rows = [torch.randn(self.dimension, generator=Stream("fixed", text).torch()) for text in texts]
        return functional.normalize(torch.stack(rows), dim=1)


def problem(
    items: int = 200, classes: int = 7, templates: int = 5, dimension: int = 12, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors of images, their classes, unit vectors of prompts [templates, classes, dimension]."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, dimension, generator=generator)
    labels = torch.randint(classes, (items,), generator=generator)
    images = centres[labels] + 1.5 * torch.randn(items, dimension, generator=generator)
    prompts = centres + torch.randn(templates, classes, dimension, generator=generator)
    return functional.normalize(images, dim=1), labels, functional.normalize(prompts, dim=2)


def probabilities(images: Tensor, vectors: Tensor, scale: float) -> numpy.ndarray:
    """Return softmax probabilities in float64."""
    logits = scale * images.double().numpy() @ vectors.double().numpy().T
    exponentials = numpy.exp(logits - logits.max(1, keepdims=True))
    return numpy.asarray(exponentials / exponentials.sum(1, keepdims=True))


def drawn_weights(count: int, seed: int) -> Tensor:
    return torch.softmax(torch.randn(count, generator=torch.Generator().manual_seed(seed)), 0)


def assert_scores(found: Outcomes, labels: Tensor, scores: numpy.ndarray) -> None:
    """Compare with scikit-learn's metrics of float64 probabilities."""
    known, every = labels.numpy(), numpy.arange(scores.shape[1])
    right = scores.argmax(1) == known
    # Such as two templates that are sure of two classes: which of them has the larger half, float32 cannot tell.
    best = numpy.sort(scores, 1)
    tied = best[:, -1] - best[:, -2] < 1e-6
    assert found.correct.numpy()[~tied].tolist() == right[~tied].astype(float).tolist()
    if not tied.any():
        assert found.accuracy == pytest.approx(100 * accuracy_score(known, scores.argmax(1)), abs=1e-9)
        if len(every) > 2:  # with two classes scikit-learn asks for one score an item
            top = top_k_accuracy_score(known, scores, k=1, labels=every)
            assert found.accuracy == pytest.approx(100 * top, abs=1e-9)
    own = numpy.take_along_axis(scores, known[:, None], 1)[:, 0]
    numpy.testing.assert_allclose(found.nll.numpy(), -numpy.log(own), rtol=1e-4, atol=2e-5)
    if own.min() > 1e-15:  # scikit-learn cuts smaller ones off
        assert float(found.nll.double().mean()) == pytest.approx(log_loss(known, scores, labels=every), abs=2e-5)
    assert found.correct.dtype == found.nll.dtype == torch.float32


# Classifiers


@pytest.mark.parametrize("templates", [TEMPLATES[:1], TEMPLATES, openai_templates(7)])
def test_the_ensemble_is_open_clips(tiny: Any, templates: tuple[str, ...]) -> None:
    tokenizer = open_clip.get_tokenizer("harness-tiny")
    theirs = open_clip.build_zero_shot_classifier(tiny, tokenizer, CLASSES, templates, num_classes_per_batch=3)
    prompts = encode_prompts(Wrapped(tiny, tokenizer), templates, [CLASSES])
    assert prompts.shape == (len(templates), len(CLASSES), 24) and prompts.dtype == torch.float32
    torch.testing.assert_close(embedding_ensemble(prompts), theirs.T, rtol=0, atol=1e-6)


def test_the_ensemble_of_a_small_encoder_is_open_clips() -> None:
    vocabulary = Vocabulary(sorted({word.lower() for name in CLASSES for word in name.split()} | {"a", "photo", "of"}))
    model = build_small_clip(SmallSettings(dimension=8), len(vocabulary), 3, 16, Stream("classifier")).eval()
    encoder = SmallEncoder(model, vocabulary, torch.device("cpu"))

    class Shaped:
        @staticmethod
        def encode_text(tokens: Tensor, normalize: bool) -> Tensor:
            assert normalize
            return functional.normalize(model.text(tokens), dim=1)

    theirs = open_clip.build_zero_shot_classifier(Shaped(), vocabulary.tokens, CLASSES, TEMPLATES)
    ours = embedding_ensemble(encode_prompts(encoder, TEMPLATES, [CLASSES]))
    torch.testing.assert_close(ours, theirs.T, rtol=0, atol=1e-6)


def test_synonyms_are_one_more_row_of_prompts_for_each_template() -> None:
    rows = (("cat", "dog"), ("kitten", "puppy"))
    prompts = encode_prompts(Fixed(), TEMPLATES, rows)
    assert prompts.shape == (2 * len(TEMPLATES), 2, 12)
    for place, row in enumerate(rows):
        for number, template in enumerate(TEMPLATES):
            expected = Fixed().encode_texts([template.format(name) for name in row])
            assert torch.equal(prompts[place * len(TEMPLATES) + number], expected)


def test_each_different_text_is_encoded_once() -> None:
    encoder = Fixed()
    rows = (("cat", "dog", "owl"), ("cat", "puppy", "owl"))
    encode_prompts(encoder, ("a {}.", "the {}.", "a {}."), rows)
    assert len(encoder.texts) == 2 * 4 and len(set(encoder.texts)) == 8


def test_names_with_braces_or_backslashes_are_taken_as_they_are() -> None:
    encoder = Fixed()
    encode_prompts(encoder, ("a {}.",), [(r"\1 & %s", "{0}")])
    assert encoder.texts == [r"a \1 & %s.", "a {0}."]


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 8), st.integers(0, 10**6))
def test_the_ensemble_is_the_unit_mean_of_unit_vectors(templates: int, classes: int, dimension: int, seed: int) -> None:
    _, _, prompts = problem(1, classes, templates, dimension, seed)
    weights = drawn_weights(templates, seed)
    for given_weights, shares in ((None, torch.full((templates,), 1 / templates)), (weights, weights)):
        mean = sum(float(share) * one.double() for share, one in zip(shares, prompts, strict=True))
        length = torch.linalg.vector_norm(mean, dim=1, keepdim=True)
        assume(float(length.min()) > 0.05)
        found = embedding_ensemble(prompts, given_weights)
        torch.testing.assert_close(found.double(), mean / length, rtol=0, atol=1e-5)


def test_one_hot_weights_are_the_single_template() -> None:
    images, labels, prompts = problem()
    for place in range(len(prompts)):
        weights = torch.zeros(len(prompts))
        weights[place] = 1
        torch.testing.assert_close(embedding_ensemble(prompts, weights), prompts[place], rtol=0, atol=1e-6)
        for classify in (by_embedding, by_probability):
            weighed = classify(images, labels, prompts, 30.0, weights)
            single = classify(images, labels, prompts[place : place + 1], 30.0)
            assert torch.equal(weighed.correct, single.correct)
            torch.testing.assert_close(weighed.nll, single.nll, rtol=0, atol=1e-4)


def test_of_one_template_all_ways_are_one() -> None:
    images, labels, prompts = problem(templates=1)
    found = [classify(images, labels, prompts, 30.0) for classify in (by_embedding, by_probability, by_each)]
    for other in found[1:]:
        assert torch.equal(other.correct, found[0].correct)
        torch.testing.assert_close(other.nll, found[0].nll, rtol=0, atol=1e-5)


# Scores


sizes = {
    "items": st.integers(1, 60),
    "classes": st.integers(2, 9),
    "templates": st.integers(1, 5),
    "seed": st.integers(0, 10**6),
    "scale": st.sampled_from([1.0, 14.3, 40.0]),
    "weighed": st.booleans(),
}


@settings(max_examples=60)
@given(**sizes)
def test_embedding_scores_are_scikit_learns(
    items: int, classes: int, templates: int, seed: int, scale: float, weighed: bool
) -> None:
    images, labels, prompts = problem(items, classes, templates, seed=seed)
    weights = drawn_weights(templates, seed) if weighed else None
    found = by_embedding(images, labels, prompts, scale, weights)
    assert_scores(found, labels, probabilities(images, embedding_ensemble(prompts, weights), scale))


@settings(max_examples=60)
@given(**sizes)
def test_probability_scores_are_scikit_learns_of_the_mean_in_float64(
    items: int, classes: int, templates: int, seed: int, scale: float, weighed: bool
) -> None:
    images, labels, prompts = problem(items, classes, templates, seed=seed)
    weights = drawn_weights(templates, seed) if weighed else None
    shares = torch.full((templates,), 1 / templates) if weights is None else weights
    mean = sum(float(share) * probabilities(images, one, scale) for share, one in zip(shares, prompts, strict=True))
    found = by_probability(images, labels, prompts, scale, weights)
    assert_scores(found, labels, numpy.asarray(mean) / numpy.sum(mean, axis=1, keepdims=True))


def test_each_template_alone_averaged_is_the_mean_of_single_runs() -> None:
    images, labels, prompts = problem()
    found = by_each(images, labels, prompts, 30.0)
    singles = [by_embedding(images, labels, one[None], 30.0) for one in prompts]
    assert found.accuracy == pytest.approx(numpy.mean([one.accuracy for one in singles]), abs=1e-5)
    assert float(found.nll.mean()) == pytest.approx(numpy.mean([float(one.nll.mean()) for one in singles]), abs=1e-5)
    shares = numpy.mean([one.correct.numpy() for one in singles], axis=0)
    numpy.testing.assert_allclose(found.correct.numpy(), shares, atol=1e-6)
    assert ((shares > 0) & (shares < 1)).any()
    assert torch.equal(averaged(singles).nll, found.nll)


@pytest.mark.parametrize("size", [1, 7, 50, 10**6])
@pytest.mark.parametrize("classify", [by_embedding, by_probability, by_each])
def test_how_much_is_held_at_once_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, classify: Callable[..., Outcomes], size: int
) -> None:
    images, labels, prompts = problem()
    whole = classify(images, labels, prompts, 30.0)
    monkeypatch.setattr(classifier, "CHUNK", size)
    found = classify(images, labels, prompts, 30.0)
    assert torch.equal(found.correct, whole.correct)
    torch.testing.assert_close(found.nll, whole.nll, rtol=0, atol=1e-5)


def test_no_more_logits_than_the_chunk_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels, prompts = problem(items=50, classes=7)
    seen: list[int] = []
    original = classifier._outcomes

    def spy(scores: Tensor, known: Tensor) -> Outcomes:
        seen.append(scores.numel())
        return original(scores, known)

    monkeypatch.setattr(classifier, "CHUNK", 7 * 8)
    monkeypatch.setattr(classifier, "_outcomes", spy)
    by_embedding(images, labels, prompts, 30.0)
    assert seen == [56] * 6 + [14]


def test_the_score_of_a_class_that_is_all_but_impossible_is_a_number() -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    prompts = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    labels = torch.tensor([1, 1])
    for classify in (by_embedding, by_probability, by_each):
        found = classify(images, labels, prompts, 100.0)
        assert found.nll.isfinite().all() and found.nll[0] > 80
        # Of two equal scores the first is taken, as scikit-learn's argmax does.
        assert found.correct.tolist() == [0.0, 0.0]
    assert by_embedding(images, labels, prompts, 100.0).nll[0].item() == pytest.approx(200.0)


def test_the_scale_moves_the_likelihood_of_an_embedding_and_no_class() -> None:
    images, labels, prompts = problem()
    low, high = (by_embedding(images, labels, prompts, scale) for scale in (1.0, 100.0))
    assert torch.equal(low.correct, high.correct) and not torch.allclose(low.nll, high.nll)


# Sets of prompts


def scorer(encoder: Fixed | None = None, classes: int = 7) -> Scorer:
    images, labels, _ = problem(classes=classes)
    held, known, _ = problem(60, classes, seed=0)
    names = tuple((f"class {place}", f"other {place}") for place in range(classes))
    subject = Subject("some set", names)
    return Scorer(FreshVectors(encoder or Fixed()), subject, Encoded(images, labels), Encoded(held, known))


def test_a_set_is_scored_by_the_function_that_it_names() -> None:
    images, labels, _ = problem()
    prompts = encode_prompts(Fixed(), TEMPLATES, [[f"class {place}" for place in range(7)]])
    for combine, classify in (("embedding", by_embedding), ("probability", by_probability), ("each", by_each)):
        found = scorer().score(PromptSettings(templates=TEMPLATES, combine=combine), Stream("score"))
        expected = classify(images, labels, prompts, 20.0)
        assert torch.equal(found.correct, expected.correct) and torch.equal(found.nll, expected.nll)


def test_synonyms_make_more_prompts_of_the_same_templates() -> None:
    images, labels, _ = problem()
    rows = [[f"{word} {place}" for place in range(7)] for word in ("class", "other")]
    expected = by_embedding(images, labels, encode_prompts(Fixed(), TEMPLATES, rows), 20.0)
    found = scorer().score(PromptSettings(templates=TEMPLATES, names="synonyms"), Stream("score"))
    assert torch.equal(found.correct, expected.correct)
    torch.testing.assert_close(found.nll, expected.nll, rtol=0, atol=1e-5)


def test_subsets_of_a_stream_are_the_same_again_and_of_another_others() -> None:
    asked = PromptSettings(templates=openai_templates(80), count=3, subsets=5)
    first, again, other = (scorer().score(asked, Stream("subsets", seed)) for seed in (0, 0, 1))
    assert torch.equal(first.nll, again.nll) and torch.equal(first.correct, again.correct)
    assert not torch.equal(first.nll, other.nll)


def test_subsets_are_scored_each_by_itself_without_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def spy(images: Tensor, labels: Tensor, prompts: Tensor, scale: float, weights: Tensor | None = None) -> Outcomes:
        seen.append(prompts)
        return by_embedding(images, labels, prompts, scale, weights)

    images, labels, _ = problem()
    monkeypatch.setattr("experiments.clip.scoring.by_embedding", spy)
    found = scorer().score(PromptSettings(templates=openai_templates(80), count=4, subsets=50), Stream("subsets"))
    assert len(seen) == 50
    for prompts in seen:
        assert len(prompts) == len({tuple(one[0].tolist()) for one in prompts}) == 4
    # Every template comes up in the long run: 200 draws of 80, of which one is left out by chance in 1 of 13 cases each.
    assert len({tuple(one[0].tolist()) for prompts in seen for one in prompts}) > 60
    expected = averaged([by_embedding(images, labels, prompts, 20.0) for prompts in seen])
    assert torch.equal(found.correct, expected.correct) and torch.equal(found.nll, expected.nll)


def test_a_subset_of_all_templates_is_the_whole_set() -> None:
    whole = scorer().score(PromptSettings(templates=TEMPLATES), Stream("subsets"))
    found = scorer().score(PromptSettings(templates=TEMPLATES, count=len(TEMPLATES), subsets=2), Stream("subsets"))
    assert torch.equal(found.correct, whole.correct)
    torch.testing.assert_close(found.nll, whole.nll, rtol=0, atol=1e-5)


def test_a_subset_of_all_templates_is_the_whole_set_with_synonyms_too() -> None:
    asked = {"templates": TEMPLATES, "names": "synonyms"}
    whole = scorer().score(PromptSettings(**asked), Stream("subsets"))
    found = scorer().score(PromptSettings(**asked, count=len(TEMPLATES)), Stream("subsets"))
    torch.testing.assert_close(found.nll, whole.nll, rtol=0, atol=1e-5)


def test_more_templates_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(UserError, match="'count' asks for 6 of 5 templates; ask for fewer"):
        scorer().score(PromptSettings(templates=TEMPLATES, count=6), Stream("subsets"))


def test_singles_are_the_accuracies_of_the_templates_alone() -> None:
    images, labels, _ = problem()
    prompts = encode_prompts(Fixed(), TEMPLATES, [[f"class {place}" for place in range(7)]])
    expected = [by_embedding(images, labels, one[None], 20.0).accuracy for one in prompts]
    assert scorer().singles(TEMPLATES) == expected and len(set(expected)) > 1


def test_sets_of_prompts_share_what_is_encoded() -> None:
    encoder = Fixed()
    own = scorer(encoder)
    sets = {
        "all": PromptSettings(templates=TEMPLATES),
        "two": PromptSettings(templates=TEMPLATES[:2], combine="each"),
        "weighed": PromptSettings(templates=TEMPLATES, weights="validation"),
        "unlabelled": PromptSettings(templates=TEMPLATES, weights="unsupervised", combine="probability"),
        "more": PromptSettings(templates=(*TEMPLATES[2:], "one {} more"), count=2, subsets=3),
    }
    own.prepare(sets)
    assert len(encoder.texts) == len(set(encoder.texts)) == 6 * 7
    for name, asked in sets.items():
        own.score(asked, Stream("subsets", name))
    own.singles(TEMPLATES)
    assert len(encoder.texts) == 6 * 7


def test_a_small_encoder_gives_unit_vectors_of_any_number_of_texts() -> None:
    vocabulary = Vocabulary(("cat", "dog"))
    asked = SmallSettings(dimension=8, text=TextSettings(width=8, heads=2))
    model = build_small_clip(asked, len(vocabulary), 3, 16, Stream("classifier")).eval()
    encoder = SmallEncoder(model, vocabulary, torch.device("cpu"))
    texts = [f"{word} {number}" for number in range(300) for word in ("cat", "dog", "cat dog")]
    found = encoder.encode_texts(texts)
    assert found.shape == (900, 8) and not found.requires_grad
    torch.testing.assert_close(found.norm(dim=1), torch.ones(900), rtol=0, atol=1e-6)
    torch.testing.assert_close(found[700:701], encoder.encode_texts(texts[700:701]), rtol=0, atol=1e-6)
