"""Whole sweeps: the same metrics, bit for bit, whether trials run alone or beside others, killed or not."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest
from support import Workplace

ROOT = Path(__file__).parents[3]
FEW = ("simclr-temperature", "--profile", "smoke", "--set", "normalise=true")


def metrics(place: Workplace, store: Path) -> pandas.DataFrame:
    """Return the exported table without what differs from run to run: attempts, and how long steps took."""
    found = place.harness("export", FEW[0], "--profile", "smoke", "--format", "csv", "--store", str(store))
    assert found.status == 0, found.err
    table = pandas.read_csv(io.StringIO(found.out))
    kept = [name for name in table if name != "attempt" and not name.startswith("stage_ms_")]
    return table[table["normalise"]].sort_values("trial")[kept].reset_index(drop=True)


@pytest.mark.slow
def test_metrics_are_the_same_alone_beside_others_and_after_a_kill(tmp_path: Path) -> None:
    place = Workplace(ROOT)
    stores = [tmp_path / name for name in ("alone", "beside", "killed")]
    for store, jobs in zip(stores[:2], ("1", "2"), strict=True):
        found = place.harness("run", *FEW, "--jobs", jobs, "--store", str(store))
        assert found.status == 0, found.err
    command = [sys.executable, "-m", "harness", "run", *FEW, "--jobs", "2", "--store", str(stores[2])]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    attempts = stores[2] / FEW[0] / "attempts"
    while process.poll() is None and len(list(attempts.glob("*/*/COMPLETE"))) < 2:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = len(list(attempts.glob("*/*/COMPLETE")))
    assert 2 <= left < 8
    found = place.harness("run", *FEW, "--jobs", "2", "--store", str(stores[2]))
    assert found.status == 0, found.err
    tables = [metrics(place, store) for store in stores]
    assert len(tables[0]) == 8 and tables[0]["accuracy"].nunique() > 1
    for other in tables[1:]:
        pandas.testing.assert_frame_equal(tables[0], other, check_exact=True)
