"""Reading the profiler's traces: against torch's own sums on the CPU, and on traces of a GPU in kineto's true format."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from harness.measure.trace_events import TraceError, read_events
from harness.measure.trace_files import (
    ENDING,
    REQUEST,
    REQUEST_RANGE,
    ROLE,
    STAGE,
    nested,
    read_trace,
    trace_folder,
    trace_name,
    with_names,
    write_trace,
)
from harness.measure.trace_tables import covered, tables_of

HOST, GPU = 4242, 0
MAIN, BACKWARD, STREAM = 4242, 4243, 7
OWN = 4244
REQUESTS = 2


def perfetto_drops(document: dict[str, Any]) -> list[str]:
    """Return the slices that Perfetto's importer drops: its rule, as SliceTracker::MaybeCloseStack has it.

    Events are sorted by time alone, in nanoseconds, those of one moment as they stand in the file.
    """
    tracks: dict[Any, list[tuple[int, int, str]]] = defaultdict(list)
    for event in document["traceEvents"]:
        if event["ph"] == "X" or (event["ph"] == "i" and event.get("s", "t") == "t"):
            start, length = round(event["ts"] * 1000), round(event.get("dur", 0) * 1000)
            tracks[event["pid"], event["tid"]].append((start, length, event["name"]))
    dropped = []
    for events in tracks.values():
        stack: list[tuple[int, int]] = []
        for start, length, name in sorted(events, key=lambda one: one[0]):
            while stack and start >= sum(stack[-1]):
                stack.pop()
            if any(start < sum(below) < start + length for below in stack):
                dropped.append(name)
            else:
                stack.append((start, length))
    return dropped


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 16), nn.LayerNorm(16))


def profiled_document(folder: Path, *, stacks: bool = False) -> tuple[dict[str, Any], Any]:
    """Profile a step with its backward pass; return the trace with names, and torch's own profile."""
    model, images = small_model(), torch.rand(8, 3, 8, 8)
    with profile(
        activities=[ProfilerActivity.CPU], record_shapes=True, profile_memory=True, with_stack=stacks
    ) as profiler:
        for _ in range(REQUESTS):
            with record_function(REQUEST_RANGE):
                model(images).sum().backward()
    profiler.export_chrome_trace(str(folder / "raw.json"))
    return with_names(read_trace(folder / "raw.json"), {}), profiler


# The CPU, against torch's own reading of the same profile


def test_own_times_calls_and_memory_are_those_that_torch_sums_up(tmp_path: Path) -> None:
    document, profiler = profiled_document(tmp_path)
    table = tables_of(read_events(document), "arm").operators
    found = REQUESTS * table.groupby("operator")[["calls", "us", "memory_bytes"]].sum()
    averages = [one for one in profiler.key_averages() if one.key != REQUEST_RANGE and one.key != "[memory]"]
    assert {one.key for one in averages} == set(found.index)
    for one in averages:
        calls, own, memory = found.loc[one.key]
        assert (calls, memory) == (one.count, one.self_cpu_memory_usage), one.key
        # torch gives microseconds; the file has them rounded to nanoseconds, each end of each call.
        assert own == pytest.approx(one.self_cpu_time_total, abs=0.01 * (1 + calls)), one.key


