"""Where an object lies, how large it is, and how it is turned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy

from experiments.data.draws import Draws
from experiments.data.parts import FactorInformation, number

SIDE = number("fraction of the image's side")
INFORMATION = {"centre_x": SIDE, "centre_y": SIDE, "scale": SIDE, "rotation": number("degrees")}


@dataclass(frozen=True)
class Pose:
    """One object an image, all [count]: the centre (x to the right, y down) and the longer side as fractions of the
    image's side, the angle in degrees, counter-clockwise."""

    centre_x: numpy.ndarray
    centre_y: numpy.ndarray
    scale: numpy.ndarray
    rotation: numpy.ndarray

    def factors(self, suffix: str = "") -> dict[str, numpy.ndarray]:
        """Return the pose as factors, their names ending in ``suffix``."""
        return {f"{name}{suffix}": getattr(self, name) for name in INFORMATION}


def pose_information(suffix: str = "") -> dict[str, FactorInformation]:
    """Return what is known of a pose's factors."""
    return {f"{name}{suffix}": found for name, found in INFORMATION.items()}


def pose_of(factors: Mapping[str, numpy.ndarray], suffix: str, rows: numpy.ndarray | slice) -> Pose:
    """Return the pose that factors tell, for some of the images."""
    return Pose(*(factors[f"{name}{suffix}"][rows] for name in INFORMATION))


def draw_pose(
    draws: Draws,
    suffix: str,
    count: int,
    column: numpy.ndarray | int,
    row: numpy.ndarray | int,
    grid: int,
    shift: float,
    scales: tuple[float, float],
    rotation: float,
) -> Pose:
    """Draw poses in cells of a grid; ``shift`` is the largest shift of a centre as a fraction of its cell's side."""
    reach = shift / grid
    return Pose(
        (column + 0.5) / grid + draws.uniform(f"centre_x{suffix}", -reach, reach, count),
        (row + 0.5) / grid + draws.uniform(f"centre_y{suffix}", -reach, reach, count),
        draws.uniform(f"scale{suffix}", *scales, count),
        draws.uniform(f"rotation{suffix}", -rotation, rotation, count),
    )
