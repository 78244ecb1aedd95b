"""Training: resumed anywhere with the same bits, its batches, its rates, what decays, and how it ends when it diverges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from experiments.clip import training
from experiments.clip.loss import contrastive_loss
from experiments.clip.model import SmallClip, build_small_clip
from experiments.clip.model_settings import ConvolutionalSettings, PatchesSettings, SmallSettings, TextSettings
from experiments.clip.optimiser_settings import OptimiserSettings
from experiments.clip.training import Outcome, train
from experiments.clip.vocabulary import END, SPECIAL, START
from harness.execution import scalars
from harness.execution.run import Checkpoint
from harness.execution.streams import Stream

STEPS, BATCH, EXAMPLES = 12, 5, 22
KINDS = torch.arange(EXAMPLES) % 4
FAST = OptimiserSettings(learning_rate=0.01, warmup_steps=3)
CONVOLUTIONS = ConvolutionalSettings(widths=(4, 6), strides=(1, 2), grid=2)
PATCHES = PatchesSettings(patch=4, width=8, layers=1, heads=2)


class Killed(Exception):
    pass


def killed_at(step: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Killed

    return progress


def problem(image: Any = CONVOLUTIONS) -> tuple[SmallClip, Callable[[Tensor], Tensor]]:
    """Return a small model and its loss on images of four patterns, each of which has a word."""
    settings = SmallSettings(image=image, text=TextSettings(width=8, heads=2), dimension=6)
    model = build_small_clip(settings, SPECIAL + 4, 3, 8, Stream("training", "init"))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(0)
    kind = KINDS
    images = torch.rand(4, 3, 8, 8, generator=generator)[kind] + 0.3 * torch.rand(
        EXAMPLES, 3, 8, 8, generator=generator
    )
    tokens = torch.stack([torch.full((EXAMPLES,), START), SPECIAL + kind, torch.full((EXAMPLES,), END)], 1)

    def loss_of(chosen: Tensor) -> Tensor:
        own = images[chosen].contiguous(memory_format=torch.channels_last)
        return contrastive_loss(*model(own, tokens[chosen]), model.scale)

    return model, loss_of


def trained(
    image: Any = CONVOLUTIONS, steps: int = STEPS, order: int = 0, **more: Any
) -> tuple[Outcome, dict[str, Tensor]]:
    model, loss_of = problem(image)
    settings = more.pop("settings", FAST)
    outcome = train(
        model, loss_of, EXAMPLES, settings, steps, BATCH, Stream("order", order), after_step=model.clip_scale, **more
    )
    assert not model.training
    return outcome, {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    assert one.keys() == two.keys()
    return all(torch.equal(one[name], two[name]) for name in one)


# The same again, and resumed


def test_the_same_training_again_gives_the_same_bytes() -> None:
    first, weights = trained()
    torch.manual_seed(7)
    second, again = trained()
    assert first == second and equal(weights, again)
    assert not equal(weights, trained(order=1)[1])


@pytest.mark.parametrize("stop", [1, 4, 5, 11])
@pytest.mark.parametrize("image", [CONVOLUTIONS, PATCHES])
def test_a_resumed_training_is_the_whole_one_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Any, stop: int
) -> None:
    whole, weights = trained(image)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)
    checkpoint = Checkpoint(tmp_path / "kept")
    with pytest.raises(Killed):
        trained(image, checkpoint=checkpoint, progress=killed_at(stop))
    assert checkpoint.load()["step"] == stop
    seen: list[int] = []
    found, resumed = trained(image, checkpoint=checkpoint, progress=lambda done, total: seen.append(done))
    assert seen == list(range(stop + 1, STEPS + 1))
    assert found == whole and equal(resumed, weights)


def test_a_training_killed_twice_is_the_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, weights = trained()
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)
    checkpoint = Checkpoint(tmp_path / "kept")
    for stop in (3, 9):
        with pytest.raises(Killed):
            trained(checkpoint=checkpoint, progress=killed_at(stop))
    found, resumed = trained(checkpoint=checkpoint)
    assert found == whole and equal(resumed, weights)


def test_state_is_kept_no_oftener_than_asked_for(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "kept")
    trained(checkpoint=checkpoint)
    assert checkpoint.load() is None


# Batches


def batches(examples: int, batch: int, steps: int, order: int = 0, **more: Any) -> list[list[int]]:
    """Return the indices of each step's batch."""
    model, seen = nn.Linear(2, 1), []

    def loss_of(chosen: Tensor) -> Tensor:
        seen.append(chosen.tolist())
        return model(torch.ones(1, 2)).sum()

    train(model, loss_of, examples, FAST, steps, batch, Stream("order", order), **more)
    return seen


