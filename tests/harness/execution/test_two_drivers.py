"""Several ``harness run`` on one sweep at once: each trial once, and every driver ends with the whole result."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import multiprocessing
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import Finished, Workplace

from harness.cli.main import main
from harness.execution import driver
from harness.execution.claims import Claims
from harness.execution.place import Place

MODULE = '''
"""Trials of a known outcome that take a moment, so that two drivers are at them together."""

import os
import time
from pathlib import Path
from typing import Any


FOLDER = Path(__file__).parent


def _meet() -> None:
    """Wait until workers of as many drivers as there are said to be are at a trial, so that none comes too late."""
    (FOLDER / f"driver-{os.environ.get('DRIVER', '1')}").touch()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(FOLDER.glob("driver-*"))) < int(os.environ.get("DRIVERS", "1")):
        time.sleep(0.01)


def slow(*, run: Any, index: int) -> dict[str, Any]:
    _meet()
    time.sleep(0.05)
    return {"value": float(index)}


def measured(*, run: Any, arm: str = "a", rate: float = 1.0, effect: float = 5.0, sd: float = 0.01) -> dict[str, Any]:
    _meet()
    time.sleep(0.05)
    noise = sd * float(run.stream(f"noise_{arm}").numpy.normal())
    best = {"a": 2.0, "b": 1.0}[arm]
    return {"value": (effect if arm == "a" else 0.0) + noise, "validation": noise - (rate - best) ** 2}


def gated(*, run: Any, index: int) -> dict[str, Any]:
    """The trial 0 ends once there is a file ``go``."""
    (FOLDER / f"begun-{index}").touch()
    deadline = time.monotonic() + 120
    while index == 0 and not (FOLDER / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return {"value": float(index)}
'''
CLAIM: dict[str, Any] = {
    "id": "c", "paper": "P", "arxiv": "2101.00001v1", "locator": "T", "statement": "S.", "form": "difference",
    "metric": "value", "treatment": {"arm": "a"}, "control": {"arm": "b"},
}  # fmt: skip
LOOKING: dict[str, Any] = {
    "experiment": "two", "title": "T", "trial": "two_trials:measured", "factors": {"arm": ["a", "b"]},
    "replicates": {"min": 3, "max": 8, "looks": [3, 5, 8]}, "claims": [CLAIM],
    "profiles": {"laptop": {"fidelity": "paper", "device": "cpu"}},
}  # fmt: skip
TUNED: dict[str, Any] = {
    **LOOKING, "factors": {"arm": ["a", "b"], "rate": [1.0, 2.0, 3.0]},
    "select": {"factors": ["rate"], "metric": "validation", "replicates": 2, "matched": {"rate": 1.0}},
}  # fmt: skip
GATED: dict[str, Any] = {
    "experiment": "two", "title": "T", "trial": "two_trials:gated", "factors": {"index": [0, 1, 2]},
    "profiles": {"laptop": {"fidelity": "proxy", "device": "cpu"}},
}  # fmt: skip
MANY = 60
SLOW: dict[str, Any] = {
    "experiment": "two", "title": "T", "trial": "two_trials:slow", "factors": {"index": list(range(MANY))},
    "profiles": {"laptop": {"fidelity": "proxy", "device": "cpu"}},
}  # fmt: skip
DONE = re.compile(r"two: (\d+) of (\d+) trials done, (\d+) failed")
ONE, TWO, INLINE = ("--jobs", "1"), ("--jobs", "2"), ("--executor", "inline")
ELSEWHERE = "1 running for another driver"


class Drivers:
    """A sweep, and the drivers that are started on it."""

    def __init__(self, workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workplace = workplace
        self._monkeypatch = monkeypatch
        self.folder = workplace.folder
        workplace.write("two_trials.py", MODULE)
        self.running: list[subprocess.Popen[str]] = []

    def spec(self, spec: dict[str, Any]) -> None:
        self.workplace.write("two.yaml", yaml.safe_dump(spec, sort_keys=False))

    def start(self, *arguments: str, stderr: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", "run", "two.yaml", *arguments],
            cwd=self.folder,
            stderr=stderr,
            text=True,
            env={**os.environ, **environment},
        )
        self.running.append(process)
        return process

    def start_two(self, first: Sequence[str], second: Sequence[str]) -> list[subprocess.Popen[str]]:
        """Start two drivers, neither of which ends a trial before both have begun one."""
        return [
            self.start(*arguments, DRIVER=str(number), DRIVERS="2") for number, arguments in enumerate((first, second))
        ]

    def finish(self, process: subprocess.Popen[str]) -> Finished:
        _, err = process.communicate(timeout=120)
        return Finished(process.returncode, "", err or "")

    def attempts(self, store: str = "results") -> list[dict[str, Any]]:
        found = (self.folder / store).glob("two/attempts/*/[!.]*/COMPLETE")
        return [json.loads((path.parent / "attempt.json").read_text()) for path in found]

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < deadline, "the drivers do not get on"
            time.sleep(0.02)

    def require_one_success_each(self, trials: int | None = None) -> None:
        attempts = self.attempts()
        assert [one["trial"] for one in attempts if one["failure"]] == []
        assert not [trial for trial, count in Counter(one["trial"] for one in attempts).items() if count > 1]
        assert trials is None or len(attempts) == trials
        assert not list((self.folder / "results").glob("two/claims/*.json"))
        assert not list((self.folder / "results").glob("two/claims/followers/*.json"))

    def here(self, command: str, *arguments: str) -> Finished:
        """Call the command line in this process, which has loaded already what takes a driver seconds to load."""
        self._monkeypatch.setattr(sys, "argv", ["harness", command, "two.yaml", *arguments])
        # Tables are written as bytes, which a terminal or a file takes, and text in memory alone does not.
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        return Finished(int(ended.value.code or 0), out.buffer.getvalue().decode(), err.getvalue())

    def alone(self) -> Finished:
        """Run the whole sweep with one driver, in a store of its own."""
        ended = self.here("run", "--store", "alone", "--executor", "inline")
        assert ended.status == 0, ended.err
        return ended

    def table(self, store: str) -> list[dict[str, str]]:
        """Return the exported table without what differs between two runs of the same sweep."""
        rows = csv.DictReader(io.StringIO(self.here("export", "--store", store).out))
        return [{name: value for name, value in row.items() if name != "attempt"} for row in rows]

    def plan(self, store: str) -> dict[str, Any]:
        found = json.loads(self.here("plan", "--json", "--store", store).out)
        return {name: value for name, value in found.items() if name != "predicted_seconds"}

    def first_missing(self) -> str:
        """Return the id of the first trial that is not done."""
        return re.findall(r"missing\s+(\S+)", self.here("plan", "--trials").out)[0]


@pytest.fixture
def drivers(
    workplace: Workplace, in_workplace: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Drivers]:
    monkeypatch.delenv("HARNESS_STORE", raising=False)
    monkeypatch.delitem(sys.modules, "two_trials", raising=False)
    started = Drivers(workplace, monkeypatch)
    yield started
    for process in started.running:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


def numbers_done(*ended: Finished) -> set[tuple[str, ...]]:
    """Return what the drivers say at last: done, planned, failed."""
    return {DONE.findall(one.err)[-1] for one in ended}


def test_two_drivers_compute_each_trial_once_and_both_say_that_all_is_done(drivers: Drivers) -> None:
    drivers.spec(SLOW)
    ended = [drivers.finish(process) for process in drivers.start_two(TWO, TWO)]
    assert [one.status for one in ended] == [0, 0], ended
    drivers.require_one_success_each(MANY)
    assert numbers_done(*ended) == {(str(MANY), str(MANY), "0")}
    assert len({one["run"] for one in drivers.attempts()}) == 2, "both did some of them"


def test_a_driver_in_its_own_process_and_one_with_workers_share_a_sweep(drivers: Drivers) -> None:
    drivers.spec(SLOW)
    ended = [drivers.finish(process) for process in drivers.start_two(INLINE, TWO)]
    assert [one.status for one in ended] == [0, 0], ended
    drivers.require_one_success_each(MANY)
    assert numbers_done(*ended) == {(str(MANY), str(MANY), "0")}


@pytest.mark.slow
def test_two_drivers_tune_and_look_as_one_alone_does(drivers: Drivers) -> None:
    drivers.spec(TUNED)
    ended = [drivers.finish(process) for process in drivers.start_two(ONE, ONE)]
    assert [one.status for one in ended] == [0, 0], ended
    drivers.require_one_success_each()
    alone = drivers.alone()
    assert numbers_done(*ended) == numbers_done(alone)
    for one in (*ended, alone):
        assert "is decided at 3 of at most 8 replicates" in one.err and "look 2" not in one.err
    # A driver that looks right after the other has frozen the levels finds them, and says nothing of it.
    assert any("every arm is tuned; its levels are frozen" in one.err for one in ended)
    assert drivers.table("results") == drivers.table("alone")
    together = drivers.plan("results")
    assert together == drivers.plan("alone")
    assert together["select"]["frozen"] == {'{"arm":"a"}': {"rate": "2"}, '{"arm":"b"}': {"rate": "1"}}
    assert len(list((drivers.folder / "results").glob("two/selections/*.json"))) == 1
    assert "deviation" not in drivers.here("plan").out


@pytest.mark.slow
def test_two_drivers_go_through_all_looks_where_nothing_is_decided(drivers: Drivers) -> None:
    drivers.spec({**LOOKING, "fixed": {"effect": 0.0, "sd": 1.0}})
    ended = [drivers.finish(process) for process in drivers.start_two(ONE, INLINE)]
    assert [one.status for one in ended] == [0, 0], ended
    drivers.require_one_success_each(16)
    assert numbers_done(*ended, drivers.alone()) == {("16", "16", "0")}
    assert drivers.table("results") == drivers.table("alone")


def test_the_other_driver_completes_everything_when_one_is_killed(drivers: Drivers) -> None:
    drivers.spec(SLOW)
    both = drivers.start_two(TWO, TWO)
    drivers.wait(lambda: len(drivers.attempts()) >= 15)
    os.kill(both[0].pid, signal.SIGKILL)
    both[0].wait()
    survivor = drivers.finish(both[1])
    assert survivor.status == 0 and numbers_done(survivor) == {(str(MANY), str(MANY), "0")}, survivor.err
    drivers.require_one_success_each(MANY)


@pytest.mark.slow
def test_a_tuning_sweep_survives_the_death_of_one_of_two_drivers(drivers: Drivers) -> None:
    drivers.spec({**TUNED, "claims": [], "replicates": 3})
    both = drivers.start_two(ONE, ONE)
    drivers.wait(lambda: len(drivers.attempts()) >= 4)
    os.kill(both[0].pid, signal.SIGKILL)
    both[0].wait()
    survivor = drivers.finish(both[1])
    assert survivor.status == 0, survivor.err
    drivers.require_one_success_each()
    assert numbers_done(survivor) == numbers_done(drivers.alone())
    assert drivers.table("results") == drivers.table("alone")
    assert drivers.plan("results")["select"] == drivers.plan("alone")["select"]


# A driver that waits for another one's trial


PLAIN = """
from harness.execution import display

