"""From the events of a trace to tables: steps, stages, operators and kernels of one arm, per step.

Stages are timed as an unprofiled run times them. A stage ends at its mark; where work is queued on a device, once all
that was launched before the mark is done, which is when an event recorded at the mark would be reached. What ran after
the last mark belongs to no stage.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import pandas as pd

from harness.measure.kernel_kinds import kind_of_kernel, kind_of_operator
from harness.measure.stages import WHOLE, durations_by_stage
from harness.measure.trace_events import Span, TraceEvents

STEP_COLUMNS = {"arm": "str", "step": "int32", "us": "float64"}
STAGE_COLUMNS = {"arm": "str", "step": "int32", "stage": "str", "us": "float64"}
OPERATOR_COLUMNS = {
    "arm": "str",
    "operator": "str",
    "shapes": "str",
    "stage": "str",
    "kind": "str",
    "device": "str",
    "calls": "float64",
    "us": "float64",
    "memory_bytes": "float64",
}
KERNEL_COLUMNS = {"arm": "str", "kernel": "str", "kind": "str", "calls": "float64", "us": "float64"}
HOST, DEVICE = "cpu", "cuda"


@dataclass(frozen=True)
class TraceTables:
    """What a trace says of one arm.

    Attributes:
        steps: microseconds of each profiled request, by the host's clock.
        stages: microseconds of each stage of each request.
        operators: calls, own microseconds and own bytes a step by operator, shapes and stage; on the ``cuda`` rows the
            time of the kernels that the operator itself launched.
        kernels: calls and microseconds a step of kernels; where there are none, of operators, each by its own time.
        busy_microseconds: time of a step in which at least one kernel, or where there are none one operator, ran; the
            median over steps.
    """

    steps: pd.DataFrame
    stages: pd.DataFrame
    operators: pd.DataFrame
    kernels: pd.DataFrame
    busy_microseconds: float

    def named(self) -> dict[str, pd.DataFrame]:
        """Return the tables by the names under which a profile keeps them."""
        return {
            "profile_steps": self.steps,
            "profile_stages": self.stages,
            "profile_operators": self.operators,
            "profile_kernels": self.kernels,
        }


def tables_of(events: TraceEvents, arm: str) -> TraceTables:
    """Return the tables of a trace of one arm's requests; what ran outside of requests is left out."""
    count = len(events.requests)
    bounds = [_bounds(request, events) for request in events.requests]
    place = _Places(events.requests, bounds)
    ran: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for kernel in events.kernels:
        ran[place.request(kernel.launched)].append((kernel.start, kernel.end))
    # A product calls views and copies too, so operators that call no other are not those that do the work.
    for one in () if events.kernels else events.operators:
        ran[place.request(one.start)].append((one.start, one.end))
    return TraceTables(
        steps=_table([(arm, n, _us(r.end - r.start)) for n, r in enumerate(events.requests)], STEP_COLUMNS),
        stages=_table(list(_stage_rows(arm, events.requests, bounds)), STAGE_COLUMNS),
        operators=_operators(events, place, arm, count),
        kernels=_kernels(events, place, arm, count),
        busy_microseconds=median(_us(covered(ran[number])) for number in range(count)),
    )


def covered(intervals: Iterable[tuple[int, int]]) -> int:
    """Return how much time at least one of the intervals covers."""
    total, reached = 0, None
    for start, end in sorted(intervals):
        if reached is None or start > reached:
            total, reached = total + end - start, end
        elif end > reached:
            total, reached = total + end - reached, end
    return total


@dataclass(frozen=True)
class _Bound:
    """The end of a stage: by the host's clock, and when the device was done with it."""

    stage: str
    host: int
    done: int


def _bounds(request: Span, events: TraceEvents) -> list[_Bound]:
    """Return where the stages of a request end, in order."""
    found: list[_Bound] = []
    done = request.start
    launched = [kernel.launched for kernel in events.kernels]
    reached = bisect_left(launched, request.start)
    for stage in events.stages[_range(events.stages, request)]:
        until = bisect_right(launched, stage.end)
        done = max([stage.end, done, *(kernel.end for kernel in events.kernels[reached:until])])
        reached = max(reached, until)
        found.append(_Bound(stage.name, stage.end, done))
    return found


def _range(spans: Sequence[Span], whole: Span) -> slice:
    """Return which of the spans, in order of their beginnings, begin within another one."""
    starts = [span.start for span in spans]
    return slice(bisect_left(starts, whole.start), bisect_left(starts, whole.end))


