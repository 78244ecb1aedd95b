"""FLOPs of an arm by stage and operator, counted by torch's FlopCounterMode (2 x MAC convention).

Known blind spots of the counter, each of which gave a wrong figure somewhere: the fused fast path of
``nn.TransformerEncoder`` and ``nn.MultiheadAttention`` hides the matrix products inside (switched off here
while counting); operators without a formula count nothing (quantised kernels, RoIAlign, NMS, all element-wise
work); torch 2.11 has none for fused attention on a CPU, so it is added here. Operators of other namespaces
than ``aten`` are therefore named in the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_flop_count

from harness.measure.stages import Arm


@dataclass(frozen=True)
class FlopCount:
    """Floating-point operations of one request.

    Attributes:
        total: all that was counted, 2 x MAC.
        by_stage: in order of first appearance; a stage is what ran since the mark before.
        unmarked: what ran after the last mark; ``total`` is the sum of ``by_stage`` and this.
        by_operator: by operator name, e.g. ``aten.addmm``.
        uncounted_operators: operators outside torch's own ``aten`` that ran and have no formula.
    """

    total: int
    by_stage: Mapping[str, int]
    unmarked: int
    by_operator: Mapping[str, int]
    uncounted_operators: tuple[str, ...]

    @property
    def multiply_accumulates(self) -> int:
        """The same work counted as multiply-accumulate operations."""
        return self.total // 2


class _ForeignOperators(TorchDispatchMode):
    """Notes operators that are not torch's own."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace not in ("aten", "prim", "prims"):
            self.names.add(str(func._overloadpacket))
        return func(*args, **(kwargs or {}))


@contextmanager
def encoder_fast_path_off() -> Iterator[None]:
    """Switch the fused fast path of transformer encoder layers off, and back to what it was afterwards."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def flops_by_stage(arm: Arm) -> FlopCount:
    """Run ``arm`` once and count its FLOPs, stage by stage with the same marks as its timing.

    The arm must run eagerly: inside a compiled region the counter sees only what falls back to eager
    operators, so count the eager variant. Raises whatever the arm raises.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_missing_formulas())
    foreign = _ForeignOperators()
    by_stage: dict[str, int] = {}
    counted = 0

    def mark(name: str) -> None:
        nonlocal counted
        now = counter.get_total_flops()
        by_stage[name] = by_stage.get(name, 0) + now - counted
        counted = now

    with encoder_fast_path_off(), counter, foreign:
        arm(mark)
    total = counter.get_total_flops()
    by_operator = {str(operator): flops for operator, flops in counter.get_flop_counts().get("Global", {}).items()}
    return FlopCount(
        total=total,
        by_stage=by_stage,
        unmarked=total - counted,
        by_operator=by_operator,
        uncounted_operators=tuple(sorted(foreign.names - set(by_operator))),
    )


def _missing_formulas() -> dict[Any, Any]:
    """The counter's own formula for attention, for the CPU's kernel where this torch has none for it."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    def attention(query: Any, key: Any, value: Any, *rest: Any, **named: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    return {} if kernel in flop_registry else {kernel: attention}
