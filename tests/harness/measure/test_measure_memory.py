from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.measure.memory import PeakMemory, peak_memory

MEBIBYTE = 2**20


def test_growth_of_a_call_is_seen() -> None:
    # In a fresh process: what this one freed earlier could be reused without growth.
    code = (
        "from harness.measure.memory import peak_memory\n"
        "peak = peak_memory(lambda: bytearray(64 * 2**20).count(0))\n"
        "print(peak.growth, peak.method)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    growth, method = done.stdout.split(" ", 1)
    assert 60 * MEBIBYTE < int(growth) < 120 * MEBIBYTE
    assert method.startswith("resident peak")


def test_the_mark_is_reset_so_that_an_earlier_peak_does_not_hide_a_later_one() -> None:
    code = (
        "from harness.measure.memory import peak_memory\n"
        "bytearray(256 * 2**20).count(0)\n"
        "peak = peak_memory(lambda: bytearray(64 * 2**20).count(0))\n"
        "print(peak.growth, peak.method)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    growth, method = done.stdout.strip().split(" ", 1)
    if method != "resident peak":
        pytest.skip(f"this kernel cannot reset the mark: {method}")
    assert 60 * MEBIBYTE < int(growth) < 120 * MEBIBYTE


def test_without_proc_the_life_of_the_process_is_the_answer(tmp_path: Path) -> None:
    peak = peak_memory(lambda: None, process=tmp_path)
    assert peak.method == "resident peak of the whole process life"
    assert peak.peak >= peak.before > MEBIBYTE


def test_growth_is_never_negative() -> None:
    assert PeakMemory(5, 9, "resident peak").growth == 0


def test_errors_of_the_call_pass_through() -> None:
    with pytest.raises(ZeroDivisionError):
        peak_memory(lambda: 1 / 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_peak_is_exact() -> None:
    from harness.measure.devices import CudaDevice

    peak = peak_memory(lambda: torch.empty(16 * MEBIBYTE, dtype=torch.uint8, device="cuda"), CudaDevice())
    assert peak.growth == 16 * MEBIBYTE
    assert peak.method == "cuda allocator"
