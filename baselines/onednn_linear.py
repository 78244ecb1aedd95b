"""Linear layers whose products oneDNN computes, in float32, in place of the BLAS that torch was built with.

torch hands convolutions to oneDNN, and float32 products of linear layers to its BLAS, on x86 commonly MKL. MKL picks
its kernels by who made the processor: on one that it does not know well, oneDNN's may be several times faster. Weights
are laid out for the product once, as torch's own compiler does with frozen weights, whose operators are used here.
"""

from __future__ import annotations

import torch
from torch import nn

from baselines.errors import StructureError

__all__ = ["OnednnLinear", "use_onednn_linear"]

NEEDED = ("_linear_pointwise", "_reorder_linear_weight")
"""Operators of torch's compiler; an underscore says that another torch may have others."""


class OnednnLinear(nn.Module):
    """What ``linear`` computes, by oneDNN: [..., in features] to [..., out features], float32, on a CPU.

    For inference: no gradient is kept, and later changes of the weights of ``linear`` are not seen.
    Raises ``StructureError`` where this torch cannot do it or the layer is not of float32 on a CPU.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        operators = torch.ops.mkldnn
        if not torch.backends.mkldnn.is_available() or not all(hasattr(operators, name) for name in NEEDED):
            raise StructureError(f"This torch ({torch.__version__}) cannot hand linear layers to oneDNN.")
        weight = linear.weight.detach()
        if weight.dtype != torch.float32 or weight.device.type != "cpu":
            raise StructureError(
                f"oneDNN takes linear layers of float32 on a CPU here, not of {weight.dtype} on {weight.device.type}."
            )
        self.in_features, self.out_features = linear.in_features, linear.out_features
        # Opaque to torch: neither a parameter nor a buffer, which would be moved and copied.
        self.weight = operators._reorder_linear_weight(weight.contiguous())
        self.bias = None if linear.bias is None else linear.bias.detach().clone()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return ``values`` times the transposed weight, plus the bias."""
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(values, self.weight, self.bias, "none", [], "")
        return product

    def extra_repr(self) -> str:
        """Features in and out, and whether there is a bias, as ``nn.Linear`` prints them."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


def use_onednn_linear(model: nn.Module) -> int:
    """Replace every linear layer inside ``model`` by one that oneDNN computes, in place; return how many.

    Subclasses stay as they are: what reads their weights directly would not find them.
    Raises ``StructureError`` as ``OnednnLinear`` does.
    """
    replaced = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, OnednnLinear(child))
                replaced += 1
    return replaced
