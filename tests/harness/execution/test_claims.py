"""Claims on trials: one holder at a time, and the dead hold nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path

from harness.execution import claims


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_claim_is_held_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "t.json"
    assert claims.acquire(path, "w1", 60)
    assert not claims.acquire(path, "w2", 60)
    claims.release(path)
    assert claims.acquire(path, "w2", 60)
    assert claims.read(path).worker == "w2"  # type: ignore[union-attr]


def test_the_claim_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    child = multiprocessing.get_context("fork").Process(target=claims.acquire, args=(path, "dead", 60))
    child.start()
    child.join()
    assert claims.read(path).worker == "dead"  # type: ignore[union-attr]
    assert claims.acquire(path, "alive", 60)
    assert claims.read(path).worker == "alive"  # type: ignore[union-attr]
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]


def test_a_process_number_that_came_again_and_another_boot_are_dead(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    for change in ({"process_started": 1.0}, {"boot": "another"}):
        assert claims.acquire(path, "w", 60)
        edited(path, **change)
        assert claims.acquire(path, "next", 60)
        claims.release(path)


def test_another_host_is_believed_until_its_lease_ends(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    assert claims.acquire(path, "w", 60)
    edited(path, host="elsewhere", pid=1)
    assert not claims.acquire(path, "next", 60)
    edited(path, lease_until=time.time() - 1)
    assert claims.acquire(path, "next", 60)


def test_a_half_written_claim_is_left_alone_at_first(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('{"host": "x')
    assert not claims.acquire(path, "w", 60)
    old = time.time() - 60
    os.utime(path, (old, old))
    assert claims.acquire(path, "w", 60)


def _race(folder: Path, number: int, won: Path) -> None:
    for trial in range(20):
        if claims.acquire(folder / f"{trial}.json", f"w{number}", 60):
            (won / f"{trial}-{number}").touch()
    time.sleep(1.5)  # Stay alive: the dead hold nothing.


def test_of_many_processes_one_wins_each_claim(tmp_path: Path) -> None:
    won = tmp_path / "won"
    won.mkdir()
    context = multiprocessing.get_context("fork")
    racers = [context.Process(target=_race, args=(tmp_path, number, won)) for number in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(name.split("-")[0] for name in os.listdir(won)) == sorted(str(trial) for trial in range(20))
