"""``harness tensorboard``: what is in its folder is what is in the store, under safe names, and TensorBoard shows it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Workplace
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harness.cli import tensorboard_command
from harness.cli.log_folder import LogFolder, safe_name
from harness.errors import UserError
from harness.store.attempt import ATTEMPTS, Attempt, Failure, write_attempt
from harness.store.store import Store, attempt_id

EPOCH = 1_780_000_000.0


def keep(
    store: Store,
    experiment: str = "small",
    trial: str = "trial-00000001",
    arm: Mapping[str, Any] | None = None,
    replicate: int = 0,
    tables: Mapping[str, pandas.DataFrame] | None = None,
    *,
    after: float = 0.0,
    failed: bool = False,
    kind: str = ATTEMPTS,
    files: Path | None = None,
) -> Path:
    """Write an attempt as the worker does; return its folder."""
    failure = Failure("raised", "ValueError", "no") if failed else None
    name = attempt_id(EPOCH + after, uuid.uuid4().hex[:8])
    attempt = Attempt(
        name, trial, experiment, {}, arm or {}, replicate, (), failure, EPOCH + after, 2.0, "code", "environment"
    )
    return write_attempt(store.root / experiment / kind / trial, attempt, tables or {}, files)


def losses(*values: float, **more: Any) -> dict[str, pandas.DataFrame]:
    return {"scalars": pandas.DataFrame({"step": range(len(values)), "loss": values, **more})}


def traces(folder: Path, *arms: str) -> Path:
    """Return a trial's folder of files with an empty trace for each arm."""
    for arm in arms:
        (folder / "traces" / arm).mkdir(parents=True)
        (folder / "traces" / arm / "worker.1.pt.trace.json").write_text('{"traceEvents": []}')
    return folder


def shown(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Return what TensorBoard's own reader finds, by run and tag."""
    found = {}
    for run in sorted({path.parent for path in folder.rglob("*tfevents*")}):
        reader = EventAccumulator(str(run), size_guidance={"scalars": 0})
        reader.Reload()
        found[run.relative_to(folder).as_posix()] = {
            tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]
        }
    return found


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file below a folder with when it was written and its bytes."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


# What is in the folder


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**40), st.floats(allow_nan=True, allow_infinity=True), st.none() | st.floats(width=32)
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda row: row[0],
    )
)
def test_event_files_hold_the_stored_scalars_as_float32(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, float, float | None]]
) -> None:
    folder = tmp_path_factory.mktemp("equal")
    store, log = Store(folder / "store"), folder / "log"
    table = pandas.DataFrame(rows, columns=["step", "loss", "accuracy"]).astype({"accuracy": "float64"})
    stored = pandas.read_parquet(keep(store, tables={"scalars": table}) / "scalars.parquet")
    LogFolder(log, store).update()
    found = shown(log).get("small/replicate 0", {})
    for name in ("loss", "accuracy"):
        there = stored[stored[name].notna()].sort_values("step")
        with numpy.errstate(over="ignore"):
            expected = list(zip(there["step"], there[name].to_numpy(numpy.float32).tolist(), strict=True))
        assert found.get(name, []) == expected


def test_runs_are_named_by_experiment_levels_replicate_and_blocked_level(store: Store, log: Path) -> None:
    arm = {"alpha": 0.5, "head": None}
    seeds = losses(3.0, 2.0, 1.0, seed=["0", "1", None])
    course = pandas.DataFrame({"step": [10, 20], "seed": ["0", "0"], "nll": [0.5, 0.25], "right": [True, False]})
    course["shape"] = [[1, 2], [3]]
    keep(store, arm=arm, replicate=2, tables={**seeds, "course": course, "outcomes": pandas.DataFrame({"item": [1.0]})})
    keep(store, "other", "other-1", replicate=-1, tables=losses(1.0))
    update = LogFolder(log, store).update()
    place = "small/alpha=0.5,head=none/replicate 2"
    assert shown(log) == {
        "other/tuning 1": {"loss": [(0, 1.0)]},
        place: {"loss": [(2, 1.0)]},
        f"{place}/seed=0": {"loss": [(0, 3.0)], "course/nll": [(10, 0.5), (20, 0.25)]},
        f"{place}/seed=1": {"loss": [(1, 2.0)]},
    }
    assert (update.runs, update.profiles, update.written, update.removed) == (4, 0, 4, 0)


