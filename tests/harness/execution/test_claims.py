"""Claims on trials: one holder at a time, the dead hold nothing, and no order of file operations changes that."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from unittest import mock

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from harness.execution import claims as claims_module
from harness.execution.claims import FOLLOWERS, Claim, Claims, Held
from harness.execution.heartbeat import Heart, Watch
from harness.execution.place import Place

TRIAL = "t"
LEASE = 60.0
HERE = Place("host", "boot", "namespace", 1, 0.0)
NEVER = 2**22 + 1
"""A process number that Linux never gives."""


def of_process(pid: int, **changes: object) -> Place:
    """Return the place of another process; without changes it is one on the same machine, in the same container."""
    return replace(Place.here(), pid=pid, **changes)  # type: ignore[arg-type]


def put(folder: Path, trial: str, place: Place, heart: str = "") -> Claim:
    """Let a process at ``place`` claim a trial, whatever becomes of it."""
    held = Claims(folder, place, worker="put", heart=heart).acquire(trial)
    assert held is not None
    return held.claim


def files(folder: Path) -> list[str]:
    """Return what lies in a claims folder, heartbeats left out."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith("heartbeats/"))


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def watched(folder: Path, clock: Clock, place: Place = HERE) -> Claims:
    """Return claims as a process on HERE sees them, which judges heartbeats by ``clock``."""
    claims = Claims(folder, place)
    claims.watch = Watch(folder, LEASE, clock)
    return claims


