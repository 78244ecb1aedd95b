"""Runs of the benchmarks, read from the JSON that pytest-benchmark wrote; a file that is none is told in a sentence."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UserError
from reports.bench.accepted import AcceptedRatio
from reports.bench.judging import Verdicts, judge_all
from reports.bench.measured import KEY, Measured
from reports.machines import machine_text

LARGEST_BYTES = 256 * 2**20
"""Of a file that is read: a run of everything is a thousandth of it."""
ACCEPTED_KEY = "accepted"
"""Under which a kept run has what was accepted when it was judged; pytest-benchmark's own file has no such key."""


class _Loose(BaseModel):
    """Of a larger document what is needed here; strings are short, since they are shown."""

    model_config = ConfigDict(extra="ignore", frozen=True, str_max_length=200)


class _Processor(_Loose):
    model: str | None = None
    affinity: tuple[int, ...] | None = None


class _Gpu(_Loose):
    name: str | None = None


class _Torch(_Loose):
    version: str | None = None
    threads: int | None = None
    gpus: tuple[_Gpu, ...] | None = None


class _Source(_Loose):
    commit: str | None = Field(default=None, pattern="^[0-9a-f]{7,64}$")
    dirty: bool | None = None


class _Environment(_Loose):
    """The environment as trials store it (``harness.measure.environment``), with the source tree's state."""

    cpu: _Processor | None = None
    torch: _Torch | None = None
    python: str | None = None
    source: _Source = _Source()


class _Extra(_Loose):
    """Under the name that ``KEY`` is."""

    beside: Measured


class _Benchmark(_Loose):
    fullname: str
    extra_info: _Extra


class _Document(_Loose):
    """What is read of pytest-benchmark's JSON; ``machine_info`` is the environment, as our benchmarks put it there."""

    datetime: datetime.datetime
    machine_info: _Environment
    benchmarks: tuple[_Benchmark, ...] = Field(min_length=1)
    accepted: dict[str, AcceptedRatio] = {}


@dataclass(frozen=True)
class BenchRun:
    """One run of the benchmarks. ``made`` is in seconds since the epoch; ``commit`` is None outside of git.

    ``accepted`` is what was accepted when the run was kept; it is empty in a file that comes from pytest-benchmark.
    """

    made: float
    measured: tuple[Measured, ...]
    machine: str
    commit: str | None
    changed: bool
    accepted: Mapping[str, AcceptedRatio]

    @property
    def code(self) -> str:
        """The commit as people read it, marked where there were changes that are in no commit."""
        return (self.commit[:10] if self.commit else "no commit") + ("+" if self.changed else "")

    @cached_property
    def verdicts(self) -> Verdicts:
        """What it comes to against what was accepted when it was kept."""
        return judge_all(self.measured, self.accepted)


def read_document(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        UserError: there is none, it cannot be read, is too large, or is no JSON object.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise UserError(f"{path}: is larger than {LARGEST_BYTES // 2**20} MiB, so it is no file of 'make bench'")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_document(data, str(path))


def parse_document(data: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object in bytes; ``name`` is what they are called in a sentence.

    Raises:
        UserError: the bytes are no JSON object, or hold a number that is none.
    """
    try:
        document = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name}: is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("benchmarks"), list):
        raise UserError(f"{name}: is no file of pytest-benchmark; 'make bench' writes one")
    return document


def run_of(document: Mapping[str, Any], name: str) -> BenchRun:
    """Return the run in a document of pytest-benchmark; ``name`` is what it is called in a sentence.

    Raises:
        UserError: it was not made by our benchmarks, or what they measured cannot be used.
    """
    try:
        found = _Document.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{name}: {_reason(document, error)}") from error
    measured = tuple(benchmark.extra_info.beside for benchmark in found.benchmarks)
    _require_keys_of_their_own(measured, name)
    try:
        made = found.datetime.timestamp()
    except (OverflowError, ValueError) as error:
        raise UserError(f"{name}: datetime: is no time that can be told") from error
    if not 0 <= made < 1e11 or not math.isfinite(made):
        raise UserError(f"{name}: datetime: is no time that can be told")
    environment = found.machine_info
    return BenchRun(
        made=made,
        measured=measured,
        machine=machine_text(environment.model_dump(exclude={"source"})) or "a machine that did not say what it is",
        commit=environment.source.commit,
        changed=bool(environment.source.dirty),
        accepted=found.accepted,
    )


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _reason(document: Mapping[str, Any], error: ValidationError) -> str:
    """Say in a sentence what is wrong with a document, the benchmark by its name where it is about one."""
    first = error.errors(include_url=False, include_input=False)[0]
    location = [str(part) for part in first["loc"]]
    if location[:1] == ["benchmarks"] and len(location) == 1:
        return "no benchmark ran to its end"
    if location[:1] == ["benchmarks"]:
        benchmark = document["benchmarks"][int(location[1])]
        named = benchmark.get("fullname") if isinstance(benchmark, dict) else None
        named = named[:200] if isinstance(named, str) else f"number {location[1]}"
        if location[2:] in (["extra_info"], ["extra_info", KEY]) and first["type"] == "missing":
            return f"the benchmark {named} compares nothing, so it is none of 'make bench'"
        return f"the benchmark {named}: {'.'.join(location[4:] or location[2:])}: {first['msg']}"
    return f"{'.'.join(location)}: {first['msg']}"


def _require_keys_of_their_own(measured: Sequence[Measured], name: str) -> None:
    """See that no two comparisons are called alike, checks aside: those are made several times."""
    seen: set[str] = set()
    for one in measured:
        if one.check is None and one.key in seen:
            raise UserError(f"{name}: two benchmarks compare '{one.key}'; each comparison needs a name of its own")
        seen.add(one.key)