def test_tables_say_a_step_by_stage_shapes_and_kind(tmp_path: Path) -> None:
    torch.manual_seed(0)
    left, names = torch.rand(64, 64), {"#stage 0": "products", "#stage 1": "sums", "#stage 2": ""}
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, profile_memory=True) as profiler:
        for _ in range(3):
            with record_function(REQUEST_RANGE):
                with record_function("#stage 0"):
                    left @ left
                    left @ left
                with record_function("#stage 1"):
                    left + left
                with record_function("#stage 2"):
                    left.relu()
            left.cos()
    profiler.export_chrome_trace(str(tmp_path / "raw.json"))
    tables = tables_of(read_events(with_names(read_trace(tmp_path / "raw.json"), names)), "arm")
    assert list(tables.steps["step"]) == [0, 1, 2] and (tables.steps["us"] > 0).all()
    assert list(tables.stages["stage"]) == ["products", "sums"] * 3
    sums = tables.stages.groupby("step")["us"].sum()
    assert (sums < tables.steps.set_index("step")["us"]).all()
    rows = {(row.operator, row.stage): row for row in tables.operators.itertuples()}
    assert "aten::cos" not in set(tables.operators["operator"]), "what runs between requests is none of theirs"
    assert rows["aten::mm", "products"].calls == 2 and rows["aten::mm", "products"].kind == "matrix product"
    assert rows["aten::mm", "products"].shapes == "[[64, 64], [64, 64]]"
    assert rows["aten::mm", "products"].memory_bytes == 2 * 4 * 64 * 64
    assert rows["aten::add", "sums"].calls == 1 and rows["aten::add", "sums"].kind == "everything else"
    assert rows["aten::relu", ""].calls == 1, "after the last mark nothing is of a stage"
    assert set(tables.operators["device"]) == {"cpu"}
    # One thread: what operators take by themselves is what they cover, and no more than the steps.
    assert tables.operators["us"].sum() == pytest.approx(tables.kernels["us"].sum())
    assert 0 < tables.operators["us"].sum() <= tables.steps["us"].mean()
    assert 0 < tables.busy_microseconds <= tables.steps["us"].median()


def test_a_trace_without_requests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="holds no request"):
        read_events({"traceEvents": []})


# Files


@pytest.mark.parametrize("stacks", [False, True])
def test_perfetto_drops_nothing_of_a_trace_that_was_written(tmp_path: Path, stacks: bool) -> None:
    document, _ = profiled_document(tmp_path, stacks=stacks)
    raw = read_trace(tmp_path / "raw.json")
    write_trace(nested(document), tmp_path / trace_name())
    (path,) = tmp_path.glob(f"*{ENDING}")
    written = read_trace(path)
    assert perfetto_drops(written) == []
    assert [e["name"] for e in written["traceEvents"] if e.get("args", {}).get(ROLE)] == [REQUEST, REQUEST]
    assert json.loads(gzip.decompress(path.read_bytes()))["schemaVersion"] == raw["schemaVersion"]
    assert tables_of(read_events(written), "a").operators.equals(tables_of(read_events(document), "a").operators)


SLICES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 60), st.integers(0, 30), st.booleans()), min_size=1, max_size=40
)


@given(SLICES)
def test_any_slices_come_to_nest_at_the_times_they_had(drawn: list[tuple[int, int, int, bool]]) -> None:
    events: list[dict[str, Any]] = []
    for number, (tid, start, length, flows) in enumerate(drawn):
        events.append(
            {"ph": "X", "cat": "cpu_op", "name": f"{number}", "pid": 1, "tid": tid, "ts": start / 8, "dur": length / 8}
        )
        if flows:
            events.append(
                {"ph": "s", "id": number, "cat": "ac2g", "name": "ac2g", "pid": 1, "tid": tid, "ts": start / 8}
            )
    known = {event["tid"] for event in events}
    before = {e["name"]: (e["ts"], e["dur"], e["tid"]) for e in events if e["ph"] == "X"}
    found = nested({"traceEvents": events, "kept": 1})
    slices = {e["name"]: (e["ts"], e["dur"], e["tid"]) for e in found["traceEvents"] if e["ph"] == "X"}
    assert found["kept"] == 1
    assert {name: times[:2] for name, times in slices.items()} == {name: times[:2] for name, times in before.items()}
    assert perfetto_drops(found) == []
    for event in found["traceEvents"]:
        if event["ph"] == "s":
            assert any(tid == event["tid"] and start == event["ts"] for start, _, tid in slices.values())
        if event["ph"] == "M":
            assert event["tid"] not in known and event["tid"] in {tid for *_, tid in slices.values()}
    if perfetto_drops({"traceEvents": [e for e in events if e["ph"] == "X"]}) == []:
        assert nested({"traceEvents": found["traceEvents"]})["traceEvents"] == found["traceEvents"]


@pytest.mark.parametrize("worker", ["", "node7_123", "a/b c:d", "über.host_1"])
def test_a_file_is_named_as_the_plugin_of_tensorboard_wants_it(worker: str) -> None:
    from torch_tb_profiler.consts import WORKER_PATTERN

    name = trace_name(worker, 1_700_000_000_000_000_000)
    match = WORKER_PATTERN.match(name)
    assert match is not None and match.group(1) and match.group(2) == ".1700000000000000000"
    assert "/" not in name and " " not in name and name.endswith(ENDING)


