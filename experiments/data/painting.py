"""Putting a coloured object on a textured background, with noise."""

from __future__ import annotations

import math

import numpy

from experiments.data.draws import Draws, quantised
from experiments.data.masks import smooth_field

CHUNK = 256  # images worked on at once: the intermediate arrays stay in the processor's cache
LATTICE = 5  # points along a side of the coarse grid behind a smooth texture


class Grain:
    """The streams of texture and noise of one part; images are made in order, any number at a time.

    ``texture`` is the amplitude of a smooth pattern, the same in every channel; ``noise`` the standard deviation of
    noise, uniform and independent in every channel and pixel.
    """

    def __init__(self, draws: Draws, size: int, channels: int, texture: float, noise: float) -> None:
        self._shape = (channels, size, size)
        self._texture, self._texture_stream = texture, draws.stream("texture")
        self._noise, self._noise_stream = noise, draws.stream("noise")

    def texture(self, count: int) -> numpy.ndarray:
        """Return the next textures [count, size, size]."""
        lattice = (2 * self._texture_stream.random((count, LATTICE, LATTICE)) - 1) * self._texture
        return smooth_field(lattice, self._shape[-1])

    def noise(self, count: int) -> numpy.ndarray:
        """Return the next noise [count, channels, size, size]."""
        noise = self._noise_stream.random((count, *self._shape))
        noise -= 0.5
        noise *= 2 * math.sqrt(3) * self._noise
        return noise


def painted(
    foreground: numpy.ndarray,
    background: numpy.ndarray,
    pattern: numpy.ndarray,
    coverage: numpy.ndarray,
    noise: numpy.ndarray,
    shade: numpy.ndarray | None = None,
) -> numpy.ndarray:
    """Return images uint8 [count, channels, size, size].

    ``foreground`` and ``background`` [count, channels] in [0, 1]; ``pattern`` is added to the background, ``shade``
    multiplies the foreground, ``coverage`` tells where it is: all [count, size, size]; ``noise`` is as the images.
    """
    ground = background[:, :, None, None] + pattern[:, None]
    figure = foreground[:, :, None, None] if shade is None else foreground[:, :, None, None] * shade[:, None]
    return quantised(ground + (figure - ground) * coverage[:, None] + noise)