@pytest.fixture
def living(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The process numbers of this machine that are alive, in place of those that the kernel knows."""
    alive: set[int] = {1}
    monkeypatch.setattr(claims_module, "process_lives", lambda pid, started: pid in alive)
    return alive


# One process after the other


def test_a_trial_is_held_until_it_is_released(tmp_path: Path) -> None:
    folder = tmp_path / "deeper" / "claims"
    first, second = Claims(folder, Place.here(), worker="w1"), Claims(folder, Place.here(), worker="w2")
    held = first.acquire(TRIAL)
    assert held is not None and first.still_held(held)
    assert first.acquire(TRIAL) is None and second.acquire(TRIAL) is None and second.is_held(TRIAL)
    assert second.holder(TRIAL) == held.claim and held.claim.worker == "w1"
    first.release(held)
    assert not first.still_held(held) and not first.is_held(TRIAL) and first.holder(TRIAL) is None
    again = second.acquire(TRIAL)
    assert again is not None and again.claim.worker == "w2" and again.claim.id != held.claim.id


def test_trials_are_held_one_by_one(tmp_path: Path) -> None:
    claims = Claims(tmp_path, Place.here())
    held = {trial: claims.acquire(trial) for trial in ("a", "b", "c")}
    assert all(held.values()) and sorted(claim.trial for claim in claims.all()) == ["a", "b", "c"]
    claims.release(held["b"])  # type: ignore[arg-type]
    assert sorted(claim.trial for claim in claims.all()) == ["a", "c"]


def test_a_claim_says_who_holds_the_trial(tmp_path: Path) -> None:
    place = replace(Place.here(), job="7_3", restart=2, cluster="c")
    held = Claims(tmp_path, place, worker="w", heart="h").acquire(TRIAL)
    assert held is not None
    found = Claims(tmp_path, Place.here()).holder(TRIAL)
    assert found == Claim(held.claim.id, TRIAL, "w", "h", place)


def test_releasing_twice_does_nothing(tmp_path: Path) -> None:
    claims = Claims(tmp_path, Place.here())
    held = claims.acquire(TRIAL)
    assert held is not None
    claims.release(held)
    other = claims.acquire(TRIAL)
    claims.release(held)
    assert other is not None and claims.still_held(other)


@pytest.mark.parametrize("dead", [0, 1, 4])
def test_nothing_is_left_in_the_folder_once_everything_is_released(tmp_path: Path, dead: int) -> None:
    for number in range(dead):
        put(tmp_path, TRIAL, of_process(NEVER + number))
    claims = Claims(tmp_path, Place.here())
    held = claims.acquire(TRIAL)
    assert held is not None and len(files(tmp_path)) == dead + 1
    claims.release(held)
    assert files(tmp_path) == []


# Who is dead


def test_a_dead_process_on_this_machine_is_taken_over(tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=lambda: put(tmp_path, TRIAL, Place.here()))
    child.start()
    child.join()
    claims = Claims(tmp_path, Place.here(), worker="alive")
    assert claims.holder(TRIAL).place.pid == child.pid and not claims.is_held(TRIAL)  # type: ignore[union-attr]
    held = claims.acquire(TRIAL)
    assert held is not None and claims.still_held(held) and claims.holder(TRIAL).worker == "alive"  # type: ignore[union-attr]


def test_a_process_that_ended_and_was_not_waited_for_is_dead(tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=lambda: put(tmp_path, TRIAL, Place.here()))
    child.start()
    deadline = time.monotonic() + 60
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Claims(tmp_path, Place.here()).acquire(TRIAL) is not None
    child.join()


def test_a_process_number_that_came_again_is_another_process(tmp_path: Path) -> None:
    put(tmp_path, TRIAL, of_process(os.getpid(), process_started=1.0))
    assert Claims(tmp_path, Place.here()).acquire(TRIAL) is not None


def test_a_process_lives_on_when_the_clock_of_its_machine_is_set(tmp_path: Path) -> None:
    held = Claims(tmp_path, Place.here()).acquire(TRIAL)
    assert held is not None
    boot_time = psutil.boot_time()
    with mock.patch("psutil._pslinux.boot_time", lambda: boot_time + 3600):
        other = Claims(tmp_path, Place.here())
        assert other.is_held(TRIAL) and other.acquire(TRIAL) is None


def test_what_was_held_before_this_host_started_again_is_free(tmp_path: Path, living: set[int]) -> None:
    put(tmp_path, TRIAL, replace(HERE, boot="before"), heart="beats no more")
    assert Claims(tmp_path, HERE).acquire(TRIAL) is not None, "though a process with this number lives now"


def test_another_container_of_this_machine_is_judged_by_its_heart_alone(tmp_path: Path, living: set[int]) -> None:
    clock = Clock()
    claims = watched(tmp_path, clock)
    # Its process 1 is not the one that lives here, and its process 9 is none of the dead.
    for trial, pid in (("a", 1), ("b", 9)):
        put(tmp_path, trial, replace(HERE, namespace="container", pid=pid), heart=trial)
    assert claims.acquire("a") is None and claims.acquire("b") is None
    clock.now = LEASE + 1
    assert claims.acquire("a") is not None and claims.acquire("b") is not None


def test_another_host_is_alive_while_its_heart_beats_whatever_its_clock_says(tmp_path: Path, living: set[int]) -> None:
    clock = Clock()
    claims = watched(tmp_path, clock)
    put(tmp_path, TRIAL, replace(HERE, host="elsewhere", boot="other"), heart="h")
    beats = tmp_path / "heartbeats" / "h"
    beats.parent.mkdir()
    for number in range(100):
        beats.write_text(str(number))
        os.utime(beats, (0, 0))  # A file server whose clock stands still.
        clock.now += LEASE
        assert claims.acquire(TRIAL) is None


def test_another_host_is_dead_after_a_whole_silent_lease_by_the_observers_clock(
    tmp_path: Path, living: set[int]
) -> None:
    clock = Clock()
    claims = watched(tmp_path, clock)
    put(tmp_path, TRIAL, replace(HERE, host="elsewhere", boot="other"), heart="h")
    beats = tmp_path / "heartbeats" / "h"
    beats.parent.mkdir()
    beats.write_text("1")
    clock.now = 1000.0
    assert claims.is_held(TRIAL), "however old a beat is, the first look only begins the lease"
    clock.now += LEASE
    assert claims.is_held(TRIAL)
    beats.write_text("2")
    clock.now += 1
    assert claims.is_held(TRIAL), "it beat within the lease"
    clock.now += LEASE
    assert claims.is_held(TRIAL)
    clock.now += 1
    assert not claims.is_held(TRIAL) and claims.acquire(TRIAL) is not None
    assert Claims(tmp_path, HERE).acquire(TRIAL) is None, "who took over lives on this machine"


def test_a_heart_that_was_never_there_is_silent_too(tmp_path: Path, living: set[int]) -> None:
    clock = Clock()
    claims = watched(tmp_path, clock)
    for trial, heart in (("a", ""), ("b", "never")):
        put(tmp_path, trial, replace(HERE, host="elsewhere", boot="other"), heart=heart)
        assert claims.is_held(trial)
    clock.now = LEASE + 1
    assert not claims.is_held("a") and not claims.is_held("b")


def test_a_real_heart_is_heard_through_the_folder(tmp_path: Path, living: set[int]) -> None:
    put(tmp_path, "before", replace(HERE, host="elsewhere", boot="other"))
    clock = Clock()
    claims = watched(tmp_path, clock)
    with Heart(tmp_path, seconds=0.01) as heart:
        claim = put(tmp_path, TRIAL, replace(HERE, host="elsewhere", boot="other"), heart=heart.name)
        for _ in range(3):
            assert not claims.is_dead(claim)
            seen = (tmp_path / "heartbeats" / heart.name).read_text()
            deadline = time.monotonic() + 60
            while (tmp_path / "heartbeats" / heart.name).read_text() in ("", seen) and time.monotonic() < deadline:
                time.sleep(0.01)
            clock.now += LEASE + 1
    assert not claims.is_dead(claim), "that its file went is a change, and begins a lease"
    clock.now += LEASE + 1
    assert claims.is_dead(claim)


def test_an_observer_that_was_stopped_while_it_looked_does_not_take_the_living_for_dead(tmp_path: Path) -> None:
    beats = tmp_path / "heartbeats" / "h"
    beats.parent.mkdir()
    beats.write_text("1")
    times = [0.0]

    def stopped() -> float:
        # SIGSTOP, or a machine that was suspended, between the look at the file and the look at the clock.
        return times[-1]

    watch = Watch(tmp_path, LEASE, stopped)
    assert not watch.silent("h")
    read = Path.read_text

    def slow_read(path: Path, *arguments: object) -> str:
        text = read(path)
        times.append(times[-1] + 2 * LEASE)
        beats.write_text("2")
        return text

    with mock.patch.object(Path, "read_text", slow_read):
        assert not watch.silent("h")


def test_the_same_slurm_job_before_it_was_requeued_is_dead(tmp_path: Path, living: set[int]) -> None:
    job = replace(HERE, job="7_3", restart=1, cluster="c")
    there = replace(job, host="elsewhere", boot="other")
    for trial, place in {
        "earlier": replace(there, restart=0),
        "this": there,
        "later": replace(there, restart=2),
        "other element": replace(there, job="7_4", restart=0),
        "other cluster": replace(there, cluster="d", restart=0),
        "no job": replace(there, job="", restart=0, cluster=""),
    }.items():
        put(tmp_path, trial, place)
    claims = Claims(tmp_path, job)
    assert claims.acquire("earlier") is not None
    for trial in ("this", "later", "other element", "other cluster", "no job"):
        assert claims.acquire(trial) is None, trial
    nowhere = Claims(tmp_path, replace(HERE, restart=5))
    assert nowhere.is_held("no job"), "two processes outside Slurm are not one job"


def test_an_ended_job_is_buried_with_what_it_held(tmp_path: Path, living: set[int]) -> None:
    there = replace(HERE, host="elsewhere", boot="other", job="7_3", cluster="c")
    for restart in range(3):
        put(tmp_path, f"restart {restart}", replace(there, restart=restart))
    put(tmp_path, "other element", replace(there, job="7_4"))
    put(tmp_path, "other cluster", replace(there, cluster="d"))
    claims = Claims(tmp_path, HERE)
    trials = [claim.trial for claim in claims.all()]
    assert len(trials) == 5 and claims.dead_among(trials) == []
    claims.bury("7_3", "c", restart=1)
    assert {trial for trial in trials if not claims.is_held(trial)} == {"restart 0", "restart 1"}
    claims.bury("7_3", "c")
    assert {trial for trial in trials if claims.is_held(trial)} == {"other element", "other cluster"}
    assert Claims(tmp_path, HERE).is_held("restart 0"), "only whom Slurm has told knows"


def test_a_job_that_is_said_to_be_over_lives_if_its_process_does(tmp_path: Path, living: set[int]) -> None:
    """On one machine the kernel knows better than Slurm."""
    put(tmp_path, TRIAL, replace(HERE, job="7"))
    claims = Claims(tmp_path, HERE)
    claims.bury("7", "")
    assert claims.is_held(TRIAL)


def test_what_a_driver_knows_to_be_dead_its_workers_know(tmp_path: Path, living: set[int]) -> None:
    there = replace(HERE, host="elsewhere", boot="other", job="7")
    ids = {trial: put(tmp_path, trial, there).id for trial in ("a", "b")}
    put(tmp_path, "alive", replace(HERE, host="elsewhere", boot="other"))
    driver = Claims(tmp_path, HERE)
    driver.bury("7", "")
    dead = driver.dead_among(["a", "alive", "nobody holds it"])
    assert dead == [ids["a"]]
    worker = Claims(tmp_path, replace(HERE, host="third", boot="third"), dead=tuple(dead))
    assert worker.acquire("a") is not None and worker.acquire("b") is None and worker.acquire("alive") is None


def test_that_a_claim_is_dead_says_nothing_of_the_one_who_took_over(tmp_path: Path, living: set[int]) -> None:
    there = replace(HERE, host="elsewhere", boot="other", job="7")
    claim = put(tmp_path, TRIAL, there)
    first, second = (Claims(tmp_path, HERE, dead=[claim.id]) for _ in range(2))
    assert first.acquire(TRIAL) is not None
    assert second.acquire(TRIAL) is None and second.dead_among([TRIAL]) == []


# Chains


def test_a_chain_of_dead_successors_is_held_by_nobody(tmp_path: Path, living: set[int]) -> None:
    for pid in range(2, 8):
        living.add(pid)
        put(tmp_path, TRIAL, replace(HERE, pid=pid))
        living.remove(pid)
        assert not Claims(tmp_path, HERE).is_held(TRIAL)
    assert len(files(tmp_path)) == 6 and len(list((tmp_path / FOLLOWERS).iterdir())) == 5
    claims = Claims(tmp_path, HERE)
    held = claims.acquire(TRIAL)
    assert held is not None and claims.still_held(held)
    living.add(8)
    assert Claims(tmp_path, replace(HERE, pid=8)).acquire(TRIAL) is None
    claims.release(held)
    assert files(tmp_path) == []


def test_who_was_taken_for_dead_has_lost_the_trial_and_leaves_it_to_the_successor(
    tmp_path: Path, living: set[int]
) -> None:
    there = replace(HERE, host="elsewhere", boot="other")
    slow, successor = Claims(tmp_path, there), Claims(tmp_path, HERE)
    held = slow.acquire(TRIAL)
    assert held is not None and slow.still_held(held)
    successor._dead.add(held.claim.id)
    taken = successor.acquire(TRIAL)
    assert taken is not None and not slow.still_held(held)
    slow.release(held)
    assert successor.still_held(taken) and successor.holder(TRIAL) == taken.claim
    assert slow.acquire(TRIAL) is None
    successor.release(taken)
    assert files(tmp_path) == []
    again = slow.acquire(TRIAL)
    assert again is not None and slow.still_held(again) and not slow.still_held(held)


# Files that are not as they should be


def test_a_folder_that_somebody_empties_frees_the_trials(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "claims", Place.here())
    put(tmp_path / "claims", TRIAL, of_process(NEVER))
    held = claims.acquire(TRIAL)
    assert held is not None
    for path in sorted((tmp_path / "claims").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "claims").rmdir()
    assert not claims.still_held(held)
    claims.release(held)
    claims.clear_dead()
    assert list(claims.all()) == [] and claims.acquire(TRIAL) is not None


UNREADABLE = {
    "empty": "",
    "half": '{"id": "x", "tri',
    "another document": "[1, 2]",
    "of an earlier version": '{"worker": "w", "host": "h", "pid": 1, "lease_until": 0.0}',
}
"""Empty is what a machine that lost its power may leave: the file was linked before its bytes were on the disk."""


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_claim_that_cannot_be_read_is_nobodys(tmp_path: Path, content: str) -> None:
    (tmp_path / f"{TRIAL}.json").write_text(content)
    claims = Claims(tmp_path, Place.here())
    holder = claims.holder(TRIAL)
    assert holder is not None and not claims.is_held(TRIAL) and claims.dead_among([TRIAL]) == [holder.id]
    claims.bury("7", "")
    held = claims.acquire(TRIAL)
    assert held is not None and claims.still_held(held)
    claims.release(held)
    assert claims.holder(TRIAL) is None and list(claims.all()) == []


def unreadable(path: Path, content: str) -> None:
    """Leave a file that has lain there for long, so that whoever goes by its age does not take it for new."""
    path.write_text(content)
    os.utime(path, (0, 0))


def acquired_in_the_end(claims: Claims, clock: Clock) -> Held | None:
    """Do what a driver that goes on for longer than a lease does, and return what it gets."""
    for _ in range(3):
        claims.clear_dead()
        if (held := claims.acquire(TRIAL)) is not None:
            return held
        clock.now += LEASE + 1
    return None


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_claim_that_cannot_be_read_does_not_keep_a_trial_from_ever_running(tmp_path: Path, content: str) -> None:
    unreadable(tmp_path / f"{TRIAL}.json", content)
    clock = Clock()
    assert acquired_in_the_end(watched(tmp_path, clock, Place.here()), clock) is not None


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_successor_that_cannot_be_read_does_not_keep_a_trial_from_ever_running(tmp_path: Path, content: str) -> None:
    claim = put(tmp_path, TRIAL, of_process(NEVER))
    (tmp_path / FOLLOWERS).mkdir(exist_ok=True)
    unreadable(tmp_path / FOLLOWERS / f"{claim.id}.json", content)
    clock = Clock()
    assert acquired_in_the_end(watched(tmp_path, clock, Place.here()), clock) is not None


def test_a_claim_that_goes_between_two_looks_is_claimed_afresh(tmp_path: Path) -> None:
    """The name is taken when the process links, and free when it looks who took it."""
    other = Claims(tmp_path, Place.here())
    held = []

    def taken() -> None:
        held.append(other.acquire(TRIAL))

    def gone() -> None:
        other.release(held[0])  # type: ignore[arg-type]

    claims = Paused(tmp_path, Place.here(), before_link=taken, after_link=gone)
    mine = claims.acquire(TRIAL)
    assert mine is not None and claims.still_held(mine)


def test_a_link_whose_answer_was_lost_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS repeats what got no answer, and the server says of the repeated link that the name is taken: by us."""
    link = os.link

    def repeated(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", repeated)
    held = Claims(tmp_path, Place.here()).acquire(TRIAL)
    assert held is not None


# Clearing


def test_dead_claims_and_orphans_are_cleared_and_live_ones_are_not(tmp_path: Path, living: set[int]) -> None:
    """Of every kind one: dead alone, dead chain, live, live after dead, elsewhere, orphaned successors."""
    living |= {2, 3}
    put(tmp_path, "dead", replace(HERE, pid=7))
    for pid in (7, 8, 9):
        put(tmp_path, "dead chain", replace(HERE, pid=pid))
        put(tmp_path, "after dead ones", replace(HERE, pid=pid))
    two, three = Claims(tmp_path, replace(HERE, pid=2)), Claims(tmp_path, replace(HERE, pid=3))
    alive = {"alive": two.acquire("alive"), "after dead ones": three.acquire("after dead ones")}
    put(tmp_path, "elsewhere", replace(HERE, host="elsewhere", boot="other"))
    for name, place in (("orphan", replace(HERE, pid=7)), ("other orphan", replace(HERE, pid=2))):
        content = json.dumps(asdict(Claim(f"id of {name}", "dead", "w", "", place)))
        (tmp_path / FOLLOWERS / f"{name}.json").write_text(content)
    Claims(tmp_path, HERE).clear_dead()
    assert {claim.trial for claim in two.all()} == {"alive", "after dead ones", "elsewhere"}
    assert two.still_held(alive["alive"]) and three.still_held(alive["after dead ones"])  # type: ignore[arg-type]
    # The live one with three dead before it, the live one, and the one elsewhere: four, one and one.
    assert len(files(tmp_path)) == 6
    two.release(alive["alive"])  # type: ignore[arg-type]
    three.release(alive["after dead ones"])  # type: ignore[arg-type]
    assert files(tmp_path) == ["elsewhere.json"]


def test_clearing_a_folder_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    Claims(tmp_path / "none", Place.here()).clear_dead()
    assert not (tmp_path / "none").exists()


def test_hearts_of_living_holders_are_not_cleared(tmp_path: Path, living: set[int]) -> None:
    (tmp_path / "heartbeats").mkdir()
    put(tmp_path, TRIAL, replace(HERE, host="elsewhere", boot="other"), heart="used")
    for name, age in (("used", 10**6), ("long silent", 10**6), ("new", 0)):
        path = tmp_path / "heartbeats" / name
        path.write_text("1")
        os.utime(path, (time.time() - age, time.time() - age))
    Claims(tmp_path, HERE).clear_dead()
    assert sorted(os.listdir(tmp_path / "heartbeats")) == ["new", "used"]


def test_claims_that_killed_processes_did_not_link_are_cleared(tmp_path: Path, living: set[int]) -> None:
    """Of this machine at once; of another one, which may be about to link, after ten leases."""

    def unlinked(name: str, content: str) -> Path:
        path = tmp_path / f".tmp-{name}"
        path.write_text(content)
        return path

    def claim(place: Place) -> str:
        return json.dumps(asdict(Claim("id", TRIAL, "w", "", place)))

    put(tmp_path, "other", replace(HERE, pid=2))
    living.add(2)
    half = unlinked("half", claim(HERE)[:40])
    empty = unlinked("empty", "")
    dead = unlinked("dead", claim(replace(HERE, pid=7)))
    alive = unlinked("alive", claim(replace(HERE, pid=2)))
    elsewhere = unlinked("elsewhere", claim(replace(HERE, host="elsewhere", boot="other")))
    long_ago = unlinked("long ago", claim(replace(HERE, host="elsewhere", boot="other")))
    os.utime(long_ago, (0, 0))
    Claims(tmp_path, HERE).clear_dead()
    assert not half.exists() and not empty.exists() and not dead.exists() and not long_ago.exists()
    assert alive.exists() and elsewhere.exists()


def test_a_claim_is_linked_although_its_draft_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another driver clears the folder between the first bytes of a draft and its link."""
    written = Path.write_bytes

    def write_half_and_wait(path: Path, data: bytes) -> int:
        monkeypatch.setattr(Path, "write_bytes", written)
        length = path.write_bytes(data[:10])
        Claims(tmp_path, Place.here()).clear_dead()
        assert not path.exists()
        return length

    tmp_path.joinpath(FOLLOWERS).mkdir()
    monkeypatch.setattr(Path, "write_bytes", write_half_and_wait)
    held = Claims(tmp_path, Place.here()).acquire(TRIAL)
    assert held is not None and Claims(tmp_path, Place.here()).is_held(TRIAL)
    assert files(tmp_path) == [f"{TRIAL}.json"]


def test_a_successor_that_comes_while_the_folder_is_cleared_is_not_taken_for_an_orphan(
    tmp_path: Path, living: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two looks a process claims, dies, and another takes over: that one lives and holds the trial."""
    living |= {2, 3}
    second, third = Claims(tmp_path, replace(HERE, pid=2)), Claims(tmp_path, replace(HERE, pid=3))
    put(tmp_path, "other", HERE)
    (tmp_path / FOLLOWERS).mkdir(exist_ok=True)
    held: list[Held | None] = []
    glob = Path.glob

    def meanwhile(path: Path, pattern: str) -> Iterator[Path]:
        if path.name == FOLLOWERS and not held:
            assert second.acquire(TRIAL) is not None
            living.remove(2)
            held.append(third.acquire(TRIAL))
        return iter(list(glob(path, pattern)))

    monkeypatch.setattr(Path, "glob", meanwhile)
    Claims(tmp_path, HERE).clear_dead()
    if not held:
        # Whoever looks for successors in another way must meet the same: it comes right after the clearing then.
        pytest.fail("the test has lost its way into clear_dead")
    living.add(4)
    fourth = Claims(tmp_path, replace(HERE, pid=4))
    assert held[0] is not None and third.still_held(held[0])
    assert fourth.acquire(TRIAL) is None, "two live processes hold the trial"


# Two at once: one process stands still between two of its file operations


class Paused(Claims):
    """Claims of a process that is stopped once before it links a claim, and once after, for others to go on."""

    def __init__(
        self,
        folder: Path,
        place: Place,
        *,
        before_link: Callable[[], object] = lambda: None,
        after_link: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(folder, place)
        self._before, self._after = [before_link], [after_link]

    def _link(self, path: Path, claim: Claim) -> bool:
        if self._before:
            self._before.pop()()
        done = super()._link(path, claim)
        if self._after:
            self._after.pop()()
        return done


class Race:
    """A trial that was left by a dead process, and the processes A, B, C and E that come by."""

    def __init__(self, folder: Path, living: set[int]) -> None:
        self.folder = folder
        self.living = living
        self.dead = put(folder, TRIAL, replace(HERE, pid=9))
        living |= {1, 2, 3, 4}
        self.b, self.c, self.e = (Claims(folder, replace(HERE, pid=pid)) for pid in (2, 3, 4))
        self.held: dict[str, Held] = {}

    def a(self, **hooks: Callable[[], object]) -> Paused:
        return Paused(self.folder, HERE, **hooks)  # type: ignore[arg-type]

    def takes(self, name: str) -> None:
        """Let B, C or E claim the trial, which it must get."""
        held = getattr(self, name).acquire(TRIAL)
        assert held is not None, name
        self.held[name] = held

    def gives_back(self, name: str) -> None:
        getattr(self, name).release(self.held[name])

    def holders(self) -> list[str]:
        """Return which of B, C and E hold the trial, as they see it themselves."""
        return [name for name, held in self.held.items() if getattr(self, name).still_held(held)]


@pytest.fixture
def race(tmp_path: Path, living: set[int]) -> Race:
    return Race(tmp_path, living)


def test_of_two_that_take_over_at_once_the_later_finds_the_name_taken(race: Race) -> None:
    assert race.a(before_link=lambda: race.takes("b")).acquire(TRIAL) is None
    assert race.holders() == ["b"]


def test_the_earlier_of_two_that_take_over_keeps_the_trial(race: Race) -> None:
    refused = []
    claims = race.a(after_link=lambda: refused.append(race.b.acquire(TRIAL)))
    held = claims.acquire(TRIAL)
    assert refused == [None] and held is not None and claims.still_held(held)


def test_a_process_withdraws_that_links_after_the_trial_was_taken_over_finished_and_claimed_afresh(race: Race) -> None:
    def meanwhile() -> None:
        race.takes("b")
        race.gives_back("b")
        race.takes("c")

    assert race.a(before_link=meanwhile).acquire(TRIAL) is None
    assert race.holders() == ["c"]
    race.gives_back("c")
    assert files(race.folder) == [], "the successor that A linked is gone as well"


def test_a_process_claims_afresh_that_links_after_the_trial_was_taken_over_and_given_back(race: Race) -> None:
    def meanwhile() -> None:
        race.takes("b")
        race.gives_back("b")

    claims = race.a(before_link=meanwhile)
    held = claims.acquire(TRIAL)
    assert held is not None and claims.still_held(held) and held.first == held.claim.id
    assert race.c.acquire(TRIAL) is None and files(race.folder) == [f"{TRIAL}.json"]


def test_a_process_takes_over_again_from_one_that_claimed_afresh_and_died(race: Race) -> None:
    def meanwhile() -> None:
        race.takes("b")
        race.gives_back("b")
        race.takes("c")
        race.living.remove(3)

    claims = race.a(before_link=meanwhile)
    held = claims.acquire(TRIAL)
    assert held is not None and claims.still_held(held) and held.first == race.held["c"].claim.id
    claims.release(held)
    assert files(race.folder) == []


def test_a_fresh_claim_between_the_link_and_the_look_at_the_first_one_counts(race: Race) -> None:
    """A links behind a first claim that is gone; C claims afresh before A looks; C must not see A's claim."""

    def before() -> None:
        race.takes("b")
        race.gives_back("b")

    def after() -> None:
        race.takes("c")
        assert race.holders() == ["c"]

    assert race.a(before_link=before, after_link=after).acquire(TRIAL) is None
    assert race.holders() == ["c"] and race.e.acquire(TRIAL) is None


@pytest.mark.parametrize("removals", [1, 2])
def test_a_release_that_stands_still_gives_the_trial_to_one(race: Race, removals: int) -> None:
    """B has removed the first claim, or the first and one successor, when A links and C comes by."""
    race.takes("b")
    remove, seen = claims_module._remove, []
    outcome: dict[str, Held | None] = {}
    claims = race.a()

    def stopped(path: Path) -> None:
        remove(path)
        seen.append(path)
        if len(seen) == removals:
            with mock.patch.object(claims_module, "_remove", remove):
                outcome["a"] = claims.acquire(TRIAL)
                outcome["c"] = race.c.acquire(TRIAL)

    with mock.patch.object(claims_module, "_remove", stopped):
        race.gives_back("b")
    assert outcome["a"] is not None and outcome["c"] is None and claims.still_held(outcome["a"])
    claims.release(outcome["a"])
    assert files(race.folder) == []


def test_a_process_that_dies_between_link_and_look_stands_in_nobodys_way(race: Race) -> None:
    class Dies(BaseException):
        pass

    def before() -> None:
        race.takes("b")
        race.gives_back("b")
        race.takes("c")

    def after() -> None:
        raise Dies

    with pytest.raises(Dies):
        race.a(before_link=before, after_link=after).acquire(TRIAL)
    race.living.remove(1)
    assert race.holders() == ["c"] and len(files(race.folder)) == 2
    race.gives_back("c")
    race.takes("e")
    race.e.clear_dead()
    assert race.holders() == ["e"] and files(race.folder) == [f"{TRIAL}.json"]


def test_a_process_that_dies_right_after_it_took_over_is_taken_over(race: Race) -> None:
    class Dies(BaseException):
        pass

    def after() -> None:
        raise Dies

    with pytest.raises(Dies):
        race.a(after_link=after).acquire(TRIAL)
    race.living.remove(1)
    race.takes("b")
    assert race.holders() == ["b"] and len(files(race.folder)) == 3


def test_of_two_fresh_claims_one_wins(race: Race) -> None:
    race.takes("b")
    race.gives_back("b")
    assert race.a(before_link=lambda: race.takes("c")).acquire(TRIAL) is None
    assert race.holders() == ["c"]


def test_a_release_never_lets_two_hold_a_trial_even_if_its_process_was_taken_for_dead(
    tmp_path: Path, living: set[int]
) -> None:
    """B finds that it still holds the trial and stands still; C, elsewhere, believes it dead and takes over.

    B's release then takes C's claim with it, which no file system can prevent; but C notices, so it writes nothing.
    """
    b, c, e = (Claims(tmp_path, replace(HERE, host=name, boot=name)) for name in "bce")
    held = b.acquire(TRIAL)
    assert held is not None
    c._dead.add(held.claim.id)
    taken: list[Held | None] = []
    remove = claims_module._remove

    def stopped(path: Path) -> None:
        if not taken:
            taken.append(None)
            taken[0] = c.acquire(TRIAL)
        remove(path)

    with mock.patch.object(claims_module, "_remove", stopped):
        b.release(held)
    [successor] = taken
    fresh = e.acquire(TRIAL)
    assert successor is not None and fresh is not None
    assert not b.still_held(held) and not c.still_held(successor) and e.still_held(fresh)


# Any order: whole operations of several processes


class Processes(RuleBasedStateMachine):
    """Processes on two machines that claim, give back, die, clear, and sometimes take the living elsewhere for dead."""

    TRIALS = ("s", "t")
    NUMBERS = st.integers(0, 3)

    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self.living: set[int] = set()
        self._patch = mock.patch.object(claims_module, "process_lives", lambda pid, started: pid in self.living)
        self._patch.start()
        self.claims: list[Claims] = []
        self.held: dict[tuple[int, str], Held] = {}
        self.doubted: set[str] = set()
        for number in range(4):
            self._start(number)

    def teardown(self) -> None:
        try:
            self._end()
        finally:
            self._patch.stop()
            self._temporary.cleanup()

    def _start(self, number: int) -> None:
        """Put a new process in the place of a dead one, or a first one."""
        pid = 100 + len(self.claims) if len(self.claims) <= number else self.claims[number].place.pid + 100
        machine = f"machine {number % 2}"
        fresh = Claims(self.folder, Place(machine, machine, "", pid, 0.0, job=f"job {pid}"))
        self.claims[number : number + 1] = [fresh]
        self.living.add(pid)

    @rule(number=NUMBERS, trial=st.sampled_from(TRIALS))
    def comes_by(self, number: int, trial: str) -> None:
        self.acquires(number, trial)

    def acquires(self, number: int, trial: str) -> None:
        held = self.claims[number].acquire(trial)
        holders = {other: self.held[other, trial] for other in range(4) if (other, trial) in self.held}
        certain = [other for other, theirs in holders.items() if theirs.claim.id not in self.doubted]
        if held is None:
            assert self.claims[number].holder(trial) is not None, "nobody holds it, and it was refused"
            return
        assert not certain, f"{number} got {trial} from the living {certain}"
        self.held[number, trial] = held

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def releases(self, data: st.DataObject) -> None:
        number, trial = data.draw(st.sampled_from(sorted(self.held)))
        self.claims[number].release(self.held.pop((number, trial)))

    @rule(number=NUMBERS)
    def dies_and_another_one_starts(self, number: int) -> None:
        self.living.remove(self.claims[number].place.pid)
        for trial in self.TRIALS:
            self.held.pop((number, trial), None)
        self._start(number)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def takes_the_living_for_dead(self, data: st.DataObject) -> None:
        """Slurm says so, or its heart was silent: only a process elsewhere believes that, and it wants the trial."""
        holder, trial = data.draw(st.sampled_from(sorted(self.held)))
        number = data.draw(st.sampled_from([other for other in range(4) if other % 2 != holder % 2]))
        self.claims[number].bury(self.claims[holder].place.job, "")
        self.doubted |= {theirs.claim.id for (other, _), theirs in self.held.items() if other == holder}
        self.acquires(number, trial)

    @rule(number=NUMBERS)
    def clears(self, number: int) -> None:
        self.claims[number].clear_dead()

    @invariant()
    def each_trial_is_held_once(self) -> None:
        for trial in self.TRIALS:
            owners = [
                number
                for number in range(4)
                if (number, trial) in self.held and self.claims[number].still_held(self.held[number, trial])
            ]
            assert len(owners) <= 1, f"{owners} hold {trial}"

    @invariant()
    def nobody_loses_a_trial_who_is_not_taken_for_dead(self) -> None:
        for (number, trial), held in self.held.items():
            assert held.claim.id in self.doubted or self.claims[number].still_held(held), f"{number} lost {trial}"

    def _end(self) -> None:
        """Everybody dies, on every machine: whoever clears up then finds nothing that stays."""
        self.living.clear()
        for machine in ("machine 0", "machine 1"):
            observer = Claims(self.folder, Place(machine, machine, "", 1, 0.0))
            self.living.add(1)
            for claims in self.claims:
                observer.bury(claims.place.job, "")
            for claim in observer.all():
                observer.bury(claim.place.job, "")
            observer.clear_dead()
        assert files(self.folder) == []


Processes.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
test_processes_in_any_order = Processes.TestCase


# Any order: single file operations of several processes


class Killed(BaseException):
    """SIGKILL: nothing that the process would still do happens, its clearing up neither."""


class Stepped:
    """A simulated process in a thread that stops before each operation on files that others see."""

    def __init__(self, number: int, body: Callable[[Stepped], None]) -> None:
        self.pid = number
        self.at: str | None = None
        self.over = False
        self.killed = False
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._body = body
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self.killed:
                self._body(self)
        except Killed:
            pass
        except BaseException as problem:  # told to the test, which fails with it
            self.problem = problem
        finally:
            self.over, self.at = True, None
            self._stopped.release()

    def stop_here(self) -> None:
        """Wait for the next turn; called by the process itself."""
        if self.killed:
            raise Killed
        self._stopped.release()
        self._go.acquire()
        if self.killed:
            raise Killed

    def step(self) -> None:
        """Let the process do one operation and what follows it up to the next; called by the test."""
        if not self.over:
            self._go.release()
            self._stopped.acquire()

    def kill(self) -> None:
        self.killed = True
        self.at = None
        self.step()
        self._thread.join()


@contextmanager
def stepping(processes: dict[int, Stepped]) -> Iterator[None]:
    """Make the operations of simulated processes stop, and let those live that are not killed and not over."""

    def before(operation: Callable[..., object]) -> Callable[..., object]:
        def stopped(*arguments: object, **keys: object) -> object:
            me = getattr(threading.current_thread(), "simulated", None)
            if me is not None:
                me.stop_here()
            return operation(*arguments, **keys)

        return stopped

    def lives(pid: int, started: float) -> bool:
        return pid in processes and not processes[pid].killed and not processes[pid].over

    with (
        mock.patch.object(claims_module, "_read", before(claims_module._read)),
        mock.patch.object(claims_module, "_remove", before(claims_module._remove)),
        mock.patch.object(os, "link", before(os.link)),
        mock.patch.object(Path, "exists", before(Path.exists)),
        mock.patch.object(claims_module, "process_lives", lives),
    ):
        yield


TURNS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 14), st.sampled_from(["run", "run", "run", "die"])), max_size=24
)
"""Whose turn it is, for how many operations, and whether it is killed after them. Long turns find more than short ones:
a race needs one process that stands still at the wrong place while others do whole pieces of work."""


