"""The small translator: words as numbers, its losses and searches against loops and libraries, and its trial."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdrop_small import Watched, checked_call
from torch import Tensor

from experiments.data.procedural_translation import Pairs, ProceduralTranslation, make_translation
from experiments.data.translation_settings import ProceduralTranslationSettings
from experiments.rdrop import training
from experiments.rdrop.loss import rdrop_loss
from experiments.rdrop.optimiser_settings import OptimiserSettings
from experiments.rdrop.stacks import OneByOne
from experiments.rdrop.tasks import Examples
from experiments.rdrop.training import Order, Training, train
from experiments.rdrop.translation import (
    END,
    NO_TARGET,
    PAD,
    SPECIAL,
    START,
    Translator,
    TranslatorShape,
    Vocabulary,
    bleu,
    encoded,
)
from harness.execution.run import Run
from harness.execution.streams import Stream

WORDS = {
    "nouns": 4, "verbs": 2, "adjectives": 2, "adverbs": 2, "prepositions": 1, "conjunctions": 1, "subordinators": 1,
    "particles": 1, "longest": 11,
}  # fmt: skip
SHAPE = TranslatorShape(width=32, layers=1, heads=2, feed_forward=64)


@cache
def languages() -> ProceduralTranslation:
    return make_translation(ProceduralTranslationSettings(train=8, validation=4, test=4, **WORDS), 1)


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary(languages())


@cache
def examples() -> Examples:
    return encoded(languages().train, vocabulary())


def length() -> int:
    return examples().targets.shape[1]


def translator(dropout: float = 0.0, seed: int = 0, shape: TranslatorShape = SHAPE) -> Translator:
    return Translator(shape, len(vocabulary()), length(), dropout, Stream("translator", seed)).eval()


def shaken() -> Translator:
    """A translator whose weights are far enough from zero that everything it reads counts."""
    model = translator(shape=TranslatorShape(16, 2, 2, 24))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def fluent() -> Translator:
    """A translator that has learned eight pairs by heart."""
    model = translator()
    optimiser = OptimiserSettings(learning_rate=0.01, warmup_steps=20, clip=1.0)
    train(
        OneByOne([model], optimiser, torch.device("cpu")),
        examples(),
        Training(150, 8, 1, 0.0, optimiser, evaluate=150),
        [Order(Stream("order"), 8, 8)],
        None,
        lambda done: [{}],
        device=torch.device("cpu"),
        dropout=[Stream("dropout")],
    )
    return model.eval()


# Words and numbers.


@given(st.data())
@settings(max_examples=50)
def test_sentences_come_back_from_their_numbers(data: st.DataObject) -> None:
    made = languages()
    known = sorted({*made.source_vocabulary, *made.target_vocabulary})
    words = data.draw(st.lists(st.sampled_from(known), max_size=12))
    sentence = " ".join(words)
    numbers = vocabulary().numbers(sentence)
    assert len(numbers) == len(words) + 1 and numbers[-1] == END
    assert all(len(SPECIAL) <= number < len(vocabulary()) for number in numbers[:-1])
    assert vocabulary().sentence(numbers) == sentence
    # What stands behind the end, and special tokens before it, are no words.
    more = data.draw(st.lists(st.integers(0, len(vocabulary()) - 1), max_size=4))
    assert vocabulary().sentence([START, *numbers[:-1], PAD, END, *more]) == sentence
    assert vocabulary().sentence(numbers[:-1]) == sentence


def test_every_word_has_one_number() -> None:
    made = languages()
    known = {*made.source_vocabulary, *made.target_vocabulary}
    assert len(vocabulary()) == len(known) + 3 and vocabulary().words[:3] == ("<pad>", "<s>", "</s>")
    assert {vocabulary().numbers(word)[0] for word in known} == set(range(3, len(vocabulary())))
    with pytest.raises(KeyError):
        vocabulary().numbers("never-a-word")


def test_pairs_are_padded_and_the_decoder_is_one_word_behind() -> None:
    one, two, three, four = vocabulary().words[3:7]
    pairs = Pairs((f"{one} {two}", f"{one}"), (f"{three}", f"{four} {three} {four}"))
    found = encoded(pairs, vocabulary())
    assert found.inputs.dtype == found.targets.dtype == torch.int64
    assert found.inputs.tolist() == [
        [[3, 4, END, PAD], [START, 5, PAD, PAD]],
        [[3, END, PAD, PAD], [START, 6, 5, 6]],
    ]
    none = NO_TARGET
    assert found.targets.tolist() == [[5, END, none, none], [6, 5, 6, END]]
    longest = max(len(text.split()) for text in (*languages().train.source, *languages().train.target))
    assert examples().inputs.shape == (8, 2, longest + 1) and examples().targets.shape == (8, longest + 1)


# The model.


def test_one_embedding_serves_both_languages_and_the_logits() -> None:
    model = translator()
    inner = model.model
    shared = inner.model.shared.weight
    assert shared.shape == (len(vocabulary()), SHAPE.width)
    for weight in (
        inner.lm_head.weight,
        inner.model.encoder.embed_tokens.weight,
        inner.model.decoder.embed_tokens.weight,
    ):
        assert weight.data_ptr() == shared.data_ptr()
    assert sum(parameter is shared for parameter in model.parameters()) == 1
    hidden = inner.model(
        input_ids=examples().inputs[:, 0],
        attention_mask=(examples().inputs[:, 0] != PAD).long(),
        decoder_input_ids=examples().inputs[:, 1],
    ).last_hidden_state
    torch.testing.assert_close(model(examples().inputs), hidden @ shared.T, rtol=0, atol=1e-5)


def test_one_stream_gives_one_set_of_weights() -> None:
    torch.manual_seed(1)
    one = translator().state_dict()
    torch.manual_seed(2)
    same, other = translator().state_dict(), translator(seed=1).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["model.model.shared.weight"], other["model.model.shared.weight"])


def test_the_loss_is_barts_own() -> None:
    model = shaken()
    inputs, targets = examples().inputs, examples().targets
    assert (targets == NO_TARGET).any()
    ours = rdrop_loss(
        model(inputs), targets, 0.0, passes=1, convention="notes", label_smoothing=0.0, keep=targets >= 0
    ).total
    source = inputs[:, 0]
    theirs = model.model(input_ids=source, attention_mask=(source != PAD).long(), labels=targets).loss
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-5)
    ours_gradient, theirs_gradient = (
        torch.autograd.grad(loss, model.model.model.shared.weight)[0] for loss in (ours, theirs)
    )
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("place", [1, 4, 8])
@torch.no_grad()
def test_a_word_sees_no_later_one(place: int) -> None:
    model, inputs = shaken(), examples().inputs
    changed = inputs.clone()
    changed[:, 1, place:] = 3 + (changed[:, 1, place:] + 1) % (len(vocabulary()) - 3)
    before, after = model(inputs), model(changed)
    torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=1e-5)
    assert ((after - before)[:, place:].abs().amax(-1) > 1e-3).all()
    # The whole source is seen from the first word on.
    other = inputs.clone()
    other[:, 0, 3] = 3 + (other[:, 0, 3] + 1) % (len(vocabulary()) - 3)
    assert ((model(other) - before).abs().amax(-1) > 1e-4).all()


@torch.no_grad()
def test_padding_changes_nothing() -> None:
    model, inputs = shaken(), examples().inputs
    wider = torch.cat([inputs, torch.full((len(inputs), 2, 5), PAD)], 2)
    torch.testing.assert_close(model(wider)[:, : length()], model(inputs), rtol=0, atol=1e-5)
    assert model.translate(wider[:, 0], 1, length()) == model.translate(inputs[:, 0], 1, length())


def test_dropout_makes_passes_differ_and_is_off_in_translation() -> None:
    model, inputs = translator(dropout=0.4), examples().inputs
    first, second = model.train()(torch.cat([inputs, inputs])).chunk(2)
    assert ((first - second).abs().amax(-1) > 1e-5).all()
    assert model.translate(inputs[:, 0], 1, length()) == model.translate(inputs[:, 0], 1, length())
    first, second = model(torch.cat([inputs, inputs])).chunk(2)
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)


# Translating.


@torch.no_grad()
def step_by_step(model: Translator, source: Tensor, longest: int) -> list[int]:
    """The most probable next word, again and again, of one sentence without padding."""
    made = [START]
    while len(made) <= longest and made[-1] != END:
        width = max(len(source), len(made))
        x = torch.full((1, 2, width), PAD)
        x[0, 0, : len(source)] = source
        x[0, 1, : len(made)] = torch.tensor(made)
        made.append(int(model.eval()(x)[0, len(made) - 1].argmax()))
    return made[1:]


@pytest.mark.parametrize("which", ["shaken", "fluent"])
def test_one_beam_is_greedy(which: str, fluent: Translator) -> None:
    model = fluent if which == "fluent" else shaken()
    sources = torch.cat([examples().inputs[:, 0], encoded(languages().test, vocabulary()).inputs[:, 0, : length()]])
    found = model.translate(sources, 1, length())
    assert len({tuple(numbers) for numbers in found}) > 1
    for source, numbers in zip(sources, found, strict=True):
        expected = step_by_step(model, source[source != PAD], length())
        own = numbers[: numbers.index(END) + 1] if END in numbers else numbers
        assert own == expected
        assert set(numbers[len(own) :]) <= {PAD}, "only padding behind the end"


@torch.no_grad()
def searched(model: Translator, source: Tensor, beams: int, longest: int) -> list[int]:
    """Beam search as it is told in words, of one sentence without padding: it ends with as many translations as beams,
    and the one with the highest mean log-probability is best."""
    running: list[tuple[float, list[int]]] = [(0.0, [START])]
    finished: list[tuple[float, list[int]]] = []
    for made in range(1, longest + 1):
        x = torch.full((len(running), 2, max(len(source), made)), PAD)
        x[:, 0, : len(source)] = source
        x[:, 1, :made] = torch.tensor([numbers for _, numbers in running])
        log_p = model.eval()(x)[:, made - 1].log_softmax(-1).tolist()
        longer = [
            (score + more, [*numbers, word])
            for (score, numbers), row in zip(running, log_p, strict=True)
            for word, more in enumerate(row)
        ]
        longer.sort(reverse=True)
        finished += [(score / made, numbers) for score, numbers in longer[:beams] if numbers[-1] == END]
        running = [(score, numbers) for score, numbers in longer if numbers[-1] != END][:beams]
        if len(finished) >= beams:
            break
    else:
        finished += [(score / longest, numbers) for score, numbers in running]
    return max(finished)[1][1:]


@pytest.mark.parametrize("beams", [2, 3, 5])
def test_more_beams_search_on(beams: int, fluent: Translator) -> None:
    sources = encoded(languages().test, vocabulary()).inputs[:, 0]
    found = fluent.translate(sources, beams, length())
    for source, numbers in zip(sources, found, strict=True):
        own = numbers[: numbers.index(END) + 1] if END in numbers else numbers
        assert own == searched(fluent, source[source != PAD], beams, length())
    if beams == 5:
        assert found != fluent.translate(sources, 1, length())


def test_eight_pairs_are_learned_by_heart(fluent: Translator) -> None:
    def score(model: Translator, beams: int) -> float:
        made = model.translate(examples().inputs[:, 0], beams, length())
        return bleu([vocabulary().sentence(numbers) for numbers in made], languages().train.target)

    assert score(fluent, 1) > 80 and score(fluent, 3) > 80
    assert score(translator(), 1) < 20


@given(st.data())
@settings(max_examples=30)
def test_bleu_is_sacrebleus(data: st.DataObject) -> None:
    words = st.lists(st.sampled_from(["ba", "ri", "tok", "ba,", "o'n", "-"]), max_size=8).map(" ".join)
    pairs = data.draw(st.lists(st.tuples(words, words), min_size=1, max_size=5))
    made, references = [list(part) for part in zip(*pairs, strict=True)]
    assert bleu(made, references) == sacrebleu.corpus_bleu(made, [references], tokenize="none").score


def test_bleu_of_equal_and_of_unrelated_sentences() -> None:
    sentences = languages().train.target
    assert bleu(sentences, sentences) == pytest.approx(100)
    assert bleu(["xa xe xi xo xu xy"] * len(sentences), sentences) < 1
    assert 0 < bleu([" ".join(text.split()[:-1]) for text in sentences], sentences) < 100
    # By hand: precisions 3/4, 2/3, 1/2 and, smoothed, 1/2; as long as the reference.
    by_hand = 100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25
    assert bleu(["a b c x"], ["a b c d"]) == pytest.approx(by_hand)


# The trial.


@pytest.fixture
def trained() -> Callable[..., Any]:
    """Call the trial as the engine does, on a tiny corpus."""
    small = {
        "alpha": 1, "steps": 24, "batch_size": 6, "width": 16, "layers": 1, "heads": 2, "feed_forward": 16,
        "dropout": 0.1, "beams": 2, "evaluations": 6, "optimiser": {"learning_rate": 0.02, "warmup_steps": 4},
        "data": {"source": "procedural-translation", "train": 24, "validation": 6, "test": 6, **WORDS},
    }  # fmt: skip

    def call(run: Run | None = None, **changed: Any) -> Any:
        return checked_call("experiments.rdrop.translate:train_and_translate", run or Watched(), {**small, **changed})

    return call


def as_bytes(run: Run, record: Any) -> bytes:
    return json.dumps([record, run.tables["course"].to_dict("records")]).encode()


def test_the_trial_leaves_a_finite_record_and_the_same_bytes_again(trained: Callable[..., Any]) -> None:
    run, again = Watched(), Watched()
    record = trained(run)
    named = {f"{name}{end}" for name in ("bleu", "validation_bleu", "nll", "inconsistency") for end in ("", "_last")}
    assert record.keys() >= named and all(math.isfinite(value) for value in record.values())
    assert record["compute"] == 48 and record["inconsistency"] > 0 and 0 <= record["bleu"] <= 100
    assert run.steps == list(range(1, 25)) and run.tables["course"]["step"].tolist() == [4, 8, 12, 16, 20, 24]
    assert as_bytes(run, record) == as_bytes(again, trained(again))
    other = Watched(replicate=1)
    assert as_bytes(other, trained(other)) != as_bytes(run, record)


@pytest.mark.parametrize("replicate", [0, 1, 3])
def test_the_best_step_is_the_first_with_the_highest_validation_bleu(
    trained: Callable[..., Any], replicate: int
) -> None:
    run = Watched(replicate=replicate)
    record = trained(run, beams=1)
    course = run.tables["course"].to_dict("records")
    best = max(course, key=lambda row: row["validation_bleu"])
    assert record["best_step"] == best["step"]
    assert all(record[name] == value for name, value in best.items() if name != "step")
    assert all(record[f"{name}_last"] == value for name, value in course[-1].items() if name != "step")
    # Training for the best step alone ends with the weights that were kept.
    short = trained(Watched(replicate=replicate), beams=1, steps=best["step"], evaluations=best["step"] // 4)
    assert short["bleu_last"] == record["bleu"] and short["nll_last"] == record["nll"]


def test_of_equal_evaluations_the_first_counts(trained: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.rdrop.translation.bleu", lambda made, references: 7.0)
    assert trained()["best_step"] == 4


@pytest.mark.parametrize("interrupt", [3, 9, 12, 23])
def test_a_resumed_trial_is_the_uninterrupted_one(
    trained: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt: int
) -> None:
    whole = Watched(tmp_path / "whole")
    record = trained(whole)
    # The state that was kept is older than most of the interruptions, and another than the last one.
    assert record["best_step"] == 8 and record["bleu"] != record["bleu_last"]
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        trained(Watched(tmp_path / "cut", interrupt=interrupt))
    resumed = Watched(tmp_path / "cut")
    found = trained(resumed)
    assert resumed.steps == list(range(interrupt + 1, 25)), "it began anew"
    assert as_bytes(resumed, found) == as_bytes(whole, record)


def test_plain_and_doubled_training_differ_in_what_they_compute(trained: Callable[..., Any]) -> None:
    plain, twice, doubled, more = (trained(alpha=alpha) for alpha in ("plain", "twice", 0, 5))
    assert [one["compute"] for one in (plain, twice, doubled, more)] == [24, 48, 48, 48]
    assert len({one["parameters"] for one in (plain, twice, doubled, more)}) == 1
    assert len({one["nll_last"] for one in (plain, twice, doubled, more)}) == 4
    assert more["inconsistency_last"] < doubled["inconsistency_last"]


def test_twice_is_plain_training_continued(trained: Callable[..., Any]) -> None:
    short, long = Watched(), Watched()
    trained(short, alpha="plain"), trained(long, alpha="twice")
    rows = [run.tables["course"].to_dict("records") for run in (short, long)]
    assert len(rows[1]) == 12 and rows[1][:6] == rows[0]


def test_without_dropout_nothing_is_said_of_passes(trained: Callable[..., Any]) -> None:
    assert not [name for name in trained(dropout=0.0) if "inconsistency" in name]


def test_a_training_that_diverges_leaves_nan(trained: Callable[..., Any]) -> None:
    run = Watched()
    record = trained(run, optimiser={"kind": "sgd", "learning_rate": 1e30})
    metrics = [f"{name}{end}" for name in ("bleu", "nll", "inconsistency") for end in ("", "_last")]
    assert all(math.isnan(record[name]) for name in [*metrics, "validation_bleu"])
    assert record["diverged_at"] == 4 and record["compute"] == 48
    assert "course" not in run.tables