display.PLAIN_SECONDS = 0.1
"""


def holding(drivers: Drivers) -> subprocess.Popen[str]:
    """Start a driver, and return it once its worker is at the trial that waits."""
    drivers.spec(GATED)
    process = drivers.start("--jobs", "1")
    drivers.wait(lambda: (drivers.folder / "begun-0").exists())
    return process


def require_waited(drivers: Drivers, *statuses: int) -> None:
    assert statuses == (0, 0)
    drivers.require_one_success_each(3)


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_a_driver_that_waits_for_another_ones_trial_says_so(drivers: Drivers, executor: str) -> None:
    # Python runs this at its start: a line is due after a moment, in place of half a minute.
    drivers.workplace.write("sitecustomize.py", PLAIN)
    first = holding(drivers)
    second = drivers.start("--executor", executor, PYTHONPATH=str(drivers.folder))
    assert second.stderr is not None
    lines = []
    while line := second.stderr.readline():
        lines.append(line)
        if ELSEWHERE in line:
            (drivers.folder / "go").touch()
    require_waited(drivers, drivers.finish(first).status, second.wait())
    assert f"two: 2/3 trials done, {ELSEWHERE}" in "".join(lines), lines
    assert "two: 3/3 trials done" in lines[-2] and DONE.search(lines[-1]), lines


def test_a_driver_that_waits_for_another_ones_trial_says_so_at_once_on_a_terminal(drivers: Drivers) -> None:
    first = holding(drivers)
    leader, follower = pty.openpty()
    try:
        second = drivers.start(stderr=follower, TERM="xterm", COLUMNS="200", LINES="40")
        os.close(follower)
        shown = ""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            ready, _, _ = select.select([leader], [], [], 1)
            try:
                shown += os.read(leader, 65536).decode(errors="replace") if ready else ""
            except OSError:
                break  # The other end is closed: the driver has ended.
            if ELSEWHERE in shown:
                (drivers.folder / "go").touch()
        require_waited(drivers, drivers.finish(first).status, second.wait(timeout=60))
    finally:
        os.close(leader)
    assert ELSEWHERE in shown and DONE.search(shown), shown


def test_a_driver_takes_over_the_trial_of_a_driver_that_is_killed_while_it_waits(drivers: Drivers) -> None:
    drivers.workplace.write("sitecustomize.py", PLAIN)
    first = holding(drivers)
    second = drivers.start(PYTHONPATH=str(drivers.folder))
    assert second.stderr is not None
    told = ""
    while ELSEWHERE not in told and (line := second.stderr.readline()):
        told += line
    assert ELSEWHERE in told, told
    first.kill()
    first.wait()
    (drivers.folder / "go").touch()
    ended = drivers.finish(second)
    assert ended.status == 0 and numbers_done(ended) == {("3", "3", "0")}, ended.err
    drivers.require_one_success_each(3)


# Found while these were written


def hold(folder: Path, trial: str, held: Any, end: Any) -> None:
    """Hold a trial until told to end: what another driver's worker does."""
    assert Claims(folder, Place.here()).acquire(trial) is not None
    held.set()
    end.wait(60)


