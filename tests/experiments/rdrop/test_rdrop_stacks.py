"""Models together are models one by one; a state goes on bit for bit; whose dropout masks are whose."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import pytest
import scipy.stats
import torch
from torch import Tensor

from experiments.rdrop.dropout import Dropout, MaskDrawer, Masks, sites_of
from experiments.rdrop.loss import rdrop_loss
from experiments.rdrop.model_settings import (
    PerceptronSettings,
    SmallModelSettings,
    TransformerSettings,
    VisionTransformerSettings,
)
from experiments.rdrop.models import SmallModel, build_small_model
from experiments.rdrop.optimiser_settings import OptimiserSettings
from experiments.rdrop.stacks import OneByOne, Stack, Together, build_optimiser
from harness.execution.streams import Stream

CPU = torch.device("cpu")
COUNT, BATCH, CLASSES, WORDS = 3, 6, 3, 11
RATE = 3e-3
ADAMW = OptimiserSettings(kind="adamw", learning_rate=RATE, weight_decay=0.1)
SGD = OptimiserSettings(kind="sgd", learning_rate=RATE, weight_decay=0.1, momentum=0.9)

MODELS: dict[str, tuple[SmallModelSettings, tuple[int, ...], int]] = {
    "perceptron": (PerceptronSettings(kind="perceptron", widths=(12, 8)), (1, 4, 4), 0),
    "transformer": (TransformerSettings(kind="transformer", width=8, layers=2, heads=2), (5,), WORDS),
    "vision-transformer": (
        VisionTransformerSettings(kind="vision-transformer", width=8, layers=2, heads=2, patch=2),
        (3, 4, 4),
        0,
    ),
}


def one_model(kind: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> SmallModel:
    settings, shape, vocabulary = MODELS[kind]
    return build_small_model(settings, shape, vocabulary, CLASSES, Stream("stacks", "init", seed)).to(dtype)


def built(kind: str, first_seed: int = 0, dtype: torch.dtype = torch.float32) -> list[SmallModel]:
    return [one_model(kind, first_seed + place, dtype) for place in range(COUNT)]


def examples(kind: str, step: int, count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Inputs and targets of a step, the same for whoever asks."""
    generator = torch.Generator().manual_seed(1000 + step)
    _, shape, vocabulary = MODELS[kind]
    if vocabulary:
        inputs = torch.randint(vocabulary, (count, *shape), generator=generator)
    else:
        inputs = torch.randn(count, *shape, generator=generator).to(dtype)
    return inputs, torch.randint(CLASSES, (count,), generator=generator)


def drawers_of(kind: str, name: str = "masks", rate: float = 0.3) -> list[MaskDrawer]:
    sites = sites_of(one_model(kind))
    return [MaskDrawer(Stream("stacks", name, place), sites, [rate, rate]) for place in range(COUNT)]


def rdrop(logits: Tensor, targets: Tensor) -> Tensor:
    return rdrop_loss(logits, targets, 1.0).total


def trained(
    stack: Stack,
    kind: str,
    steps: range,
    drawers: list[MaskDrawer],
    dtype: torch.dtype = torch.float32,
    rate: float = RATE,
) -> Tensor:
    """Train with R-Drop on a doubled batch, every model on examples of its own; return the losses [steps, S]."""
    losses = []
    for step in steps:
        inputs, targets = examples(kind, step, COUNT * BATCH, dtype)
        batch = inputs.unflatten(0, (COUNT, BATCH))
        drawn = [drawer.draw(BATCH, 2) for drawer in drawers]
        masks = {site: torch.stack([own[site] for own in drawn]).to(dtype) for site in drawn[0]}
        doubled = torch.cat([batch, batch], dim=1)
        losses.append(stack.step(doubled, targets.unflatten(0, (COUNT, BATCH)), masks, rdrop, rate))
    return torch.stack(losses)


