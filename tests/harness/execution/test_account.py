"""Where the time of several commands went: trials that overlap count once, and every command is in the account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Workplace

from harness.execution.account import Spent, covered, read_account, told

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@given(SPANS)
def test_seconds_that_several_spans_cover_count_once(spans: list[tuple[int, int]]) -> None:
    seconds = {second for start, end in spans for second in range(start, end)}
    assert covered(spans) == len(seconds)


def test_what_is_told_adds_up() -> None:
    commands = [
        Spent("run", started=0.0, ended=70.0, sweeps=65.0, trials=60.0),
        Spent("run", started=71.0, ended=171.0, sweeps=100.0, trials=99.0),
        Spent("report", started=172.0, ended=200.0, sweeps=0.0, trials=0.0),
    ]
    assert told(commands) == (
        "time: 3 min 20 s, 79.5% of it in trials; starting workers and between trials 6.0 s, "
        "plans and verdicts of sweeps 5.0 s, the report 28.0 s, the rest 2.0 s"
    )


SPEC = """
experiment: sweep
title: A sweep
trial: small_trials:slow
factors: {{index: [0, 1, 2, 3]}}
fixed: {{seconds: {seconds}}}
resources: {{cpus: 1}}
profiles:
  laptop: {{fidelity: proxy}}
"""


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_a_run_and_its_report_are_accounted_for(workplace: Workplace, executor: str) -> None:
    workplace.write("sweep.yaml", SPEC.format(seconds=0.2))
    file = workplace.folder / "account"
    environment = {"HARNESS_ACCOUNT": str(file)}
    ran = workplace.harness("run", "sweep.yaml", "--executor", executor, "--jobs", "1", environment=environment)
    assert ran.status == 0, ran.err
    reported = workplace.harness("report", "sweep.yaml", environment=environment)
    run, report = read_account(file)
    assert (run.command, report.command) == ("run", "report")
    # Four trials that sleep a fifth of a second each: sleeping takes no less than it was asked to.
    assert 0.8 <= run.trials <= run.sweeps <= run.ended - run.started
    assert run.started < run.ended < report.ended
    assert report.trials == report.sweeps == 0
    assert reported.out.splitlines()[-1] == told([run, report])
    assert "time:" not in workplace.harness("report", "sweep.yaml").out


def test_lines_that_are_no_account_are_passed_over(tmp_path: Path) -> None:
    good = {"command": "run", "started": 1.0, "ended": 2.0, "sweeps": 0.5, "trials": 0.25}
    (tmp_path / "account").write_text("\n".join(["{", json.dumps(good), json.dumps({"command": "x"}), "[1]"]))
    assert read_account(tmp_path / "account") == [Spent(**good)]
