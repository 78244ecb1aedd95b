"""Training: the same again bit for bit, resumed anywhere, on the same examples in every arm, by the stated rates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers
from rdrop_small import DIGITS, called
from torch import Tensor

from experiments.rdrop import training
from experiments.rdrop.dropout import MaskDrawer, sites_of
from experiments.rdrop.loss import Loss, rdrop_loss
from experiments.rdrop.model_settings import PerceptronSettings, TransformerSettings
from experiments.rdrop.models import SmallModel, build_small_model
from experiments.rdrop.optimiser_settings import OptimiserSettings
from experiments.rdrop.stacks import OneByOne, Stack, Together
from experiments.rdrop.tasks import Examples
from experiments.rdrop.training import Order, Outcome, Training, train
from harness.errors import UserError
from harness.execution.run import Checkpoint, Run
from harness.execution.streams import Stream

CPU = torch.device("cpu")
SEEDS, BATCH, STEPS, CLASSES = 2, 4, 10, 3
ADAMW = OptimiserSettings(learning_rate=0.01, weight_decay=0.1)
STACKS: list[type[Stack]] = [OneByOne, Together]


class Killed(Exception):
    pass


def killed_at(step: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Killed

    return progress


def models(seeds: Sequence[int] = range(SEEDS)) -> list[SmallModel]:
    settings = PerceptronSettings(kind="perceptron", widths=(6,))
    return [build_small_model(settings, (1, 3, 3), 0, CLASSES, Stream("training", "init", seed)) for seed in seeds]


def examples(count: int = 22) -> Examples:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 1, 3, 3, generator=generator)
    return Examples(inputs, torch.randint(CLASSES, (count,), generator=generator))


def settings(**changed: Any) -> Training:
    usual = {"steps": STEPS, "batch_size": BATCH, "passes": 2, "alpha": 1.0, "optimiser": ADAMW, "evaluate": 3}
    return Training(**{**usual, **changed})


def trained(
    wanted: Training,
    cls: type[Stack] = OneByOne,
    seeds: Sequence[int] = range(SEEDS),
    dropout: float = 0.4,
    **more: Any,
) -> tuple[Outcome, dict[str, Tensor]]:
    """Train small perceptrons; return the outcome and their parameters, [S, ...]."""
    built = models(seeds)
    stack: Stack = cls(built, wanted.optimiser, CPU)  # type: ignore[call-arg]
    sites = sites_of(built[0])
    drawers = [MaskDrawer(Stream("training", "dropout", s), sites, [dropout] * wanted.passes) for s in seeds]
    orders = [Order(Stream("training", "order", s), len(examples()), wanted.batch_size) for s in seeds]

    def evaluate(done: int) -> list[dict[str, float]]:
        logits = stack.logits(examples().inputs)
        return [{"first": float(own[0, 0]), "sum": float(own.abs().sum())} for own in logits]

    outcome = train(stack, examples(), wanted, orders, drawers, more.pop("evaluate", evaluate), device=CPU, **more)
    if isinstance(stack, Together):
        return outcome, {name: value.detach().clone() for name, value in stack.parameters.items()}
    states = [model.state_dict() for model in built]
    return outcome, {name: torch.stack([state[name] for state in states]) for name in states[0]}


def equal(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    assert one.keys() == two.keys()
    return all(torch.equal(one[name], two[name]) for name in one)


# The same again, and resumed


@pytest.mark.parametrize("cls", STACKS)
def test_the_same_training_again_gives_the_same_bytes(cls: type[Stack]) -> None:
    first, weights = trained(settings(), cls)
    torch.manual_seed(7)
    numpy.random.seed(7)
    second, again = trained(settings(), cls)
    assert first.course == second.course and equal(weights, again)
    assert not equal(weights, trained(settings(), cls, seeds=(0, 5))[1])


@pytest.mark.parametrize("stop", [1, 3, 5, 9])
@pytest.mark.parametrize("cls", STACKS)
def test_a_resumed_training_is_the_whole_one_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cls: type[Stack], stop: int
) -> None:
    whole, weights = trained(settings(every=2), cls)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    checkpoint = Checkpoint(tmp_path / "kept")
    with pytest.raises(Killed):
        trained(settings(every=2), cls, checkpoint=checkpoint, progress=killed_at(stop))
    assert checkpoint.load()["step"] == stop
    seen: list[int] = []
    found, resumed = trained(
        settings(every=2), cls, checkpoint=checkpoint, progress=lambda done, total: seen.append(done)
    )
    assert seen == list(range(stop + 1, STEPS + 1))
    assert found.course == whole.course and equal(resumed, weights)


def test_a_training_killed_twice_is_the_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, weights = trained(settings())
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    checkpoint = Checkpoint(tmp_path / "kept")
    for stop in (4, 7):
        with pytest.raises(Killed):
            trained(settings(), checkpoint=checkpoint, progress=killed_at(stop))
    found, resumed = trained(settings(), checkpoint=checkpoint)
    assert found.course == whole.course and equal(resumed, weights)


def test_state_is_kept_no_oftener_than_asked_for(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "kept")
    with pytest.raises(Killed):
        trained(settings(), checkpoint=checkpoint, progress=killed_at(9))
    assert checkpoint.load() is None


def test_what_an_evaluation_remembers_is_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def counting(kept: dict[str, Any]) -> Callable[[int], list[dict[str, float]]]:
        def evaluate(done: int) -> list[dict[str, float]]:
            kept["calls"] = kept.get("calls", 0) + 1
            return [{"calls": kept["calls"]}] * SEEDS

        return evaluate

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    checkpoint = Checkpoint(tmp_path / "kept")
    first: dict[str, Any] = {}
    with pytest.raises(Killed):
        trained(settings(), evaluate=counting(first), kept=first, checkpoint=checkpoint, progress=killed_at(7))
    second: dict[str, Any] = {}
    found, _ = trained(settings(), evaluate=counting(second), kept=second, checkpoint=checkpoint)
    assert [row["calls"] for row in found.course if row["model"] == 0] == [1, 2, 3, 4]
    assert second == {"calls": 4}


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("stop", [2, 5, 11])
def test_a_resumed_trial_gives_the_same_records_and_course(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool, stop: int
) -> None:
    given = {**DIGITS, "seed": {"a": 0, "b": 1}, "together": together, "label_noise": 0.2}
    run = Run("small", threads=1)
    whole = called(run, **given)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    interrupted = Run("small", threads=1, checkpoint_folder=tmp_path / "kept")
    interrupted.progress = killed_at(stop)  # type: ignore[method-assign]
    with pytest.raises(Killed):
        called(interrupted, **given)
    assert Checkpoint(tmp_path / "kept").load()["step"] == stop
    resumed = Run("small", threads=1, checkpoint_folder=tmp_path / "kept")
    assert called(resumed, **given) == whole
    assert resumed.tables["course"].equals(run.tables["course"])


def test_a_resumed_transformer_gives_the_same_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = called(Run("small", threads=1), passes=3, every=2)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    interrupted = Run("small", threads=1, checkpoint_folder=tmp_path / "kept")
    interrupted.progress = killed_at(5)  # type: ignore[method-assign]
    with pytest.raises(Killed):
        called(interrupted, passes=3, every=2)
    assert called(Run("small", threads=1, checkpoint_folder=tmp_path / "kept"), passes=3, every=2) == whole


# What is trained


def test_plain_training_for_twice_the_steps_is_plain_training_continued() -> None:
    tables = {}
    for alpha in ("plain", "twice"):
        run = Run("small", threads=1)
        called(run, alpha=alpha)
        tables[alpha] = run.tables["course"]
    half = len(tables["plain"])
    assert list(tables["plain"]["step"]) == [3, 6, 9, 12] and list(tables["twice"]["step"])[-1] == 24
    assert len(tables["twice"]) == 2 * half
    assert tables["twice"].head(half).equals(tables["plain"])
    assert not tables["twice"].tail(half).reset_index(drop=True)["loss"].equals(tables["plain"]["loss"])


@pytest.mark.parametrize("cls", STACKS)
def test_a_doubled_batch_is_not_plain_training(cls: type[Stack]) -> None:
    _, plain = trained(settings(passes=1, alpha=0.0), cls)
    _, doubled = trained(settings(alpha=0.0), cls)
    _, rdrop = trained(settings(), cls)
    assert not equal(plain, doubled) and not equal(doubled, rdrop)
    # Without dropout both copies are one: a doubled batch is plain training, with R-Drop or without, to rounding.
    none = [trained(settings(passes=p, alpha=a), OneByOne, dropout=0.0)[1] for p, a in ((1, 0.0), (2, 0.0), (2, 5.0))]
    for other in none[1:]:
        for name, value in none[0].items():
            torch.testing.assert_close(value, other[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("cls", STACKS)
@pytest.mark.parametrize(("every", "passes"), [(1, 2), (2, 2), (3, 3), (20, 2)])
def test_r_drop_at_every_so_manieth_step_and_one_pass_between(
    monkeypatch: pytest.MonkeyPatch, cls: type[Stack], every: int, passes: int
) -> None:
    seen: list[tuple[int, int]] = []

    def spy(logits: Tensor, targets: Tensor, alpha: float, **more: Any) -> Loss:
        seen.append((more["passes"], logits.shape[0]))
        return rdrop_loss(logits, targets, alpha, **more)

    monkeypatch.setattr(training, "rdrop_loss", spy)
    trained(settings(every=every, passes=passes), cls, seeds=(0,))
    expected = [passes if step % every == 0 else 1 for step in range(STEPS)]
    assert seen == [(own, own * BATCH) for own in expected]


def test_steps_between_those_of_r_drop_are_plain_ones() -> None:
    # Only the first step of so long a distance is R-Drop's; without dropout it is a plain one too.
    _, far = trained(settings(every=STEPS, alpha=3.0), dropout=0.0)
    _, plain = trained(settings(passes=1, alpha=0.0), dropout=0.0)
    for name, value in plain.items():
        torch.testing.assert_close(value, far[name], rtol=0, atol=1e-5)
    # With dropout it is a doubled batch that the first step alone has.
    _, far = trained(settings(every=STEPS, alpha=0.0))
    _, plain = trained(settings(passes=1, alpha=0.0))
    assert not equal(far, plain) and not equal(far, trained(settings(alpha=0.0))[1])


def test_every_option_of_the_loss_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def spy(logits: Tensor, targets: Tensor, alpha: float, **more: Any) -> Loss:
        seen.append({"alpha": alpha, **{name: more[name] for name in ("passes", "convention", "label_smoothing")}})
        return rdrop_loss(logits, targets, alpha, **more)

    monkeypatch.setattr(training, "rdrop_loss", spy)
    given = {"alpha": 3, "passes": 3, "convention": "notes", "label_smoothing": 0.1}
    called(Run("small", threads=1), **given, steps=2, evaluations=1)
    assert seen == [{**given, "alpha": 3.0}] * 2
    seen.clear()
    called(Run("small", threads=1), alpha="plain", passes=3, every=2, steps=2, evaluations=1)
    assert seen == [{"alpha": 0.0, "passes": 1, "convention": "paper", "label_smoothing": 0.0}] * 2


def test_the_course_has_a_row_an_evaluation_and_model() -> None:
    outcome, _ = trained(settings())
    assert [(row["step"], row["model"]) for row in outcome.course] == [
        (step, model) for step in (3, 6, 9, 10) for model in range(SEEDS)
    ]
    assert outcome.diverged == {}
    assert all(math.isfinite(row["loss"]) for row in outcome.course)
    assert outcome.course[0]["loss"] != outcome.course[1]["loss"]


def test_the_loss_falls() -> None:
    outcome, _ = trained(settings(steps=60, evaluate=1), dropout=0.1)
    losses = [row["loss"] for row in outcome.course if row["model"] == 0]
    assert numpy.mean(losses[-10:]) < 0.8 * numpy.mean(losses[:10])


def test_models_in_company_are_those_alone() -> None:
    outcome, both = trained(settings())
    for place, seed in enumerate(range(SEEDS)):
        alone, own = trained(settings(), seeds=(seed,))
        assert equal({name: value[place : place + 1] for name, value in both.items()}, own)
        found = [{**row, "model": 0} for row in outcome.course if row["model"] == place]
        assert found == alone.course


# Order


@pytest.mark.parametrize(("count", "batch"), [(20, 4), (22, 4), (5, 5), (7, 1)])
def test_an_epoch_takes_every_example_at_most_once(count: int, batch: int) -> None:
    order = Order(Stream("order"), count, batch)
    per_epoch = count // batch
    epochs = [
        numpy.concatenate([order.indices(epoch * per_epoch + step) for step in range(per_epoch)]) for epoch in range(3)
    ]
    for taken in epochs:
        assert len(taken) == len(set(taken.tolist())) == per_epoch * batch
        assert taken.min() >= 0 and taken.max() < count
    if count > 1:
        assert not any(numpy.array_equal(one, two) for one, two in itertools.combinations(epochs, 2))
    if count % batch == 0:
        assert all(sorted(taken) == list(range(count)) for taken in epochs)


def test_any_step_by_itself_takes_what_it_takes_in_its_turn() -> None:
    order = Order(Stream("order"), 22, 4)
    in_turn = [order.indices(step).copy() for step in range(17)]
    for step in (16, 3, 7, 0):
        assert numpy.array_equal(Order(Stream("order"), 22, 4).indices(step), in_turn[step])
    assert not numpy.array_equal(Order(Stream("order", 1), 22, 4).indices(0), in_turn[0])


def test_every_example_comes_up_in_the_long_run() -> None:
    order = Order(Stream("order"), 22, 4)
    assert {int(index) for step in range(5 * 40) for index in order.indices(step)} == set(range(22))


def test_too_few_examples_for_a_batch() -> None:
    with pytest.raises(ValueError, match="3 training examples do not fill a batch of 4"):
        Order(Stream("order"), 3, 4)
    with pytest.raises(UserError, match="procedural-text: 48 training examples do not fill a batch of 49"):
        called(Run("small", threads=1), batch_size=49)


def batches_of(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> list[tuple[Tensor, Tensor]]:
    """Return the first copy of every step's batch, and its targets."""
    seen: list[tuple[Tensor, Tensor]] = []
    original = training.make_step

    def spy(stack: Stack, batch: Tensor, targets: Tensor, *rest: Any, **more: Any) -> Tensor:
        count = targets.shape[1]
        for copy in range(batch.shape[1] // count):
            assert torch.equal(batch[:, copy * count : (copy + 1) * count], batch[:, :count])
        seen.append((batch[:, :count].clone(), targets.clone()))
        return original(stack, batch, targets, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(training, "make_step", spy)
        called(Run("small", threads=1), **changed)
    return seen


def test_all_arms_take_the_same_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = batches_of(monkeypatch, alpha="plain")
    assert len(plain) == 12 and plain[0][0].shape == (1, 8, 6)
    arms: list[dict[str, Any]] = [
        {"alpha": "twice"}, {"alpha": 0}, {"alpha": 5}, {"alpha": 1, "passes": 3}, {"alpha": 1, "every": 3},
        {"alpha": 1, "dropout": 0.0}, {"alpha": 1, "weight_decay": 1.0},
    ]  # fmt: skip
    for arm in arms:
        found = batches_of(monkeypatch, **arm)
        assert len(found) == (24 if arm["alpha"] == "twice" else 12)
        for (batch, targets), (own, wanted) in zip(plain, found, strict=False):
            assert torch.equal(batch, own) and torch.equal(targets, wanted)
    noisy = batches_of(monkeypatch, alpha="plain", label_noise=0.5)
    assert all(torch.equal(one[0], two[0]) for one, two in zip(plain, noisy, strict=True))
    assert not all(torch.equal(one[1], two[1]) for one, two in zip(plain, noisy, strict=True))
    other = batches_of(monkeypatch, alpha="plain", seed={"b": 1})
    assert not torch.equal(plain[0][0], other[0][0])


# Learning rates


def rates(steps: int, **given: Any) -> list[float]:
    found = OptimiserSettings(learning_rate=0.3, **given)
    return [found.rate_at(step, steps) for step in range(steps)]


def by_torch(steps: int, make: Callable[[torch.optim.Optimizer], Any], first: int = 0) -> list[float]:
    """Return the rates of a schedule of a library from its step ``first`` on."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = make(optimiser)
    found = []
    for _ in range(first + steps):
        found.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    return found[first:]


def test_a_constant_rate_after_the_warm_up() -> None:
    assert rates(4) == [0.3] * 4
    assert rates(6, warmup_steps=3) == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.3, 0.3])
    # torch's warm-up from a third.
    scheduler = torch.optim.lr_scheduler.LinearLR
    assert rates(6, warmup_steps=3) == pytest.approx(
        by_torch(6, lambda o: scheduler(o, start_factor=1 / 3, total_iters=2)), rel=1e-12
    )


def test_linear_and_cosine_rates_are_torchs() -> None:
    lr = torch.optim.lr_scheduler
    linear = by_torch(20, lambda o: lr.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=20))
    cosine = by_torch(20, lambda o: lr.CosineAnnealingLR(o, T_max=20))
    assert rates(20, schedule="linear") == pytest.approx(linear, rel=1e-9)
    assert rates(20, schedule="cosine") == pytest.approx(cosine, rel=1e-9)
    assert linear != pytest.approx(cosine, rel=1e-2)


@pytest.mark.parametrize("warmup", [0, 5])
def test_rates_after_a_warm_up_are_those_of_transformers(warmup: int) -> None:
    for schedule, make in (
        ("linear", transformers.get_linear_schedule_with_warmup),
        ("cosine", transformers.get_cosine_schedule_with_warmup),
    ):
        ours = rates(20, schedule=schedule, warmup_steps=warmup)
        theirs = by_torch(20, lambda o, make=make: make(o, warmup, 20))  # type: ignore[misc]
        assert ours[warmup:] == pytest.approx(theirs[warmup:], rel=1e-9)
        # Theirs begins its warm-up with a step at zero, ours with the next one.
        assert ours[:warmup] == pytest.approx(theirs[1 : warmup + 1], rel=1e-9)


def test_the_inverse_square_root_is_that_of_transformers_and_of_its_formula() -> None:
    ours = rates(30, schedule="inverse-square-root", warmup_steps=6)
    theirs = by_torch(30, lambda o: transformers.get_inverse_sqrt_schedule(o, 6), first=1)
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert max(ours) == ours[5] == pytest.approx(0.3)
    assert ours[23] == pytest.approx(0.3 * math.sqrt(6 / 24))
    assert rates(4, schedule="inverse-square-root") == pytest.approx([0.3 / math.sqrt(n) for n in (1, 2, 3, 4)])


@pytest.mark.parametrize("schedule", ["constant", "inverse-square-root", "linear", "cosine"])
def test_rates_never_rise_after_the_warm_up_and_never_leave_their_range(schedule: str) -> None:
    found = rates(40, schedule=schedule, warmup_steps=8)
    assert found[:8] == sorted(found[:8]) and found[8:] == sorted(found[8:], reverse=True)
    assert min(found) > 0 and max(found) <= 0.3 * (1 + 1e-12)
    assert len(rates(3, schedule=schedule, warmup_steps=8)) == 3


@pytest.mark.parametrize("schedule", ["constant", "inverse-square-root", "linear", "cosine"])
def test_which_longer_trainings_are_shorter_ones_continued(schedule: str) -> None:
    continued = rates(20, schedule=schedule, warmup_steps=2)[:10] == rates(10, schedule=schedule, warmup_steps=2)
    assert continued == (schedule in ("constant", "inverse-square-root"))


@pytest.mark.parametrize("cls", STACKS)
def test_steps_are_made_at_the_schedules_rates(cls: type[Stack], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    original = cls.step

    def spy(self: Stack, inputs: Tensor, targets: Tensor, masks: Any, loss: Any, rate: float, *rest: Any) -> Tensor:
        seen.append(rate)
        return original(self, inputs, targets, masks, loss, rate, *rest)

    monkeypatch.setattr(cls, "step", spy)
    wanted = OptimiserSettings(learning_rate=0.3, schedule="cosine", warmup_steps=3)
    trained(settings(optimiser=wanted), cls)
    assert seen == rates(STEPS, schedule="cosine", warmup_steps=3)


# Divergence


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("cls", STACKS)
def test_a_loss_that_is_not_finite_ends_the_training(
    monkeypatch: pytest.MonkeyPatch, cls: type[Stack], bad: float
) -> None:
    calls = itertools.count()

    def broken(logits: Tensor, targets: Tensor, alpha: float, **more: Any) -> Loss:
        found = rdrop_loss(logits, targets, alpha, **more)
        worse = bad if next(calls) >= 4 else 1.0
        return Loss(found.total * worse, found.cross_entropy, found.divergence)

    monkeypatch.setattr(training, "rdrop_loss", broken)
    outcome, _ = trained(settings(), cls, seeds=(0,))
    assert outcome.diverged == {0: 6}
    assert [row["step"] for row in outcome.course] == [3]


@pytest.mark.parametrize("together", [False, True])
def test_a_diverged_trial_says_so_with_nan(together: bool) -> None:
    optimiser = {"kind": "sgd", "learning_rate": 1e30}
    run = Run("small", threads=1)
    records = called(run, **DIGITS, optimiser=optimiser, seed={"a": 0, "b": 1}, together=together)
    assert [record["seed"] for record in records] == ["a", "b"]
    for record in records:
        assert isinstance(record["diverged_at"], int) and 0 <= record["diverged_at"] < 12
        for name in ("accuracy", "nll", "ece", "inconsistency"):
            assert math.isnan(record[name]) and math.isnan(record[f"{name}_last"])
        assert math.isnan(record["validation_accuracy"])
        assert record["steps"] == 12 and record["parameters"] > 0
    assert "diverged_at" not in called(Run("small", threads=1), **DIGITS)[0]


def test_transformers_are_trained_by_the_same_function() -> None:
    model = TransformerSettings(kind="transformer", width=8, layers=1, heads=2)
    built = build_small_model(model, (5,), 11, CLASSES, Stream("training", "init"))
    words = Examples(torch.randint(11, (12, 5), generator=torch.Generator().manual_seed(0)), torch.arange(12) % CLASSES)
    before = built.embedding.weight.detach().clone()
    drawers = [MaskDrawer(Stream("training", "dropout"), sites_of(built), [0.3, 0.3])]
    orders = [Order(Stream("training", "order"), 12, BATCH)]
    outcome = train(
        OneByOne([built], ADAMW, CPU), words, settings(steps=3), orders, drawers, lambda done: [{}], device=CPU
    )
    assert [row["step"] for row in outcome.course] == [3]
    assert not torch.equal(built.embedding.weight, before)


@pytest.mark.parametrize("cls", STACKS)
def test_one_model_that_diverges_leaves_the_others_as_they_were(
    monkeypatch: pytest.MonkeyPatch, cls: type[Stack]
) -> None:
    usual, _ = trained(settings(), cls)
    made = training.make_step

    def broken(stack: Stack, *given: Any, **more: Any) -> Tensor:
        losses = made(stack, *given, **more)
        return torch.where(torch.arange(len(losses)) == 0, math.nan, losses)

    monkeypatch.setattr(training, "make_step", broken)
    outcome, _ = trained(settings(), cls)
    assert outcome.diverged == {0: 3}
    others = [[row for row in found.course if row["model"] > 0] for found in (usual, outcome)]
    assert others[0] == others[1] != []
