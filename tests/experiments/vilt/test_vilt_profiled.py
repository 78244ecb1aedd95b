"""The systems that ``harness profile`` is given are those that the trial times, and no part of its code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from experiments.vilt import profiled as hook
from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.count import count
from experiments.vilt.systems import System, build_system
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

SMALL = {
    "naive": SystemConfiguration(model="vilt-b32", image_size="64x64"),
    "lean": SystemConfiguration(model="vilt-b32", image_size="64x64", implementation="optimised", dtype="bfloat16"),
}


@pytest.fixture(scope="module")
def arms() -> dict[str, hook.Profiled]:
    return hook.profiled(run=Run(replicate=1), system=SMALL, threads=1)


def test_arms_are_the_trial_s_systems_with_their_counted_operations(arms: dict[str, hook.Profiled]) -> None:
    assert list(arms) == ["naive", "lean"]
    seed = Run(replicate=1).stream("init").seed
    for name, arm in arms.items():
        assert isinstance(arm.call, System) and arm.call.configuration == SMALL[name]
        assert arm.flops == count(SMALL[name]).flops and arm.dtype == SMALL[name].dtype
        twin = build_system(SMALL[name], seed=seed)
        assert arm.call.parameters_by_component() == twin.parameters_by_component()
        # transformers shuffles the patches in every call, so that sums are rounded in another order.
        torch.testing.assert_close(arm.call(lambda stage: None), twin(lambda stage: None), rtol=1e-4, atol=1e-5)


def test_stages_of_a_profile_are_the_system_s_own_and_the_transformer_s_products_lie_in_fusion(
    arms: dict[str, hook.Profiled], tmp_path: Path
) -> None:
    system = arms["naive"].call
    assert isinstance(system, System)
    names = record_requests(
        Relay(system, HostDevice()), HostDevice(), Plan(1, shapes=True, stacks=False), tmp_path / "raw.json"
    )
    tables = tables_of(read_events(with_names(read_trace(tmp_path / "raw.json"), names)), "naive")
    assert list(tables.stages["stage"]) == list(system.stages)
    calls = tables.operators.groupby(["operator", "stage"])["calls"].sum()
    # Twelve layers of queries, keys, values, output and two of the feed-forward part; then the pooler.
    assert calls["aten::addmm", "fusion"] == 12 * 6 + 1
    assert calls["aten::embedding", "text_embedding"] == 3 and calls["aten::convolution", "patch_embedding"] == 1


def test_the_spec_names_it_and_no_stored_result_depends_on_it() -> None:
    experiment = find_experiment("vilt-speed")
    assert experiment.spec.profiled == "experiments.vilt.profiled:profiled"
    assert profiled_hook(make_design(experiment, "smoke", device="cpu")) is not None
    modules = fingerprint(experiment.spec.trial).modules
    assert "experiments.vilt.profiled" not in modules
    assert not [name for name in modules if name.startswith("harness.measure.") and "profil" in name]
