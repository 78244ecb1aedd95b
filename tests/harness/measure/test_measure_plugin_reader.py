from __future__ import annotations

import gzip
import json
import re
import time
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, schedule

from harness.measure.plugin_reader import PluginProblem, PluginReading, read_with_plugin

STEPS = 3


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small trace of three steps."""
    folder = tmp_path_factory.mktemp("traces") / "arm"
    folder.mkdir()
    layer, inputs = torch.nn.Linear(8, 8), torch.randn(4, 8)

    def write(profiler: profile) -> None:
        profiler.export_chrome_trace(str(folder / "worker.1.pt.trace.json.gz"))

    wanted = schedule(wait=0, warmup=1, active=STEPS, repeat=1)
    with profile(activities=[ProfilerActivity.CPU], schedule=wanted, on_trace_ready=write) as profiler:
        for _ in range(STEPS + 1):
            torch.relu(layer(inputs))
            profiler.step()
    return folder


def events(folder: Path) -> list[dict]:
    (file,) = folder.glob("*.gz")
    return json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]


def test_the_plugins_step_time_and_operators_are_those_of_the_trace(trace: Path) -> None:
    reading = read_with_plugin(trace)
    assert isinstance(reading, PluginReading), reading
    steps = [event["dur"] for event in events(trace) if event.get("name", "").startswith("ProfilerStep#")]
    assert len(steps) == STEPS
    assert reading.step_microseconds == pytest.approx(sum(steps) / STEPS, abs=1.0)
    assert reading.operators == len({event["name"] for event in events(trace) if event.get("cat") == "cpu_op"})
    assert reading.views == ("Overview", "Operator", "Trace")


def test_without_marked_steps_there_is_no_time_of_a_step(trace: Path, tmp_path: Path) -> None:
    document = {"schemaVersion": 1, "traceEvents": []}
    for event in events(trace):
        if not event.get("name", "").startswith("ProfilerStep#"):
            document["traceEvents"].append(event)
    (tmp_path / "worker.pt.trace.json").write_text(json.dumps(document))
    reading = read_with_plugin(tmp_path)
    assert isinstance(reading, PluginReading) and reading.step_microseconds is None and reading.operators > 0


def test_a_damaged_trace_is_a_sentence_with_the_loaders_own_reason(trace: Path, tmp_path: Path) -> None:
    (file,) = trace.glob("*.gz")
    (tmp_path / file.name).write_bytes(file.read_bytes()[:300])
    problem = read_with_plugin(tmp_path)
    assert isinstance(problem, PluginProblem)
    assert str(tmp_path) in problem.sentence and "EOFError" in problem.sentence


def test_a_folder_without_traces_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "trace.json").write_text("{}")
    problem = read_with_plugin(tmp_path)
    assert isinstance(problem, PluginProblem) and "holds no trace" in problem.sentence
    assert isinstance(read_with_plugin(tmp_path / "nowhere"), PluginProblem)


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, loading: str) -> None:
    """Put a package before the plugin that does something else instead of loading."""
    package = folder / "torch_tb_profiler"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "io.py").write_text("import contextlib\nCache = contextlib.nullcontext\n")
    body = "class RunLoader:\n    def __init__(self, *given): ...\n    def load(self):\n"
    (package / "profiler.py").write_text("import os, signal, subprocess, sys, time\n" + body + f"        {loading}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_loader_that_hangs_is_ended_with_what_it_started(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    command = f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    pretend(monkeypatch, tmp_path / "fake", f"subprocess.run([sys.executable, '-c', {command!r}])")
    problem = read_with_plugin(trace, timeout=3)
    assert isinstance(problem, PluginProblem) and "did not finish" in problem.sentence and "3 s" in problem.sentence
    assert gone(int(started.read_text())), "the loader's process outlived it"


def gone(process: int) -> bool:
    """Say whether a process ends, or waits to be reaped by whoever adopted it, within seconds."""
    for _ in range(50):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    ("loading", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "exit status -9"),
        ("raise ValueError('no such thing')", "ValueError: no such thing"),
        ("print('[1]'); os._exit(0)", "exit status 0"),
        ("print('{\"views\": []}'); os._exit(0)", "exit status 0"),
    ],
)
def test_a_loader_that_ends_otherwise_is_a_sentence(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loading: str, said: str
) -> None:
    pretend(monkeypatch, tmp_path, loading)
    problem = read_with_plugin(trace, timeout=30)
    assert isinstance(problem, PluginProblem) and said in problem.sentence


def test_a_missing_plugin_is_a_sentence(trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, tmp_path, "...")
    (tmp_path / "torch_tb_profiler" / "io.py").write_text("raise ImportError('No module named tensorboard')")
    problem = read_with_plugin(trace, timeout=30)
    assert isinstance(problem, PluginProblem)
    assert re.search(r"cannot be imported \(No module named tensorboard\)", problem.sentence)
