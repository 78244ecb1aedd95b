"""Many real workers at the same trials at once: each trial is computed once, and nothing counts twice."""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import Workplace

from harness.execution import worker
from harness.execution.answers import answer
from harness.execution.claims import Claims
from harness.execution.ends import Unfinished, record_end
from harness.execution.heartbeat import Heart, Watch
from harness.execution.orders import EventWriter, Order, OrderedTrial
from harness.execution.place import Place
from harness.plan.code import fingerprint
from harness.store import attempt as attempt_module
from harness.store.attempt import Attempt, Failure
from harness.store.store import Store, new_attempt_id

EXPERIMENT = "race"
FUNCTION = "race_trials:appends"
MODULE = '''
"""Trials that say in a file that they ran; a line goes in whole, whoever else writes."""

import os
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def _say(name: str, index: int) -> None:
    descriptor = os.open(FOLDER / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{index} {os.getpid()}\\n".encode())
    os.close(descriptor)


def appends(*, run: Any, index: int, waits: str = "") -> dict[str, Any]:
    """Say so at the beginning and at the end; ``waits`` names a file without which the trial does not end."""
    _say("begun", index)
    deadline = time.monotonic() + 120
    while waits and not (FOLDER / waits).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    _say("ended", index)
    return {"value": float(index)}
'''
FORK = multiprocessing.get_context("fork")
PROCESSES, TRIALS = 50, 200
LEASE, BEAT = 2.0, 0.05
"""Seconds in place of minutes: a heart beats forty times within a lease, so a slow machine is not taken for a dead one."""


