"""The one protocol by which a system says that a stage has ended.

A system is called with ``mark``; it calls ``mark(name)`` right after each of its stages, once per request and
in order. Whoever listens may read a clock, record a CUDA event or read an operation counter.
"""

from collections.abc import Callable

__all__ = ["Mark", "no_mark"]

Mark = Callable[[str], None]


def no_mark(stage: str) -> None:
    """Nobody listens."""
