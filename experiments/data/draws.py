"""Random numbers and rounding that are the same on every machine.

Every factor of every part has a stream of its own, so that one more image, or another amplitude of a texture, leaves
all the other numbers as they were.
"""

from __future__ import annotations

import hashlib

import numpy


class Draws:
    """The streams of one part of one data set: ``stream(name)`` is a generator keyed by seed, source, part and name."""

    def __init__(self, source: str, seed: int, part: str) -> None:
        self._prefix = f"{source}/{seed}/{part}"

    def stream(self, name: str) -> numpy.random.Generator:
        digest = hashlib.sha256(f"{self._prefix}/{name}".encode()).digest()
        return numpy.random.Generator(numpy.random.Philox(key=int.from_bytes(digest[:16], "little")))

    def uniform(self, name: str, low: float, high: float, *shape: int) -> numpy.ndarray:
        """Return numbers in [low, high), float64."""
        return low + (high - low) * self.stream(name).random(shape)

    def integers(self, name: str, count: int, *shape: int) -> numpy.ndarray:
        """Return integers in [0, count), int64."""
        return numpy.floor(self.stream(name).random(shape) * count).astype(numpy.int64)

    def permutation(self, name: str, *shape: int) -> numpy.ndarray:
        """Return permutations of the last axis's indices, int64."""
        return numpy.argsort(self.stream(name).random(shape), axis=-1, kind="stable")


def sine_cosine(degrees: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the sine and the cosine of angles within plus or minus 180 degrees, to about 1e-14.

    By their series, because the mathematical library's last bit differs between processors, and one bit can move a
    pixel that lies between two values.
    """
    angle = degrees * (3.141592653589793 / 180)
    square = angle * angle
    sine, cosine = numpy.ones_like(angle), numpy.ones_like(angle)
    for term in range(13, 0, -1):
        sine = 1 - sine * square / ((2 * term) * (2 * term + 1))
        cosine = 1 - cosine * square / ((2 * term - 1) * (2 * term))
    return sine * angle, cosine


def quantised(values: numpy.ndarray) -> numpy.ndarray:
    """Return values in [0, 1] as uint8; what lies outside is cut."""
    return numpy.floor(numpy.clip(values, 0, 1) * 255 + 0.5).astype(numpy.uint8)
