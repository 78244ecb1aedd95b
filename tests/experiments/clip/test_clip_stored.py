"""Vectors kept by content: nothing is encoded twice, in no instance, and nothing is taken for something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from experiments.clip import stored
from experiments.clip.classifier import by_each, by_embedding, by_probability
from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.scoring import Scorer, encoded
from experiments.clip.stored import FreshVectors, StoredVectors, Vectors
from experiments.clip.templates import Subject, openai_templates
from experiments.data import Dataset, FactorInformation, Part
from experiments.data.cache import cache_folder
from harness.execution.streams import Stream

TEMPLATES = ("a {}.", "the {}", "{}")
ROWS = (("cat", "dog"), ("tom", "dog"))


@pytest.fixture(autouse=True)
def own_cache(own_data: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))


class Counting:
    """An encoder whose vectors follow from its key and what is encoded; it counts what it is asked."""

    def __init__(self, key: str = "one", dimension: int = 6) -> None:
        self.key, self.scale, self.dimension = key, 20.0, dimension
        self.parts: list[Part] = []
        self.calls: list[list[str]] = []

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call]

    def encode_images(self, part: Part) -> Tensor:
        self.parts.append(part)
        noise = torch.randn(len(part), self.dimension, generator=Stream("images", self.key).torch())
        first = torch.from_numpy(numpy.array(part.images[:, 0, 0, :1], dtype=numpy.float32))
        return functional.normalize(noise + first, dim=1)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        self.calls.append(list(texts))
        generators = (Stream("texts", self.key, text).torch() for text in texts)
        return functional.normalize(torch.stack([torch.randn(self.dimension, generator=g) for g in generators]), dim=1)


def dataset(key: str = "data", items: int = 20, classes: int = 2) -> Dataset:
    def part(first: int) -> Part:
        images = numpy.arange(first, first + items, dtype=numpy.uint8)[:, None, None, None] * numpy.ones(
            (1, 1, 1, 1), dtype=numpy.uint8
        )
        return Part(images, {"label": numpy.arange(items, dtype=numpy.int64) % classes})

    values = tuple(f"class {place}" for place in range(classes))
    return Dataset("set", part(0), part(50), part(100), {"label": FactorInformation("class", values)}, "label", key)


def entries() -> int:
    return len(list(cache_folder().glob("clip-*/entry"))) if cache_folder().exists() else 0


# Images


def test_images_are_encoded_once_in_any_number_of_instances() -> None:
    encoder, data = Counting(), dataset()
    first = StoredVectors(encoder).images(data, "test")
    again = [StoredVectors(encoder).images(data, "test"), StoredVectors(Counting()).images(dataset(), "test")]
    assert len(encoder.parts) == 1 and encoder.parts[0] is data.test
    assert torch.equal(first, FreshVectors(Counting()).images(data, "test")) and first.dtype == torch.float32
    assert all(torch.equal(first, other) for other in again)
    never = Counting()
    StoredVectors(never).images(dataset(), "test")
    assert never.parts == []


def test_another_encoder_data_set_or_part_is_another_entry() -> None:
    found = {
        (key, data, part): StoredVectors(Counting(key)).images(dataset(data), part)
        for key in ("one", "two")
        for data in ("data", "other")
        for part in ("train", "validation", "test")
    }
    assert entries() == len(found) == 12
    for key, _, part in found:
        expected = FreshVectors(Counting(key)).images(dataset(), part)
        assert all(torch.equal(found[key, data, part], expected) for data in ("data", "other"))
    assert not torch.equal(found["one", "data", "test"], found["two", "data", "test"])
    assert not torch.equal(found["one", "data", "test"], found["one", "data", "train"])


# Prompts


@pytest.mark.parametrize("kind", [FreshVectors, StoredVectors])
def test_prompts_are_templates_by_rows_by_classes(kind: type[FreshVectors] | type[StoredVectors]) -> None:
    vectors: Vectors = kind(Counting())
    found = vectors.prompts(TEMPLATES, ROWS)
    assert found.shape == (3, 2, 2, 6) and vectors.scale == 20.0
    for one, template in zip(found, TEMPLATES, strict=True):
        for own, row in zip(one, ROWS, strict=True):
            assert torch.equal(own, Counting().encode_texts([template.replace("{}", name) for name in row]))


def test_prompts_are_encoded_once_in_any_number_of_instances() -> None:
    encoder = Counting()
    first = StoredVectors(encoder).prompts(TEMPLATES, ROWS)
    # Three names in each of three templates, all in one call.
    assert len(encoder.calls) == 1 and len(encoder.texts) == len(set(encoder.texts)) == 9
    never = Counting()
    for vectors in (StoredVectors(encoder), StoredVectors(never)):
        assert torch.equal(vectors.prompts(TEMPLATES, ROWS), first)
    assert len(encoder.calls) == 1 and never.calls == []


def test_of_an_overlapping_set_only_what_is_new_is_encoded() -> None:
    vectors = StoredVectors(encoder := Counting())
    vectors.prompts(TEMPLATES[:2], ROWS)
    encoder.calls.clear()
    found = vectors.prompts(("{}", "the {}", "{} again"), ROWS)
    assert sorted(encoder.texts) == sorted(["cat", "dog", "tom", "cat again", "dog again", "tom again"])
    assert torch.equal(found, FreshVectors(Counting()).prompts(("{}", "the {}", "{} again"), ROWS))


def test_the_order_of_templates_and_their_repetition_do_not_matter_to_what_is_kept() -> None:
    vectors = StoredVectors(encoder := Counting())
    found = vectors.prompts(("a {}.", "the {}", "a {}."), ROWS)
    assert len(encoder.texts) == 6 and entries() == 2
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])
    assert torch.equal(vectors.prompts(("the {}", "a {}."), ROWS), found[[1, 0]])
    assert len(encoder.texts) == 6


def test_another_encoder_or_other_class_names_are_another_entry() -> None:
    asked: list[tuple[str, Sequence[Sequence[str]]]] = [
        ("one", ROWS), ("two", ROWS), ("one", ROWS[:1]), ("one", ROWS[::-1]), ("one", (("dog", "cat"), ("tom", "dog"))),
        ("one", (("cat", "dog", "owl"),)), ("one", (("catdog", ""),)), ("one", (("cat",), ("dog",))),
    ]  # fmt: skip
    for number, (key, rows) in enumerate(asked, 1):
        found = StoredVectors(Counting(key)).prompts(TEMPLATES, rows)
        assert torch.equal(found, FreshVectors(Counting(key)).prompts(TEMPLATES, rows))
        assert entries() == number * len(TEMPLATES)


def test_tuples_and_lists_of_names_are_the_same_names() -> None:
    StoredVectors(Counting()).prompts(list(TEMPLATES), [list(row) for row in ROWS])
    never = Counting()
    StoredVectors(never).prompts(TEMPLATES, ROWS)
    assert never.calls == []


def test_a_damaged_entry_is_made_again() -> None:
    first = StoredVectors(Counting()).prompts(TEMPLATES, ROWS)
    kept = sorted(cache_folder().glob("clip-prompts-*/entry/vectors.npy"))
    kept[0].write_bytes(kept[0].read_bytes()[:-5])
    encoder = Counting()
    assert torch.equal(StoredVectors(encoder).prompts(TEMPLATES, ROWS), first)
    assert len(encoder.texts) == 3


def test_an_interruption_loses_no_more_than_what_is_encoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Counting):
        def encode_texts(self, texts: Sequence[str]) -> Tensor:
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().encode_texts(texts)

    monkeypatch.setattr(stored, "AT_ONCE", 2 * 4)
    templates = [f"{number} {{}}" for number in range(7)]
    with pytest.raises(KeyboardInterrupt):
        StoredVectors(Broken()).prompts(templates, ROWS)
    assert entries() == 4
    encoder = Counting()
    found = StoredVectors(encoder).prompts(templates, ROWS)
    assert [len(call) for call in encoder.calls] == [6, 3]
    assert torch.equal(found, FreshVectors(Counting()).prompts(templates, ROWS))


def test_as_many_class_names_as_are_encoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "AT_ONCE", 1)
    encoder = Counting()
    StoredVectors(encoder).prompts(TEMPLATES, ROWS)
    assert [len(call) for call in encoder.calls] == [3, 3, 3]


def test_vectors_that_were_read_can_be_written_to_without_harm() -> None:
    vectors = StoredVectors(Counting())
    first = vectors.images(dataset(), "test").clone()
    vectors.images(dataset(), "test").zero_()
    vectors.prompts(TEMPLATES, ROWS).zero_()
    assert torch.equal(vectors.images(dataset(), "test"), first)
    assert vectors.prompts(TEMPLATES, ROWS).abs().sum() > 0


# A sweep


def drawn_sets(count: int) -> dict[str, PromptSettings]:
    """Return random sets of 1 to 80 templates with any way of combining them."""
    generator, found = numpy.random.default_rng(0), {}
    for number in range(count):
        chosen = generator.permutation(80)[: generator.integers(1, 81)]
        combine = ["embedding", "embedding", "probability", "each"][generator.integers(4)]
        weights = "uniform" if combine == "each" else ["uniform", "unsupervised"][int(generator.random() < 0.05)]
        if combine != "embedding":
            chosen = chosen[:3]
        settings: dict[str, Any] = {"combine": combine, "weights": weights}
        found[f"set {number}"] = PromptSettings(templates=tuple(openai_templates(80)[i] for i in chosen), **settings)
    return found


def test_a_sweep_of_200_sets_encodes_everything_once_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    data = dataset(items=2000, classes=100)
    encoder, sets = Counting(dimension=64), drawn_sets(200)
    subject = Subject("set", tuple((f"class {place}",) for place in range(100)))

    def sweep(vectors: Vectors, prepared: bool) -> list[float]:
        test, validation = encoded(vectors, data, "test", "label"), encoded(vectors, data, "validation", "label")
        scorer = Scorer(vectors, subject, test, validation)
        if prepared:
            scorer.prepare(sets)
        return [scorer.score(settings, Stream("sweep", name)).accuracy for name, settings in sets.items()]

    first = sweep(StoredVectors(encoder), True)
    assert len(encoder.parts) == 2
    assert len(encoder.texts) == len(set(encoder.texts)) == 80 * 100 and len(encoder.calls) == 1
    never = Counting(dimension=64)
    assert sweep(StoredVectors(never), False)[:40] == first[:40]
    assert never.parts == [] and never.calls == []
    assert capfd.readouterr() == ("", "")
    # And each is what a direct classification gives.
    images = FreshVectors(encoder).images(data, "test")
    labels = torch.arange(2000) % 100
    ways = {"embedding": by_embedding, "probability": by_probability, "each": by_each}
    for (_, settings), accuracy in list(zip(sets.items(), first, strict=True))[:20]:
        if settings.weights == "uniform":
            prompts = FreshVectors(encoder).prompts(settings.templates, subject.class_names("label"))[:, 0]
            assert ways[settings.combine](images, labels, prompts, 20.0).accuracy == pytest.approx(accuracy, abs=0.1)


def test_a_sweep_that_is_not_prepared_encodes_each_template_once() -> None:
    data, encoder = dataset(), Counting()
    vectors = StoredVectors(encoder)
    test = encoded(vectors, data, "test", "label")
    scorer = Scorer(vectors, Subject("set", (("cat", "tom"), ("dog",))), test, test)
    for chosen in (TEMPLATES[:2], TEMPLATES[1:], TEMPLATES, TEMPLATES):
        for names in ("label", "synonyms"):
            scorer.score(PromptSettings(templates=chosen, names=names), Stream("sweep"))
    counts = {text: encoder.texts.count(text) for text in encoder.texts}
    # Labels alone and all synonyms are kept apart; either is encoded once.
    assert counts == {
        t.replace("{}", name): 1 if name == "tom" else 2 for t in TEMPLATES for name in ("cat", "dog", "tom")
    }
    assert len(encoder.parts) == 1


def test_classes_of_a_part_come_with_its_images() -> None:
    data = dataset(classes=3)
    found = encoded(FreshVectors(Counting()), data, "validation", "label")
    assert found.labels.dtype == torch.int64 and found.labels.tolist() == data.validation.factors["label"].tolist()
    assert found.vectors.shape == (20, 6)
    empty = replace(data, test=data.validation)
    assert torch.equal(encoded(FreshVectors(Counting()), empty, "test", "label").vectors, found.vectors)
