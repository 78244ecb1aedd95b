"""The file of accepted ratios, which is committed with the code that they were measured with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, ValidationError, model_validator

from harness.errors import UserError
from harness.store.atomic import write_json
from reports.bench.measured import Key
from reports.parts import Part

if TYPE_CHECKING:
    from reports.bench.judging import Judged
    from reports.bench.runs import BenchRun

ACCEPTED = Path("tests") / "benchmarks" / "accepted.json"
"""Where the file lies, from the project's folder."""
DIGITS = 5
"""Of a ratio in the file: more say nothing, and would only make every difference of two versions longer."""


class AcceptedRatio(Part):
    """A ratio of ours to the rival that was accepted, with its interval, and where it came from.

    ``commit`` is None outside of git; ``changed`` says whether the code had changes that were not committed.
    """

    ratio: float = Field(gt=0, allow_inf_nan=False)
    low: float = Field(gt=0, allow_inf_nan=False)
    high: float = Field(gt=0, allow_inf_nan=False)
    rounds: int = Field(ge=2)
    commit: str | None = Field(default=None, max_length=80)
    changed: bool = False
    machine: str = Field(default="", max_length=400)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.ratio <= self.high:
            raise ValueError("the ratio does not lie in its interval")
        return self

    @classmethod
    def of(cls, judged: Judged, run: BenchRun | None = None) -> Self:
        """Return what accepting a judged comparison of a run means."""
        low, ratio, high = (float(f"{value:.{DIGITS}g}") for value in (judged.low, judged.ratio, judged.high))
        found = cls(ratio=ratio, low=low, high=high, rounds=judged.measured.rounds)
        if run is None:
            return found
        return found.model_copy(update={"commit": run.commit, "changed": run.changed, "machine": run.machine})


Accepted = Mapping[str, AcceptedRatio]
"""Accepted ratios by the key of their comparison."""


class _File(Part):
    format: Literal[1]
    comparisons: dict[Key, AcceptedRatio]


def read_accepted(path: Path) -> Accepted:
    """Return what was accepted; nothing where there is no such file.

    Raises:
        UserError: the file cannot be used.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return _File.model_validate(json.loads(data)).comparisons
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: cannot be read: {key + ': ' if key else ''}{first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON: {error}") from error


def accept(path: Path, judged: Mapping[str, Judged], run: BenchRun) -> int:
    """Write the ratios of a run into the file, those of other comparisons left as they are; return how many.

    Raises:
        UserError: the file cannot be read or written.
    """
    kept = dict(read_accepted(path))
    kept.update({key: AcceptedRatio.of(found, run) for key, found in judged.items()})
    file = _File(format=1, comparisons=dict(sorted(kept.items())))
    try:
        write_json(path, file.model_dump(mode="json"))
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
    return len(judged)
