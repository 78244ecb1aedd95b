"""What an operator or a GPU kernel does, by its name: one of six kinds.

The names are those that torch's profiler writes: ``aten::addmm`` for operators; for kernels whatever cuBLAS, cuDNN,
CUTLASS, Triton and torch's own sources call theirs. A name that no rule knows is of the kind "everything else".
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, get_args

Kind = Literal["matrix product", "convolution", "attention", "normalisation", "copy", "everything else"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are shown."""
MULTIPLYING: tuple[Kind, ...] = ("matrix product", "convolution", "attention")
"""The kinds whose operations are counted (2 x MAC); the others move memory, and count nothing."""
OTHER: Kind = "everything else"

_PRODUCTS = (
    "mm addmm bmm baddbmm addbmm mv addmv dot vdot matmul linear einsum bilinear scaled_mm grouped_mm sparse_mm "
    "addmm_activation linear_pointwise mkl_linear mkldnn_linear linear_relu int_mm"
)
_COPIES = (
    "copy to to_copy clone contiguous cat stack hstack vstack repeat roll flip pad constant_pad_nd reflection_pad2d "
    "narrow_copy pin_memory"
)
_NAMES: dict[str, Kind] = {
    **dict.fromkeys(_PRODUCTS.split(), "matrix product"),
    **dict.fromkeys(_COPIES.split(), "copy"),
}
_PARTS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("attention", re.compile(r"scaled_dot_product|(flash|efficient|head)_attention")),
    ("convolution", re.compile(r"conv(?!ert)")),
    ("normalisation", re.compile(r"(batch|layer|group|instance|rms)_norm")),
)
"""Of the names of operators, in small letters."""

_KERNELS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("attention", re.compile(r"flash|fmha|attention|sdpa")),
    ("copy", re.compile(r"^mem(cpy|set)|nchwtonhwc|nhwctonchw")),
    ("convolution", re.compile(r"conv(?!ert)|winograd|fprop|dgrad|wgrad|implicit_?gemm|im2col|col2im")),
    ("normalisation", re.compile(r"(batch|layer|group|instance|rms)_?norm|\bbn_(fw|bw)|rowwisemoments|welford")),
    ("matrix product", re.compile(r"gemm|gemv|cublas|cutlass|nvjet|splitk|\bdot_kernel|matmul|magma")),
    ("copy", re.compile(r"copy|transpose|\bpad_|_pad\b")),
)
"""Of the names of kernels, in small letters; the first that fits counts, since many convolutions are named gemm too."""


@lru_cache(maxsize=4096)
def kind_of_operator(name: str) -> Kind:
    """Return the kind of an operator, such as ``aten::addmm``; a node of a backward pass is of its operator's kind."""
    plain = re.sub(r"Backward\d*$", "", re.split(r"::|: ", name)[-1])
    # AddmmBackward0 and NativeLayerNormBackward0 are written with capitals, aten::native_layer_norm_backward without.
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", plain).lower().removesuffix("_backward").strip("_")
    if plain in _NAMES:
        return _NAMES[plain]
    return next((kind for kind, pattern in _PARTS if pattern.search(plain)), OTHER)


@lru_cache(maxsize=4096)
def kind_of_kernel(name: str, operator: str = "") -> Kind:
    """Return the kind of what a GPU ran; where its name says nothing, that of the operator that launched it."""
    small = name.lower()
    found = next((kind for kind, pattern in _KERNELS if pattern.search(small)), OTHER)
    return kind_of_operator(operator) if found == OTHER and operator else found
