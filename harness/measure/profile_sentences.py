"""Two or three sentences that follow from the figures of a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.measure.profile_bounds import (
    FEWEST_BUSY,
    FEWEST_RATE,
    MOST_OF_IT,
    OUTSIDE,
    Bound,
    Share,
    multiplying_share,
    rate_of,
)

NEGLIGIBLE = 0.005
"""A share that shows as 0 %: no sentence is made of it."""


def sentences_of(
    record: Mapping[str, Any],
    stages: Sequence[Share],
    operators: Sequence[Share],
    kinds: Sequence[Share],
    busy: float,
    bound: Bound,
    ceiling: float | None,
) -> tuple[str, ...]:
    """Return what can be said of a profile in words: where the time goes, what is left to win, what bounds it."""
    found = (
        _where(stages, operators),
        " ".join(filter(None, (_largest_kind(kinds), _room(record, ceiling)))),
        _bound_sentence(record, kinds, busy, bound, ceiling),
    )
    return tuple(sentence for sentence in found if sentence)


def _where(stages: Sequence[Share], operators: Sequence[Share]) -> str:
    """Say what takes most: the largest stages, or where there are none the largest operator."""
    parts = sorted(stages or operators[:1], key=lambda part: -part.share)
    named = [f"{percent(part.share)} is {part.name}" for part in parts[:3] if part.share >= NEGLIGIBLE]
    return f"Of a step, {_listed(named)}." if named else ""


_TAKES = {
    "matrix product": "Matrix products take",
    "convolution": "Convolutions take",
    "attention": "Attention takes",
    "normalisation": "Normalisation takes",
    "copy": "Copies take",
    "everything else": "Operators that neither multiply nor normalise nor copy take",
}


def _largest_kind(kinds: Sequence[Share]) -> str:
    largest = max(kinds[:-1], key=lambda kind: kind.share)
    return f"{_TAKES[largest.name]} {percent(largest.share)} of a step." if largest.share >= NEGLIGIBLE else ""


def _room(record: Mapping[str, Any], ceiling: float | None) -> str:
    """Say how near the counted operations come to the machine's own product, and what is left to win."""
    if ceiling is None:
        return ""
    work = f"The step's {float(record['gflop']):.3g} GFLOP run at {percent(ceiling)} of the rate"
    product = "of this machine's own matrix product"
    if ceiling >= 1:
        return f"{work} {product}, which is no ceiling here: what could be saved is not known."
    if ceiling < NEGLIGIBLE:
        room = "faster software for the same operations could save nearly all of it"
    else:
        room = f"faster software for the same operations could save at most {percent(1 - ceiling)}"
    return f"{work} {product}: by that measure {room}."


def _bound_sentence(
    record: Mapping[str, Any], kinds: Sequence[Share], busy: float, bound: Bound, ceiling: float | None
) -> str:
    on_device = record["device"] == "cuda"
    if on_device:
        fact = f"The GPU works in {percent(busy)} of a step"
    else:
        fact = f"Operators run in {percent(busy)} of a step, and the rest is {OUTSIDE}"
    share, rate = multiplying_share(kinds), rate_of(kinds, ceiling)
    products = "products, convolutions and attention"
    if bound == "launch-bound":
        reason = f"less than {percent(FEWEST_BUSY)} of the time is spent in {'kernels' if on_device else 'operators'}"
    elif bound == "compute-bound":
        reason = f"{percent(share)} of the work is {products}"
    elif share <= MOST_OF_IT or rate is None:
        reason = f"{percent(1 - share)} of the work is neither product, convolution nor attention"
    else:
        reason = f"{products} run at {percent(rate)} of the machine's own product, less than {percent(FEWEST_RATE)}"
    return f"{fact}: {bound}, as {reason}."


def percent(share: float) -> str:
    """Return a share as text: ``79 %``; small ones, and those just below all, are not rounded away."""
    shown = round(100 * share)
    if shown == 0 and share > 0:
        return "less than 1 %"
    if shown == 100 and share < 1:
        return "more than 99 %"
    return f"{shown} %"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
