"""100,000 records to verdicts: the right numbers. How long it takes is for ``make bench`` to show; nothing is asserted of it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy
import pytest
from simulation import ARMS, Large

from harness.verdicts.judge import judge

SMALL = [(4, 50, False), (40, 5, False), (4, 50, True)]
LARGE = [(20, 1000, False), (2000, 10, False), (20, 1000, True)]


@pytest.mark.parametrize(
    ("settings", "replicates", "blocked"), SMALL + [pytest.param(*shape, marks=pytest.mark.slow) for shape in LARGE]
)
def test_many_records_give_the_right_verdicts(tmp_path: Path, settings: int, replicates: int, blocked: bool) -> None:
    """Many replicates, many settings, and arms blocked in one trial: every effect against plain numpy."""
    sweep = Large(tmp_path, settings, replicates, blocked)
    assert sweep.records == len(ARMS) * settings * replicates
    started = time.perf_counter()
    found = {judgement.claim.id: judgement for judgement in judge(sweep.state)}
    print(
        f"speed     {sweep.records} records, {settings} settings, blocked {blocked}: {time.perf_counter() - started:.1f} s"
    )
    assert list(found) == [registered.claim.id for registered in sweep.design.experiment.claims]
    for name, effect in sweep.expected().items():
        assert found[name].effect == pytest.approx(effect, rel=1e-9), name
        assert found[name].n == (2 * replicates if name == "unpaired" else replicates), name
    differences = (sweep.values[:, 1] - sweep.values[:, 0]).mean(axis=1)
    error = differences.std(ddof=1) / numpy.sqrt(replicates)
    low, high = found["difference"].interval
    assert (low + high) / 2 == pytest.approx(differences.mean())
    assert 1.9 < (high - low) / 2 / error < 2.8
    for name in ("difference", "iqm", "ratio", "trend", "optimum", "ordering", "unpaired"):
        assert found[name].verdict in ("direction only", "reproduced"), name
    for name in ("non-inferiority", "equivalence"):
        assert found[name].verdict == "contradicted", name
    assert all(
        len(judgement.arms) >= 1 and judgement.finished == len(sweep.state.states) for judgement in found.values()
    )
