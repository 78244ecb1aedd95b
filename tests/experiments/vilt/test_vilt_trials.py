"""The trial functions as a notebook would call them: small systems timed, checks that stop a comparison."""

from __future__ import annotations

import json
import math

import pytest
import torch

from experiments.vilt import speed
from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.cost import count_systems
from experiments.vilt.speed import time_systems
from harness.execution.run import Run
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

    counted = speed._counts({"lean": SMALL["lean"]})["lean"]
    wrong = replace(counted, parameters={**counted.parameters, "patch_projection": 1})
    monkeypatch.setattr(speed, "_counts", lambda system: {name: wrong for name in system})
    (record,) = time_systems(run=Run(), system={"lean": SMALL["lean"]}, timing=QUICK, threads=1)
    assert record["gate_parameters"] is False and "patch_projection" in record["detail_parameters"]


def test_counts_are_records() -> None:
    (record,) = count_systems(run=Run(), system={"vilt-b32": SystemConfiguration(model="vilt-b32")})
    assert record["gops_all_2mac"] == 51.777736704 == record["gops_mixed"] == 2 * record["gops_all_mac"]
    assert record["parameters_patch_projection"] + record["parameters_transformer_layers"] == 87_414_528
