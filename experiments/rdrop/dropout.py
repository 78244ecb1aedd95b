"""Dropout whose masks come from outside, so that models trained together and one by one meet the same ones.

``torch.func`` cannot hand every model of a stack a generator of its own, and arms that are compared have to share
masks: copy 1 of a doubled batch meets what the single copy of plain training meets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from harness.execution.streams import Stream


class Masks:
    """The masks of one forward pass by site; a site takes its own and multiplies by it.

    Not a module: it is shared by all sites of a model and has no parameters.
    """

    def __init__(self) -> None:
        self.current: Mapping[str, Tensor] | None = None


class Dropout(nn.Module):
    """Multiplies by the mask of its site: 0, or 1 / (1 - rate). Does nothing where no masks are laid.

    ``shape`` is the mask's, without the batch.
    """

    def __init__(self, masks: Masks, site: str, shape: Sequence[int]) -> None:
        super().__init__()
        self.masks = masks
        self.site = site
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        current = self.masks.current
        return x if current is None else x * current[self.site]


def sites_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shape of the mask of every dropout site of a model, without the batch."""
    return {module.site: module.shape for module in model.modules() if isinstance(module, Dropout)}


class MaskDrawer:
    """Draws the masks of every step from a stream; every copy has its own, so one more leaves the others as they are.

    ``rates`` has a rate for each copy of the batch (two in R-Drop, one in plain training).
    """

    def __init__(self, stream: Stream, sites: Mapping[str, Sequence[int]], rates: Sequence[float]) -> None:
        self.sites = {name: tuple(shape) for name, shape in sites.items()}
        self.rates = tuple(rates)
        # One generator a copy: numpy's SFC64 is several times faster than torch's on the CPU.
        self._generators = [
            numpy.random.Generator(numpy.random.SFC64(stream.child(f"copy {copy}").seed)) for copy in range(len(rates))
        ]

    def draw(self, batch: int, copies: int) -> dict[str, Tensor]:
        """Return masks [copies x batch, ...] for the next step of the first copies, one after the other.

        Raises:
            ValueError: there are more copies than rates.
        """
        if copies > len(self.rates):
            raise ValueError(f"{copies} copies of a batch need as many rates, not {len(self.rates)}")
        sizes = [batch * math.prod(shape) for shape in self.sites.values()]
        drawn = []
        for generator, rate in list(zip(self._generators, self.rates, strict=True))[:copies]:
            numbers = torch.from_numpy(generator.random(sum(sizes), dtype=numpy.float32))
            drawn.append((numbers >= rate).to(torch.float32).mul_(1.0 / (1.0 - rate)).split(sizes))
        return {
            site: torch.cat([own[place] for own in drawn]).view(copies * batch, *shape)
            for place, (site, shape) in enumerate(self.sites.items())
        }

    def state(self) -> list[Any]:
        return [generator.bit_generator.state for generator in self._generators]

    def resume(self, state: Sequence[Any]) -> None:
        for generator, kept in zip(self._generators, state, strict=True):
            generator.bit_generator.state = kept
