"""The lock of timed trials: it is waited for, whoever waits is told so once, and it is free after a death."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.execution.alone import alone

HOLD = "import sys; from harness.execution.alone import alone\nwith alone(True): print('held', flush=True); sys.stdin.read()"


def test_who_waits_is_told_and_a_holder_that_dies_frees_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    told: list[str] = []
    with alone(True, waiting=lambda: told.append("free")):
        assert told == []
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"

        def waiting() -> None:
            told.append("waits")
            holder.kill()

        with alone(True, waiting=waiting):
            assert told == ["waits"]
        with alone(False, waiting=waiting):
            assert told == ["waits"]
    finally:
        holder.kill()
        holder.communicate()