def test_an_inline_driver_runs_what_another_one_gave_up_right_before_it_looked(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker passed the trial over as held; at the review nobody is at it any more, and nobody has done it."""
    drivers.spec({**SLOW, "factors": {"index": [0, 1]}})
    trial = drivers.first_missing()
    context = multiprocessing.get_context("fork")
    held, end = context.Event(), context.Event()
    other = context.Process(target=hold, args=(drivers.folder / "results" / "two" / "claims", trial, held, end))
    other.start()
    assert held.wait(60)
    review = driver.review

    def late(*arguments: Any) -> None:
        end.set()
        other.join(60)
        review(*arguments)

    monkeypatch.setattr(driver, "review", late)
    ended = drivers.here("run", "--executor", "inline")
    assert numbers_done(ended) == {("2", "2", "0")} and ended.status == 0


def spoiled(drivers: Drivers) -> None:
    """Leave a claim without content, as a machine does that lost its power before its disk had the bytes."""
    drivers.spec({**SLOW, "factors": {"index": [0, 1]}})
    trial = drivers.first_missing()
    folder = drivers.folder / "results" / "two" / "claims"
    folder.mkdir(parents=True)
    (folder / f"{trial}.json").write_text("")
    os.utime(folder / f"{trial}.json", (0, 0))


def test_an_inline_run_that_leaves_a_trial_out_does_not_end_well(drivers: Drivers) -> None:
    spoiled(drivers)
    ended = drivers.here("run", "--executor", "inline")
    assert ended.status != 0 or numbers_done(ended) == {("2", "2", "0")}, ended.err


def test_a_driver_does_not_start_workers_for_ever_for_a_trial_that_none_can_claim(drivers: Drivers) -> None:
    spoiled(drivers)
    process = drivers.start("--jobs", "1")
    drivers.wait(
        lambda: process.poll() is not None or len(list(drivers.folder.glob("results/two/runs/*/order-*.json"))) > 6
    )
    assert process.poll() is not None, "seven workers for two trials"
