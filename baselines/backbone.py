"""Residual networks as detectors use them: frozen batch norm, stride in the 1x1, cut at C4 or C5, or with a
pyramid.

The blocks are torchvision's. Batch norm is frozen to an affine map, and the stride of a stage sits where the
weights that detectors start from have it: in the first 1x1 convolution of plain networks (He et al.,
1512.03385, the original Caffe weights), in the 3x3 of the ResNeXts (Detectron's configurations: ``STRIDE_1X1:
False``), which is also torchvision's place.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

__all__ = ["BODIES", "Body", "PyramidBackbone", "build_body", "plain_backbone", "scale_residual_branches"]


@dataclass(frozen=True)
class Body:
    """Depth and width of a bottleneck residual network.

    ``blocks`` per stage (He et al. Table 1); ``groups`` and ``width`` of the 3x3 convolutions (Xie et al.,
    1611.05431, Table 1: "32x4d" is 32 groups of width 4); ``stride_in_1x1`` where a stage halves its
    resolution.
    """

    blocks: tuple[int, int, int, int]
    groups: int = 1
    width: int = 64
    stride_in_1x1: bool = True


BODIES: dict[str, Body] = {
    "resnet50": Body((3, 4, 6, 3)),
    "resnet101": Body((3, 4, 23, 3)),
    "resnet152": Body((3, 8, 36, 3)),
    "resnext152-32x4d": Body((3, 8, 36, 3), groups=32, width=4, stride_in_1x1=False),
    "resnext152-32x8d": Body((3, 8, 36, 3), groups=32, width=8, stride_in_1x1=False),
}


def build_body(name: str) -> ResNet:
    """Return torchvision's ResNet for ``name`` with frozen batch norm and without pooling and classifier.

    Raises ``KeyError`` for a name that is not in ``BODIES``.
    """
    body = BODIES[name]
    network = ResNet(
        Bottleneck,
        list(body.blocks),
        num_classes=1,
        groups=body.groups,
        width_per_group=body.width,
        norm_layer=FrozenBatchNorm2d,
    )
    del network.avgpool, network.fc
    if body.stride_in_1x1:
        for stage in (network.layer2, network.layer3, network.layer4):
            first = stage[0]
            first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride
    return network


def scale_residual_branches(network: nn.Module, factor: float = 0.25) -> None:
    """Set the frozen scale at the end of every residual branch to ``factor``.

    With random weights and the identity as batch norm, the variance doubles in each block and a ResNet-101
    leaves the range of float16. A quarter keeps features of order one and changes no amount of work.
    """
    for module in network.modules():
        if isinstance(module, Bottleneck):
            module.bn3.weight.fill_(factor)


def plain_backbone(body: ResNet, *, last: Literal["C4", "C5"]) -> nn.Sequential:
    """Return stem and stages up to ``last``: [B, 3, H, W] to [B, 1024, H/16, W/16] (C4) or [B, 2048, H/32,
    W/32].
    """
    names = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"]
    if last == "C5":
        names.append("layer4")
    return nn.Sequential(OrderedDict((name, getattr(body, name)) for name in names))


class PyramidBackbone(nn.Module):
    """Feature pyramid on C2..C5 (Lin et al., 1612.03144): five maps of 256 channels at strides 4, 8, 16, 32,
    64.
    """

    channels = 256
    strides = (4, 8, 16, 32, 64)

    def __init__(self, body: ResNet) -> None:
        super().__init__()
        self.stem = nn.Sequential(OrderedDict(conv1=body.conv1, bn1=body.bn1, relu=body.relu, maxpool=body.maxpool))
        self.stages = nn.ModuleList([body.layer1, body.layer2, body.layer3, body.layer4])
        self.pyramid = FeaturePyramidNetwork([256, 512, 1024, 2048], self.channels, LastLevelMaxPool())

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        features: OrderedDict[str, torch.Tensor] = OrderedDict()
        out = self.stem(pixels)
        for level, stage in enumerate(self.stages, start=2):
            out = stage(out)
            features[f"c{level}"] = out
        return list(self.pyramid(features).values())