def _stage_rows(
    arm: str, requests: Sequence[Span], bounds: Sequence[Sequence[_Bound]]
) -> Iterable[tuple[str, int, str, float]]:
    for number, (request, found) in enumerate(zip(requests, bounds, strict=True)):
        names, ends = [bound.stage for bound in found], [bound.done for bound in found]
        durations = durations_by_stage(names, ends, request.start, lambda earlier, later: later - earlier)
        yield from ((arm, number, stage, _us(duration)) for stage, duration in durations.items())


class _Places:
    """Which stage a moment on the host belongs to."""

    def __init__(self, requests: Sequence[Span], bounds: Sequence[Sequence[_Bound]]) -> None:
        self._starts = [request.start for request in requests]
        self._requests = requests
        self._ends = [[bound.host for bound in found] for found in bounds]
        self._names = [[bound.stage for bound in found] for found in bounds]

    def request(self, moment: int) -> int:
        """Return the number of the request that was running, -1 for none."""
        number = bisect_right(self._starts, moment) - 1
        return number if number >= 0 and moment < self._requests[number].end else -1

    def inside(self, moment: int) -> bool:
        """Say whether a request was running."""
        return self.request(moment) >= 0

    def stage(self, moment: int) -> str:
        """Return the stage, '' after the last mark and outside of requests."""
        number = self.request(moment)
        index = bisect_right(self._ends[number], moment) if number >= 0 else 0
        return self._names[number][index] if number >= 0 and index < len(self._names[number]) else WHOLE


def _operators(events: TraceEvents, place: _Places, arm: str, count: int) -> pd.DataFrame:
    # By operator, shapes, stage and device: calls, nanoseconds, bytes.
    sums: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])

    def add(owner: int, device: str, moment: int, calls: int, nanoseconds: int, size: int) -> None:
        operator = events.operators[owner]
        entry = sums[operator.name, operator.shapes, place.stage(moment), device]
        for index, value in enumerate((calls, nanoseconds, size)):
            entry[index] += value

    launchers: set[int] = set()
    for kernel in events.kernels:
        if kernel.operator >= 0 and place.inside(kernel.launched):
            owner = _owner(events, kernel.operator)
            add(owner, DEVICE, kernel.launched, int(owner not in launchers), kernel.end - kernel.start, 0)
            launchers.add(owner)
    for number, operator in enumerate(events.operators):
        if not place.inside(operator.start):
            continue
        owner = _owner(events, number)
        add(owner, HOST, operator.start, int(owner == number), operator.own, operator.host_memory)
        if operator.device_memory:
            add(owner, DEVICE, operator.start, int(owner not in launchers), 0, operator.device_memory)
    rows = [
        (arm, name, shapes, stage, kind_of_operator(name), device, calls / count, _us(spent) / count, size / count)
        for (name, shapes, stage, device), (calls, spent, size) in sums.items()
    ]
    return _table(rows, OPERATOR_COLUMNS).sort_values("us", ascending=False, kind="stable", ignore_index=True)


def _owner(events: TraceEvents, number: int) -> int:
    """Return the call that an operator counts to: its own, or where it was called by one of its name, that one.

    An operator that lets another implementation of itself do the work is one call, as torch's own tables have it.
    """
    parent = events.operators[number].parent
    while parent >= 0 and events.operators[parent].name == events.operators[number].name:
        number, parent = parent, events.operators[parent].parent
    return number


def _kernels(events: TraceEvents, place: _Places, arm: str, count: int) -> pd.DataFrame:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])

    def add(name: str, kind: str, nanoseconds: int, calls: int = 1) -> None:
        entry = sums[name, kind]
        entry[0] += calls
        entry[1] += nanoseconds

    for kernel in events.kernels:
        if place.inside(kernel.launched):
            launcher = events.operators[kernel.operator].name if kernel.operator >= 0 else ""
            add(kernel.name, kind_of_kernel(kernel.name, launcher), kernel.end - kernel.start)
    if not events.kernels:
        for number, operator in enumerate(events.operators):
            if place.inside(operator.start):
                add(operator.name, kind_of_operator(operator.name), operator.own, int(_owner(events, number) == number))
    rows = [(arm, name, kind, calls / count, _us(spent) / count) for (name, kind), (calls, spent) in sums.items()]
    return _table(rows, KERNEL_COLUMNS).sort_values("us", ascending=False, kind="stable", ignore_index=True)


def _us(nanoseconds: int) -> float:
    return nanoseconds / 1000


def _table(rows: Sequence[tuple[object, ...]], columns: dict[str, str]) -> pd.DataFrame:
    # With explicit types an empty table has the same columns as a full one, and parts can be concatenated.
    return pd.DataFrame(list(rows), columns=list(columns)).astype(columns)
