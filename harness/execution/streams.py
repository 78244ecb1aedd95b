"""Named random streams: arms pair by construction, and no stream moves another.

Each stream is a function of (experiment, replicate, name) alone, so two arms of one replicate share every stream,
whichever others they use and in whatever order.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import torch


class Stream:
    """One named stream of random numbers.

    ``numpy`` and ``python`` are generators that keep their place; ``torch`` makes a new one at the start.
    """

    def __init__(self, *path: str | int) -> None:
        self.path = path
        text = "\0".join(str(part) for part in path)
        self._digest = hashlib.sha256(text.encode()).digest()

    @property
    def seed(self) -> int:
        """A 63-bit seed, for whatever takes nothing but an integer."""
        return int.from_bytes(self._digest[:8], "little") >> 1

    def child(self, name: str | int) -> Stream:
        """Return an independent stream below this one, such as one an epoch."""
        return Stream(*self.path, name)

    @cached_property
    def numpy(self) -> numpy.random.Generator:
        """A NumPy generator over Philox, a counter-based bit generator, keyed by the stream."""
        import numpy

        key = numpy.frombuffer(self._digest[8:24], dtype=numpy.uint64)
        return numpy.random.Generator(numpy.random.Philox(key=key))

    @cached_property
    def python(self) -> random.Random:
        return random.Random(self._digest)

    def torch(self, device: str = "cpu") -> torch.Generator:
        """Return a torch generator on ``device`` at the start of the stream."""
        import torch

        return torch.Generator(device=device).manual_seed(self.seed)

    @contextlib.contextmanager
    def as_torch_default(self) -> Iterator[None]:
        """Seed torch's global generators within a block and restore them after it.

        For code that takes no generator: default initialisers, ``nn.Dropout``.
        """
        import torch

        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(self.seed)
            yield