def test_arms_have_folders_of_their_own_whatever_they_are_called(tmp_path: Path) -> None:
    names = [trace_folder(tmp_path, arm).name for arm in ("vilt-b32", "a b", "a/b", "..", "", "192x320")]
    assert names == ["vilt-b32", "a_b", "a_b-2", "request", "request-2", "192x320"]


# A GPU, in kineto's format


def slice_of(
    category: str, name: str, track: tuple[Any, Any], start: float, end: float, **arguments: Any
) -> dict[str, Any]:
    pid, tid = track
    event = {"ph": "X", "cat": category, "name": name, "pid": pid, "tid": tid, "ts": start, "dur": end - start}
    return {**event, "args": {key.replace("_", " "): value for key, value in arguments.items()}}


def launch(name: str, start: float, correlation: int, thread: int = MAIN) -> dict[str, Any]:
    return slice_of("cuda_runtime", name, (HOST, thread), start, start + 2, correlation=correlation, cbid=211)


def kernel(
    name: str, start: float, end: float, correlation: int, stream: int = STREAM, category: str = "kernel"
) -> Any:
    found = slice_of(category, name, (GPU, stream), start, end, correlation=correlation, device=0, stream=stream)
    found["args"] |= {"External id": 1000 + correlation, "grid": [1, 1, 1], "block": [128, 1, 1]}
    return found


def annotation(name: str, role: str, start: float, end: float) -> dict[str, Any]:
    return slice_of("user_annotation", name, (HOST, OWN), start, end, harness=role)


def memory(start: float, size: int, device: int) -> dict[str, Any]:
    return {
        "ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]", "pid": HOST, "tid": MAIN, "ts": start,
        "args": {"Bytes": size, "Device Type": device, "Device Id": 0, "Addr": 1},
    }  # fmt: skip


def gpu_trace() -> dict[str, Any]:
    """One request of two stages, 0 to 1,000 us.

    The host is through with ``dense`` at 100, the GPU at 400: a copy 20 to 60, a product 60 to 400. ``rest`` is marked
    at 300; its kernel, launched by a backward thread, runs 400 to 700, and one beside it on another stream 650 to 720.
    What was launched after the last mark runs 720 to 730.
    """
    host = (HOST, MAIN)
    return {
        "traceEvents": [
            annotation("request", REQUEST, 0, 1000),
            annotation("dense", STAGE, 0, 100),
            annotation("rest", STAGE, 100, 300),
            slice_of("cpu_op", "aten::to", host, 5, 30, External_id=1),
            slice_of("cpu_op", "aten::copy_", host, 6, 28, External_id=2, Input_Dims=[[8, 8], [8, 8]]),
            launch("cudaMemcpyAsync", 10, 11),
            slice_of("cpu_op", "aten::linear", host, 40, 90, External_id=3),
            slice_of("cpu_op", "aten::addmm", host, 45, 80, External_id=4, Input_Dims=[[8], [8, 8], [8, 8]]),
            memory(46, 512, 1),
            memory(47, 64, 0),
            launch("cudaLaunchKernel", 60, 12),
            slice_of("cpu_op", "ReluBackward0", (HOST, BACKWARD), 110, 200, External_id=5),
            slice_of("cpu_op", "aten::threshold_backward", (HOST, BACKWARD), 120, 190, External_id=6),
            launch("cudaLaunchKernel", 130, 13, BACKWARD),
            launch("cudaLaunchKernel", 150, 14, BACKWARD),
            launch("cudaLaunchKernel", 400, 15),
            launch("cudaDeviceSynchronize", 500, 16),
            kernel("Memcpy HtoD (Pageable -> Device)", 20, 60, 11, category="gpu_memcpy"),
            kernel("ampere_sgemm_128x64_tn", 60, 400, 12),
            kernel("void at::native::vectorized_elementwise_kernel<4, at::native::threshold>", 400, 700, 13),
            kernel("Memset (Device)", 650, 720, 14, stream=20, category="gpu_memset"),
            kernel("void at::native::vectorized_elementwise_kernel<4, at::native::fill>", 720, 730, 15),
            {"ph": "s", "id": 12, "pid": HOST, "tid": MAIN, "ts": 60, "cat": "ac2g", "name": "ac2g"},
            {"ph": "f", "id": 12, "pid": GPU, "tid": STREAM, "ts": 60, "cat": "ac2g", "name": "ac2g", "bp": "e"},
        ]
    }