def interleaved(folder: Path, dead: int, turns: list[tuple[int, int, str]], claims_class: type[Claims]) -> None:
    """Let four processes claim and give back one trial three times each, and see that never two are at it."""
    for number in range(dead):
        # Each was dead before the next came.
        with mock.patch.object(claims_module, "process_lives", lambda pid, started: False):
            put(folder, TRIAL, replace(HERE, pid=1000 + number))

    def body(process: Stepped) -> None:
        threading.current_thread().simulated = process  # type: ignore[attr-defined]
        claims = claims_class(folder, replace(HERE, pid=process.pid))
        for _ in range(3):
            held = claims.acquire(TRIAL)
            if held is None:
                process.stop_here()
                continue
            process.at = TRIAL
            process.stop_here()
            assert claims.still_held(held), "who is alive has not lost the trial"
            process.at = None
            claims.release(held)

    processes = {number: Stepped(number, body) for number in range(1, 5)}
    for process in processes.values():
        process.start()

    def check() -> None:
        at = [process.pid for process in processes.values() if process.at and not process.killed]
        assert len(at) <= 1, f"{at} are at the trial"

    with stepping(processes):
        try:
            for number, steps, then in turns:
                for _ in range(steps):
                    processes[number].step()
                    check()
                if then == "die":
                    processes[number].kill()
            while any(not process.over for process in processes.values()):
                for process in processes.values():
                    process.step()
                    check()
        finally:
            for process in processes.values():
                process.kill()
        for process in processes.values():
            if process.problem is not None:
                raise process.problem
    with mock.patch.object(claims_module, "process_lives", lambda pid, started: pid == 5):
        last = claims_class(folder, replace(HERE, pid=5))
        last.clear_dead()
        held = last.acquire(TRIAL)
        assert held is not None and last.still_held(held), "whatever they left, the trial can be claimed"
        last.release(held)
        last.clear_dead()
    # What was killed within a link leaves its temporary file, which has a test of its own.
    assert [name for name in files(folder) if not name.startswith(".tmp-")] == []


@settings(max_examples=200)
@given(dead=st.integers(0, 2), turns=TURNS)
def test_single_operations_of_processes_in_any_order(dead: int, turns: list[tuple[int, int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        interleaved(Path(folder), dead, turns, Claims)
