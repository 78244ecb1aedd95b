"""Equal outputs first: variants of one model are timed against each other only if they compute the same.

A whole network accumulates rounding, so an element-wise relative bound fails at values near zero while saying
nothing about the rest. Compared is the largest difference against the largest magnitude of the same tensor,
within a multiple of the dtype's machine epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch

INT8_TOLERANCE = 0.1
"""For a transformer of 12 layers in 8 bits. A value that is rounded to one of 127 steps up to its tensor's largest is
off by 1 / (127 sqrt 12) of that, one standard deviation. In 12 layers of four products, what each reads and its weights
are rounded: 96 times, which adds up to sqrt 96 of it, or 2.2 %. The largest of some 768 outputs lies three to four
standard deviations out: 7 to 9 %. So a tenth is what rounding explains, and more would be another computation.
"""
TOLERANCES: Mapping[torch.dtype, float] = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,  # 84 epsilons
    torch.float16: 5e-3,  # 5 epsilons
    torch.bfloat16: 3e-2,  # 4 epsilons
    torch.int8: INT8_TOLERANCE,
}
"""Allowed largest difference by dtype, as a share of the tensor's largest magnitude; TF32: float16."""


class OutputsDiffer(Exception):
    """Two variants that should compute the same do not; the message says where and by how much."""


@dataclass(frozen=True)
class Agreement:
    """How far two outputs agree.

    Attributes:
        agree: the verdict.
        worst_absolute: largest absolute difference of all elements; infinite if shapes, structure or
            finiteness differ.
        worst_relative: largest over tensors of (largest difference / largest magnitude of the second output's
            tensor).
        tolerance: what ``worst_relative`` may be.
        dtype: whose tolerance that is.
        where: path of the worst tensor, e.g. ``output['logits'][0]``.
        reason: '' if they agree, else a sentence.
    """

    agree: bool
    worst_absolute: float
    worst_relative: float
    tolerance: float
    dtype: str
    where: str
    reason: str


class _StructureDiffers(Exception):
    pass


def _leaves(one: Any, other: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield pairs of tensors, numbers and other leaves at the same place of two nested outputs."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if set(one) != set(other):
            raise _StructureDiffers(f"{path} has keys {sorted(map(str, one))} and {sorted(map(str, other))}")
        for key in one:
            yield from _leaves(one[key], other[key], f"{path}[{key!r}]")
    elif _is_sequence(one) and _is_sequence(other):
        if len(one) != len(other):
            raise _StructureDiffers(f"{path} has {len(one)} and {len(other)} parts")
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _leaves(left, right, f"{path}[{index}]")
    elif is_dataclass(one) and is_dataclass(other) and type(one) is type(other):
        for field in fields(one):
            yield from _leaves(getattr(one, field.name), getattr(other, field.name), f"{path}.{field.name}")
    else:
        yield one, other, path


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _as_tensor(value: Any) -> torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, (bool, int, float, np.ndarray, np.generic)):
        return torch.as_tensor(value)
    return None


def _differences(one: Any, other: Any, path: str) -> tuple[float, float]:
    """Return (absolute, relative) difference of two leaves."""
    left, right = _as_tensor(one), _as_tensor(other)
    if left is None or right is None:
        if type(one) is type(other) and (one is None or one == other):
            return 0.0, 0.0
        raise _StructureDiffers(f"{path} is {type(one).__name__} and {type(other).__name__}, or of different value")
    if left.shape != right.shape:
        raise _StructureDiffers(f"{path} has shapes {tuple(left.shape)} and {tuple(right.shape)}")
    if not left.numel():
        return 0.0, 0.0
    if not (left.is_floating_point() or left.is_complex() or right.is_floating_point() or right.is_complex()):
        # Counts, indices and masks are equal or not; a tolerance means nothing to them.
        if torch.equal(left.cpu(), right.cpu()):
            return 0.0, 0.0
        unequal = int((left.cpu() != right.cpu()).sum())
        raise _StructureDiffers(f"{path} holds {left.dtype} and differs in {unequal} of {left.numel()} elements")
    kind = torch.complex128 if left.is_complex() or right.is_complex() else torch.float64
    left, right = left.cpu().to(kind), right.cpu().to(kind)
    infinite = torch.isinf(left) | torch.isinf(right)
    if bool((torch.isnan(left) | torch.isnan(right)).any()):
        raise _StructureDiffers(f"{path} holds NaN")
    if bool((left[infinite] != right[infinite]).any()):
        raise _StructureDiffers(f"{path} holds infinities at different places")
    # Equal infinities (a mask of -inf) agree; they would otherwise give NaN below.
    left, right = left[~infinite], right[~infinite]
    if not left.numel():
        return 0.0, 0.0
    absolute = float((left - right).abs().max())
    scale = float(right.abs().max())
    return absolute, absolute / scale if scale else (0.0 if absolute == 0 else math.inf)


def outputs_agree(one: Any, other: Any, dtype: torch.dtype, tolerance: float | None = None) -> Agreement:
    """Compare two outputs within the tolerance of ``dtype``.

    Tensors, numpy arrays and numbers are compared wherever they stand in lists, tuples, mappings and
    dataclasses of the same structure. Integers and booleans must be equal; NaN anywhere is a disagreement;
    infinities must stand at the same places.

    Args:
        one: the variant's output.
        other: the reference's output.
        dtype: the coarser of the two computing types.
        tolerance: replaces the dtype's own, as a share of the tensor's largest magnitude.

    Raises:
        ValueError: if ``dtype`` has no tolerance and none is given.
    """
    allowed = TOLERANCES.get(dtype) if tolerance is None else tolerance
    name = str(dtype).removeprefix("torch.")
    if allowed is None:
        raise ValueError(f"there is no tolerance for {name}; give one")
    worst = (0.0, 0.0, "output")
    try:
        for left, right, path in _leaves(one, other, "output"):
            absolute, relative = _differences(left, right, path)
            if (relative, absolute) > (worst[1], worst[0]):
                worst = (absolute, relative, path)
    except _StructureDiffers as error:
        return Agreement(False, math.inf, math.inf, allowed, name, str(error).split(" ", 1)[0], str(error))
    absolute, relative, path = worst
    agree = relative <= allowed
    reason = f"{path} differs by {absolute:.3g}, {relative:.3g} of its largest magnitude ({name}: {allowed:g})"
    reason = "" if agree else reason
    return Agreement(agree, absolute, relative, allowed, name, path, reason)


def assert_outputs_agree(
    one: Any, other: Any, dtype: torch.dtype, tolerance: float | None = None, what: str = "the two variants"
) -> Agreement:
    """Return the agreement of two outputs, or refuse.

    Args:
        what: names the variants in the message, e.g. ``'lean and transformers ViLT'``.

    Raises:
        OutputsDiffer: if they do not agree.
        ValueError: as :func:`outputs_agree`.
    """
    agreement = outputs_agree(one, other, dtype, tolerance)
    if not agreement.agree:
        raise OutputsDiffer(f"{what} must not be timed against each other: {agreement.reason}")
    return agreement