@pytest.mark.parametrize(("examples", "batch"), [(20, 4), (22, 4), (5, 5), (7, 1), (6, 4)])
def test_an_epoch_takes_every_example_at_most_once(examples: int, batch: int) -> None:
    per_epoch = examples // batch
    found = batches(examples, batch, 3 * per_epoch)
    epochs = [list(itertools.chain(*found[start : start + per_epoch])) for start in range(0, 3 * per_epoch, per_epoch)]
    assert all(len(own) == batch for own in found)
    for own in epochs:
        assert len(set(own)) == len(own) == per_epoch * batch and set(own) <= set(range(examples))
        assert examples % batch or sorted(own) == list(range(examples))
    assert not any(one == two for one, two in itertools.combinations(epochs, 2)) or examples == 1


def test_no_example_is_dropped_for_good() -> None:
    assert set(itertools.chain(*batches(22, 4, 5 * 30))) == set(range(22))


def test_a_batch_is_at_most_all_examples() -> None:
    assert [sorted(own) for own in batches(3, 100, 4)] == [[0, 1, 2]] * 4


def test_the_order_depends_on_its_stream_and_not_on_the_number_of_steps() -> None:
    long = batches(22, 4, 20)
    assert batches(22, 4, 7) == long[:7]
    assert batches(22, 4, 20, order=1) != long


def test_a_resumed_training_takes_the_batches_that_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = batches(22, 4, 12)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)
    checkpoint = Checkpoint(tmp_path / "kept")
    with pytest.raises(Killed):
        batches(22, 4, 12, checkpoint=checkpoint, progress=killed_at(7))
    assert batches(22, 4, 12, checkpoint=checkpoint) == whole[7:]


# Rates and decay


def rates(steps: int, **given: Any) -> list[float]:
    found = OptimiserSettings(learning_rate=0.3, **given)
    return [found.rate_at(step, steps) for step in range(steps)]


@pytest.mark.parametrize("warmup", [0, 1, 6])
@pytest.mark.parametrize("steps", [20, 7])
def test_rates_are_a_line_and_a_cosine(warmup: int, steps: int) -> None:
    found = rates(steps, warmup_steps=warmup)
    for step, rate in enumerate(found):
        gone = (step - warmup) / (steps - warmup)
        expected = 0.3 * ((step + 1) / warmup if step < warmup else (1 + math.cos(math.pi * gone)) / 2)
        assert rate == pytest.approx(expected, rel=1e-12)
    assert max(found) == pytest.approx(0.3) and min(found) > 0
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = transformers.get_cosine_schedule_with_warmup(optimiser, warmup, steps)
    theirs = []
    for _ in range(steps):
        theirs.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    assert found[warmup:] == pytest.approx(theirs[warmup:], rel=1e-9)


def test_a_training_shorter_than_its_warm_up() -> None:
    assert rates(4, warmup_steps=10) == pytest.approx([0.03, 0.06, 0.09, 0.12])


def test_steps_are_made_at_the_rates_of_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []
    original = torch.optim.AdamW.step

    def spy(self: torch.optim.AdamW, *rest: Any) -> Any:
        seen.append([group["lr"] for group in self.param_groups])
        return original(self, *rest)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    outcome, _ = trained(settings=OptimiserSettings(learning_rate=0.3, warmup_steps=4))
    expected = rates(STEPS, warmup_steps=4)
    assert seen == [[rate, rate] for rate in expected]
    assert [row["learning_rate"] for row in outcome.logged] == expected


@pytest.mark.parametrize("image", [CONVOLUTIONS, PATCHES])
def test_matrices_decay_and_nothing_else_does(image: Any) -> None:
    model, _ = problem(image)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1.0)
    before = {name: value.clone() for name, value in model.named_parameters()}
    # Of gradients of nought nothing but the decay is left.
    settings = OptimiserSettings(learning_rate=0.1, weight_decay=0.5, warmup_steps=0)
    train(model, lambda _: sum((p * 0).sum() for p in model.parameters()), 4, settings, 1, 2, Stream("order"))  # type: ignore[arg-type, return-value]
    for name, parameter in model.named_parameters():
        expected = before[name] * (1 - 0.1 * 0.5) if parameter.ndim >= 2 else before[name]
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-6, atol=0, msg=name)
    shrunk = {name for name, value in model.named_parameters() if value.ndim >= 2}
    assert {"text.embedding.weight", "text.projection.weight", "image.projection.weight"} <= shrunk
    kept = set(before) - shrunk
    assert "logit_scale" in kept and all(
        name == "logit_scale" or name.endswith("bias") or "norm" in name or "before" in name or "after" in name
        or "layers." in name or name == "image.token"
        for name in kept
    )  # fmt: skip


