"""What an alpha of one source is in another: as figures, and as losses that are the same."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.rdrop.conventions import CONVENTIONS, ConventionName, translated
from experiments.rdrop.loss import rdrop_loss

NAMES = st.sampled_from(sorted(CONVENTIONS))
EQUAL_WEIGHTS = st.sampled_from([name for name, form in sorted(CONVENTIONS.items()) if form.first == form.second])
ALPHAS = st.sampled_from([0.1, 0.3, 1.0, 5.0]) | st.floats(0.001, 50)


def test_every_name_has_a_form() -> None:
    assert set(get_args(ConventionName)) == set(CONVENTIONS)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 6),
    length=st.integers(0, 3),
    alpha=ALPHAS,
    source=EQUAL_WEIGHTS,
    target=EQUAL_WEIGHTS,
    smoothing=st.sampled_from([0.0, 0.1]),
    passes=st.integers(2, 4),
)
def test_a_translated_alpha_gives_a_multiple_of_the_same_loss(
    seed: int,
    batch: int,
    length: int,
    alpha: float,
    source: ConventionName,
    target: ConventionName,
    smoothing: float,
    passes: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, length) if length else (batch,)
    logits = torch.randn(passes * batch, *shape[1:], 5, generator=generator, dtype=torch.float64).requires_grad_()
    targets = torch.randint(5, shape, generator=generator)
    keep = torch.rand(shape, generator=generator) < 0.7
    keep.view(-1)[0] = True

    def per_cross_entropy(convention: ConventionName, weight: float) -> torch.Tensor:
        total = rdrop_loss(
            logits, targets, weight, passes=passes, convention=convention, label_smoothing=smoothing, keep=keep
        ).total
        return total / CONVENTIONS[convention].cross_entropy

    # What a form sums over are the kept tokens.
    other = translated(alpha, source, target, int(keep.sum()))
    one, two = per_cross_entropy(source, alpha), per_cross_entropy(target, other)
    assert one.item() == pytest.approx(two.item(), rel=1e-12, abs=1e-12)
    gradients = [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (one, two)]
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-12 * max(1.0, gradients[0].abs().max().item())


@pytest.mark.parametrize("alpha", [0.7, 3.0])
def test_where_one_pass_is_not_counted_it_holds_for_the_mean_of_both_orders(alpha: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    targets = torch.randint(4, (6,), generator=generator)
    both = [
        rdrop_loss(x, targets, alpha, convention="official-roberta").total
        for x in (logits, torch.cat(logits.chunk(2)[::-1]))
    ]
    assert abs(both[0] - both[1]) > 1e-3
    paper = rdrop_loss(logits, targets, translated(alpha, "official-roberta", batch=6)).total
    mean = (both[0] + both[1]) / 2
    assert mean.item() / 0.5 == pytest.approx(paper.item() / 2, rel=1e-12)


@settings(deadline=None, max_examples=50)
@given(alpha=ALPHAS, source=NAMES, between=NAMES, target=NAMES, batch=st.integers(1, 256))
def test_there_and_back_and_by_way_of_a_third(
    alpha: float, source: ConventionName, between: ConventionName, target: ConventionName, batch: int
) -> None:
    there = translated(alpha, source, target, batch)
    assert translated(there, target, source, batch) == pytest.approx(alpha, rel=1e-12)
    halfway = translated(alpha, source, between, batch)
    assert translated(halfway, between, target, batch) == pytest.approx(there, rel=1e-12)
    assert translated(alpha, source, source, batch) == pytest.approx(alpha, rel=1e-12)
    assert translated(2 * alpha, source, target, batch) == pytest.approx(2 * there, rel=1e-12)


def test_the_figures_of_the_sources_in_the_papers_terms() -> None:
    def in_paper(name: ConventionName) -> float:
        form = CONVENTIONS[name]
        assert form.alpha is not None
        return translated(form.alpha, name, batch=form.batch or 1)

    vision, bert = CONVENTIONS["official-vision-transformer"], CONVENTIONS["official-bert"]
    assert (vision.alpha, vision.batch, bert.alpha, bert.batch) == (0.3, 32, 0.5, 16)
    assert in_paper("official-vision-transformer") == pytest.approx(19.2)
    assert in_paper("official-bert") == pytest.approx(8.0)
    # Not summed, and weighed as in Equation 4: the paper's own.
    assert in_paper("official-translation") == 5.0
    assert in_paper("official-roberta-large") == 1.0
    for name in ("official-translation", "official-roberta-large"):
        assert [translated(2.5, name, batch=batch) for batch in (1, 8, 64)] == [2.5] * 3
    # The notes halve the cross-entropy and do not halve the divergence.
    assert translated(5.0, "paper", "notes") == pytest.approx(1.25)
    assert translated(1.25, "notes", batch=64) == pytest.approx(5.0)
    # The README and RoBERTa weigh the cross-entropy with 1 and 1/2, and half of the divergence is summed.
    assert translated(1.0, "official-readme", batch=16) == pytest.approx(32.0)
    assert translated(0.7, "official-roberta", batch=16) == pytest.approx(44.8)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_sum_grows_with_the_batch_and_a_mean_does_not(name: ConventionName) -> None:
    form = CONVENTIONS[name]
    assert form.weight(32) / form.weight(1) == (32 if form.summed else 1)
    assert (form.batch is None) or form.summed


@pytest.mark.parametrize("batch", [0, -3])
def test_an_empty_batch_is_refused(batch: int) -> None:
    with pytest.raises(ValueError, match="one example at least"):
        translated(1.0, "paper", "official-bert", batch)
    assert translated(1.0, "paper", "official-bert", 1) == 1.0
