"""One arm under the real profiler on the CPU: the trace, what follows from it, and marks wherever they come."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from measure_fakes import FakeClock, FakeStreamDevice
from torch import nn

from harness.measure import plugin_reader, profiler_runs, profiling
from harness.measure.devices import HostDevice
from harness.measure.plugin_reader import PluginProblem, PluginReading
from harness.measure.profile_summary import summarise
from harness.measure.profiler_runs import (
    FEWEST_STEPS,
    MOST_EVENTS,
    MOST_RECORDED,
    MOST_SLOWED,
    MOST_STEPS,
    RECORDING_NANOSECONDS,
    Look,
    Plan,
    plan_for,
    record_requests,
)
from harness.measure.profiling import ArmProfile, Profiled, profile_arm
from harness.measure.stage_ranges import Relay, StageRanges
from harness.measure.stages import Mark
from harness.measure.trace_events import read_events
from harness.measure.trace_files import ENDING, read_trace, with_names
from harness.measure.trace_tables import tables_of

MULTIPLY_ADD = 2


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "WARMUP_SECONDS", 0.02)
    monkeypatch.setattr(profiling, "TIMED_SECONDS", 0.02)


@pytest.fixture
def without_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_reader, "read_with_plugin", lambda folder: PluginReading(7.0, 3, ("Overview",)))


def two_stages() -> Callable[[Mark], Any]:
    torch.manual_seed(0)
    layer, items = nn.Linear(96, 96), torch.rand(96, 96)

    @torch.inference_mode()
    def arm(mark: Mark) -> torch.Tensor:
        hidden = layer(items)
        mark("layer")
        hidden = torch.softmax(hidden, -1)
        mark("softmax")
        return hidden

    return arm


def arm_profile(folder: Path, call: Callable[[Mark], Any], **options: Any) -> ArmProfile:
    return profile_arm("arm", Profiled(call, MULTIPLY_ADD * 96.0**3), HostDevice(), folder, **options)


@pytest.mark.usefixtures("without_plugin")
def test_an_arm_is_profiled_and_timed_and_everything_follows_from_the_trace(tmp_path: Path) -> None:
    told: list[str] = []
    # It is an arm of microseconds, of which recording takes more than is accepted of others.
    made = arm_profile(tmp_path, two_stages(), steps=4, detailed=True, say=told.append)
    record = made.record
    assert (record["steps"], record["device"], record["dtype"], record["threads"]) == (
        4, "cpu", "float32", torch.get_num_threads(),
    )  # fmt: skip
    assert record["gflop"] == MULTIPLY_ADD * 96.0**3 / 1e9
    assert record["ceiling_gflops"] > 0 and record["ceiling_gbs"] > 0
    assert record["overhead"] == record["step_us"] / record["timed_us"]
    assert (record["plugin_step_us"], record["plugin_operators"], record["plugin_problem"]) == (7.0, 3, "")
    assert 0 < record["busy_us"] <= record["step_us"]
    assert record["shapes"] and told[0] == "warming up" and "profiling 4 requests" in "".join(told) and len(told) == 6

    tables = made.tables
    assert set(tables) == {
        "profile_steps", "profile_stages", "timed_stages", "profile_operators", "profile_kernels"
    }  # fmt: skip
    assert all(set(table["arm"]) == {"arm"} for table in tables.values())
    assert list(tables["profile_steps"]["step"]) == [0, 1, 2, 3]
    assert tables["profile_steps"]["us"].median() == record["step_us"]
    assert list(dict.fromkeys(tables["profile_stages"]["stage"])) == ["layer", "softmax"]
    of_stage = dict(tables["profile_operators"].groupby("operator")["stage"].unique())
    assert list(of_stage["aten::addmm"]) == ["layer"] and list(of_stage["aten::_softmax"]) == ["softmax"]
    timed = tables["timed_stages"].pivot(index="iteration", columns="stage", values="us")
    assert list(timed) == ["", "layer", "softmax"] and (timed["layer"] + timed["softmax"] <= timed[""]).all()

    # The trace alone says the same, and is the only file that is left.
    (trace,) = made.folder.iterdir()
    assert made.folder == tmp_path / "arm" and trace.name.endswith(ENDING)
    again = tables_of(read_events(read_trace(trace)), "arm")
    for name, table in again.named().items():
        pd.testing.assert_frame_equal(table, tables[name])
    (summary,) = summarise([{"step": "arm", **record}], "step", tables)
    assert [stage.name for stage in summary.stages] == ["layer", "softmax"] == [s.name for s in summary.timed_stages]
    assert sum(kind.share for kind in summary.kinds) == pytest.approx(1.0)


def test_the_plugin_of_tensorboard_reads_the_same_steps_from_the_same_trace(tmp_path: Path) -> None:
    made = arm_profile(tmp_path, two_stages(), steps=3)
    assert made.record["plugin_problem"] == ""
    (trace,) = made.folder.iterdir()
    steps = [e["dur"] for e in read_trace(trace)["traceEvents"] if str(e["name"]).startswith("ProfilerStep#")]
    assert len(steps) == 3
    assert made.record["plugin_step_us"] == pytest.approx(sum(steps) / 3, abs=1)
    assert made.record["plugin_operators"] == made.tables["profile_operators"]["operator"].nunique()


def test_a_plugin_that_cannot_read_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_reader, "read_with_plugin", lambda folder: PluginProblem("it is not installed"))
    record = arm_profile(tmp_path, two_stages(), steps=1).record
    assert (record["plugin_step_us"], record["plugin_operators"]) == (None, None)
    assert record["plugin_problem"] == "it is not installed"


@pytest.mark.usefixtures("without_plugin")
def test_an_arm_without_marks_or_known_operations_is_profiled_too(tmp_path: Path) -> None:
    left = torch.rand(64, 64)
    made = profile_arm(
        "", Profiled(lambda mark: left @ left, dtype="int8-of-some-kind"), HostDevice(), tmp_path, steps=3
    )
    assert made.tables["profile_stages"].empty and made.tables["timed_stages"].empty
    assert made.record["gflop"] is None and made.record["ceiling_gflops"] is None and made.record["ceiling_gbs"] > 0
    (summary,) = summarise([made.record], "", made.tables)
    assert summary.stages == () and summary.ceiling_share is None
    assert any("aten::mm" in sentence for sentence in summary.sentences)


@pytest.mark.usefixtures("without_plugin")
def test_an_arm_that_fails_leaves_no_profiler_behind(tmp_path: Path) -> None:
    calls = 0

    def arm(mark: Mark) -> None:
        nonlocal calls
        calls += 1
        torch.zeros(1)
        mark("a")
        if torch.autograd._profiler_enabled():
            raise RuntimeError("the arm's own words")

    with pytest.raises(RuntimeError, match="the arm's own words"):
        arm_profile(tmp_path, arm)
    assert calls > 1 and not torch.autograd._profiler_enabled()
    assert not list(tmp_path.rglob(f"*{ENDING}"))


# Marks where nobody can hear them


def test_marks_inside_a_compiled_region_break_nothing() -> None:
    torch._dynamo.reset()
    compiled = 0

    def counted(graph: Any, inputs: Any) -> Any:
        nonlocal compiled
        compiled += 1
        return graph.forward

    @functools.partial(torch.compile, backend=counted, fullgraph=True)
    def inside(items: torch.Tensor, mark: Mark) -> torch.Tensor:
        hidden = items * 2
        mark("inside")
        return hidden.sin()

    items = torch.rand(8)

    def arm(mark: Mark) -> torch.Tensor:
        hidden = inside(items, mark)
        mark("compiled")
        return hidden.cos()

    relay, heard = Relay(arm, HostDevice()), [list[str](), list[str]()]
    assert torch.equal(relay(heard[0].append), (items * 2).sin().cos())
    relay(heard[1].append)
    relay(lambda name: None)
    assert heard == [["compiled"], ["compiled"]]
    assert compiled == 1, "each listener is a reason to compile anew"


def test_marks_while_a_cuda_graph_is_captured_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    capturing = False
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: capturing)

    def arm(mark: Mark) -> None:
        nonlocal capturing
        mark("before")
        capturing = True
        mark("captured")
        capturing = False
        mark("after")

    heard: list[str] = []
    Relay(arm, FakeStreamDevice(FakeClock()))(heard.append)
    assert heard == ["before", "after"]


def test_marks_in_compiled_code_and_in_python_meet_in_one_trace(tmp_path: Path) -> None:
    torch._dynamo.reset()

    @functools.partial(torch.compile, backend="eager", fullgraph=True)
    def inside(items: torch.Tensor, mark: Mark) -> torch.Tensor:
        hidden = items @ items
        mark("inside")
        return hidden.sin()

    items = torch.rand(32, 32)

    def arm(mark: Mark) -> None:
        hidden = inside(items, mark)
        mark("compiled")
        hidden.cos()
        mark("plain")

    relay, device = Relay(arm, HostDevice()), HostDevice()
    relay(lambda name: None)
    names = record_requests(relay, device, Plan(2, shapes=True, stacks=True), tmp_path / "raw.json")
    tables = tables_of(read_events(with_names(read_trace(tmp_path / "raw.json"), names)), "arm")
    assert list(tables.stages["stage"]) == ["compiled", "plain"] * 2
    of_stage = tables.operators.set_index("operator")["stage"]
    assert (of_stage["aten::mm"], of_stage["aten::cos"]) == ("compiled", "plain")


def test_every_annotation_that_begins_ends_and_knows_its_stage() -> None:
    events: list[str] = []

    class Annotation:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            events.append(f"+{self.name}")

        def __exit__(self, *details: Any) -> None:
            events.append(f"-{self.name}")

    ranges = StageRanges(Annotation)

    def arm(mark: Mark) -> None:
        mark("a")
        mark("b")
        if len(events) > 8:
            raise ValueError("half way")

    ranges.run(arm, HostDevice())
    with pytest.raises(ValueError, match="half way"):
        ranges.run(arm, HostDevice())
    open_ones: list[str] = []
    for event in events:
        if event[0] == "+":
            open_ones.append(event[1:])
        else:
            assert open_ones.pop() == event[1:], "annotations of one request lie within it, one after the other"
    assert not open_ones and len(set(events)) == len(events) - 2, "only that of a request comes again"
    assert list(ranges.names.values()) == ["a", "b", ""] * 2


# How much is profiled


@given(
    entries=st.integers(0, 10**7),
    share=st.floats(0, 1),
    slowed=st.floats(0.5, 5),
    nanoseconds=st.floats(1, 1e12),
    steps=st.none() | st.integers(1, 1000),
)
def test_a_plan_keeps_to_its_limits(
    entries: int, share: float, slowed: float, nanoseconds: float, steps: int | None
) -> None:
    look = Look(entries, int(entries * share), int(nanoseconds * slowed))
    plan = plan_for(look, nanoseconds, steps)
    assert plan.steps == steps or (steps is None and FEWEST_STEPS <= plan.steps <= MOST_STEPS)
    operators = look.entries - look.calls
    written = plan.steps * (look.entries if plan.stacks else operators)
    assert written <= MOST_EVENTS or (not plan.stacks and plan.steps in (steps, FEWEST_STEPS))
    assert plan.shapes == (operators * RECORDING_NANOSECONDS <= MOST_RECORDED * nanoseconds)
    if plan.stacks:
        assert plan.shapes and look.nanoseconds <= MOST_SLOWED * nanoseconds and plan.left_out == ""
    elif plan.shapes and look.nanoseconds <= MOST_SLOWED * nanoseconds:
        assert (steps or FEWEST_STEPS) * look.entries > MOST_EVENTS, "stacks were left out for nothing"
    assert plan_for(replace(look, entries=0, calls=0, nanoseconds=0), nanoseconds, steps).stacks
    everything = plan_for(look, nanoseconds, steps, detailed=True)
    assert everything.left_out == "" and (steps is None or everything.steps == steps)


@pytest.mark.usefixtures("without_plugin")
def test_where_recording_would_take_too_much_names_and_times_are_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiler_runs, "MOST_RECORDED", -1.0)
    told: list[str] = []
    made = arm_profile(tmp_path, two_stages(), steps=2, say=told.append)
    assert "profiling 2 requests, without call stacks, shapes and memory" in told
    assert (made.record["shapes"], made.record["stacks"]) == (False, False)
    operators = made.tables["profile_operators"]
    assert set(operators["shapes"]) == {""} and operators["memory_bytes"].isna().all()
    assert operators.set_index("operator")["calls"]["aten::addmm"] == 1
