"""``harness doctor --certify`` as a user types it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import Workplace

from harness.cli.certify import certificate_lines
from harness.store.certificates import Certificate, read_certificates
from harness.store.store import Store


def certificate(**changes: object) -> Certificate:
    values: dict[str, object] = {
        "id": "c",
        "created": 0.0,
        "host": "here",
        "boot_id": "boot",
        "libraries": {},
        "gpu": None,
        "device": "cpu",
        "dtype": "float32",
        "batch": 1,
        "threads": 2,
        "pairs": 60,
        "decided": 60,
        "false_positives": 2,
        "rate": 2 / 60,
        "rate_low": 0.0041,
        "rate_high": 0.1153,
        "smallest_ratio": 1.0214,
        "half_width_ratio": 1.018,
        "rounds": 20,
        "dropped_rounds": 0,
        "foreign_share": 0.01,
        "seconds": 61.0,
    }
    return Certificate(**values | changes)  # type: ignore[arg-type]


def test_a_certificate_is_made_kept_and_shown(workplace: Workplace) -> None:
    found = workplace.harness("doctor", "--certify", "--device", "cpu", "--pairs", "2", "--store", "here")
    assert found.status == 0, found
    assert found.err.splitlines()[0] == "0/2 identical pairs timed"
    assert found.err.splitlines()[-1] == "2/2 identical pairs timed"
    (kept,) = read_certificates(Store(workplace.folder / "here"))
    assert (kept.pairs, kept.device, kept.dtype, kept.batch) == (2, "cpu", "float32", 1)
    assert kept.host and kept.libraries["torch"] and kept.threads >= 1
    lines = found.out.splitlines()
    assert lines[0].startswith(
        f"A/A certificate: {kept.false_positives} of {kept.decided} identical pairs called different"
    )
    assert lines[1].startswith("smallest ratio resolved: ")
    assert lines[-1] == f"kept in {workplace.folder / 'here' / 'certificates' / kept.id}"
    assert "warning: verdicts ignore a certificate with fewer than 20 decided pairs" in lines

    shown = workplace.harness("doctor", "--device", "cpu", "--store", "here")
    assert f"the A/A certificate of {kept.made} decided only {kept.decided} pairs; 20 are needed" in shown.out


def test_doctor_says_that_there_is_none(workplace: Workplace) -> None:
    found = workplace.harness("doctor", "--device", "cpu")
    assert (found.status, found.err) == (0, "")
    assert "no A/A certificate for this machine (harness doctor --certify makes one)" in found.out


def test_an_interrupt_leaves_nothing(workplace: Workplace) -> None:
    command = [sys.executable, "-m", "harness", "doctor", "--certify", "--device", "cpu", "--store", "here"]
    with subprocess.Popen(
        command,
        cwd=workplace.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell inherits that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        assert running.stderr is not None and running.stdout is not None
        assert "0/60" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    # Where the interrupt meets the interpreter before or after our own code, a shell says 130 all the same.
    assert running.returncode in (130, -signal.SIGINT) and out == ""
    assert "Traceback" not in err
    assert not list((workplace.folder / "here").glob("certificates/*"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--dtype", "floot32"), "--dtype floot32: no such dtype; did you mean 'float32'? (known: float32, float64,"),
        (("--pairs", "0"), "0 is not in the range"),
        (("--pairs", "many"), "'many' is not a valid integer"),
        (("--batch", "0"), "0 is not in the range"),
        (("--threads", "100000"), "--threads 100000: this process may use"),
        (("--device", "tpu"), "'tpu' is not one of 'auto', 'cpu', 'cuda'"),
        (("--store", "small_trials.py"), "the store"),
    ],
)
def test_a_mistake_gets_one_sentence(workplace: Workplace, arguments: tuple[str, ...], sentence: str) -> None:
    found = workplace.harness("doctor", "--certify", *arguments)
    assert (found.status, found.out) == (2, ""), found
    assert found.err.startswith("harness: ") and found.err.count("\n") == 1, found.err
    assert sentence in found.err
    assert not (workplace.folder / "results").exists()


def test_no_gpu_to_certify(workplace: Workplace) -> None:
    if any(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")
    found = workplace.harness("doctor", "--certify", "--device", "cuda")
    assert (found.status, found.err) == (
        2,
        "harness: --device cuda: torch finds no CUDA GPU on this machine; use --device cpu, or auto\n",
    )


def test_options_of_certify_alone(workplace: Workplace) -> None:
    found = workplace.harness("doctor", "--pairs", "3")
    assert (found.status, found.err) == (2, "harness: --pairs: is used with --certify only\n")


def test_a_good_certificate_has_no_warning() -> None:
    assert certificate_lines(certificate()) == [
        "A/A certificate: 2 of 60 identical pairs called different (3.3 %, 95 % interval 0.4 to 11.5 %)",
        "smallest ratio resolved: 1.021 (5 % of identical pairs lie beyond it); 20 rounds a pair",
        "made on cpu in float32, batch 1, threads 2, in 1 min 01 s",
    ]


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"rate_low": 0.051}, "warning: the whole interval lies above 5 %"),
        ({"decided": 50}, "warning: 10 of 60 pairs kept too few rounds to decide"),
        ({"pairs": 5, "decided": 5}, "warning: verdicts ignore a certificate"),
        ({"foreign_share": 0.38}, "warning: other processes took 38 % of the CPUs"),
    ],
)
def test_what_a_certificate_warns_of(changes: dict[str, object], warning: str) -> None:
    (line,) = certificate_lines(certificate(**changes))[3:]
    assert line.startswith(warning)