def by_key(table: pd.DataFrame, *keys: str) -> dict[tuple[Any, ...], Any]:
    return {tuple(getattr(row, key) for key in keys): row for row in table.itertuples()}


def test_kernels_belong_to_the_stage_and_operator_that_launched_them() -> None:
    tables = tables_of(read_events(gpu_trace()), "arm")
    rows = by_key(tables.operators, "operator", "stage", "device")
    assert rows["aten::addmm", "dense", "cuda"].us == 340 and rows["aten::addmm", "dense", "cuda"].calls == 1
    assert rows["aten::addmm", "dense", "cuda"].shapes == "[[8], [8, 8], [8, 8]]"
    assert rows["aten::copy_", "dense", "cuda"].us == 40
    assert rows["aten::threshold_backward", "rest", "cuda"].us == 300 + 70
    assert rows["aten::threshold_backward", "rest", "cuda"].calls == 1, "one call, two kernels"
    assert ("aten::linear", "dense", "cuda") not in rows, "it launched nothing itself"
    assert rows["aten::linear", "dense", "cpu"].us == 15 and rows["aten::addmm", "dense", "cpu"].us == 35
    assert rows["aten::addmm", "dense", "cuda"].memory_bytes == 512
    assert rows["aten::addmm", "dense", "cpu"].memory_bytes == 64
    kernels = by_key(tables.kernels, "kernel")
    assert [(row.kind, row.us) for row in tables.kernels.itertuples()] == [
        ("matrix product", 340), ("everything else", 300), ("copy", 70), ("copy", 40), ("everything else", 10),
    ]  # fmt: skip
    assert kernels["ampere_sgemm_128x64_tn",].calls == 1


def test_a_stage_ends_when_an_event_at_its_mark_would_be_reached() -> None:
    tables = tables_of(read_events(gpu_trace()), "arm")
    assert by_key(tables.stages, "stage")["dense",].us == 400, "the GPU is through with it at 400"
    assert by_key(tables.stages, "stage")["rest",].us == 720 - 400
    assert list(tables.steps["us"]) == [1000]
    assert tables.busy_microseconds == 730 - 20, "side by side counts once"


def test_a_gpu_that_waits_for_its_host_ends_a_stage_with_the_mark() -> None:
    document = gpu_trace()
    document["traceEvents"][1]["dur"] = 600
    document["traceEvents"][2] |= {"ts": 600, "dur": 390}
    stages = by_key(tables_of(read_events(document), "arm").stages, "stage")
    assert stages["dense",].us == 730 and stages["rest",].us == 990 - 730


def test_kernels_of_a_cuda_graph_share_the_launch_of_the_graph() -> None:
    document = {
        "traceEvents": [
            annotation("request", REQUEST, 0, 500),
            annotation("replay", STAGE, 0, 50),
            slice_of("cuda_runtime", "cudaGraphLaunch", (HOST, MAIN), 10, 20, correlation=31),
            *(kernel("nvjet_tst_64x8", 100 * number, 100 * number + 90, 31) for number in (1, 2, 3)),
        ]
    }
    tables = tables_of(read_events(document), "arm")
    assert tables.operators.empty and list(tables.operators["us"]) == []
    assert [(row.kernel, row.calls, row.us, row.kind) for row in tables.kernels.itertuples()] == [
        ("nvjet_tst_64x8", 3, 270, "matrix product")
    ]
    assert list(tables.stages["us"]) == [390] and tables.busy_microseconds == 270


def test_without_the_launch_the_operator_is_found_by_its_number() -> None:
    document = gpu_trace()
    document["traceEvents"] = [e for e in document["traceEvents"] if e.get("cat") != "cuda_runtime"]
    for event in document["traceEvents"]:
        if event.get("cat") == "kernel":
            event["args"]["External id"] = event["args"]["correlation"] - 8
    rows = by_key(tables_of(read_events(document), "arm").operators, "operator", "device")
    assert rows["aten::addmm", "cuda"].us == 340


