"""Ten thousand trials: the page stays small enough to be sent, and a second report makes nothing anew."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from support import Workplace

from harness.plan.code import fingerprint
from harness.plan.design import Design, make_design
from harness.plan.trials import expand
from harness.spec.load import load_experiment
from harness.store.atomic import COMPLETE, to_json
from harness.store.attempt import ATTEMPT_FILE, Attempt
from harness.store.store import Store, attempt_id

LARGEST_PAGE = 10_000_000
TRIALS = 10_000
SPEC = """
experiment: large
title: A sweep of ten thousand trials
trial: small_trials:arms
claims:
  - {id: large.more, paper: Somebody et al., arxiv: 2101.00001v1, locator: Table 1, statement: E is more than a., form: difference, metric: value, treatment: {arm: e}, control: {arm: a},
     published: {value: 4, locator: Table 1, basis: source}, margin: {absolute: 0.1, reason: as printed}}
  - {id: large.grows, paper: Somebody et al., arxiv: 2101.00001v1, locator: Table 1, statement: A higher level helps., form: trend, metric: value, along: level}
factors:
  arm: [a, b, c, d, e]
  level: [0.25, 0.5, 1, 2, 4]
replicates: 400
profiles:
  laptop: {fidelity: reduced}
report:
  tables:
    - {title: By arm, rows: arm, columns: [{metric: value, label: value, digits: 3, statistic: mean}]}
    - {title: By arm and level, rows: [arm, level], columns: [{metric: value, label: value, digits: 3, statistic: mean}]}
  pictures:
    - {kind: curves, title: Value over levels, metric: value, label: value, along: level, by: arm, logarithmic: true}
    - {kind: grid, title: All of them, metric: value, label: value, rows: arm, columns: level}
"""


def fill(design: Design, store: Store) -> int:
    """Write an attempt for every trial, as fast as files are written; return how many there are."""
    code, noise = fingerprint(design.function.name).digest, random.Random(1)
    environment = store.keep_environment({"host": "somewhere", "python": "3.11"})
    trials = expand(design)
    for number, trial in enumerate(trials):
        value = "abcde".index(trial.arm["arm"]) + float(trial.arm["level"]) / 10 + noise.gauss(0, 0.5)
        attempt = Attempt(
            attempt_id(1.7e9 + number, f"{number:08x}"), trial.id, design.name, trial.identity, trial.arm, trial.replicate,
            ({"value": value},), None, 1.7e9 + number, 0.5, code, environment, worker="1@somewhere", place={"host": "somewhere"},
        )  # fmt: skip
        folder = store.attempts_folder(design.name, trial.id) / attempt.id
        folder.mkdir(parents=True)
        data = to_json(asdict(attempt))
        (folder / ATTEMPT_FILE).write_bytes(data)
        marker = {ATTEMPT_FILE: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}}
        (folder / COMPLETE).write_bytes(to_json(marker))
    return len(trials)


def report(workplace: Workplace, capsys: pytest.CaptureFixture[str], name: str) -> str:
    """Make a report as a user does, say how long it took, and return what it said."""
    began = time.perf_counter()
    found = workplace.harness("report", "large.yaml")
    assert found.status == 0, found.err[-2000:]
    with capsys.disabled():
        print(f"\n{name}: {time.perf_counter() - began:.1f} s")
    return found.out


@pytest.mark.slow
def test_ten_thousand_trials(
    workplace: Workplace, in_workplace: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = in_workplace("large.yaml", SPEC)
    assert fill(make_design(load_experiment(path)), Store.at(None)) == TRIALS
    said = report(workplace, capsys, f"the first report of {TRIALS:,} trials")
    page = workplace.folder / "site" / "index.html"
    assert f"{TRIALS} of {TRIALS} planned trials done" in page.read_text()
    assert page.stat().st_size <= LARGEST_PAGE
    assert "nothing has changed" not in said

    before = page.stat().st_mtime_ns
    said = report(workplace, capsys, "the second")
    assert "nothing has changed" in said and page.stat().st_mtime_ns == before

    found = workplace.harness("verify")
    assert found.status == 0, found.out[-2000:]
