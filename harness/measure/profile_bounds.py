"""What bounds an arm: starting work, computing, or moving memory; by rules stated beforehand, as constants.

* launch-bound, if less than ``FEWEST_BUSY`` of a profiled step is spent in operators (CPU) or kernels (CUDA): most of
  the time then goes to Python and to starting work, and no faster kernel could win more than it does;
* else compute-bound, if more than ``MOST_OF_IT`` of the time in operators goes to products, convolutions and attention,
  and the operations counted for them run at ``FEWEST_RATE`` or more of the machine's own matrix product;
* else memory-bound: the time goes to operators that compute next to nothing for each value that they move, or to
  products that wait for their operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from harness.measure.kernel_kinds import KINDS, MULTIPLYING

Bound = Literal["launch-bound", "compute-bound", "memory-bound"]
BOUNDS: tuple[Bound, ...] = get_args(Bound)

OUTSIDE = "Python and launching"
"""What of a step no operator explains, and on CUDA no kernel."""
FEWEST_BUSY = 0.5
"""Under a half, more is to be won from starting less than from computing faster."""
MOST_OF_IT = 0.5
FEWEST_RATE = 0.25
"""A large product that is well fed with operands reaches one: under a quarter of it, three quarters of the time of
products went to something else than multiplying."""


@dataclass(frozen=True)
class Share:
    """A part of a step: its name, microseconds, share of the step (0 to 1), and calls a step.

    Operators and kinds are told of all profiled steps together: their microseconds are that share of the median step.
    Calls are NaN where they are not counted.
    """

    name: str
    microseconds: float
    share: float
    calls: float


def multiplying_share(kinds: Sequence[Share]) -> float:
    """Return the share, of the time in operators or kernels, that those take that multiply; 0 where there are none."""
    named = {share.name: share.share for share in kinds}
    explained = sum(named[kind] for kind in KINDS)
    return sum(named[kind] for kind in MULTIPLYING) / explained if explained > 0 else 0.0


def rate_of(kinds: Sequence[Share], ceiling: float | None) -> float | None:
    """Return the rate of the time spent in kinds that multiply, as a share of the machine's own product."""
    multiplying = sum(share.share for share in kinds if share.name in MULTIPLYING)
    return None if ceiling is None or multiplying <= 0 else ceiling / multiplying


def bound_by(kinds: Sequence[Share], busy: float, ceiling: float | None) -> Bound:
    """Return what bounds an arm.

    Args:
        kinds: shares of a profiled step by kind of work; ``busy`` that of its time in operators or kernels.
        ceiling: rate of the timed step over that of the machine's own matrix product; None if not known.
    """
    if busy < FEWEST_BUSY:
        return "launch-bound"
    rate = rate_of(kinds, ceiling)
    fed = rate is None or rate >= FEWEST_RATE
    return "compute-bound" if multiplying_share(kinds) > MOST_OF_IT and fed else "memory-bound"
