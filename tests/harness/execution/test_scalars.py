from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.execution.scalars import POINTS, are_kept, gradient_norm, gradient_norms


@given(st.integers(min_value=1, max_value=100_000))
def test_scalars_are_kept_at_a_bounded_number_of_steps(steps: int) -> None:
    every = max(1, steps // POINTS)
    kept = [step for step in {0, steps - 1, *range(0, steps, every)} if are_kept(step, steps)]
    assert 0 in kept and steps - 1 in kept
    assert min(steps, POINTS) <= len(kept) <= 2 * POINTS
    if every > 1 and steps - 1 != every - 1:
        assert not are_kept(every - 1, steps)


def test_the_norm_is_that_of_all_gradients_laid_end_to_end() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2))
    model.add_module("unused", torch.nn.Linear(2, 2))
    unused = model.unused.weight
    model[:3](torch.randn(5, 3, 4, 4)).square().sum().backward()
    assert unused.grad is None
    whole = numpy.concatenate([p.grad.numpy().ravel() for p in model.parameters() if p.grad is not None])
    assert float(gradient_norm(model.parameters())) == pytest.approx(numpy.linalg.norm(whole.astype(float)), rel=1e-5)
    assert float(gradient_norm([unused])) == 0.0


def test_stacked_models_have_a_norm_each() -> None:
    stacked = [torch.randn(3, *shape, requires_grad=True) for shape in ((4, 5), (), (7,))]
    sum((own**3).sum() for own in stacked).backward()
    expected = [
        numpy.linalg.norm(numpy.concatenate([own.grad[place].numpy().ravel() for own in stacked])) for place in range(3)
    ]
    assert gradient_norms(stacked).tolist() == pytest.approx(expected, rel=1e-5)
