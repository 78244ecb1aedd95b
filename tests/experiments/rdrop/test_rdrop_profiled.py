"""Training steps that mark their parts compute what the others do, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.data.language_settings import ProceduralTextSettings
from experiments.rdrop.cost import StepSettings, build_step
from experiments.rdrop.model_settings import TransformerSettings
from experiments.rdrop.optimiser_settings import OptimiserSettings
from experiments.rdrop.profiled import profiled
from experiments.rdrop.tasks import load_task
from harness.execution.run import Run
from harness.measure.devices import HostDevice
from harness.measure.profiler_runs import Plan, record_requests
from harness.measure.stage_ranges import Relay
from harness.measure.trace_events import read_events
from harness.measure.trace_files import read_trace, with_names
from harness.measure.trace_tables import tables_of
from harness.plan.code import fingerprint
from harness.plan.design import make_design
from harness.plan.hooks import profiled_hook
from harness.spec.find import find_experiment

DATA = ProceduralTextSettings(length=6, train=100, validation=10, test=10)
MODEL = TransformerSettings(kind="transformer", width=16, layers=1)
STEPS = {
    "plain": StepSettings(passes=1),
    "r-drop": StepSettings(passes=2, alpha=5.0),
    "two": StepSettings(passes=1, times=2),
}
PARTS = ["masks", "forward", "loss", "backward", "optimiser"]


@pytest.fixture(scope="module")
def arms() -> dict[str, Any]:
    return profiled(run=Run("small", threads=1), step=STEPS, data=DATA, model=MODEL, batch_size=8, threads=1)


def test_a_marked_step_trains_as_the_timed_one_does(arms: dict[str, Any]) -> None:
    run = Run("small", threads=1)
    task = load_task(DATA, run.stream("data"))
    for name, wanted in STEPS.items():
        make = build_step(
            run, wanted, task=task, model=MODEL, batch_size=8, dropout=0.3, settings=OptimiserSettings(learning_rate=0.001)
        )  # fmt: skip
        # One step was made while operations were counted.
        losses = [make() for _ in range(4)][1:]
        marked: list[str] = []
        for loss in losses:
            assert torch.equal(arms[name].call(marked.append), loss), name
        assert marked == PARTS * 3 * wanted.times


def test_operations_are_those_of_both_ways_through_the_network(arms: dict[str, Any]) -> None:
    counter = FlopCounterMode(display=False)
    with counter:
        arms["plain"].call(lambda part: None)
    assert arms["plain"].flops == counter.get_total_flops()
    assert arms["two"].flops == 2 * arms["plain"].flops == arms["r-drop"].flops


def test_parts_of_a_step_reach_the_profile(arms: dict[str, Any], tmp_path: Path) -> None:
    relay = Relay(arms["r-drop"].call, HostDevice())
    names = record_requests(relay, HostDevice(), Plan(2, shapes=True, stacks=False), tmp_path / "raw.json")
    tables = tables_of(read_events(with_names(read_trace(tmp_path / "raw.json"), names)), "r-drop")
    assert list(tables.stages["stage"]) == PARTS * 2
    of = tables.operators.groupby("operator")["stage"].agg(set)
    assert of["aten::_fused_adamw_"] == {"optimiser"} and of["aten::native_layer_norm_backward"] == {"backward"}
    assert of["aten::native_layer_norm"] == {"forward"}


def test_the_spec_names_it_and_no_stored_result_depends_on_it() -> None:
    experiment = find_experiment("rdrop-cost")
    assert profiled_hook(make_design(experiment, "smoke", device="cpu")) is not None
    assert "experiments.rdrop.profiled" not in fingerprint(experiment.spec.trial).modules