def test_names_reach_the_annotations_over_the_kernels_too() -> None:
    ours = [("user_annotation", (HOST, MAIN), 0, 50), ("gpu_user_annotation", (GPU, STREAM), 20, 90)]
    document = {
        "traceEvents": [
            slice_of("user_annotation", "ProfilerStep#3", (HOST, MAIN), 0, 100),
            slice_of("user_annotation", REQUEST_RANGE, (HOST, MAIN), 0, 100),
            *(slice_of(category, "#stage 0", track, start, end) for category, track, start, end in ours),
            slice_of("user_annotation", "#stage 1", (HOST, MAIN), 50, 60),
            slice_of("user_annotation", "Optimizer.step#AdamW.step", (HOST, MAIN), 55, 70),
        ]
    }
    found = with_names(document, {"#stage 0": "fusion", "#stage 1": ""})["traceEvents"]
    named = [(e["name"], e["cat"], e["tid"]) for e in found if e["ph"] == "X"]
    assert named == [
        ("ProfilerStep#3", "user_annotation", MAIN + 1),
        ("request", "user_annotation", MAIN + 1),
        ("fusion", "user_annotation", MAIN + 1),
        ("fusion", "gpu_user_annotation", STREAM),
        ("Optimizer.step#AdamW.step", "user_annotation", MAIN),
    ]
    assert [e["args"]["name"] for e in found if e["ph"] == "M" and e["name"] == "thread_name"] == ["steps and stages"]


# Whatever a trace holds


@st.composite
def traces(draw: st.DrawFn) -> dict[str, Any]:
    """Requests one after the other, each with marks, nested operators and kernels that they launch."""
    events: list[dict[str, Any]] = []
    now, busy, correlation = 0, 0, 0
    for _ in range(draw(st.integers(1, 3))):
        start = now = now + draw(st.integers(0, 5))
        mark = now
        for stage in draw(st.lists(st.sampled_from(["a", "b"]), max_size=4)):
            for _ in range(draw(st.integers(0, 3))):
                length = draw(st.integers(1, 20))
                inner = draw(st.integers(0, length))
                events.append(slice_of("cpu_op", "aten::linear", (HOST, MAIN), now, now + length))
                events.append(slice_of("cpu_op", "aten::mm", (HOST, MAIN), now, now + inner))
                if draw(st.booleans()):
                    correlation += 1
                    events.append(launch("cudaLaunchKernel", now, correlation))
                    begin = max(busy, now) + draw(st.integers(0, 9))
                    busy = begin + draw(st.integers(0, 40))
                    events.append(kernel("gemm", begin, busy, correlation))
                now += length + draw(st.integers(0, 3))
            events.append(annotation(stage, STAGE, mark, now))
            mark = now
        now = max(now, busy) + draw(st.integers(1, 9))
        events.append(annotation("request", REQUEST, start, now))
    return {"traceEvents": draw(st.permutations(events))}


@given(traces())
def test_parts_never_exceed_the_whole(document: dict[str, Any]) -> None:
    events = read_events(document)
    tables = tables_of(events, "arm")
    wholes = tables.steps.set_index("step")["us"]
    assert (tables.stages["us"] >= 0).all()
    sums = tables.stages.groupby("step")["us"].sum().reindex(wholes.index, fill_value=0.0)
    assert (sums <= wholes + 1e-6).all()
    assert 0 <= tables.busy_microseconds <= wholes.median()
    host = tables.operators[tables.operators["device"] == "cpu"]
    assert (host["us"] >= 0).all() and host["us"].sum() <= wholes.mean() + 1e-6
    assert sum(one.own for one in events.operators) == covered([(one.start, one.end) for one in events.operators])
    device = tables.operators[tables.operators["device"] == "cuda"]
    assert device["us"].sum() == pytest.approx(tables.kernels["us"].sum() if events.kernels else 0.0)
    assert list(tables_of(read_events(nested(document)), "arm").stages["us"]) == list(tables.stages["us"])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20))))
def test_covered_counts_each_moment_once(drawn: list[tuple[int, int]]) -> None:
    intervals = [(start, start + length) for start, length in drawn]
    assert covered(intervals) == len({moment for start, end in intervals for moment in range(start, end)})
