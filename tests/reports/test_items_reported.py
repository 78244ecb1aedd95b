"""Claims judged over test items by a profile: run, reported, explained and verified as a user does it."""

from __future__ import annotations

import json

import pytest
from support import Workplace

TRIAL = '''

def answers(*, run: Any, arm: str, data: str) -> dict[str, Any]:
    """Which of a data set's forty items one arm gets right."""
    right = run.stream(f"items of {data}").numpy.random(40) < (0.9 if arm == "a" else 0.4)
    rows = {"item": list(range(40)), "class": [number % 5 for number in range(40)], "accuracy": right.astype(float).tolist()}
    run.samples("outcomes", rows)
    return {"accuracy": float(right.mean())}
'''
SPEC = """
experiment: zero
title: A fixed model
trial: small_trials:answers
claims:
  - {id: z.better, paper: P, arxiv: 2101.00001v1, locator: Table 1, statement: One arm is better., form: difference,
     metric: accuracy, unit: points, treatment: {arm: a}, control: {arm: b}}
factors:
  arm: [a, b]
  data: [pets, cars, birds]
replicates: 4
profiles:
  laptop: {fidelity: proxy}
  released:
    fidelity: paper
    replicates: 1
    items: {table: outcomes, item: item, cluster: class, scale: 100}
"""


@pytest.fixture
def done(workplace: Workplace) -> Workplace:
    source = workplace.folder / "small_trials.py"
    source.write_text(source.read_text() + TRIAL)
    workplace.write("zero.yaml", SPEC)
    plan = workplace.harness("plan", "zero.yaml", "--profile", "released")
    assert "power: z.better: not known: it is judged over test items" in plan.out
    run = workplace.harness("run", "zero.yaml", "--profile", "released", "--executor", "inline")
    assert run.status == 0, "not refused for a power that nobody knows: " + run.err
    return workplace


def test_a_report_over_items_is_verified(done: Workplace) -> None:
    found = done.harness("report", "zero.yaml", "--profile", "released")
    assert found.status == 0, found.err
    (row,) = json.loads((done.folder / "site" / "claims.json").read_text())
    assert row["verdict"] == "direction only" and row["n"] == 120 and row["looks"]["planned"] == [1]
    assert row["unit_of_analysis"] == "items, resampled by their 15 classes"
    page = (done.folder / "site" / "index.html").read_text()
    assert "items, resampled by their 15 classes" in page and "leave one out" in page
    verified = done.harness("verify")
    assert verified.status == 0 and "verified: 1 claim" in verified.out, verified.out
    (done.folder / "zero.yaml").write_text(SPEC.replace(", scale: 100", ", scale: 1"))
    changed = done.harness("verify")
    assert changed.status == 4 and "claim z.better: effect" in changed.out


def test_the_other_profile_counts_replicates(done: Workplace) -> None:
    assert done.harness("run", "zero.yaml", "--executor", "inline").status == 0
    assert done.harness("report", "zero.yaml").status == 0
    (row,) = json.loads((done.folder / "site" / "claims.json").read_text())
    assert row["n"] == 4 and row["unit_of_analysis"] == "replicates"
