"""``harness profile`` as a user types it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import Workplace

from harness.measure.profile_summary import largest_difference, summarise
from harness.plan.code import fingerprint
from harness.plan.design import make_design
from harness.plan.trials import expand
from harness.spec.load import load_experiment
from harness.store.attempt import check_files, read_samples, sample_names
from harness.store.profiles import latest_profile, profiles_of
from harness.store.store import Store

MODULE = """
from collections.abc import Mapping
from typing import Any


def multiply(*, run: Any, size: Mapping[str, int], power: int = 1) -> list[dict[str, Any]]:
    return [{"size": name, "value": 1.0} for name in size]


def arms(*, run: Any, size: Mapping[str, int], power: int) -> Any:
    import torch

    from harness.measure import plugin_reader, profiling

    # A command line has no other way to be told.
    profiling.WARMUP_SECONDS = profiling.TIMED_SECONDS = 0.02
    plugin_reader.read_with_plugin = lambda folder: plugin_reader.PluginProblem("it was not asked")

    def arm(rows: int) -> Any:
        start = torch.rand(rows, rows, generator=run.stream("init").torch())

        def call(mark: Any) -> Any:
            hidden = start
            for _ in range(power):
                hidden = hidden @ start
            mark("product")
            hidden = hidden.softmax(-1)
            mark("softmax")
            return hidden

        return profiling.Profiled(call, 2.0 * power * rows**3)

    return {name: arm(rows) for name, rows in size.items()}


def wrong(*, run: Any) -> Any:
    return {"small": 1}


def slow(*, run: Any, size: Mapping[str, int]) -> Any:
    import time

    from harness.measure.profiling import Profiled

    return {name: Profiled(lambda mark: time.sleep(0.2)) for name in size}
"""
SPEC = """
experiment: products
title: Products
trial: small_profiled:multiply
profiled: small_profiled:arms
factors:
  size: {blocked: true, levels: {small: 48, large: 96}}
  power: [1, 2]
replicates: 2
resources: {cpus: 1}
profiles:
  laptop: {fidelity: proxy}