def test_steps_are_adamws() -> None:
    weight = torch.tensor([[0.3, -0.2]])
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(weight)
    settings = OptimiserSettings(learning_rate=0.1, weight_decay=0.3, betas=(0.8, 0.9), epsilon=1e-3, warmup_steps=0)
    train(model, lambda _: (model.weight**3).sum(), 4, settings, 5, 2, Stream("order"))
    own, mean, square = weight.double(), torch.zeros(1, 2).double(), torch.zeros(1, 2).double()
    for step in range(5):
        rate, gradient = settings.rate_at(step, 5), 3 * own**2
        mean, square = 0.8 * mean + 0.2 * gradient, 0.9 * square + 0.1 * gradient**2
        own = own * (1 - rate * 0.3)
        corrected = mean / (1 - 0.8 ** (step + 1)), square / (1 - 0.9 ** (step + 1))
        own = own - rate * corrected[0] / (corrected[1].sqrt() + 1e-3)
    torch.testing.assert_close(model.weight.detach().double(), own, rtol=1e-5, atol=1e-6)


def test_the_scale_stays_under_its_largest_value_while_it_is_trained() -> None:
    _, weights = trained(steps=40, settings=OptimiserSettings(learning_rate=1.0, warmup_steps=0, weight_decay=0))
    assert float(weights["logit_scale"].exp()) <= 100 * (1 + 1e-6)


# What comes out


@pytest.mark.parametrize("image", [CONVOLUTIONS, PATCHES])
def test_the_loss_falls(image: Any) -> None:
    model, loss_of = problem(image)
    found, least = [], []

    def spy(chosen: Tensor) -> Tensor:
        own = KINDS[chosen]
        # Pairs of one kind cannot be told apart: each of two is found with a chance of a half at best.
        least.append(float((own[:, None] == own).sum(1).double().log().mean()))
        loss = loss_of(chosen)
        found.append(float(loss.detach()))
        return loss

    outcome = train(model, spy, EXAMPLES, FAST, 120, BATCH, Stream("order"), after_step=model.clip_scale)
    excess = [one - two for one, two in zip(found, least, strict=True)]
    assert min(excess) > -1e-4 and sum(excess[:5]) / 5 > 0.7 and sum(excess[-20:]) / 20 < 0.1
    assert outcome.diverged_at is None


@pytest.mark.parametrize(("steps", "expected"), [(1, [0]), (3, [0, 1, 2]), (120, [*range(0, 120, 2), 119])])
def test_losses_are_kept_at_equal_distances_and_at_the_end(steps: int, expected: list[int]) -> None:
    outcome, _ = trained(steps=steps)
    assert [row["step"] for row in outcome.logged] == expected


def test_progress_is_told_at_every_step() -> None:
    seen: list[tuple[int, int]] = []
    trained(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(step + 1, STEPS) for step in range(STEPS)]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("steps", [10, 200])
def test_a_loss_that_is_not_finite_ends_the_training(bad: float, steps: int) -> None:
    model, calls = nn.Linear(2, 1), []

    def loss_of(chosen: Tensor) -> Tensor:
        calls.append(chosen)
        return model(torch.ones(1, 2)).sum() * (bad if len(calls) > 6 else 1.0)

    outcome = train(model, loss_of, 8, FAST, steps, 2, Stream("order"))
    every = max(1, steps // scalars.POINTS)
    expected = next(step for step in range(6, steps) if step % every == 0)
    assert outcome.diverged_at == expected and len(calls) == expected + 1
    assert not math.isfinite(outcome.logged[-1]["loss"])
    assert all(math.isfinite(row["loss"]) for row in outcome.logged[:-1])
    assert not model.training


def test_a_loss_that_ends_without_a_number_is_seen_at_the_last_step() -> None:
    model, calls = nn.Linear(2, 1), itertools.count()

    def loss_of(chosen: Tensor) -> Tensor:
        return model(torch.ones(1, 2)).sum() * (math.nan if next(calls) == 199 else 1.0)

    assert train(model, loss_of, 8, FAST, 200, 2, Stream("order")).diverged_at == 199


def test_settings_that_are_no_settings() -> None:
    for given in ({"learning_rate": 0}, {"weight_decay": -1}, {"epsilon": 0}, {"warmup_steps": -1}, {"rate": 1}):
        with pytest.raises(ValueError):
            OptimiserSettings(**given)