def parameters_of(stack: Stack) -> dict[str, Tensor]:
    """By name, [S, ...]."""
    if isinstance(stack, Together):
        return {name: value.detach().clone() for name, value in stack.parameters.items()}
    assert isinstance(stack, OneByOne)
    states = [model.state_dict() for model in stack.models]
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def furthest(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> float:
    assert one.keys() == two.keys()
    return max((one[name] - two[name]).abs().max().item() for name in one)


def build(cls: type[Stack], kind: str, settings: OptimiserSettings, **changed: Any) -> Stack:
    return cls(built(kind, **changed), settings, CPU)  # type: ignore[call-arg]


@pytest.mark.parametrize("settings", [ADAMW, SGD], ids=["adamw", "sgd"])
@pytest.mark.parametrize(
    ("kind", "dtype", "tolerance"),
    [("perceptron", torch.float32, 1e-5)] + [(kind, torch.float64, 1e-9) for kind in MODELS],
)
def test_together_is_one_by_one(kind: str, dtype: torch.dtype, tolerance: float, settings: OptimiserSettings) -> None:
    steps = range(60 if kind == "perceptron" else 20)
    stacks = [build(cls, kind, settings, dtype=dtype) for cls in (Together, OneByOne)]
    before = parameters_of(stacks[0])
    assert furthest(before, parameters_of(stacks[1])) == 0
    losses = [trained(stack, kind, steps, drawers_of(kind), dtype) for stack in stacks]
    assert losses[0].shape == (len(steps), COUNT)
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=tolerance)
    together, alone = (parameters_of(stack) for stack in stacks)
    assert furthest(together, alone) < tolerance
    assert furthest(together, before) > 0.01
    inputs, _ = examples(kind, 999, 7, dtype)
    # One by one returns logits in float32.
    torch.testing.assert_close(stacks[0].logits(inputs).float(), stacks[1].logits(inputs).float(), rtol=0, atol=1e-5)
    # Other masks make other models: the comparison can fail.
    control = build(Together, kind, settings, dtype=dtype)
    trained(control, kind, steps, drawers_of(kind, "others"), dtype)
    assert furthest(together, parameters_of(control)) > 1e-3


@pytest.mark.parametrize("kind", ["transformer", "vision-transformer"])
def test_transformers_together_are_one_by_one_in_single_precision(kind: str) -> None:
    stacks = [build(cls, kind, ADAMW) for cls in (Together, OneByOne)]
    losses = [trained(stack, kind, range(10), drawers_of(kind)) for stack in stacks]
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-5)
    inputs, _ = examples(kind, 999, 7)
    torch.testing.assert_close(stacks[0].logits(inputs), stacks[1].logits(inputs), rtol=0, atol=1e-5)
    other = trained(build(Together, kind, ADAMW, first_seed=1), kind, range(10), drawers_of(kind))
    assert (losses[0] - other).abs().max() > 1e-3


@pytest.mark.parametrize("kind", MODELS)
def test_logits_together_are_those_one_by_one(kind: str) -> None:
    together, alone = (build(cls, kind, ADAMW) for cls in (Together, OneByOne))
    inputs, _ = examples(kind, 0, 2 * BATCH)
    laid = drawers_of(kind)[0].draw(BATCH, 2)
    for masks in (None, laid):
        found = together.logits(inputs, masks)
        assert found.shape == (COUNT, 2 * BATCH, CLASSES) and not found.requires_grad
        torch.testing.assert_close(found, alone.logits(inputs, masks), rtol=0, atol=1e-6)
    assert (together.logits(inputs) - together.logits(inputs, laid)).abs().max() > 1e-3


@pytest.mark.parametrize("cls", [Together, OneByOne])
@pytest.mark.parametrize("kind", MODELS)
def test_a_step_returns_the_losses_before_it(cls: type[Stack], kind: str) -> None:
    stack = cls([one_model(kind)], ADAMW, CPU)  # type: ignore[call-arg]
    inputs, targets = examples(kind, 0, BATCH)
    doubled = torch.cat([inputs, inputs])
    laid = drawers_of(kind)[0].draw(BATCH, 2)
    expected = rdrop(stack.logits(doubled, laid)[0], targets)
    masks = {site: mask.unsqueeze(0) for site, mask in laid.items()}
    (found,) = stack.step(doubled.unsqueeze(0), targets.unsqueeze(0), masks, rdrop, RATE)
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    assert not found.requires_grad
    assert abs(rdrop(stack.logits(doubled, laid)[0], targets) - expected) > 1e-4


@pytest.mark.parametrize("cls", [Together, OneByOne])
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_the_rate_of_a_step_is_the_one_that_counts(cls: type[Stack], kind: Any) -> None:
    settings = OptimiserSettings(kind=kind, learning_rate=0.5, momentum=0.0)
    moved = {}
    for rate in (0.0, 1e-4, 2e-4):
        stack = build(cls, "perceptron", settings)
        before = parameters_of(stack)
        trained(stack, "perceptron", range(1), drawers_of("perceptron"), rate=rate)
        moved[rate] = furthest(before, parameters_of(stack))
    assert moved[0.0] == 0 and moved[1e-4] > 1e-6
    assert moved[2e-4] == pytest.approx(2 * moved[1e-4], rel=1e-2)


