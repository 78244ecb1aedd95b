"""The trial functions as a notebook would call them: small systems timed, checks that stop a comparison."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy
import pytest
import torch

from experiments.vilt import speed
from experiments.vilt.batch import time_batches
from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.cost import count_systems
from experiments.vilt.count import count
from experiments.vilt.speed import time_systems
from experiments.vilt.systems import build_system
from experiments.vilt.timing_records import measured, probe_dtype
from harness.execution.run import Run
from harness.measure.devices import HostDevice
from harness.measure.probes import machine_probes
from harness.measure.rounds import time_arms
from harness.measure.settings import TimingSettings
from harness.measure.summaries import round_medians

SMALL = {
    "naive": SystemConfiguration(model="vilt-b32", image_size="64x64"),
    "lean": SystemConfiguration(model="vilt-b32", image_size="64x64", implementation="optimised"),
    "grid": SystemConfiguration(model="pixel-bert-r50", image_size="64x64"),
}
QUICK = TimingSettings(
    minimum_rounds=2, maximum_rounds=2, minimum_kept_rounds=1, minimum_seconds=0, target_half_width=None,
    visit_seconds=0.01, warmup_maximum_seconds=0.1, maximum_foreign_share=1.0, busy_fraction=1e-6,
)  # fmt: skip


def test_systems_are_timed_with_stages_that_sum_to_the_whole() -> None:
    run = Run(replicate=1)
    records = {record["system"]: record for record in time_systems(run=run, system=SMALL, timing=QUICK, threads=1)}
    assert set(records) == set(SMALL)
    for name, record in records.items():
        assert record["gate_structure"] and record["gate_parameters"]
        assert record["latency_ms"] > 0 and record["rounds_kept"] == 2
        whole = round_medians(run.tables["latency"], name).median() / 1e6
        assert math.isclose(record["latency_ms"], whole)
        samples = run.tables["latency"].query("arm == @name")
        by_pass = (
            samples.assign(part=samples["stage"] != "").groupby(["round", "iteration", "part"])["nanoseconds"].sum()
        )
        parts, wholes = by_pass.xs(True, level="part"), by_pass.xs(False, level="part")
        # What is left after the last mark is the return from the call, never negative.
        assert (parts <= wholes).all() and len(parts) == len(wholes)
    assert records["lean"]["gate_equal_outputs"] and records["lean"]["output_difference"] < 1e-5
    assert "gate_equal_outputs" not in records["grid"]
    timing = json.loads((run.files / "timing.json").read_text())
    assert timing["torch"]["threads"] == 1
    assert {"latency", "rounds", "probes", "warmup"} <= set(run.tables)


def test_outputs_that_differ_stop_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.measure import equality

    monkeypatch.setitem(equality.TOLERANCES, torch.float32, 1e-30)  # type: ignore[misc]
    run = Run()
    records = {record["system"]: record for record in time_systems(run=run, system=SMALL, timing=QUICK, threads=1)}
    assert records["lean"]["gate_equal_outputs"] is False and "differs by" in records["lean"]["detail_equal_outputs"]
    assert all("latency_ms" not in record for record in records.values())
    assert not run.tables


def test_other_parameters_than_counted_stop_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    counted = speed.count_all({"lean": SMALL["lean"]})["lean"]
    wrong = replace(counted, parameters={**counted.parameters, "patch_projection": 1})
    monkeypatch.setattr(speed, "count_all", lambda system: {name: wrong for name in system})
    (record,) = time_systems(run=Run(), system={"lean": SMALL["lean"]}, timing=QUICK, threads=1)
    assert record["gate_parameters"] is False and "patch_projection" in record["detail_parameters"]


class Queue:
    """A device with a stream and a clock of its own making: what is launched costs the host, then the device."""

    name, has_stream = "cuda:0", True

    def __init__(self) -> None:
        self.now, self.free_at = 0, 0

    def clock(self) -> int:
        return self.now

    def launch(self, host: int, work: int) -> None:
        self.now += host
        self.free_at = max(self.free_at, self.now) + work

    def synchronize(self) -> None:
        self.now = max(self.now, self.free_at)

    def events(self, count: int) -> list[Any]:
        return [Stamp(self) for _ in range(count)]

    def elapsed_nanoseconds(self, start: Any, end: Any) -> int:
        return int(end.at - start.at)


class Stamp:
    def __init__(self, queue: Queue) -> None:
        self.queue, self.at = queue, 0

    def record(self) -> None:
        self.at = max(self.queue.now, self.queue.free_at)


@pytest.mark.parametrize(("host", "work", "stream"), [(100_000, 900_000, 1.8), (600_000, 200_000, 1.2)])
def test_a_device_with_a_stream_has_its_time_beside_the_requests(host: int, work: int, stream: float) -> None:
    """The device bound: the stream has only the work in it. The host bound: it has only the launches in it."""
    queue = Queue()
    system = build_system(SMALL["lean"], device="meta")

    def request(mark: Any) -> None:
        queue.launch(host, work)
        mark("patch_embedding")
        queue.launch(host, work)
        mark("fusion")

    result = time_arms(
        {"lean": request}, QUICK, numpy.random.default_rng(0), device=queue, probes=[], clock=queue.clock
    )  # fmt: skip
    found = measured(system, count(SMALL["lean"]), result, "lean")
    latency = (host + 2 * work + (0 if work > host else host - work)) / 1e6
    assert found["latency_ms"] == pytest.approx(latency) and found["stream_ms"] == pytest.approx(stream)
    assert found["launch_gap_ms"] == pytest.approx(latency - stream)
    assert found["launch_gap_percent"] == pytest.approx(100 * (latency - stream) / latency)
    assert found["ceiling_share_percent"] is None, "nothing probed the machine"


def test_a_ceiling_is_of_the_numbers_that_a_system_computes_in() -> None:
    names = {
        "float32": {}, "bfloat16": {"dtype": "bfloat16"}, "tf32": {"tf32": True},
        "dynamic-int8": {"quantise": "dynamic-int8"},
    }  # fmt: skip
    for name, settings in names.items():
        assert probe_dtype(SystemConfiguration(model="vilt-b32", **settings)) == name  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no floating-point type"):
        machine_probes(TimingSettings(probe_dtypes=("dynamic-int8",)), HostDevice())


@pytest.mark.slow
def test_batches_are_timed_by_the_item() -> None:
    run = Run()
    found = time_batches(run=run, system={"lean": SMALL["lean"]}, batch=3, timing=QUICK, threads=1)
    assert found[0]["ms_per_item"] == pytest.approx(found[0]["latency_ms"] / 3)
    assert found[0]["items_per_second"] == pytest.approx(3000 / found[0]["latency_ms"])
    assert found[0]["gflops"] == pytest.approx(3 * count(SMALL["lean"]).flops / 1e9)
    assert found[0]["stream_ms"] is None and found[0]["launch_gap_percent"] is None, "a CPU has no stream"


def test_counts_are_records() -> None:
    (record,) = count_systems(run=Run(), system={"vilt-b32": SystemConfiguration(model="vilt-b32")})
    assert record["gops_all_2mac"] == 51.777736704 == record["gops_mixed"] == 2 * record["gops_all_mac"]
    assert record["parameters_patch_projection"] + record["parameters_transformer_layers"] == 87_414_528
