"""The planned records of a sweep as columns: which arm, which replicate, what became of it, and its metrics."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy

from harness.plan.state import PlanState, TrialState
from harness.plan.trials import Trial
from harness.spec.claims import ClaimBase
from harness.spec.figures import Arm
from harness.spec.models import ALL_STREAMS, VARIED_STREAMS, level_name

GATE = "gate_"
"""Metrics with this prefix are checks that a trial made: true, or the claim's arms are not comparable."""


class Fate(IntEnum):
    """What became of a planned record. ``DIVERGED`` is a finished trial whose metric is missing or not finite."""

    MISSING = 0
    FAILED = 1
    DIVERGED = 2
    FINISHED = 3


class Observations:
    """One row for each planned record of the trials that a reading is about, finished or not.

    ``fate`` is FINISHED wherever the trial has an attempt that counts; whether a metric is finite is for ``metric`` to
    say. Factor columns hold level names.
    """

    def __init__(self, state: PlanState, reading: str | None = None) -> None:
        self.state = state
        self.reading = reading
        self.tuned = state.design.select.factors if state.design.select else ()
        self.entries: list[TrialState] = []
        self.records: list[Mapping[str, Any] | None] = []
        fates: list[int] = []
        columns: dict[str, list[str]] = {factor.name: [] for factor in state.design.factors}
        for entry in state.states:
            if reading is not None and reading not in entry.trial.readings:
                continue
            plain = {factor: level_name(level) for factor, level in entry.trial.arm.items()}
            found = _records(entry)
            fate = _fate(entry)
            for levels in _blocked(entry.trial):
                self.entries.append(entry)
                self.records.append(found.get(tuple(levels.values())))
                fates.append(fate)
                for name, column in columns.items():
                    column.append(levels[name] if name in levels else plain[name])
        self.fates = numpy.array(fates, dtype=numpy.int8)
        self.replicates = numpy.array([entry.trial.replicate for entry in self.entries], dtype=numpy.int64)
        self._columns = {name: numpy.array(column, dtype=object) for name, column in columns.items()}
        self._metrics: dict[str, numpy.ndarray] = {}
        self._settings: dict[tuple[str, ...], tuple[list[str], numpy.ndarray]] = {}
        self._equal: dict[tuple[str, str], numpy.ndarray] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def levels(self, factor: str) -> list[str]:
        """Return the levels of a factor in this profile, in the spec's order."""
        return [level.name for f in self.state.design.factors if f.name == factor for level in f.levels]

    def absent(self, arm: Arm) -> str:
        """Say which level of an arm this profile leaves out, if any."""
        for factor, level in arm.items():
            if level_name(level) not in self.levels(factor):
                return f"the profile '{self.state.design.profile_name}' does not run {factor} {level_name(level)}"
        return ""

    def mask(self, arm: Arm) -> numpy.ndarray:
        """Return which rows are of an arm. Where streams are varied one by one, only those with all varied are."""
        wanted = dict(arm)
        if VARIED_STREAMS in self._columns:
            wanted.setdefault(VARIED_STREAMS, ALL_STREAMS)
        found = numpy.ones(len(self), dtype=bool)
        for factor, level in wanted.items():
            found &= self._is(factor, level_name(level))
        return found

    def _is(self, factor: str, level: str) -> numpy.ndarray:
        if (factor, level) not in self._equal:
            self._equal[factor, level] = self._columns[factor] == level
        return self._equal[factor, level]

    def metric(self, name: str) -> numpy.ndarray:
        """Return a metric as floats, NaN where there is no number."""
        if name not in self._metrics:
            values = ((record.get(name) if record is not None else None) for record in self.records)
            self._metrics[name] = numpy.array([_number(value) for value in values], dtype=float)
        return self._metrics[name]

    def open_factors(self, claim: ClaimBase) -> list[str]:
        """Return the factors that a claim leaves open: their levels are the settings that it pools."""
        named = {VARIED_STREAMS, claim.axis(), *self.tuned}
        for arm in claim.arms().values():
            named |= arm.keys()
        return [name for name in self._columns if name not in named and len(self.levels(name)) > 1]

    def settings(self, factors: Sequence[str]) -> tuple[list[str], numpy.ndarray]:
        """Return the combinations of levels of ``factors`` that are planned, named, and each row's place among them."""
        key = tuple(factors)
        if key not in self._settings:
            codes = numpy.zeros(len(self), dtype=numpy.int64)
            for name in key:
                levels, within = numpy.unique(self._columns[name].astype(str), return_inverse=True)
                codes = codes * len(levels) + within
            _, first, places = numpy.unique(codes, return_index=True, return_inverse=True)
            # In the order in which they are met, which is the spec's.
            rank = numpy.empty(len(first), dtype=numpy.int64)
            rank[numpy.argsort(first, kind="stable")] = numpy.arange(len(first))
            names = [", ".join(f"{name} {self._columns[name][row]}" for name in key) for row in numpy.sort(first)]
            self._settings[key] = names, rank[places]
        return self._settings[key]

    def column(self, factor: str) -> numpy.ndarray:
        """Return the level names of a factor."""
        return self._columns[factor]

    @cached_property
    def with_failed_gates(self) -> list[int]:
        """The rows whose trial recorded a check as failed."""
        return [
            row
            for row, record in enumerate(self.records)
            if record is not None and any(value is False and key.startswith(GATE) for key, value in record.items())
        ]

    @cached_property
    def trial_states(self) -> list[TrialState]:
        """The trials behind the rows, each once, in order."""
        return list({entry.trial.id: entry for entry in self.entries}.values())


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return numpy.nan
    try:
        return float(value)
    except OverflowError:
        return numpy.inf


def _fate(entry: TrialState) -> Fate:
    if usable(entry):
        return Fate.FINISHED
    return Fate.FAILED if entry.status == "failed" else Fate.MISSING


def usable(entry: TrialState) -> bool:
    """Say whether a trial's records count."""
    return entry.counted is not None and entry.status == "done"


def _records(entry: TrialState) -> dict[tuple[str, ...], Mapping[str, Any]]:
    if not usable(entry):
        return {}
    assert entry.counted is not None
    names = list(entry.trial.blocked)
    return {tuple(str(record[name]) for name in names): record for record in entry.counted.attempt.records}


def _blocked(trial: Trial) -> list[dict[str, str]]:
    names = list(trial.blocked)
    return [dict(zip(names, levels, strict=True)) for levels in itertools.product(*trial.blocked.values())]
