from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure.equality import (
    INT8_TOLERANCE,
    TOLERANCES,
    OutputsDiffer,
    assert_outputs_agree,
    outputs_agree,
)


@dataclass
class Output:
    logits: torch.Tensor
    boxes: list[torch.Tensor]


@given(seed=st.integers(0, 10**6), dtype=st.sampled_from(list(TOLERANCES)), share=st.floats(0.01, 100.0))
@settings(max_examples=60, deadline=None)
def test_the_verdict_is_the_tolerance_of_the_dtype(seed: int, dtype: torch.dtype, share: float) -> None:
    if 0.98 < share < 1.02:
        return
    reference = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 4)))
    other = reference.clone()
    other[1, 2] += share * TOLERANCES[dtype] * float(reference.abs().max())
    agreement = outputs_agree(other, reference, dtype)
    assert agreement.agree == (share < 1)
    assert agreement.worst_relative == pytest.approx(share * TOLERANCES[dtype], rel=0.01)
    assert agreement.worst_absolute == pytest.approx(float((other - reference).abs().max()))


def test_equal_computation_in_a_coarser_type_agrees_and_in_its_own_type_does_not() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(64, 64, generator=generator) for _ in range(2))
    exact, coarse = left @ right, (left.bfloat16() @ right.bfloat16()).float()
    assert outputs_agree(coarse, exact, torch.bfloat16).agree
    assert not outputs_agree(coarse, exact, torch.float32).agree


def test_nested_outputs_are_compared_and_the_worst_place_is_named() -> None:
    base = Output(torch.tensor([1.0, 2.0]), [torch.zeros(2), torch.ones(3)])
    other = Output(torch.tensor([1.0, 2.0]), [torch.zeros(2), torch.tensor([1.0, 1.0, 1.5])])
    agreement = outputs_agree({"out": other}, {"out": base}, torch.float32)
    assert not agreement.agree
    assert agreement.where == "output['out'].boxes[1]"
    assert agreement.worst_relative == 0.5
    assert "differs by 0.5" in agreement.reason
    assert outputs_agree({"out": base}, OrderedDict(out=base), torch.float32).agree
    assert outputs_agree((1.0, None, "text", np.ones(2)), [1.0, None, "text", torch.ones(2)], torch.float32).agree


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (torch.ones(2), torch.ones(3), "shapes (2,) and (3,)"),
        ({"a": 1.0}, {"b": 1.0}, "has keys ['a'] and ['b']"),
        ([torch.ones(1)], [torch.ones(1)] * 2, "has 1 and 2 parts"),
        (torch.tensor([math.nan]), torch.tensor([math.nan]), "holds NaN"),
        (torch.tensor([math.inf, 1.0]), torch.tensor([1.0, math.inf]), "infinities at different places"),
        (torch.tensor([math.inf]), torch.tensor([-math.inf]), "infinities at different places"),
        (torch.tensor([1, 2, 3]), torch.tensor([1, 2, 4]), "differs in 1 of 3 elements"),
        (torch.ones(2), None, "is Tensor and NoneType"),
        ("left", "right", "of different value"),
    ],
)
def test_different_structures_disagree_with_a_sentence(one: object, other: object, reason: str) -> None:
    agreement = outputs_agree(one, other, torch.float32)
    assert not agreement.agree
    assert agreement.worst_absolute == math.inf
    assert reason in agreement.reason


def test_masks_of_infinity_zeros_and_empty_tensors_agree() -> None:
    mask = torch.tensor([-math.inf, 0.0])
    assert outputs_agree(mask, mask.clone(), torch.float32).agree
    assert outputs_agree(torch.zeros(3), torch.zeros(3), torch.float32).agree
    assert outputs_agree(torch.empty(0), torch.empty(0), torch.float32).agree
    assert outputs_agree(torch.tensor([1, 2]), torch.tensor([1, 2]), torch.float32).agree
    assert not outputs_agree(torch.full((3,), 1e-30), torch.zeros(3), torch.float32).agree


def test_the_assertion_names_the_variants() -> None:
    agreement = assert_outputs_agree(torch.ones(2), torch.ones(2), torch.float32)
    assert agreement.agree
    with pytest.raises(OutputsDiffer, match="compiled and eager must not be timed against each other: output"):
        assert_outputs_agree(torch.ones(2), torch.zeros(2), torch.float32, what="compiled and eager")


def test_a_tolerance_can_be_given_and_must_be_for_other_types() -> None:
    assert outputs_agree(torch.tensor([1.05]), torch.tensor([1.0]), torch.float32, tolerance=0.1).agree
    with pytest.raises(ValueError, match="no tolerance for int16; give one"):
        outputs_agree(torch.ones(1), torch.ones(1), torch.int16)


def test_the_tolerance_of_8_bits_is_what_rounding_through_twelve_layers_explains() -> None:
    """The derivation that stands with it, and a simulation: values rounded to 127 steps, 96 times over."""
    one = 1 / (127 * math.sqrt(12))
    assert 3 * math.sqrt(96) * one < INT8_TOLERANCE < 5 * math.sqrt(96) * one
    values = torch.rand(96, 768, generator=torch.Generator().manual_seed(0)) * 2 - 1
    errors = values.mul(127).round().div(127) - values
    found = outputs_agree(values[0] + errors.sum(dim=0), values[0], torch.int8)
    assert found.agree and found.worst_relative > INT8_TOLERANCE / 3