"""


@pytest.fixture
def products(workplace: Workplace) -> Workplace:
    (workplace.folder / "small_profiled.py").write_text(MODULE)
    workplace.write("products.yaml", SPEC)
    return workplace


@pytest.mark.slow
def test_arms_are_profiled_kept_and_shown(products: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = products.harness(
        "profile", "products.yaml", "--device", "cpu", "--store", "here", "--arm", "power=2", "--steps", "3"
    )
    assert found.status == 0, found
    monkeypatch.chdir(products.folder)
    design = make_design(load_experiment(Path("products.yaml")), device="cpu")
    trial = next(one for one in expand(design) if one.arm["power"] == 2)
    store = Store(products.folder / "here")
    ((stored,), damaged) = profiles_of(store, "products", trial.id)
    attempt = stored.attempt
    assert damaged == [] and check_files(stored.folder) == []

    # Where it comes from.
    assert (attempt.trial, attempt.identity, attempt.arm, attempt.replicate) == (
        trial.id,
        trial.identity,
        {"power": 2},
        0,
    )
    assert attempt.code == fingerprint("small_profiled:multiply").digest and attempt.succeeded
    environment = store.environment(attempt.environment)
    assert environment["torch"]["threads"] == 1 and environment["variables"]["OMP_NUM_THREADS"] == "1"
    assert attempt.place["host"] == environment["host"] and attempt.moment["time"] and attempt.seconds > 0

    # What was found.
    assert [record["size"] for record in attempt.records] == ["small", "large"]
    assert [record["gflop"] for record in attempt.records] == [2e-9 * 2 * 48**3, 2e-9 * 2 * 96**3]
    assert all(r["steps"] == 3 and r["threads"] == 1 and r["device"] == "cpu" for r in attempt.records)
    tables = {name: read_samples(stored.folder, name) for name in sample_names(stored.folder)}
    assert all(set(table["arm"]) == {"small", "large"} for table in tables.values())
    traces = sorted(path.parent.name for path in (stored.folder / "files" / "traces").rglob("*.pt.trace.json.gz"))
    assert traces == ["large", "small"]

    # What is printed follows from what was kept.
    for summary in summarise(attempt.records, "size", tables):
        assert f"{summary.arm}: " in found.out
        assert all(sentence in found.out for sentence in summary.sentences)
        difference = largest_difference(summary)
        assert difference is not None
        assert f"largest difference of a stage's share: {difference[0]:.1f} points ({difference[1]})" in found.out
    assert "torch-tb-profiler cannot show this trace: it was not asked" in found.out
    assert f"trace in {stored.folder}/files/traces/small" in found.out
    assert found.out.splitlines()[-1] == "next: make tensorboard, or harness report products"
    assert found.err.splitlines()[0] == "products: building small, large"
    assert "products: large: profiling 3 requests" in found.err
    assert not list(products.folder.rglob(".tmp-*"))

    # A sweep knows nothing of it, and an arm may be profiled again by itself.
    status = products.harness("status", "products.yaml", "--store", "here")
    assert status.status == 0 and status.out.startswith("no results in ")
    again = products.harness(
        "profile", "products.yaml", "--device", "cpu", "--store", "here", "--arm", "power=2", "--arm", "size=large",
        "--steps", "1", "--detailed",
    )  # fmt: skip
    assert again.status == 0, again
    newest, older = (latest_profile(store, "products", trial.id, "size", arm) for arm in ("large", "small"))
    assert older is not None and older.folder == stored.folder
    assert newest is not None
    (record,) = newest.attempt.records
    assert (record["size"], record["shapes"], record["stacks"]) == ("large", True, True)


@pytest.mark.parametrize(
    ("spec", "arguments", "sentence"),
    [
        ("", ("--arm", "power=2", "--arm", "sizes=small"), "no factor 'sizes'; did you mean 'size'? (known: size, power)"),
        ("", ("--arm", "power=2", "--arm", "size=tiny"), "the factor 'size' has no level 'tiny' (known: small, large)"),
        ("", (), "one trial is profiled, so choose a level of power: 1, 2 (as in '--arm power=1')"),
        ("", ("--arm", "power=2", "--steps", "0"), "0 is not in the range"),
        ("", ("--arm", "power=2", "--profile", "labtop"), "no profile 'labtop'; did you mean 'laptop'?"),
        ("", ("--arm", "power=2", "--store", "products.yaml"), "cannot be written"),
        ("profiled: small_profiled:arms", ("--arm", "power=2"), "names no function under 'profiled' that would make arms"),
        ("small_profiled:arms/small_profiled:wrong", ("--arm", "power=1"),
         "products.yaml:4: profiled: 'small_profiled:wrong' must return a mapping with a Profiled for each of 'large', 'sm"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_sentence(products: Workplace, spec: str, arguments: tuple[str, ...], sentence: str) -> None:
    old, _, new = spec.partition("/")
    products.write("products.yaml", SPEC.replace(old, new) if old else SPEC)
    found = products.harness("profile", "products.yaml", "--device", "cpu", *arguments)
    assert (found.status, found.out) == (2, ""), found
    (said,) = [line for line in found.err.splitlines() if line.startswith("harness: ")]
    assert sentence in said and "Traceback" not in found.err
    assert not list(products.folder.glob("results/products/profiles"))


@pytest.mark.skipif(any(Path("/dev").glob("nvidia[0-9]*")), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_said(products: Workplace) -> None:
    found = products.harness("profile", "products.yaml", "--device", "cuda", "--arm", "power=1")
    assert found.status == 2 and "--device cuda: torch finds no CUDA GPU on this machine" in found.err


def test_check_looks_at_the_function_that_makes_arms(products: Workplace) -> None:
    assert products.harness("check", "products.yaml").status == 0
    products.write("products.yaml", SPEC.replace(":arms", ":amrs"))
    found = products.harness("check", "products.yaml")
    assert found.status == 2 and "products.yaml:4: profiled: function 'profiled'" in found.err


@pytest.mark.slow
def test_an_interrupt_leaves_nothing(products: Workplace) -> None:
    products.write("products.yaml", SPEC.replace("profiled: small_profiled:arms", "profiled: small_profiled:slow"))
    command = [sys.executable, "-m", "harness", "profile", "products.yaml", "--device", "cpu", "--arm", "power=1"]
    with subprocess.Popen(
        command,
        cwd=products.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell inherits that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        assert running.stderr is not None and running.stdout is not None
        while "timing it unprofiled" not in running.stderr.readline():
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode in (130, -signal.SIGINT) and out == ""
    assert "Traceback" not in err and "interrupted; nothing of this profile was kept" in err
    assert not [path for path in (products.folder / "results").rglob("*") if path.is_file()]
    assert not (products.folder / "results" / "products").exists()
