"""How every benchmark here measures: ours beside a rival, in interleaved rounds of random order in one process.

A round visits both sides once. pytest-benchmark's own numbers are those of ours' visits; the visits of both sides go into
``extra_info`` as whole nanoseconds (``reports.bench.measured``). Outputs are compared before anything is timed.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy
from pytest_benchmark.fixture import BenchmarkFixture

from harness.measure.rounds import round_order
from harness.measure.visits import standing_objects_frozen
from reports.bench.measured import FORMAT, KEY, Check, Measured, Scale, Side

VISIT_SECONDS = 0.005
"""How long a visit lasts at least: some ten thousand times what reading the clock takes."""
LONG_SECONDS = 0.1
"""Of a call, from which it need not be made again to see how many fill a visit."""
ROUNDS = ((0.0, 40), (0.05, 20), (0.15, 6), (1.5, 3))
"""From so many seconds a round on, so many rounds: everything shall be done in five minutes.

Six have an interval that is of use; three still tell a slow-down of two on a quiet machine, and else show that they do not.
"""
MOST_ROUNDS_OF_CHECKS = 10
"""Checks of the judging are made twenty times over, and so are short."""
SIDES = ("ours", "rival")

Call = Callable[..., Any]
Agree = Callable[[Any, Any], None]
"""Asserts that what ours and the rival returned is the same."""
Fresh = Callable[[], AbstractContextManager[tuple[Any, ...]]]
"""Makes the arguments of one call, and clears up after it, both off the clock."""


@dataclass(frozen=True)
class Rehearsal:
    """A share of what both sides do, compared and taken for the warm-up where all of it would take long."""

    ours: Call
    theirs: Call
    share: float


@contextmanager
def nothing_fresh() -> Iterator[tuple[Any, ...]]:
    yield ()


class Visitor:
    """One side, ready to be timed: its visits so far, in nanoseconds."""

    def __init__(self, call: Call, fresh: Fresh | None) -> None:
        self._call, self._fresh = call, fresh or nothing_fresh
        self._alone = fresh is not None
        self.repetitions = 1
        self.nanoseconds: list[int] = []

    def prepare(self, rehearsed: Call | None, share: float) -> tuple[Any, float]:
        """Call once, or what is a share of it, then choose how many calls make a visit.

        Return what the call returned, and a visit's seconds.
        """
        with self._fresh() as arguments:
            begin = time.perf_counter()
            result = (rehearsed or self._call)(*arguments)
            seconds = (time.perf_counter() - begin) / share
        # Those that need arguments of their own are called once a visit, and long ones are warm after one call.
        while not self._alone and seconds < LONG_SECONDS and (seconds := self._timed() / 1e9) < VISIT_SECONDS:
            missing = VISIT_SECONDS / max(seconds, 1e-9)
            self.repetitions = math.ceil(self.repetitions * (1.1 * missing if missing < 8 else 8))
        return result, seconds

    @contextmanager
    def ready(self) -> Iterator[Callable[[], None]]:
        """Yield what makes one timed visit; what precedes and follows it is not timed."""
        with self._fresh() as arguments:
            gc.collect()
            yield lambda: self.nanoseconds.append(self._timed(*arguments))

    def visit(self) -> None:
        with self.ready() as timed:
            timed()

    def side(self, name: str) -> Side:
        return Side(name=name, repetitions=self.repetitions, nanoseconds=tuple(self.nanoseconds))

    def _timed(self, *arguments: Any) -> int:
        call, clock, times = self._call, time.perf_counter_ns, range(self.repetitions)
        begin = clock()
        for _ in times:
            call(*arguments)
        return clock() - begin


class Beside:
    """The fixture ``beside``: compares, then measures, one comparison a benchmark."""

    def __init__(self, benchmark: BenchmarkFixture) -> None:
        self._benchmark = benchmark

    def __call__(
        self,
        name: str,
        ours: Call,
        theirs: Call,
        *,
        rival: str,
        group: str,
        agree: Agree,
        fresh: Fresh | None = None,
        rehearsal: Rehearsal | None = None,
        scale: Scale | None = None,
        check: Check | None = None,
    ) -> None:
        """Measure ``ours`` beside ``theirs``, which ``rival`` names, once ``agree`` has taken what both return.

        Args:
            name: what is measured, without who does it; with ``rival`` it is found again among what was accepted.
            fresh: makes the arguments of every call; without it both sides are called without any, several times a visit.
            rehearsal: needs ``fresh``.
            scale: where it stands in the table of sizes.
            check: where it checks the judging.
        """
        if self._benchmark.disabled:
            self._benchmark.pedantic(lambda: agree(_once(ours, fresh), _once(theirs, fresh)))
            return
        visitors = {"ours": Visitor(ours, fresh), "rival": Visitor(theirs, fresh)}
        generator = numpy.random.default_rng()
        with standing_objects_frozen():
            share = rehearsal.share if rehearsal else 1.0
            mine, here = visitors["ours"].prepare(rehearsal.ours if rehearsal else None, share)
            other, there = visitors["rival"].prepare(rehearsal.theirs if rehearsal else None, share)
            agree(mine, other)
            del mine, other
            rounds = rounds_for(here + there)
            if check is not None:
                rounds = min(rounds, MOST_ROUNDS_OF_CHECKS)
            ours_first = self._rounds(visitors, rounds, generator)
        self._benchmark.group = group
        measured = Measured(
            format=FORMAT,
            name=name,
            group=group,
            ours=visitors["ours"].side("ours"),
            rival=visitors["rival"].side(rival),
            ours_first=ours_first,
            scale=scale,
            check=check,
        )
        self._benchmark.extra_info[KEY] = measured.model_dump(mode="json")

    def _rounds(self, visitors: dict[str, Visitor], rounds: int, generator: numpy.random.Generator) -> tuple[bool, ...]:
        """Let pytest-benchmark time the visits of ours; the rival's come just before or just after, by lot."""
        order: list[bool] = []
        opened: list[AbstractContextManager[Callable[[], None]]] = []

        def setup() -> tuple[tuple[Callable[[], None]], dict[str, Any]]:
            order.append(round_order(SIDES, generator)[0] == "ours")
            if not order[-1]:
                visitors["rival"].visit()
            opened.append(visitors["ours"].ready())
            return (opened[-1].__enter__(),), {}

        def teardown(timed: Callable[[], None]) -> None:
            opened.pop().__exit__(None, None, None)
            if order[-1]:
                visitors["rival"].visit()

        self._benchmark.pedantic(lambda timed: timed(), setup=setup, teardown=teardown, rounds=rounds)
        return tuple(order)


def rounds_for(seconds: float) -> int:
    """Return how many rounds there shall be of so many seconds each."""
    return [rounds for least, rounds in ROUNDS if seconds >= least][-1]


def _once(call: Call, fresh: Fresh | None) -> Any:
    with (fresh or nothing_fresh)() as arguments:
        return call(*arguments)