def test_events_have_the_time_of_the_attempt(store: Store, log: Path) -> None:
    keep(store, tables=losses(1.0, 2.0), after=77.0)
    LogFolder(log, store).update()
    reader = EventAccumulator(str(log / "small" / "replicate 0"))
    reader.Reload()
    assert {event.wall_time for event in reader.Scalars("loss")} == {EPOCH + 77.0}


def test_the_newest_attempt_that_succeeded_is_shown_else_the_newest(store: Store, log: Path) -> None:
    view = LogFolder(log, store)
    keep(store, tables=losses(1.0), failed=True)
    keep(store, tables=losses(2.0), failed=True, after=1)
    view.update()
    assert shown(log) == {"small/replicate 0": {"loss": [(0, 2.0)]}}
    keep(store, tables=losses(3.0), after=2)
    keep(store, tables=losses(4.0), failed=True, after=3)
    update = view.update()
    assert shown(log) == {"small/replicate 0": {"loss": [(0, 3.0)]}}
    assert (update.runs, update.written, update.removed) == (1, 1, 1)


def test_trials_of_one_name_are_told_apart_by_their_ids(store: Store, log: Path) -> None:
    for number, value in (("11111111", 1.0), ("22222222", 2.0)):
        keep(store, trial=f"steps-r0-{number}", arm={"alpha": 1}, tables=losses(value))
    keep(store, trial="steps-r1-33333333", arm={"alpha": 1}, replicate=1, tables=losses(3.0))
    LogFolder(log, store).update()
    assert shown(log) == {
        "small/alpha=1/replicate 0 (11111111)": {"loss": [(0, 1.0)]},
        "small/alpha=1/replicate 0 (22222222)": {"loss": [(0, 2.0)]},
        "small/alpha=1/replicate 1": {"loss": [(0, 3.0)]},
    }


# Profiles


def test_profiles_are_linked_and_an_arms_newest_counts(store: Store, log: Path, tmp_path: Path) -> None:
    first = keep(store, kind="profiles", files=traces(tmp_path / "one", "lean", "region"), arm={"threads": 1})
    second = keep(store, kind="profiles", files=traces(tmp_path / "two", "lean"), arm={"threads": 1}, after=5)
    update = LogFolder(log, store).update()
    found = {path.name: path.resolve() for path in (log / "small" / "profile").iterdir()}
    assert found == {"lean": second / "files/traces/lean", "region": first / "files/traces/region"}
    assert all(path.is_symlink() for path in (log / "small" / "profile").iterdir())
    assert (update.runs, update.profiles, update.written) == (0, 2, 2)
    keep(store, trial="b-2", kind="profiles", files=traces(tmp_path / "three", "lean"), arm={"threads": 2})
    LogFolder(log, store).update()
    names = sorted(path.relative_to(log / "small").as_posix() for path in log.rglob("*") if path.is_symlink())
    assert names == ["profile/threads=1/lean", "profile/threads=1/region", "profile/threads=2/lean"]


