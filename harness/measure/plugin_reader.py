"""What torch-tb-profiler itself reads from a folder of traces: whether TensorBoard would show them, and as what.

Its loader starts processes of its own, waits for them without end if one is killed, and takes seconds of imports. So
it runs in a child of ours, ``python -m harness.measure.plugin_reader FOLDER``, which prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STEP_MARK = b"ProfilerStep#"
"""What torch.profiler calls a step in a trace; where none is, the plugin takes the whole trace for one."""
ENDINGS = (".pt.trace.json", ".pt.trace.json.gz")
"""Of files that the plugin takes for traces."""


@dataclass(frozen=True)
class PluginReading:
    """What the plugin shows of a folder of traces.

    Attributes:
        step_microseconds: its "Average Step Time", which it rounds to whole microseconds; None without marked steps.
        operators: how many operators, by name, its table of operators lists.
        views: its views, such as Overview, Operator and Trace.
    """

    step_microseconds: float | None
    operators: int
    views: tuple[str, ...]


@dataclass(frozen=True)
class PluginProblem:
    """Why the plugin could read nothing, as a sentence."""

    sentence: str


def read_with_plugin(folder: Path, timeout: float = 120) -> PluginReading | PluginProblem:
    """Let torch-tb-profiler's own loader read the traces in a folder; never raises for what it makes of them.

    Args:
        timeout: seconds after which the loader and the processes that it started are ended.
    """
    if not any(path.name.endswith(ENDINGS) for path in folder.glob("*")):
        return PluginProblem(f"{folder} holds no trace (a file that ends in {ENDINGS[0]} or {ENDINGS[1]})")
    command = [sys.executable, "-m", "harness.measure.plugin_reader", str(folder.absolute())]
    # In a session of its own: the processes it starts may outlive it where it crashed, and are ended with it.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
    ) as child:
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return PluginProblem(f"torch-tb-profiler did not finish reading {folder} in {timeout:g} seconds")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    return _answer(out.decode(errors="replace"), err.decode(errors="replace"), child.returncode, folder)


def _answer(out: str, err: str, status: int, folder: Path) -> PluginReading | PluginProblem:
    """Return what a child said in its last line, or a sentence with its last complaint."""
    try:
        found = json.loads(out.strip().splitlines()[-1])
        if "sentence" in found:
            return PluginProblem(**found)
        return PluginReading(**(found | {"views": tuple(found["views"])}))
    except (ValueError, IndexError, KeyError, TypeError):
        said = (err.strip().splitlines() or [f"exit status {status}"])[-1]
        return PluginProblem(f"torch-tb-profiler could not read {folder} ({said[:200]})")


def _read(folder: Path) -> PluginReading | PluginProblem:
    """Run the plugin's loader here; only in a process whose main module is guarded."""
    if sys.platform == "linux":
        # Else each trace waits for one more interpreter and its imports.
        os.environ.setdefault("TORCH_PROFILER_START_METHOD", "fork")
    try:
        from torch_tb_profiler.io import Cache  # type: ignore[import-untyped]
        from torch_tb_profiler.profiler import RunLoader  # type: ignore[import-untyped]
    except ImportError as error:
        return PluginProblem(f"torch-tb-profiler cannot be imported ({error})")
    with tempfile.TemporaryDirectory() as scratch, Cache(scratch) as cache:
        run = RunLoader(folder.name, str(folder), cache).load()
    profiles = list(run.profiles.values())
    if not profiles:
        # The loader has logged why, and goes on without; it is in what the parent reads of standard error.
        raise SystemExit(1)
    steps = [_step(profile) for profile in profiles] if _has_steps(folder) else []
    names = {row["name"] for profile in profiles for row in profile.operation_table_by_name["data"]}
    views = tuple(view.display_name for view in run.views)
    return PluginReading(statistics.fmean(steps) if steps else None, len(names), views)


def _step(profile: Any) -> float:
    return float(profile.overview["performance"][0]["value"])


def _has_steps(folder: Path) -> bool:
    for path in folder.glob("*"):
        if path.name.endswith(ENDINGS):
            data = path.read_bytes()
            if STEP_MARK in (gzip.decompress(data) if path.suffix == ".gz" else data):
                return True
    return False


if __name__ == "__main__":
    print(json.dumps(asdict(_read(Path(sys.argv[1])))))
