"""The same models made fast without changing what they compute, so that ViLT is not compared with a straw
man.
"""

from typing import cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.models.resnet import Bottleneck
from torchvision.ops import FrozenBatchNorm2d

from baselines.attention import fuse_attention
from baselines.detector import RegionDetector
from baselines.vilbert import CoAttention

__all__ = [
    "CHUNK",
    "DEVICE_CHUNK",
    "fold_batch_norm",
    "lay_out",
    "optimise_detector",
    "optimise_fusion",
    "optimise_grid",
]

CHUNK = 50
"""Regions a chunk: fifty 1,024 x 14 x 14 maps are 40 MB, all thousand of them 0.8 GB."""
DEVICE_CHUNK = 1000
"""Regions a chunk on a GPU, which so many fill; the images of a batch take no more memory than one."""


def fold_batch_norm(network: nn.Module) -> None:
    """Fold every frozen batch norm into the convolution before it, in place; the batch norm becomes the
    identity.

    Goes by torchvision's names: ``convN`` is followed by ``bnN``, and the shortcut is a pair (convolution,
    norm).
    """
    for parent in list(network.modules()):
        children = dict(parent.named_children())
        for name, child in children.items():
            if not isinstance(child, FrozenBatchNorm2d):
                continue
            before = "0" if name == "1" else name.replace("bn", "conv")
            convolution = children.get(before)
            if not isinstance(convolution, nn.Conv2d):
                raise TypeError(f"no convolution '{before}' stands before batch norm '{name}'")
            convolution.weight, bias = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                child.running_mean,
                child.running_var,
                child.eps,
                child.weight,
                child.bias,
            )
            convolution.bias = cast(nn.Parameter, bias)
            setattr(parent, name, nn.Identity())


def optimise_detector(detector: RegionDetector, *, chunk: int = CHUNK) -> RegionDetector:
    """Fold batch norm, lay tensors out channels-last, run RoIAlign and RoI head ``chunk`` regions at a time;
    in place.

    Where the RoI head begins with 1x1 convolutions of stride 2, they lose it, since RoIAlign then keeps only
    the places that they would read (see ``RegionDetector._pool``).
    """
    fold_batch_norm(detector)
    if not detector.plan.pyramid:
        first = cast(Bottleneck, cast(nn.Sequential, detector.roi_head)[0])
        if first.conv1.stride == (2, 2):
            first.conv1.stride = (1, 1)
            cast(nn.Conv2d, cast(nn.Sequential, first.downsample)[0]).stride = (1, 1)
            detector.pool_step = 2
    detector.chunk = chunk
    lay_out(detector, torch.channels_last)
    return detector


def optimise_grid(backbone: nn.Module) -> nn.Module:
    """Fold batch norm and lay the weights out channels-last, in place."""
    fold_batch_norm(backbone)
    lay_out(backbone, torch.channels_last)
    return backbone


def lay_out(network: nn.Module, layout: torch.memory_format) -> None:
    """Lay out what convolutions read, in place: channels last, or each channel by itself (contiguous)."""
    network.to(memory_format=layout)
    for module in network.modules():
        if isinstance(module, RegionDetector):
            module.layout = layout


def optimise_fusion(fusion: nn.Module) -> nn.Module:
    """Replace every attention by one with fused projections and fused softmax, in place."""
    for module in fusion.modules():
        if isinstance(module, CoAttention):
            module.fused = True
    return fuse_attention(fusion)