def test_where_links_cannot_be_made_traces_are_copied(
    store: Store, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **more: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    folder = keep(store, kind="profiles", files=traces(tmp_path / "one", "lean"))
    LogFolder(log, store).update()
    copy = log / "small" / "profile" / "lean"
    assert contents(copy).keys() == contents(folder / "files/traces/lean").keys() and not copy.is_symlink()
    keep(store, kind="profiles", files=traces(tmp_path / "two", "lean"), after=1)
    assert LogFolder(log, store).update().written == 1
    assert LogFolder(log, store).update(["none"]).removed == 1 and not (log / "small").exists()
    assert (folder / "files/traces/lean").is_dir()


# Again, and what is gone


def test_a_second_update_writes_nothing(store: Store, log: Path, tmp_path: Path) -> None:
    keep(store, tables=losses(1.0, 2.0))
    keep(store, trial="without-1", replicate=1)
    keep(store, kind="profiles", files=traces(tmp_path / "files", "lean"))
    before = contents(store.root)
    LogFolder(log, store).update()
    made = contents(log)
    for view in (LogFolder(log, store), LogFolder(log, store)):
        update = view.update()
        assert (update.runs, update.profiles, update.written, update.removed) == (1, 1, 0, 0)
    assert contents(log) == made and contents(store.root) == before


def test_only_what_is_new_is_written(store: Store, log: Path) -> None:
    view = LogFolder(log, store)
    keep(store, tables=losses(1.0))
    view.update()
    before = contents(log)
    keep(store, trial="second-1", replicate=1, tables=losses(5.0))
    assert view.update().written == 1
    kept = {name: held for name, held in contents(log).items() if name in before and not name.startswith(".")}
    assert kept == {name: held for name, held in before.items() if not name.startswith(".")}
    assert set(shown(log)) == {"small/replicate 0", "small/replicate 1"}


def test_what_is_gone_from_the_store_is_removed_and_nothing_else(store: Store, log: Path, tmp_path: Path) -> None:
    import shutil

    view = LogFolder(log, store)
    gone = keep(store, arm={"alpha": 1}, tables=losses(1.0))
    keep(store, "other", "other-1", tables=losses(2.0))
    profile = keep(store, kind="profiles", files=traces(tmp_path / "files", "lean"))
    view.update()
    (log / "mine").mkdir()
    (log / "mine" / "events.out.tfevents.1").write_bytes(b"")
    shutil.rmtree(gone)
    shutil.rmtree(profile)
    assert view.update().removed == 2
    assert {path.name for path in log.iterdir()} == {"other", "mine", ".harness.json"}
    assert LogFolder(log, store).update(["other"]).removed == 0


def test_a_folder_of_another_store_is_made_anew(store: Store, log: Path, tmp_path: Path) -> None:
    keep(store, tables=losses(1.0))
    LogFolder(log, store).update()
    other = Store(tmp_path / "other")
    keep(other, "elsewhere", tables=losses(7.0))
    update = LogFolder(log, other).update()
    assert shown(log) == {"elsewhere/replicate 0": {"loss": [(0, 7.0)]}} and update.removed == 1


@pytest.mark.parametrize(
    "state",
    ["", "[]", '{"format": 9}', '{"format": 1, "store": "", "entries": {"a": {"place": "", "files": ["../x"]}}}'],
)
def test_a_damaged_state_costs_work_and_nothing_more(store: Store, log: Path, state: str) -> None:
    keep(store, tables=losses(1.0))
    log.mkdir()
    (log.parent / "x").write_text("not ours")
    (log / ".harness.json").write_text(state)
    assert LogFolder(log, store).update().written == 1
    assert shown(log) == {"small/replicate 0": {"loss": [(0, 1.0)]}}
    assert (log.parent / "x").read_text() == "not ours"


def test_a_damaged_table_is_left_out_in_a_sentence(store: Store, log: Path) -> None:
    folder = keep(store, tables=losses(1.0))
    keep(store, trial="whole-1", replicate=1, tables=losses(2.0))
    path = folder / "scalars.parquet"
    path.write_bytes(path.read_bytes()[:-12] + bytes(4) + path.read_bytes()[-8:])
    update = LogFolder(log, store).update()
    assert set(shown(log)) == {"small/replicate 1"}
    assert len(update.damaged) == 1 and "not those that were written" in update.damaged[0]


# Names


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_has_a_safe_name_of_its_own(one: str, other: str) -> None:
    names = [safe_name(text) for text in (one, other)]
    for name in names:
        assert name.isascii() and name.isprintable() and 0 < len(name) <= 100
        assert "/" not in name and "\\" not in name and not name.startswith(".") and not name.endswith((" ", "."))
    assert (names[0] == names[1]) == (one == other)


@pytest.mark.parametrize("plain", ["head=none,output_dimension=32", "ViLT (lean)", "seed=0", "replicate 3"])
def test_plain_names_stay_readable(plain: str) -> None:
    assert safe_name(plain) == plain


def test_hostile_levels_stay_in_the_folder(store: Store, log: Path) -> None:
    levels = ["../../../out", "a/b", "a\\b", "~", ".", "..", "", "é" * 400, "line\nbreak", "C:", "nul\0"]
    for number, level in enumerate(levels):
        arm = {"level": level}
        tables = losses(float(number), seed=[level or "none"])
        keep(store, trial=f"trial-{number:08d}", arm=arm, tables=tables)
    before = {path for path in log.parent.rglob("*") if log not in path.parents and path != log}
    LogFolder(log, store).update()
    assert {path for path in log.parent.rglob("*") if log not in path.parents and path != log} == before
    found = shown(log)
    assert sorted(run["loss"][0][1] for run in found.values()) == [float(number) for number in range(len(levels))]
    assert all(len(Path(run).parts) == 4 for run in found)


# The command


def test_once_says_what_the_folder_holds(workplace: Workplace) -> None:
    store = Store(workplace.folder / "results")
    keep(store, tables=losses(1.0))
    first = workplace.harness("tensorboard", "--once")
    assert first.status == 0, first.err
    assert first.out == "build/tensorboard: 1 run with scalars, 0 profiles (1 written, 0 removed)\n"
    assert "(0 written, 0 removed)" in workplace.harness("tensorboard", "--once").out
    assert set(shown(workplace.folder / "build" / "tensorboard")) == {"small/replicate 0"}


def test_a_spec_chooses_its_experiment(workplace: Workplace, small_spec: Path) -> None:
    store = Store(workplace.folder / "results")
    keep(store, "other", tables=losses(1.0))
    nothing = workplace.harness("tensorboard", "small.yaml", "--once")
    assert nothing.status == 2 and "neither scalars nor profiles of small" in nothing.err
    keep(store, "small", tables=losses(1.0))
    assert "1 run with scalars" in workplace.harness("tensorboard", "small.yaml", "--once").out
    assert set(shown(workplace.folder / "build" / "tensorboard")) == {"small/replicate 0"}


def test_what_cannot_be_used_is_one_sentence(workplace: Workplace) -> None:
    empty = workplace.harness("tensorboard", "--once")
    assert empty.status == 2 and "neither scalars nor profiles" in empty.err and empty.err.count("\n") == 1
    keep(Store(workplace.folder / "results"), tables=losses(1.0))
    inside = workplace.harness("tensorboard", "--once", "--logdir", "results/log")
    assert inside.status == 2 and "is in the store" in inside.err
    (workplace.folder / "file").write_text("")
    blocked = workplace.harness("tensorboard", "--once", "--logdir", "file")
    assert blocked.status == 2 and "cannot be written" in blocked.err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        found = workplace.harness("tensorboard", "--port", port)
    assert found.status == 2 and found.err.count("\n") == 1
    assert f"http://127.0.0.1:{port}/ cannot be had (Address already in use)" in found.err
    assert "cannot be had" in workplace.harness("tensorboard", "--host", "no.such.host.invalid").err


# The server


@pytest.fixture
def small_view(store: Store, log: Path) -> tensorboard_command._View:
    keep(store, tables=losses(1.0))
    return tensorboard_command._View(LogFolder(log, store), None)


def pretend_server(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let something else be started in TensorBoard's place; its port is the last argument."""
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda command, **more: real([sys.executable, "-c", program, command[-1]], **more)
    )


LISTENS = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep({seconds})
sys.exit("I fell over")
"""


def test_new_attempts_are_added_while_it_runs_and_an_interrupt_ends_it(
    small_view: tensorboard_command._View,
    store: Store,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pretend_server(monkeypatch, LISTENS.format(seconds=600))
    monkeypatch.setattr(tensorboard_command, "LOOK_SECONDS", 0.05)
    servers: list[subprocess.Popen[bytes]] = []
    end = tensorboard_command._end
    monkeypatch.setattr(tensorboard_command, "_end", lambda server: (servers.append(server), end(server)))
    small_view.update()
    real, looks = small_view.update, []

    def update() -> Any:
        looks.append(len(looks))
        if len(looks) == 2:
            keep(store, trial="late-1", replicate=1, tables=losses(9.0))
        if len(looks) == 4:
            raise KeyboardInterrupt
        return real()

    monkeypatch.setattr(small_view, "update", update)
    port = free_port()
    tensorboard_command._serve(small_view, log, "127.0.0.1", port)
    said = capsys.readouterr().out
    assert said.splitlines() == [
        f"TensorBoard is at http://127.0.0.1:{port}/ (Ctrl-C ends it)",
        "2 runs with scalars, 0 profiles (1 written, 0 removed)",
        "ended",
    ]
    assert set(shown(log)) == {"small/replicate 0", "small/replicate 1"}
    assert [server.poll() for server in servers] == [-signal.SIGTERM]


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("import sys; sys.exit('no such option')", r"did not start \(exit status 1\): no such option"),
        (LISTENS.format(seconds=1), r"ended by itself with exit status 1: I fell over"),
    ],
)
def test_a_server_that_ends_by_itself_is_a_sentence(
    small_view: tensorboard_command._View, log: Path, monkeypatch: pytest.MonkeyPatch, program: str, sentence: str
) -> None:
    pretend_server(monkeypatch, program)
    with pytest.raises(UserError, match=sentence):
        tensorboard_command._serve(small_view, log, "127.0.0.1", free_port())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def record_trace(folder: Path) -> None:
    """Write a real trace of three steps, as ``harness profile`` does."""
    import torch
    from torch.profiler import ProfilerActivity, profile, schedule

    folder.mkdir(parents=True)
    layer, inputs = torch.nn.Linear(8, 8), torch.randn(4, 8)

    def write(profiler: profile) -> None:
        profiler.export_chrome_trace(str(folder / "worker.1.pt.trace.json.gz"))

    wanted = schedule(wait=0, warmup=1, active=3, repeat=1)
    with profile(activities=[ProfilerActivity.CPU], schedule=wanted, on_trace_ready=write) as profiler:
        for _ in range(4):
            torch.relu(layer(inputs))
            profiler.step()


@pytest.fixture
def served(store: Store, log: Path, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """A real TensorBoard on a store with scalars and the profile of one arm; asks it for a path."""
    keep(store, arm={"alpha": 1}, tables=losses(2.0, 1.0, gradient_norm=[0.5, 0.25]))
    record_trace(tmp_path / "files" / "traces" / "lean")
    keep(store, kind="profiles", files=tmp_path / "files")
    port = free_port()
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from harness.cli.main import main; main()"
    )
    place = ["--store", str(store.root), "--logdir", str(log), "--port", str(port)]
    command = [sys.executable, "-c", program, "tensorboard", *place]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            assert answer.status == 200
            return json.loads(answer.read())

    assert process.stdout is not None
    try:
        assert "1 run with scalars, 1 profile" in process.stdout.readline()
        assert f"http://127.0.0.1:{port}/" in process.stdout.readline()
        yield ask
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "ended\n", "")


def eventually(ask: Callable[[str], Any], path: str, good: Callable[[Any], bool], seconds: float = 60) -> Any:
    """Ask until the answer is good: TensorBoard and its plugin read their files after they have started."""
    deadline = time.monotonic() + seconds
    while not good(answer := ask(path)):
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    return answer


def test_tensorboard_shows_the_scalars_and_its_plugin_the_profiles(served: Callable[[str], Any]) -> None:
    run = "small/alpha=1/replicate 0"
    tags = eventually(served, "/data/plugin/scalars/tags", lambda found: run in found)
    assert set(tags[run]) == {"loss", "gradient_norm"}
    query = urllib.parse.urlencode({"run": run, "tag": "loss"})
    assert [row[1:] for row in served(f"/data/plugin/scalars/scalars?{query}")] == [[0, 2.0], [1, 1.0]]
    plugin = "/data/plugin/pytorch_profiler"
    runs = eventually(served, f"{plugin}/runs", lambda found: found["runs"] and not found["loading"])
    assert runs["runs"] == ["small/profile/lean"]
    asked = urllib.parse.urlencode({"run": "small/profile/lean"})
    assert served(f"{plugin}/views?{asked}") == ["Overview", "Operator", "Trace"]
    (worker,) = served(f"{plugin}/workers?{asked}&view=Overview")
    (span,) = served(f"{plugin}/spans?{asked}&worker={worker}")
    asked += "&" + urllib.parse.urlencode({"worker": worker, "span": span})
    (average,) = served(f"{plugin}/overview?{asked}")["performance"]
    assert average["name"] == "Average Step Time" and average["value"] > 0
    operators = {row["name"] for row in served(f"{plugin}/operation/table?{asked}&group_by=Operation")["data"]}
    assert {"aten::linear", "aten::relu"} <= operators
