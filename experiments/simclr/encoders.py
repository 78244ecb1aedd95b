"""Encoders f, h = f(x): torchvision's ResNets without their classifier, and small ones for small images."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from experiments.simclr.encoder_settings import EncoderSettings


class Encoder(nn.Module):
    """Layers that turn images [N, C, H, W] into h, [N, dimension]."""

    def __init__(self, layers: nn.Module, dimension: int) -> None:
        super().__init__()
        self.layers = layers
        self.dimension = dimension

    def forward(self, images: Tensor) -> Tensor:
        h: Tensor = self.layers(images)
        return h


def build_encoder(settings: EncoderSettings) -> Encoder:
    """Return an encoder with weights from torch's default generator."""
    if settings.kind == "small":
        return _small(settings)
    return _resnet(settings)


def _small(settings: EncoderSettings) -> Encoder:
    """3 x 3 convolutions, each with batch norm and ReLU, and the average over what is left of the image."""
    widths = settings.scaled_widths()
    layers: list[nn.Module] = []
    for (inputs, outputs), stride in zip(
        itertools.pairwise((settings.channels, *widths)), settings.strides, strict=True
    ):
        layers.append(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return Encoder(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), widths[-1])


def _resnet(settings: EncoderSettings) -> Encoder:
    from torchvision import models

    built: Any = {"resnet18": models.resnet18, "resnet50": models.resnet50}[settings.kind](weights=None)
    dimension = int(built.fc.in_features)
    built.fc = nn.Identity()
    if settings.stem == "cifar":
        built.conv1 = nn.Conv2d(settings.channels, 64, 3, 1, 1, bias=False)
        nn.init.kaiming_normal_(built.conv1.weight, mode="fan_out", nonlinearity="relu")
        built.maxpool = nn.Identity()
    elif settings.channels != 3:
        built.conv1 = nn.Conv2d(settings.channels, 64, 7, 2, 3, bias=False)
        nn.init.kaiming_normal_(built.conv1.weight, mode="fan_out", nonlinearity="relu")
    return Encoder(built, dimension)


def operations_per_image(settings: EncoderSettings, size: int) -> float:
    """Return the floating-point operations of one image's forward pass, two for each multiply and add."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        encoder = build_encoder(settings).eval()
        image = torch.empty(1, settings.channels, size, size)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        encoder(image)
    return float(counter.get_total_flops())
