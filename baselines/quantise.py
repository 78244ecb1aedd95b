"""Eight-bit integers in place of float32, with torch's own tools: linear layers dynamically, convolutions statically.

Dynamic: weights are rounded once, and what a layer reads is scaled and rounded in every call. Static: the scales of
what convolutions read are fixed beforehand, from an example. Both are for CPUs; torch has announced that their tools
move to another package, so they are looked for only where they are asked for.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from baselines.errors import StructureError

__all__ = ["quantise_convolutions", "quantise_linear"]

NEEDED = ("quantize_dynamic", "per_channel_dynamic_qconfig", "QConfigMapping", "MinMaxObserver")
SATURATING = ("fbgemm", "x86")
"""Engines that may add up two products in 16 bits, so that activations must do with seven."""


def quantise_linear(model: nn.Module) -> nn.Module:
    """Replace every linear layer inside ``model`` by one of 8-bit weights, in place.

    Raises ``StructureError`` where this torch cannot do it.
    """
    with _tools("dynamic") as (quantization, _):
        # A scale for each output channel, as for convolutions: it costs no time and makes the error smaller.
        scales = {nn.Linear: quantization.per_channel_dynamic_qconfig}
        quantised: nn.Module = quantization.quantize_dynamic(model, scales, dtype=torch.qint8, inplace=True)
    return quantised


def quantise_convolutions(parts: Sequence[tuple[nn.Module, str]], run: Callable[[], Any]) -> None:
    """Replace parts of a model by copies that compute in 8 bits from their first layer to their last, in place.

    ``parts`` are owners with the name of a child, each a chain of convolutions, activations and sums without control
    flow, batch norms folded. ``run`` runs the model, on whose activations the scales are fixed.
    Raises ``StructureError`` where this torch cannot do it.
    """
    seen = _inputs_of([getattr(owner, name) for owner, name in parts], run)
    with _tools("static") as (quantization, quantize_fx), torch.no_grad():
        # The least and the greatest value seen bound a scale: torch's default, a histogram, takes minutes to fill.
        seven_bits = torch.backends.quantized.engine in SATURATING
        activation = quantization.MinMaxObserver.with_args(reduce_range=seven_bits)
        layer = quantization.QConfig(activation, quantization.default_per_channel_weight_observer)
        mapping = quantization.QConfigMapping().set_global(layer)
        for (owner, name), inputs in zip(parts, seen, strict=True):
            observed = quantize_fx.prepare_fx(getattr(owner, name), mapping, (inputs[0],))
            for one in inputs:
                observed(one)
            setattr(owner, name, quantize_fx.convert_fx(observed).eval())


def _inputs_of(modules: Sequence[nn.Module], run: Callable[[], Any]) -> list[list[torch.Tensor]]:
    """Run once and return what each module was called with."""
    seen: list[list[torch.Tensor]] = [[] for _ in modules]
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, own=own: own.append(inputs[0].detach().clone()))
        for module, own in zip(modules, seen, strict=True)
    ]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


@contextmanager
def _tools(kind: str) -> Iterator[Any]:
    """Give torch's modules for quantisation, quiet about their own future."""
    engine = torch.backends.quantized.engine
    problem = "it has no kernels for this processor" if engine in (None, "none") else ""
    try:
        from torch.ao import quantization
        from torch.ao.quantization import quantize_fx

        problem = problem or next((f"it lacks {name}" for name in NEEDED if not hasattr(quantization, name)), "")
    except ImportError as error:
        problem = str(error)
    if problem:
        raise StructureError(f"This torch ({torch.__version__}) has no {kind} quantisation to 8 bits: {problem}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield quantization, quantize_fx
