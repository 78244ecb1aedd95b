"""What the real sources share: their folder, and which training images become the validation part."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import numpy

from experiments.data.draws import Draws
from harness.errors import UserError


def required_root(source: str, root: str | None) -> Path:
    """Return the folder of a real source.

    Raises:
        UserError: none is given.
    """
    if root is None:
        raise UserError(f"The data source {source} needs the folder where its files lie: --set data_root=FOLDER.")
    return Path(root).expanduser()


def held_out(source: str, labels: numpy.ndarray, fraction: float) -> numpy.ndarray:
    """Return the indices, in order, of the validation images: the same fraction of every class.

    The split is one and the same for all seeds; a class of two or more images gives one at least and keeps one.

    Raises:
        UserError: no class has two images.
    """
    rank = Draws(source, 0, "all").stream("validation").random(len(labels))
    order = numpy.lexsort((rank, labels))
    found = []
    for own in numpy.split(order, numpy.flatnonzero(numpy.diff(labels[order])) + 1):
        count = min(max(round(fraction * len(own)), 1), len(own) - 1)
        found.append(own[:count])
    chosen = numpy.sort(numpy.concatenate(found))
    if not len(chosen):
        raise UserError(
            f"The training images of {source} have no class with two images, so no validation part can be "
            "taken from them; it needs two at least in one class."
        )
    return chosen


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time download into a folder or unpack what is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".harness-lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
