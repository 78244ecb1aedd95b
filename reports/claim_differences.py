"""The rows of ``claims.json`` as they stand against the rows as judged anew, key by key."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

IDENTITY = ("claim", "experiment", "profile", "reading")

DECLARED = frozenset(("paper", "arxiv", "locator", "fidelity", "form", "metric", "unit", "published", "margin"))
"""Keys that come from the spec and the claims file; all others follow from the data."""

MOST_CHARACTERS = 90
KEPT_BEFORE = 24


@dataclass(frozen=True)
class ClaimDifference:
    """A key of a claim that differs; ``declared`` where it comes from the spec and not from the data."""

    sentence: str
    declared: bool


def claim_differences(stands: Any, recomputed: Sequence[Mapping[str, Any]]) -> Iterator[ClaimDifference]:
    """Yield what differs between the content of ``claims.json`` and the rows as they come out now.

    Floating-point numbers that agree to nine digits are equal: other versions of libraries may add in another order.
    """
    if not isinstance(stands, list) or not all(isinstance(row, dict) for row in stands):
        yield ClaimDifference("claims.json is no list of claims", False)
        return
    before, now = _by_identity(stands), _by_identity(json.loads(json.dumps(list(recomputed))))
    names = [str(row.get("claim")) for row in recomputed]
    for identity, row in now.items():
        label = _label(row, names)
        if identity not in before:
            yield ClaimDifference(f"{label}: is not in claims.json, and comes out when recomputed", False)
            continue
        order = list(dict.fromkeys((*row, *sorted(before[identity]))))
        for key in order:
            declared = key in DECLARED
            place = "as declared now" if declared else "when recomputed"
            for path, was, is_now in _leaves(before[identity].get(key), row.get(key), (key,)):
                there, here = shown_pair(was, is_now)
                text = f"{label}: {'.'.join(path)} is {there} in claims.json and {here} {place}"
                yield ClaimDifference(text, declared)
    for identity, row in before.items():
        if identity not in now:
            yield ClaimDifference(f"{_label(row, names)}: stands in claims.json, and does not come out now", False)


def _by_identity(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, ...], dict[str, Any]]:
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        identity = tuple(str(row.get(key)) for key in IDENTITY)
        number = 0
        while (*identity, str(number)) in found:
            number += 1
        found[*identity, str(number)] = row
    return found


def _label(row: Mapping[str, Any], names: Sequence[str]) -> str:
    name = str(row.get("claim"))
    if names.count(name) <= 1:
        return f"claim {name}"
    more = [str(row[key]) for key in IDENTITY[1:] if row.get(key) is not None]
    return f"claim {name} ({', '.join(more)})"


def _leaves(before: Any, now: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield every leaf that differs, with its path."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            yield from _leaves(before.get(key), now.get(key), (*path, str(key)))
    elif isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            yield path, f"a list of {len(before)}", f"a list of {len(now)}"
            return
        for index, (was, is_now) in enumerate(zip(before, now, strict=True)):
            yield from _leaves(was, is_now, (*path, str(index)))
    elif not _equal(before, now):
        yield path, before, now


def _equal(before: Any, now: Any) -> bool:
    if type(before) is float and type(now) is float:
        return math.isclose(before, now, rel_tol=1e-9, abs_tol=1e-15) or (math.isnan(before) and math.isnan(now))
    if _is_number(before) and _is_number(now):
        return bool(before == now)
    return type(before) is type(now) and bool(before == now)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown_pair(before: Any, now: Any) -> tuple[str, str]:
    """Return two values that differ as people read them: numbers short, long texts from where they part."""
    if _is_number(before) and _is_number(now):
        short = f"{before:.6g}", f"{now:.6g}"
        return short if short[0] != short[1] else (repr(before), repr(now))
    first, second = (_written(value) for value in (before, now))
    common = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    start = common - KEPT_BEFORE if common > MOST_CHARACTERS - KEPT_BEFORE else 0
    return _cut(first, start), _cut(second, start)


def _written(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{value:.6g}" if type(value) is float else value if isinstance(value, str) else json.dumps(value)


def _cut(text: str, start: int) -> str:
    end = start + MOST_CHARACTERS
    # One line, whatever an edit put there.
    plain = "".join(character if character.isprintable() else " " for character in text[start:end])
    return ("…" if start else "") + plain + ("…" if len(text) > end else "")
