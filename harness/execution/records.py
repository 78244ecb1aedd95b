"""What a trial function returned, checked: one flat record for each combination of blocked levels."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Mapping, Sequence
from typing import Any


class RecordError(Exception):
    """A trial function returned something else than it must."""


def checked_records(returned: Any, blocked: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], ...]:
    """Return records as plain Python values.

    A record is a flat mapping of metric names to numbers, texts or None. NaN is kept: it is an observation.

    Raises:
        RecordError: not a mapping or a list of them, values that are not flat, or other levels than were run.
    """
    if isinstance(returned, Mapping):
        returned = [returned]
    if not isinstance(returned, list | tuple) or not all(isinstance(record, Mapping) for record in returned):
        raise RecordError(f"a trial returns a mapping or a list of mappings, not {type(returned).__name__}")
    records = tuple({str(key): _plain(str(key), value) for key, value in record.items()} for record in returned)
    if not records:
        raise RecordError("a trial returns at least one record")
    names = list(blocked)
    if not names:
        if len(records) != 1:
            raise RecordError(f"a trial without blocked factors returns one record, not {len(records)}")
        return records
    for record in records:
        missing = [name for name in names if name not in record]
        if missing:
            raise RecordError(f"a record lacks the blocked factor '{missing[0]}'")
    wanted = sorted(itertools.product(*(blocked[name] for name in names)))
    found = sorted(tuple(str(record[name]) for name in names) for record in records)
    if found != wanted:
        raise RecordError(f"the records are for {found}, but the trial ran {wanted} of {', '.join(names)}")
    return records


def _plain(key: str, value: Any) -> Any:
    for text in (key, value):
        if isinstance(text, str) and not _is_writable(text):
            shown = text.encode(errors="replace").decode()
            raise RecordError(f"'{shown}' has half of a surrogate pair in it, which no table can hold")
    if value is None or isinstance(value, str | bool):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise RecordError(f"the metric '{key}' is a {type(value).__name__}; a record holds numbers, texts or nothing")


def _is_writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
