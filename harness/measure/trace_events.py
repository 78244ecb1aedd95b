"""Reading what torch's profiler wrote: requests, stages, operators and kernels out of a Chrome trace.

One reading serves CPU and CUDA. Operators are slices of the category ``cpu_op`` on the thread that ran them; kernels
are ``kernel``, ``gpu_memcpy`` and ``gpu_memset``, and carry the number (``correlation``) of the call that launched
them, a slice ``cuda_runtime`` or ``cuda_driver`` on the launching thread. Times are whole nanoseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.measure.trace_files import REQUEST, ROLE, STAGE

OPERATOR = "cpu_op"
DEVICE_WORK = ("kernel", "gpu_memcpy", "gpu_memset")
LAUNCHES = ("cuda_runtime", "cuda_driver", "runtime", "driver")
MEMORY = "[memory]"
HOST_MEMORY = 0
"""What the profiler writes as the type of the device whose memory it is: 0 for the host's."""


class TraceError(Exception):
    """A trace does not hold what is read from it; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Span:
    """A named stretch of time."""

    name: str
    start: int
    end: int


@dataclass(slots=True)
class Operator:
    """One call of an operator on the host.

    ``parent`` is the place, among all operators, of the one that called it, -1 for none; ``inner`` the nanoseconds
    that those called by it took. Memory is what the call itself allocated less what it freed, in bytes.
    """

    name: str
    shapes: str
    thread: Any
    start: int
    end: int
    parent: int = -1
    inner: int = 0
    host_memory: int = 0
    device_memory: int = 0

    @property
    def own(self) -> int:
        """Nanoseconds that no operator called by this one explains."""
        return self.end - self.start - self.inner


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel, copy or fill on the device: when it ran, when the host launched it, and within which operator.

    ``operator`` is the place among all operators of the innermost one that launched it, -1 for none.
    """

    name: str
    start: int
    end: int
    launched: int
    operator: int


@dataclass(frozen=True)
class TraceEvents:
    """What a trace holds: whole requests and stages in order, operators, and kernels in the order of their launches."""

    requests: tuple[Span, ...]
    stages: tuple[Span, ...]
    operators: tuple[Operator, ...]
    kernels: tuple[Kernel, ...]


@dataclass
class _Raw:
    """Events of a trace by what they are, as they stand in the file."""

    spans: dict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    operators: list[Operator] = field(default_factory=list)
    by_number: dict[Any, int] = field(default_factory=dict)
    kernels: list[dict[str, Any]] = field(default_factory=list)
    launches: dict[Any, tuple[Any, int]] = field(default_factory=dict)
    memory: list[dict[str, Any]] = field(default_factory=list)


def read_events(document: Mapping[str, Any]) -> TraceEvents:
    """Return what a trace with named stages (``trace_files.with_names``) holds.

    Raises:
        TraceError: there is no request in it.
    """
    raw = _sorted_out(document.get("traceEvents", ()))
    requests = sorted(raw.spans[REQUEST], key=lambda span: span.start)
    if not requests:
        raise TraceError("the trace holds no request: no step of the profiler was recorded")
    threads = _nest(raw.operators)
    for event in raw.memory:
        place = _innermost(raw.operators, threads, event.get("tid"), _nanoseconds(event["ts"]))
        if place >= 0:
            _note_memory(raw.operators[place], event.get("args", {}))
    kernels = sorted((_kernel(event, raw, threads) for event in raw.kernels), key=lambda one: (one.launched, one.start))
    stages = sorted(raw.spans[STAGE], key=lambda span: (span.start, span.end))
    return TraceEvents(tuple(requests), tuple(stages), tuple(raw.operators), tuple(kernels))


def _sorted_out(events: Iterable[Mapping[str, Any]]) -> _Raw:
    raw = _Raw()
    for event in events:
        phase, category = event.get("ph"), event.get("cat")
        if phase == "i" and event.get("name") == MEMORY:
            raw.memory.append(dict(event))
        if phase != "X":
            continue
        arguments = event.get("args") or {}
        start = _nanoseconds(event["ts"])
        end = start + _nanoseconds(event.get("dur", 0))
        if category == OPERATOR:
            number = arguments.get("External id")
            if number is not None:
                raw.by_number[number] = len(raw.operators)
            shapes = str(arguments.get("Input Dims", ""))
            raw.operators.append(Operator(event["name"], shapes, event["tid"], start, end))
        elif category in DEVICE_WORK:
            raw.kernels.append(dict(event))
        elif category in LAUNCHES and "correlation" in arguments:
            raw.launches[arguments["correlation"]] = (event["tid"], start)
        elif category == "user_annotation" and arguments.get(ROLE):
            raw.spans[arguments[ROLE]].append(Span(event["name"], start, end))
    return raw


def _nanoseconds(microseconds: float) -> int:
    return round(microseconds * 1000)


@dataclass(frozen=True)
class _Thread:
    """A thread's operators by when they began: their places, and the times."""

    places: list[int]
    starts: list[int]


def _nest(operators: list[Operator]) -> dict[Any, _Thread]:
    """Find out which operator called which, thread by thread, and what callers spent in those they called."""
    by_thread: dict[Any, list[int]] = defaultdict(list)
    for place, operator in enumerate(operators):
        by_thread[operator.thread].append(place)
    threads = {}
    for thread, places in by_thread.items():
        places.sort(key=lambda place: (operators[place].start, -operators[place].end))
        open_ones: list[int] = []
        for place in places:
            operator = operators[place]
            while open_ones and operators[open_ones[-1]].end <= operator.start:
                open_ones.pop()
            if open_ones:
                operator.parent = open_ones[-1]
                parent = operators[operator.parent]
                parent.inner += min(operator.end, parent.end) - operator.start
            open_ones.append(place)
        threads[thread] = _Thread(places, [operators[place].start for place in places])
    return threads


def _innermost(operators: list[Operator], threads: Mapping[Any, _Thread], thread: Any, moment: int) -> int:
    """Return the place of the innermost operator that ran on a thread at a moment, -1 for none."""
    found = threads.get(thread)
    index = bisect_right(found.starts, moment) - 1 if found else -1
    place = found.places[index] if found and index >= 0 else -1
    while place >= 0 and operators[place].end < moment:
        place = operators[place].parent
    return place


def _note_memory(operator: Operator, arguments: Mapping[str, Any]) -> None:
    size = int(arguments.get("Bytes", 0))
    if arguments.get("Device Type", HOST_MEMORY) == HOST_MEMORY:
        operator.host_memory += size
    else:
        operator.device_memory += size


def _kernel(event: Mapping[str, Any], raw: _Raw, threads: Mapping[Any, _Thread]) -> Kernel:
    """Return a kernel with what launched it; where the launch was not recorded, by the operator's number."""
    arguments = event.get("args") or {}
    start = _nanoseconds(event["ts"])
    end = start + _nanoseconds(event.get("dur", 0))
    launch = raw.launches.get(arguments.get("correlation"))
    if launch is not None:
        thread, moment = launch
        place = _innermost(raw.operators, threads, thread, moment)
    else:
        place = raw.by_number.get(arguments.get("External id"), -1)
        moment = raw.operators[place].start if place >= 0 else start
    return Kernel(event["name"], start, end, moment, place)
