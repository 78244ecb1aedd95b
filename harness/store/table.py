"""One long table out of the attempts that count: a row a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas

IDENTITY_COLUMNS = ("experiment", "profile", "trial", "attempt", "replicate")


class _Counted(Protocol):
    """A trial with the attempt that counts for it (``harness.plan.state.TrialState``)."""

    @property
    def status(self) -> str: ...
    @property
    def counted(self) -> Any: ...


def long_table(
    experiment: str, profile: str, factors: Sequence[str], states: Sequence[_Counted], *, stale: bool = False
) -> pandas.DataFrame:
    """Return a row for each record of the attempts that count.

    Columns: experiment, profile, trial, attempt, replicate, one a factor, one a metric; with ``stale``, the records of
    stale trials too and a column ``stale`` that marks them.
    """
    import pandas

    rows: list[Mapping[str, Any]] = []
    for state in states:
        if state.counted is None or not (state.status == "done" or (stale and state.status == "stale")):
            continue
        attempt = state.counted.attempt
        for record in attempt.records:
            row = {
                "experiment": experiment,
                "profile": profile,
                "trial": attempt.trial,
                "attempt": attempt.id,
                "replicate": attempt.replicate,
                **attempt.arm,
                **record,
            }
            rows.append(row | {"stale": state.status == "stale"} if stale else row)
    names = [*IDENTITY_COLUMNS, *factors]
    if not rows:
        return pandas.DataFrame(columns=[*names, *(["stale"] if stale else [])])
    table = pandas.DataFrame(rows)
    return table[[*[name for name in names if name in table], *[name for name in table if name not in names]]]