@pytest.mark.parametrize("settings", [ADAMW, SGD], ids=["adamw", "sgd"])
@pytest.mark.parametrize("cls", [Together, OneByOne])
@pytest.mark.parametrize("kind", MODELS)
def test_a_kept_state_goes_on_bit_for_bit(cls: type[Stack], kind: str, settings: OptimiserSettings) -> None:
    whole = build(cls, kind, settings)
    drawers = drawers_of(kind)
    trained(whole, kind, range(4), drawers)
    kept = io.BytesIO()
    torch.save({"stack": whole.state(), "drawers": [drawer.state() for drawer in drawers]}, kept)
    rest = trained(whole, kind, range(4, 9), drawers)

    def continued(stack_too: bool, drawers_too: bool) -> tuple[Stack, Tensor]:
        kept.seek(0)
        state = torch.load(kept, weights_only=False)
        # From other weights, and with generators elsewhere.
        stack, own = (
            build(cls, kind, settings, first_seed=50),
            drawers_of(kind, "elsewhere" if drawers_too else "masks"),
        )
        if stack_too:
            stack.resume(state["stack"])
        if drawers_too:
            for drawer, place in zip(own, state["drawers"], strict=True):
                drawer.draw(3, 1)
                drawer.resume(place)
        return stack, trained(stack, kind, range(4, 9), own)

    stack, losses = continued(True, True)
    assert torch.equal(losses, rest) and furthest(parameters_of(stack), parameters_of(whole)) == 0
    for parts in ((True, False), (False, True)):
        stack, losses = continued(*parts)
        assert not torch.equal(losses, rest) and furthest(parameters_of(stack), parameters_of(whole)) > 1e-4


@pytest.mark.parametrize("cls", [Together, OneByOne])
def test_the_optimisers_own_state_is_kept_too(cls: type[Stack]) -> None:
    whole = build(cls, "perceptron", ADAMW)
    drawers = drawers_of("perceptron")
    trained(whole, "perceptron", range(4), drawers)
    kept = io.BytesIO()
    torch.save(whole.state(), kept)
    kept.seek(0)
    places = [drawer.state() for drawer in drawers]
    rest = trained(whole, "perceptron", range(4, 9), drawers)
    without = build(cls, "perceptron", ADAMW)
    state = torch.load(kept, weights_only=False)
    fresh = build(cls, "perceptron", ADAMW).state()
    for name in ("optimiser", "optimisers"):
        if name in state:
            state[name] = fresh[name]
    without.resume(state)
    for drawer, place in zip(drawers, places, strict=True):
        drawer.resume(place)
    losses = trained(without, "perceptron", range(4, 9), drawers)
    assert torch.equal(losses[0], rest[0]) and not torch.equal(losses[1:], rest[1:])


def test_gradients_are_not_clipped_together() -> None:
    clipped = OptimiserSettings(learning_rate=RATE, clip=1.0)
    with pytest.raises(ValueError, match="'clip' needs models trained one by one"):
        Together(built("perceptron"), clipped, CPU)
    assert OneByOne(built("perceptron"), clipped, CPU).clip == 1.0


def test_clipped_gradients_have_the_length_asked_for_model_by_model() -> None:
    def lengths(clip: float | None) -> Tensor:
        settings = OptimiserSettings(kind="sgd", learning_rate=1.0, momentum=0.0, clip=clip)
        stack = build(OneByOne, "perceptron", settings)
        before = parameters_of(stack)
        trained(stack, "perceptron", range(1), drawers_of("perceptron"), rate=1.0)
        after = parameters_of(stack)
        squares = [(after[name] - before[name]).double().square().flatten(1).sum(1) for name in after]
        return torch.stack(squares).sum(0).sqrt()

    free = lengths(None)
    assert free.min() > 0.1 and free.max() / free.min() > 1.01
    torch.testing.assert_close(lengths(0.05), torch.full((COUNT,), 0.05, dtype=torch.float64), rtol=1e-3, atol=0)
    torch.testing.assert_close(lengths(1e6), free, rtol=1e-5, atol=0)


@pytest.mark.parametrize("pieces", [number for number in range(2, BATCH + 1) if BATCH % number == 0])
def test_a_batch_in_pieces_makes_the_same_step(pieces: int) -> None:
    """Every example passes with all its copies and masks, and the gradients add up to the batch's."""
    kind, dtype = "transformer", torch.float64
    whole, cut = (OneByOne(built(kind, dtype=dtype), SGD, CPU, pieces=number) for number in (1, pieces))
    losses = [trained(stack, kind, range(3), drawers_of(kind), dtype) for stack in (whole, cut)]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(cut.gradient_norms(), whole.gradient_norms(), rtol=1e-9, atol=1e-9)
    assert furthest(parameters_of(cut), parameters_of(whole)) < 1e-10


