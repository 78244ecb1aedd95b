"""From records to verdicts and to a page, beside the least that could be called so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy
import pytest
from beside import Beside
from scipy import stats
from simulation import ARMS
from stores import FinishedStore, Quick

from harness.verdicts.judge import judge
from harness.verdicts.judgement import Judgement
from reports.bench.measured import Scale
from reports.collect import collect
from reports.page import render
from reports.section import make_section

GROUP = "Verdicts and the report"


def intervals(values: numpy.ndarray) -> list[float]:
    """Return the mean difference of each pair of arms, with a t interval, from [replicates, arms, settings]."""
    means, found = values.mean(axis=2), []
    for arm in range(1, len(ARMS)):
        differences = means[:, arm] - means[:, arm - 1]
        error = differences.std(ddof=1) / numpy.sqrt(len(differences))
        stats.t.interval(0.95, len(differences) - 1, differences.mean(), error)
        found.append(float(differences.mean()))
    return found


def same_difference(ours: list[Judgement], theirs: list[float]) -> None:
    found = {judgement.claim.id: judgement for judgement in ours}
    assert found["difference"].effect == pytest.approx(theirs[0], rel=1e-9)


def test_bench_records_to_verdicts(beside: Beside, finished: FinishedStore, quick: Quick, trials: int) -> None:
    """Eleven claims of eight forms on five arms, with everything that stands beside a verdict."""
    sweep = finished.sweep
    beside(
        f"verdicts, {trials:,} trials",
        lambda: judge(sweep.state),
        lambda: intervals(sweep.values),
        rival="means and t intervals",
        group=GROUP,
        agree=same_difference,
        scale=Scale(what="verdicts", trials=trials, files=quick.files),
    )


def test_bench_report(beside: Beside, finished: FinishedStore, quick: Quick, trials: int) -> None:
    """From a finished store to the page, beside reading it and writing a row a trial."""

    def ours() -> str:
        section = make_section(collect(finished.design.experiment, None, finished.store))
        return render([section], None, 0.0)

    def floor() -> str:
        rows = []
        for found in finished.attempts:
            text = Path(found.folder, "attempt.json").read_text()
            rows.append(f"<tr><td><code>{found.attempt.trial}</code></td><td>{text}</td></tr>")
        return "\n".join(rows)

    def same_trials(mine: Any, other: Any) -> None:
        assert set(re.findall("<code>([^<]+)</code>", mine)) >= {found.attempt.trial for found in finished.attempts}
        assert other.count("<tr>") == trials

    beside(
        f"report, {trials:,} trials",
        ours,
        floor,
        rival="reading, and a row a trial",
        group=GROUP,
        agree=same_trials,
        scale=Scale(what="report", trials=trials, files=quick.files),
    )