class Races:
    """An order, and the processes that work on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "race_trials.py").write_text(MODULE)
        self.store = Store(folder / "results")
        self.run_folder = self.store.runs_folder(EXPERIMENT) / "run"
        self.run_folder.mkdir(parents=True)
        self.claims_folder = self.store.claims_folder(EXPERIMENT)
        self.code = fingerprint(FUNCTION).digest

    def order(self, trials: int, waits: str = "") -> Order:
        """Return an order for some trials, whose first one waits for a file if ``waits`` names one."""
        ordered = tuple(
            OrderedTrial(
                f"trial-{index:03d}",
                {"index": index},
                {},
                {"index": index, "waits": "" if index else waits},
                0,
                {"index": index},
                (),
            )
            for index in range(trials)
        )
        return Order(
            "run", EXPERIMENT, str(self.store.root), FUNCTION, (str(self.folder),), self.code, "cpu", 1, False, False,
            None, ordered,
        )  # fmt: skip

    def start(self, body: Callable[..., None], *arguments: Any) -> BaseProcess:
        process = FORK.Process(target=body, args=arguments)
        process.start()
        return process

    def work(self, order: Order, name: str) -> None:
        """Be a worker on an order; called in a process of its own."""
        with contextlib.closing(EventWriter(self.run_folder / f"events-{name}.jsonl")) as events:
            worker.execute(order, events, name)

    def said(self, name: str) -> list[tuple[int, int]]:
        """Return index and process number of the lines of a file, in order."""
        path = self.folder / name
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(index), int(pid)) for index, pid in map(str.split, lines)]

    def events(self) -> Counter[str]:
        lines = [line for path in self.run_folder.glob("events-*") for line in path.read_text().splitlines()]
        return Counter(json.loads(line)["event"] for line in lines)

    def attempts(self, order: Order) -> dict[str, list[Attempt]]:
        found = {}
        for trial in order.trials:
            stored, damaged = self.store.attempts(EXPERIMENT, trial.id)
            assert not damaged
            found[trial.id] = [one.attempt for one in stored]
        return found

    def require_one_success_each(self, order: Order) -> None:
        """See that every trial has exactly one attempt, that it succeeded, and that nothing else is left."""
        for trial, attempts in self.attempts(order).items():
            assert [attempt.failure for attempt in attempts] == [None], trial
            assert attempts[0].records[0]["value"] == int(trial.removeprefix("trial-"))
        # A process that is killed while it links a claim leaves a temporary file among claims: test_claims has that.
        assert not list((self.store.root / EXPERIMENT / "attempts").rglob(".tmp-*"))
        assert not list(self.claims_folder.glob("*.json")) and not list(self.claims_folder.glob("followers/*.json"))


@pytest.fixture
def races(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Races:
    monkeypatch.syspath_prepend(str(workplace.folder))
    monkeypatch.delitem(sys.modules, "race_trials", raising=False)
    # What the environment of a process is takes a second to find out, and has nothing to do with who is at what.
    monkeypatch.setattr(worker, "_environment", lambda order: {"of": "a race"})
    return Races(workplace.folder)


class Gate:
    """Lets forked processes through when all stand before it, and the one that made it says so.

    A pipe in place of a barrier: who is killed as it leaves a barrier may have its lock, and nobody else gets out. The
    pipe comes to its end when the last process closes, or loses by its death, the end that can write.
    """

    def __init__(self) -> None:
        self.reads, self.writes = os.pipe()

    def wait(self) -> None:
        """Stand before it; called in a forked process."""
        os.close(self.writes)
        assert os.read(self.reads, 1) == b""

    def open(self) -> None:
        """Let everybody through, once all are there."""
        os.close(self.writes)
        assert os.read(self.reads, 1) == b""
        os.close(self.reads)


def join(processes: list[BaseProcess]) -> list[int | None]:
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


def test_fifty_workers_compute_each_of_two_hundred_trials_once(races: Races) -> None:
    order = races.order(TRIALS)
    gate = Gate()

    def racer(number: int) -> None:
        gate.wait()
        races.work(order, f"w{number}")

    processes = [races.start(racer, number) for number in range(PROCESSES)]
    gate.open()
    assert join(processes) == [0] * PROCESSES
    assert sorted(index for index, _ in races.said("begun")) == list(range(TRIALS))
    races.require_one_success_each(order)
    assert races.events() == {"started": TRIALS, "finished": TRIALS, "end": PROCESSES}
    assert not list(races.claims_folder.glob("heartbeats/*")), "who ended in order leaves no heart"


@pytest.mark.parametrize("seed", [1, 2])
def test_each_trial_succeeds_once_though_a_third_of_the_workers_is_killed(races: Races, seed: int) -> None:
    order = races.order(TRIALS)
    generator = random.Random(seed)
    gate = Gate()

    def racer(number: int) -> None:
        gate.wait()
        races.work(order, f"w{number}")

    processes = [races.start(racer, number) for number in range(PROCESSES)]
    gate.open()
    killed = 0
    thresholds = sorted(generator.randrange(TRIALS - 20) for _ in range(PROCESSES // 3))
    for threshold in thresholds:
        while len(races.said("begun")) < threshold and any(process.is_alive() for process in processes):
            time.sleep(0.001)
        # Half of the shots go at whoever has just begun a trial, so that claims of the dead are sure to be there.
        newest = [pid for _, pid in races.said("begun")][-1:]
        alive = [process for process in processes if process.is_alive()]
        likely = [process for process in alive if process.pid in newest]
        victims = likely if likely and generator.random() < 0.5 else alive
        if victims:
            time.sleep(generator.random() * 0.003)
            os.kill(generator.choice(victims).pid or 0, signal.SIGKILL)
            killed += 1
    codes = join(processes)
    assert set(codes) <= {0, -signal.SIGKILL} and codes.count(-signal.SIGKILL) <= killed
    # What was held by the last of the dead, when nobody came by any more: the driver would send another worker.
    assert join([races.start(races.work, order, "last")]) == [0]
    Claims(races.claims_folder, Place.here()).clear_dead()
    races.require_one_success_each(order)
    begun = Counter(index for index, _ in races.said("begun"))
    assert set(begun) == set(range(TRIALS)) and sum(begun.values()) - TRIALS <= killed, "only the killed repeat work"


# Two hosts that share a folder and no clock


class Host:
    """What one of two drivers does, with its worker in the same process: look who is dead, and order what is open."""

    def __init__(self, races: Races, name: str, clock_off: float) -> None:
        self.races = races
        self.name = name
        self.clock_off = clock_off

    def pretend(self) -> Place:
        """Make this process one on another machine whose clock is off."""
        here = replace(Place.here(), host=self.name, boot=f"boot of {self.name}", namespace=f"of {self.name}")
        worker.Place = SimpleNamespace(here=lambda: here)  # type: ignore[assignment,misc]
        worker.Heart = functools.partial(Heart, seconds=BEAT)  # type: ignore[assignment,misc]
        right = time.time
        time.time = lambda: right() + self.clock_off
        return here

    def drive(self, order: Order, leases: float) -> None:
        """Go on until everything is answered; say in the file ``looked`` that some leases went by meanwhile."""
        races = self.races
        observer = Claims(races.claims_folder, self.pretend())
        observer.watch = Watch(races.claims_folder, LEASE)
        began = 0.0
        while True:
            open_ones = [
                trial for trial in order.trials if answer(races.store, EXPERIMENT, trial, order.code) == "open"
            ]
            if not open_ones:
                return
            dead = observer.dead_among([trial.id for trial in open_ones])
            if len(open_ones) > 1 or dead:
                races.work(replace(order, dead_claims=tuple(dead)), self.name)
                continue
            began = began or time.monotonic()
            if time.monotonic() - began > leases * LEASE:
                (races.folder / "looked").touch()
            time.sleep(0.02)


def two_hosts(races: Races, order: Order, leases: float) -> list[BaseProcess]:
    hosts = [Host(races, "early", -3600.0), Host(races, "late", 3600.0)]
    return [races.start(host.drive, order, leases) for host in hosts]


def holder_of_the_first(races: Races, processes: list[BaseProcess]) -> BaseProcess:
    """Return the process that is at the trial that waits, once all others are done."""
    deadline = time.monotonic() + 60
    while len(races.said("ended")) < 39 and time.monotonic() < deadline:
        time.sleep(0.01)
    [pid] = [pid for index, pid in races.said("begun") if index == 0]
    return next(process for process in processes if process.pid == pid)


@pytest.mark.parametrize("first_clock", ["early", "late"])
def test_hosts_whose_clocks_differ_take_nothing_over_while_hearts_beat(races: Races, first_clock: str) -> None:
    """The first trial lasts until the other host has looked for longer than a lease."""
    order = races.order(40, waits="looked")
    first, second = ("early", "late") if first_clock == "early" else ("late", "early")
    off = {"early": -3600.0, "late": 3600.0}
    processes = [races.start(Host(races, first, off[first]).drive, order, 1.5)]
    deadline = time.monotonic() + 60
    while not races.said("begun") and time.monotonic() < deadline:
        time.sleep(0.01)
    processes.append(races.start(Host(races, second, off[second]).drive, order, 1.5))
    assert join(processes) == [0, 0]
    assert sorted(index for index, _ in races.said("begun")) == list(range(40))
    races.require_one_success_each(order)
    hosts = {trial: found[0].place["host"] for trial, found in races.attempts(order).items()}
    assert hosts["trial-000"] == first and set(hosts.values()) == {first, second}
    assert races.events()["lost"] == 0


def test_a_host_that_died_is_taken_over_once_its_heart_has_been_silent_for_a_lease(races: Races) -> None:
    order = races.order(40, waits="go on")
    processes = two_hosts(races, order, 1.5)
    victim = holder_of_the_first(races, processes)
    os.kill(victim.pid or 0, signal.SIGKILL)
    (races.folder / "go on").touch()
    join(processes)
    assert sorted(str(process.exitcode) for process in processes) == ["-9", "0"]
    races.require_one_success_each(order)
    assert Counter(index for index, _ in races.said("begun")) == Counter([0, *range(40)])


def test_a_host_that_stood_still_for_longer_than_a_lease_writes_nothing(races: Races) -> None:
    """It wakes up after another one has taken over and finished, and ends its trial: that one is lost, not double."""
    order = races.order(40, waits="go on")
    processes = two_hosts(races, order, 1.5)
    sleeper = holder_of_the_first(races, processes)
    [other] = [process for process in processes if process is not sleeper]
    os.kill(sleeper.pid or 0, signal.SIGSTOP)
    try:
        (races.folder / "go on").touch()
        other.join(120)
        assert other.exitcode == 0
    finally:
        os.kill(sleeper.pid or 0, signal.SIGCONT)
    assert join(processes) == [0, 0]
    assert Counter(index for index, _ in races.said("ended")) == Counter([0, *range(40)])
    races.require_one_success_each(order)
    assert races.events()["lost"] == 1


# What a driver writes down for a worker that was killed


def test_the_end_of_a_killed_worker_is_told_while_another_worker_begins_its_trial(
    races: Races, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim of the dead is free at once, so another driver's worker may come before the end is written down."""
    order = races.order(1)
    begun = time.time()
    unfinished = Unfinished(order.trials[0], new_attempt_id(begun), begun, "w1@here", {"host": "here"})
    written_once = attempt_module.folder_written_once
    came: list[str] = []

    @contextlib.contextmanager
    def meanwhile(target: Path) -> Iterator[Path]:
        with written_once(target) as temporary:
            if not came:
                came.append("another worker")
                races.work(order, "w2")
            yield temporary

    monkeypatch.setattr(attempt_module, "folder_written_once", meanwhile)
    failure = Failure("killed", "killed", "the worker's process ended in the middle of the trial", "")
    record_end(races.store, EXPERIMENT, "run", order.code, unfinished, failure)
    kinds = [attempt.failure.kind if attempt.failure else "" for attempt in races.attempts(order)["trial-000"]]
    assert "" in kinds and set(kinds) <= {"", "killed"}