def test_the_optimisers_are_those_asked_for() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    adamw = build_optimiser([parameter], ADAMW.model_copy(update={"betas": (0.8, 0.95)}))
    assert isinstance(adamw, torch.optim.AdamW)
    assert (adamw.defaults["lr"], adamw.defaults["weight_decay"], adamw.defaults["betas"]) == (RATE, 0.1, (0.8, 0.95))
    sgd = build_optimiser([parameter], SGD)
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["lr"], sgd.defaults["weight_decay"], sgd.defaults["momentum"]) == (RATE, 0.1, 0.9)


def without_masks(cls: type[Stack]) -> Tensor:
    stack = build(cls, "perceptron", ADAMW)
    inputs, targets = examples("perceptron", 0, COUNT * BATCH)
    return stack.step(
        inputs.unflatten(0, (COUNT, BATCH)),
        targets.unflatten(0, (COUNT, BATCH)),
        None,
        torch.nn.functional.cross_entropy,
        RATE,
    )


def test_a_step_without_dropout_needs_no_masks_one_by_one() -> None:
    found = without_masks(OneByOne)
    inputs, targets = examples("perceptron", 0, COUNT * BATCH)
    logits = build(OneByOne, "perceptron", ADAMW).logits(inputs)
    for place, value in enumerate(found):
        own = slice(place * BATCH, (place + 1) * BATCH)
        expected = torch.nn.functional.cross_entropy(logits[place, own], targets[own])
        assert value.item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_step_without_dropout_needs_no_masks_together() -> None:
    torch.testing.assert_close(without_masks(Together), without_masks(OneByOne), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cls", [Together, OneByOne])
def test_no_masks_are_left_behind(cls: type[Stack]) -> None:
    models = built("perceptron")
    stack = cls(models, ADAMW, CPU)  # type: ignore[call-arg]
    trained(stack, "perceptron", range(1), drawers_of("perceptron"))
    inputs, _ = examples("perceptron", 0, 2 * BATCH)
    stack.logits(inputs, drawers_of("perceptron")[0].draw(BATCH, 2))
    assert all(model.masks.current is None for model in models)
    # Not even where a pass fails: too few masks for the batch.
    with pytest.raises(Exception, match="size|batch|dimension"):
        stack.logits(inputs, drawers_of("perceptron")[0].draw(BATCH - 1, 2))
    assert all(model.masks.current is None for model in models)


# Masks


def test_copies_meet_masks_of_their_own_and_the_first_those_of_plain_training() -> None:
    sites = sites_of(one_model("transformer"))
    stream = Stream("stacks", "dropout")
    double, single = MaskDrawer(stream, sites, [0.3, 0.3]), MaskDrawer(stream, sites, [0.3])
    mixed, other = MaskDrawer(stream, sites, [0.3, 0.3]), MaskDrawer(Stream("stacks", "other"), sites, [0.3])
    earlier: dict[str, Tensor] = {}
    for step in range(4):
        two, one = double.draw(BATCH, 2), single.draw(BATCH, 1)
        # R-Drop at every second step only.
        some, elsewhere = mixed.draw(BATCH, 2 if step % 2 == 0 else 1), other.draw(BATCH, 1)
        assert two.keys() == one.keys() == sites.keys()
        for site, shape in sites.items():
            first, second = two[site].chunk(2)
            assert one[site].shape == first.shape == (BATCH, *shape)
            assert torch.equal(first, one[site]) and torch.equal(some[site][:BATCH], one[site])
            assert not torch.equal(first, second)
            assert not torch.equal(one[site], elsewhere[site])
            assert site not in earlier or not torch.equal(earlier[site], one[site])
        earlier = one


def test_a_third_copy_leaves_the_others_as_they_are() -> None:
    sites = {"a": (7,), "b": (3, 2)}
    two, three = (MaskDrawer(Stream("third"), sites, [0.4] * count) for count in (2, 3))
    for _ in range(3):
        fewer, more = two.draw(5, 2), three.draw(5, 3)
        for site in sites:
            assert torch.equal(more[site][:10], fewer[site])
            assert more[site].shape[0] == 15
            assert not torch.equal(more[site][10:], more[site][:5]) and not torch.equal(
                more[site][10:], more[site][5:10]
            )


def agreement(one: Tensor, two: Tensor, rate: float) -> float:
    """The probability of an agreement as far from that of independent masks."""
    equal = int(((one > 0) == (two > 0)).sum())
    return float(scipy.stats.binomtest(equal, one.numel(), rate**2 + (1 - rate) ** 2).pvalue)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_masks_keep_at_the_rate_and_scale_what_they_keep(rate: float) -> None:
    sites = {"a": (40,), "b": (40,), "c": (2, 30, 3)}
    drawn = MaskDrawer(Stream("rates"), sites, [rate, 0.2]).draw(100, 2)
    for site, shape in sites.items():
        for part, expected in zip(drawn[site].chunk(2), (rate, 0.2), strict=True):
            assert part.shape == (100, *shape) and part.dtype == torch.float32
            kept = part > 0
            assert scipy.stats.binomtest(int(kept.sum()), kept.numel(), 1 - expected).pvalue > 1e-4
            assert set(part.unique().tolist()) == {0.0, torch.tensor(1 / (1 - expected)).item()}
    # Sites of one shape, units of one site and examples of one batch are independent.
    first, second = drawn["a"][:100], drawn["b"][:100]
    assert agreement(first, second, rate) > 1e-4
    assert agreement(first[:, :20], first[:, 20:], rate) > 1e-4
    assert agreement(first[:50], first[50:], rate) > 1e-4
    assert agreement(first, first, rate) < 1e-4


def test_without_a_rate_everything_is_kept() -> None:
    drawn = MaskDrawer(Stream("none"), {"a": (9,)}, [0.0, 0.5]).draw(20, 2)["a"]
    assert (drawn[:20] == 1).all() and (drawn[20:] == 0).any()


def test_a_drawers_state_is_a_copy() -> None:
    drawer = MaskDrawer(Stream("state"), {"a": (5,), "b": (3,)}, [0.5, 0.5])
    # An odd number of draws, so that half of a word is left.
    drawer.draw(1, 2)
    drawer.draw(3, 1)
    state = drawer.state()
    ahead = [drawer.draw(7, 2) for _ in range(3)]
    drawer.resume(state)
    again = [drawer.draw(7, 2) for _ in range(3)]
    assert all(torch.equal(one[site], two[site]) for one, two in zip(ahead, again, strict=True) for site in one)
    assert not torch.equal(ahead[0]["a"], ahead[1]["a"])


@pytest.mark.parametrize("kind", MODELS)
def test_every_site_multiplies_by_its_own_mask(kind: str) -> None:
    model = one_model(kind)
    inputs, _ = examples(kind, 0, 2)
    sites = sites_of(model)
    assert len(sites) == {"perceptron": 2, "transformer": 7, "vision-transformer": 7}[kind]
    plain = model(inputs)
    ones = {site: torch.ones(2, *shape) for site, shape in sites.items()}
    model.masks.current = ones
    assert torch.equal(model(inputs), plain)
    for site in sites:
        # Of the second example only; some of its units, as a layer norm does not see a common factor.
        changed = ones[site].clone()
        changed[1, ..., ::2] = 0
        model.masks.current = ones | {site: changed}
        found = model(inputs)
        assert torch.equal(found[0], plain[0]), site
        assert (found[1] - plain[1]).abs().max() > 1e-5, site
        model.masks.current = {name: mask for name, mask in ones.items() if name != site}
        with pytest.raises(KeyError, match=site):
            model(inputs)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_without_masks_is_deterministic_and_that_of_evaluation(kind: str) -> None:
    model = one_model(kind)
    inputs, _ = examples(kind, 0, 5)
    training, evaluation = model.train()(inputs), model.eval()(inputs)
    assert torch.equal(training, evaluation) and torch.equal(training, model(inputs))
    model.masks.current = drawers_of(kind)[0].draw(5, 1)
    assert (model(inputs) - training).abs().max() > 1e-3


def test_a_dropout_site_is_torchs_dropout() -> None:
    masks = Masks()
    site = Dropout(masks, "a", (50,))
    x = torch.arange(1.0, 501.0).view(10, 50)
    assert torch.equal(site(x), x)
    masks.current = MaskDrawer(Stream("site"), {"a": (50,)}, [0.25]).draw(10, 1)
    found = site(x)
    torch.manual_seed(0)
    theirs = torch.nn.functional.dropout(x, 0.25, training=True)
    for dropped in (found, theirs):
        kept = dropped != 0
        assert 0 < kept.sum() < kept.numel()
        torch.testing.assert_close(dropped[kept], (x / 0.75)[kept])
    assert math.isclose(found.mean().item(), x.mean().item(), rel_tol=0.15)
