"""R-Drop's loss against the paper's equations and the arithmetic of the released code, written out in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from experiments.rdrop.conventions import CONVENTIONS, ConventionName
from experiments.rdrop.loss import Loss, mean_over_pairs, rdrop_loss, symmetric_divergence

EQUAL_WEIGHTS: list[ConventionName] = [name for name, form in CONVENTIONS.items() if form.first == form.second]


def problem(
    seed: int, batch: int, classes: int, length: int = 0, passes: int = 2, spread: float = 2.0
) -> tuple[Tensor, Tensor]:
    """Logits [passes x batch, (length,) classes] in float64, and targets; a length of 0 is classification."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, length) if length else (batch,)
    logits = spread * torch.randn(passes * batch, *shape[1:], classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, shape, generator=generator)


def value_and_gradient(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.detach().clone().requires_grad_()
    value = loss(leaf)
    return value.detach(), torch.autograd.grad(value, leaf)[0]


def assert_equal_with_gradient(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], logits: Tensor, atol: float = 1e-10
) -> None:
    for mine, reference in zip(value_and_gradient(ours, logits), value_and_gradient(theirs, logits), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-12, atol=atol)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of two sets of logits by torch, summed over examples and classes, as the released code has it."""
    return functional.kl_div(q.log_softmax(-1), p.softmax(-1), reduction="none").sum()


# Each takes the logits of the kept examples of both passes, their targets, alpha and the label smoothing.


def equations_2_to_4(a: Tensor, b: Tensor, y: Tensor, alpha: float, epsilon: float) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for one, two, target in zip(a.softmax(-1), b.softmax(-1), y.tolist(), strict=True):
        goal = torch.full_like(one, epsilon / len(one)).detach()
        goal[target] += 1 - epsilon
        negative = -(goal * one.log()).sum() - (goal * two.log()).sum()
        between = (one * (one / two).log()).sum() + (two * (two / one).log()).sum()
        total = total + negative + alpha / 2 * between
    return total / len(y)


def notes(a: Tensor, b: Tensor, y: Tensor, alpha: float, epsilon: float) -> Tensor:
    original = functional.cross_entropy(torch.cat([a, b]), torch.cat([y, y]), label_smoothing=epsilon)
    return original + alpha * (kl(a, b) + kl(b, a)) / len(y)


def bert(a: Tensor, b: Tensor, y: Tensor, alpha: float, epsilon: float) -> Tensor:
    first, second = (functional.cross_entropy(x, y, label_smoothing=epsilon) for x in (a, b))
    return first + second + alpha * (kl(a, b) + kl(b, a)) / 2


def readme(a: Tensor, b: Tensor, y: Tensor, alpha: float, epsilon: float) -> Tensor:
    first, second = (functional.cross_entropy(x, y, label_smoothing=epsilon) for x in (a, b))
    return 0.5 * (first + second) + alpha * (kl(a, b) + kl(b, a)) / 2


def roberta(a: Tensor, b: Tensor, y: Tensor, alpha: float, epsilon: float) -> Tensor:
    return 0.5 * functional.cross_entropy(a, y, label_smoothing=epsilon) + alpha * (kl(a, b) + kl(b, a)) / 2


def roberta_large(a: Tensor, b: Tensor, y: Tensor, alpha: float, epsilon: float) -> Tensor:
    negative = functional.cross_entropy(torch.cat([a, b]), torch.cat([y, y]), label_smoothing=epsilon, reduction="sum")
    return (negative + alpha * (kl(a, b) + kl(b, a)) / 2) / len(y)


def vision_transformer(a: Tensor, b: Tensor, y: Tensor, alpha: float, epsilon: float) -> Tensor:
    first, second = (functional.cross_entropy(x, y, label_smoothing=epsilon) for x in (a, b))
    return first + second + alpha * (kl(a, b) + kl(b, a))


REFERENCES: dict[ConventionName, Callable[[Tensor, Tensor, Tensor, float, float], Tensor]] = {
    "paper": equations_2_to_4,
    "notes": notes,
    "official-roberta-large": roberta_large,
    "official-readme": readme,
    "official-bert": bert,
    "official-roberta": roberta,
    "official-vision-transformer": vision_transformer,
}


def translation(logits: Tensor, targets: Tensor, alpha: float, epsilon: float, pad: Tensor) -> Tensor:
    """The criterion of the released fairseq code: a doubled batch, its pads filled with zero, everything summed."""
    log_p = logits.log_softmax(-1)
    doubled, pads = torch.cat([targets, targets]).unsqueeze(-1), torch.cat([pad, pad]).unsqueeze(-1)
    nll = -log_p.gather(-1, doubled).masked_fill(pads, 0.0).sum()
    smooth = -log_p.sum(-1, keepdim=True).masked_fill(pads, 0.0).sum()
    loss = (1.0 - epsilon) * nll + epsilon / log_p.shape[-1] * smooth
    first, second = log_p.chunk(2)
    p, q = logits.softmax(-1).chunk(2)
    forward = functional.kl_div(first, q, reduction="none").masked_fill(pad.unsqueeze(-1), 0.0).sum()
    reverse = functional.kl_div(second, p, reduction="none").masked_fill(pad.unsqueeze(-1), 0.0).sum()
    return (loss + alpha * (forward + reverse) / 2) / (~pad).sum()


def padding(seed: int, shape: torch.Size) -> Tensor:
    """True where a target is kept; one at least is."""
    keep = torch.rand(shape, generator=torch.Generator().manual_seed(seed + 1)) < 0.6
    keep.view(-1)[seed % keep.numel()] = True
    return keep


SOME = {
    "seed": st.integers(0, 10**6),
    "batch": st.integers(1, 5),
    "classes": st.integers(2, 6),
    "alpha": st.sampled_from([0.0, 0.1, 1.0, 5.0]) | st.floats(0.01, 10.0),
    "epsilon": st.sampled_from([0.0, 0.1, 0.5]),
}


@pytest.mark.parametrize("convention", REFERENCES)
@settings(deadline=None, max_examples=25)
@given(**SOME)
def test_value_and_gradient_are_the_sources_for_classes(
    convention: ConventionName, seed: int, batch: int, classes: int, alpha: float, epsilon: float
) -> None:
    logits, targets = problem(seed, batch, classes)
    assert_equal_with_gradient(
        lambda x: rdrop_loss(x, targets, alpha, convention=convention, label_smoothing=epsilon).total,
        lambda x: REFERENCES[convention](*x.chunk(2), targets, alpha, epsilon),
        logits,
    )


@pytest.mark.parametrize("convention", REFERENCES)
@settings(deadline=None, max_examples=25)
@given(**SOME, length=st.integers(1, 5))
def test_value_and_gradient_are_the_sources_for_padded_sequences(
    convention: ConventionName, seed: int, batch: int, classes: int, alpha: float, epsilon: float, length: int
) -> None:
    logits, targets = problem(seed, batch, classes, length)
    keep = padding(seed, targets.shape)

    def reference(x: Tensor) -> Tensor:
        first, second = x.chunk(2)
        return REFERENCES[convention](first[keep], second[keep], targets[keep], alpha, epsilon)

    assert_equal_with_gradient(
        lambda x: rdrop_loss(x, targets, alpha, convention=convention, label_smoothing=epsilon, keep=keep).total,
        reference,
        logits,
    )


@settings(deadline=None, max_examples=30)
@given(**SOME, length=st.integers(0, 5))
def test_value_and_gradient_are_the_translation_codes(
    seed: int, batch: int, classes: int, alpha: float, epsilon: float, length: int
) -> None:
    logits, targets = problem(seed, batch, classes, length)
    keep = padding(seed, targets.shape)
    for convention in ("official-translation", "paper"):
        assert_equal_with_gradient(
            lambda x, c=convention: (
                rdrop_loss(  # type: ignore[misc]
                    x, targets, alpha, convention=c, label_smoothing=epsilon, keep=keep
                ).total
            ),
            lambda x: translation(x, targets, alpha, epsilon, ~keep),
            logits,
        )


def test_the_sources_are_all_compared() -> None:
    assert set(REFERENCES) | {"official-translation"} == set(CONVENTIONS)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_parts_add_up_to_the_total(convention: ConventionName) -> None:
    logits, targets = problem(3, 4, 5)
    found = rdrop_loss(logits, targets, 1.7, convention=convention, label_smoothing=0.1)
    assert found.total.item() == pytest.approx((found.cross_entropy + 1.7 * found.divergence).item(), rel=1e-12)
    # Neither part knows alpha.
    other = rdrop_loss(logits, targets, 0.2, convention=convention, label_smoothing=0.1)
    assert torch.equal(found.cross_entropy, other.cross_entropy) and torch.equal(found.divergence, other.divergence)
    assert found.divergence > 0.01


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
@pytest.mark.parametrize(("convention", "weight"), [("paper", 2.0), ("notes", 1.0), ("official-bert", 2.0)])
def test_without_alpha_it_is_cross_entropy_over_the_doubled_batch(
    convention: ConventionName, weight: float, epsilon: float
) -> None:
    logits, targets = problem(1, 6, 4)
    assert_equal_with_gradient(
        lambda x: rdrop_loss(x, targets, 0.0, convention=convention, label_smoothing=epsilon).total,
        lambda x: weight * functional.cross_entropy(x, targets.repeat(2), label_smoothing=epsilon),
        logits,
    )


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_one_pass_has_the_weight_of_all(convention: ConventionName) -> None:
    logits, targets = problem(2, 6, 4, passes=1)
    form = CONVENTIONS[convention]
    assert_equal_with_gradient(
        lambda x: rdrop_loss(x, targets, 3.0, passes=1, convention=convention).total,
        lambda x: (form.first + form.second) * functional.cross_entropy(x, targets),
        logits,
    )
    assert rdrop_loss(logits, targets, 3.0, passes=1, convention=convention).divergence.item() == 0


@settings(deadline=None, max_examples=25)
@given(**SOME, length=st.integers(0, 3), passes=st.integers(2, 5), convention=st.sampled_from(EQUAL_WEIGHTS))
def test_more_passes_are_the_mean_over_all_pairs(
    seed: int,
    batch: int,
    classes: int,
    alpha: float,
    epsilon: float,
    length: int,
    passes: int,
    convention: ConventionName,
) -> None:
    logits, targets = problem(seed, batch, classes, length, passes)
    keep = padding(seed, targets.shape)
    form = CONVENTIONS[convention]

    def brute(x: Tensor) -> Tensor:
        every = [part[keep] for part in x.chunk(passes)]
        count = int(keep.sum())
        negative = [functional.cross_entropy(part, targets[keep], label_smoothing=epsilon) for part in every]
        pairs = [kl(one, two) + kl(two, one) for one, two in itertools.combinations(every, 2)]
        divergence = form.divergence * sum(pairs) / len(pairs) / (1 if form.summed else count)
        return (form.first + form.second) * sum(negative) / passes + alpha * divergence

    assert_equal_with_gradient(
        lambda x: (
            rdrop_loss(
                x, targets, alpha, passes=passes, convention=convention, label_smoothing=epsilon, keep=keep
            ).total
        ),
        brute,
        logits,
    )


@pytest.mark.parametrize("passes", [2, 3, 4])
def test_the_mean_over_pairs_is_that_of_the_pairs(passes: int) -> None:
    log_p = problem(4, 7, 5, 3, passes)[0].log_softmax(-1).unflatten(0, (passes, 7))
    pairs = [symmetric_divergence(log_p[i], log_p[j]) for i, j in itertools.combinations(range(passes), 2)]
    torch.testing.assert_close(mean_over_pairs(log_p), torch.stack(pairs).mean(0), rtol=1e-12, atol=1e-12)
    # In float32 what is lost by subtracting sums stays small against a loss.
    assert (mean_over_pairs(log_p.float()) - torch.stack(pairs).mean(0)).abs().max() < 1e-5


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
@pytest.mark.parametrize("passes", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_logits_are_safe(dtype: torch.dtype, passes: int, epsilon: float) -> None:
    logits, targets = problem(5, 6, 4, 3, passes)
    value, gradient = value_and_gradient(
        lambda x: rdrop_loss(x, targets, 5.0, passes=passes, label_smoothing=epsilon).total,
        (1e4 * logits.sign()).to(dtype),
    )
    assert value.dtype == torch.float32 and gradient.dtype == dtype
    assert math.isfinite(value.item()) and value > 1e3
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 0


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
@pytest.mark.parametrize("passes", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("lowest", [False, True])
def test_forbidden_classes_are_as_if_they_were_not_there(
    lowest: bool, dtype: torch.dtype, passes: int, epsilon: float
) -> None:
    logits, targets = problem(6, 8, 6, 3, passes)
    logits = logits.to(dtype)
    masked = logits.clone()
    masked[..., 4:] = torch.finfo(dtype).min if lowest else -math.inf
    targets = targets % 4

    def loss(x: Tensor) -> Tensor:
        return rdrop_loss(x, targets, 2.0, passes=passes, label_smoothing=epsilon).total

    value, gradient = value_and_gradient(loss, masked)
    without, own = value_and_gradient(loss, logits[..., :4].clone())
    # No smoothing mass goes to them: the mean is over four classes, not six.
    assert value.item() == pytest.approx(without.item(), rel=1e-6)
    assert (gradient[..., 4:] == 0).all()
    torch.testing.assert_close(gradient[..., :4], own, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-7)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
@pytest.mark.parametrize("passes", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_class_forbidden_in_one_pass_only_makes_no_nan(dtype: torch.dtype, passes: int, epsilon: float) -> None:
    logits, targets = problem(7, 4, 5, passes=passes)
    logits = logits.to(dtype)
    # Forbidden where it is the target, and where it is not.
    logits[0, targets[0]] = -math.inf
    logits[1, (targets[1] + 1) % 5] = -math.inf
    value, gradient = value_and_gradient(
        lambda x: rdrop_loss(x, targets, 1.0, passes=passes, label_smoothing=epsilon).total, logits
    )
    # One pass gives probability to what the other rules out: as far apart as float32 has room for.
    assert math.isfinite(value.item()) and value > 1e20
    assert torch.isfinite(gradient).all()
    assert gradient[0, targets[0]] == 0 and gradient[1, (targets[1] + 1) % 5] == 0
    untouched = gradient.view(passes, 4, 5)[:, 2:]
    assert 0 < untouched.abs().max() < 10


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
@pytest.mark.parametrize("passes", [1, 2, 3])
def test_a_batch_of_padding_is_zero(passes: int, epsilon: float) -> None:
    logits, targets = problem(8, 3, 5, 4, passes)
    logits = logits.float()
    logits[0, 0] = -math.inf
    logits[1, 1, 2:] = -math.inf
    keep = torch.zeros_like(targets, dtype=torch.bool)
    for convention in CONVENTIONS if passes < 3 else EQUAL_WEIGHTS:
        value, gradient = value_and_gradient(
            lambda x, c=convention: (
                rdrop_loss(  # type: ignore[misc]
                    x,
                    torch.full_like(targets, -100),
                    5.0,
                    passes=passes,
                    convention=c,
                    label_smoothing=epsilon,
                    keep=keep,
                ).total
            ),
            logits,
        )
        assert value.item() == 0 and (gradient == 0).all()
    # One token more, and it is not.
    keep[2, 3] = True
    assert rdrop_loss(logits, targets, 5.0, passes=passes, keep=keep).total > 0.1


def test_padding_counts_for_nothing() -> None:
    logits, targets = problem(9, 4, 5, 3)
    keep = padding(9, targets.shape)
    both = torch.cat([keep, keep])

    def loss(y: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: rdrop_loss(x, y, 2.0, label_smoothing=0.1, keep=keep).total

    value, gradient = value_and_gradient(loss(targets), logits)
    assert not keep.all() and (gradient[~both] == 0).all() and (gradient[both].abs().sum(-1) > 0).all()
    other = torch.where(both.unsqueeze(-1), logits, 10 * torch.ones_like(logits) * torch.arange(5))
    ignored = torch.where(keep, targets, -100)
    again, same = value_and_gradient(loss(ignored), other)
    torch.testing.assert_close(again, value, rtol=1e-14, atol=0)
    torch.testing.assert_close(same[both], gradient[both], rtol=1e-14, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype: torch.dtype) -> None:
    logits, targets = problem(10, 6, 50)
    half = logits.to(dtype)
    found, expected = (rdrop_loss(x, targets, 2.0, label_smoothing=0.1) for x in (half, half.float()))
    assert found.total.dtype == torch.float32 and torch.equal(found.total, expected.total)


@settings(deadline=None, max_examples=25)
@given(**SOME, convention=st.sampled_from(EQUAL_WEIGHTS), passes=st.integers(2, 4))
def test_the_order_of_the_passes_is_nothing(
    seed: int, batch: int, classes: int, alpha: float, epsilon: float, convention: ConventionName, passes: int
) -> None:
    logits, targets = problem(seed, batch, classes, passes=passes)

    def loss(x: Tensor) -> Tensor:
        return rdrop_loss(x, targets, alpha, passes=passes, convention=convention, label_smoothing=epsilon).total

    value, gradient = value_and_gradient(loss, logits)
    other, swapped = value_and_gradient(loss, torch.cat(logits.chunk(passes)[::-1]))
    torch.testing.assert_close(other, value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat(swapped.chunk(passes)[::-1]), gradient, rtol=1e-10, atol=1e-11)


def test_the_order_matters_where_one_pass_is_not_counted() -> None:
    logits, targets = problem(11, 5, 4)
    one, two = (
        rdrop_loss(x, targets, 1.0, convention="official-roberta") for x in (logits, torch.cat(logits.chunk(2)[::-1]))
    )
    assert one.divergence.item() == pytest.approx(two.divergence.item(), rel=1e-12)
    assert abs(one.cross_entropy - two.cross_entropy) > 1e-3


@settings(deadline=None, max_examples=25)
@given(**SOME, passes=st.integers(1, 4))
def test_a_constant_on_all_logits_of_a_row_is_nothing(
    seed: int, batch: int, classes: int, alpha: float, epsilon: float, passes: int
) -> None:
    logits, targets = problem(seed, batch, classes, passes=passes)
    rows = 50 * torch.randn(len(logits), 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def loss(x: Tensor) -> Tensor:
        return rdrop_loss(x, targets, alpha, passes=passes, label_smoothing=epsilon).total

    assert_equal_with_gradient(lambda x: loss(x + rows), loss, logits)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 5),
    classes=st.integers(2, 8),
    passes=st.integers(2, 4),
    spread=st.sampled_from([0.01, 1.0, 30.0]),
)
def test_divergence_is_zero_for_equal_passes_and_never_negative(
    seed: int, batch: int, classes: int, passes: int, spread: float
) -> None:
    logits, targets = problem(seed, batch, classes, passes=passes, spread=spread)
    same = logits[:batch].repeat(passes, 1)
    assert abs(rdrop_loss(same, targets, 1.0, passes=passes).divergence) < 1e-12
    moved = rdrop_loss(logits, targets, 1.0, passes=passes).divergence
    assert moved > (0 if spread == 1.0 else -1e-12)
    if passes == 2:
        # Exactly, in any precision.
        assert rdrop_loss(same.float(), targets, 1.0).divergence == 0
        assert rdrop_loss(logits.float(), targets, 1.0).divergence >= 0


@pytest.mark.parametrize(
    ("convention", "passes"),
    [(name, passes) for name in CONVENTIONS for passes in (1, 2, 3) if passes < 3 or name in EQUAL_WEIGHTS],
)
def test_gradients_run_through_both_sides(convention: ConventionName, passes: int) -> None:
    logits, targets = problem(12, 3, 4, 2, passes)
    keep = padding(12, targets.shape)

    def found(x: Tensor) -> Loss:
        return rdrop_loss(x, targets, 3.0, passes=passes, convention=convention, label_smoothing=0.1, keep=keep)

    assert torch.autograd.gradcheck(lambda x: found(x).total, (logits.requires_grad_(),))
    if passes > 1:
        (gradient,) = torch.autograd.grad(found(logits).divergence, logits)
        assert all(part.abs().max() > 1e-3 for part in gradient.chunk(passes))


def test_what_does_not_fit_is_refused() -> None:
    logits, targets = problem(13, 4, 5)
    sequences, words = problem(13, 4, 5, 3)
    for x, y, passes in (
        (logits, targets[:3], 2),
        (logits, targets, 1),
        (logits, targets, 3),
        (logits[:-1], targets, 2),
        (sequences, targets, 2),
        (logits, words, 2),
        (sequences, words[:, :2], 2),
        (sequences, words.T, 2),
    ):
        with pytest.raises(ValueError, match="passes over targets"):
            rdrop_loss(x, y, 1.0, passes=passes)
    assert math.isfinite(rdrop_loss(logits, targets, 1.0).total)
    assert math.isfinite(rdrop_loss(sequences, words, 1.0).total)


@pytest.mark.parametrize("shape", [(1,), (3,), (3, 1), (1, 3)])
def test_padding_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    logits, targets = problem(13, 3, 5, 3)
    with pytest.raises((ValueError, RuntimeError)):
        rdrop_loss(logits, targets, 1.0, keep=torch.ones(shape, dtype=torch.bool))


def test_more_than_two_passes_need_a_convention_that_counts_all() -> None:
    logits, targets = problem(14, 4, 5, passes=3)
    with pytest.raises(ValueError, match="official-roberta.*no form for 3"):
        rdrop_loss(logits, targets, 1.0, passes=3, convention="official-roberta")
    for convention in EQUAL_WEIGHTS:
        assert rdrop_loss(logits, targets, 1.0, passes=3, convention=convention).total > 0


@pytest.mark.parametrize("passes", [1, 2, 3])
@pytest.mark.parametrize("length", [0, 3])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_vmap_is_a_loop(alpha: float, length: int, passes: int) -> None:
    problems = [problem(seed, 4, 5, length, passes) for seed in range(3)]
    logits, targets = (torch.stack(parts) for parts in zip(*problems, strict=True))
    keep = torch.stack([padding(seed, target.shape) for seed, target in enumerate(targets)])
    convention: ConventionName
    for convention in ("paper", "official-bert"):

        def loss(x: Tensor, y: Tensor, k: Tensor, name: ConventionName = convention) -> Tensor:
            return rdrop_loss(x, y, alpha, passes=passes, convention=name, label_smoothing=0.1, keep=k).total

        gradients, values = torch.func.vmap(torch.func.grad_and_value(loss))(logits, targets, keep)
        for place in range(3):
            value, gradient = value_and_gradient(
                lambda x, at=place: loss(x, targets[at], keep[at]),  # type: ignore[misc]
                logits[place],
            )
            torch.testing.assert_close(values[place], value, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(gradients[place], gradient, rtol=1e-12, atol=1e-12)
        assert len({round(value, 6) for value in values.tolist()}) == 3
