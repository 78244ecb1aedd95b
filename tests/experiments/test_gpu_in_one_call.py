"""The one call for a GPU machine, without one: its steps are commands that exist, its budgets are kept, it adds up."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import Workplace
from synthetic import state_with_samples

from experiments import measure_gpu
from experiments.gpu_findings import findings, finished_since, packed, records_of
from experiments.measure_gpu import AT_A_TIME, STEPS, Command, Harness, chosen, run_steps
from harness.errors import UserError
from harness.plan.design import make_design
from harness.spec.find import find_experiment
from harness.store.store import Store

ROOT = Path(__file__).parents[2]


def called(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.measure_gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_dry_run_shows_every_step_with_its_commands_and_makes_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    found = called("--store", str(store), "--dry-run")
    assert found.returncode == 0 and not found.stderr and not store.exists()
    lines = found.stdout.splitlines()
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == [step.name for step in STEPS]
    commands = [shlex.split(line) for line in lines if line.startswith(" ")]
    assert [tuple(words[1:-2]) for words in commands] == [command for step in STEPS for command in step.commands]
    assert all(words[0] == "harness" and words[-2:] == ["--store", str(store)] for words in commands)


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted({c for s in STEPS for c in s.commands if c[0] == "run"}), ids=lambda c: c[1])
def test_every_sweep_can_be_planned(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Workplace(tmp_path)
    found = place.harness("plan", *command[1:], "--json", "--store", str(tmp_path / "store"))
    assert found.status == 0, found.err
    assert json.loads(found.out)["trials"]["planned"] > 0


def test_every_other_command_knows_its_options(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    others = [command for step in STEPS for command in step.commands if command[0] != "run"]
    assert {command[0] for command in others} == {"doctor", "profile"}
    for command in others:
        found = place.harness(*command, "--store", str(tmp_path / "store"))
        assert found.status == 2 and "torch finds no CUDA GPU" in found.err, "it gets as far as asking for the GPU"


def test_without_a_gpu_it_refuses_in_a_sentence(tmp_path: Path) -> None:
    found = called("--store", str(tmp_path / "store"))
    assert found.returncode == 2 and not (tmp_path / "store").exists() and not found.stdout
    assert found.stderr.startswith("harness: measure-gpu: torch finds no CUDA GPU on this machine")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--store", "x", "--only", "batsh"), "--only batsh: there is no such step; did you mean 'batch'?"),
        ((), "Missing option '--store'"),
        (("--store", "x", "--minutes", "0"), "Invalid value for '--minutes'"),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments: tuple[str, ...], message: str) -> None:
    found = called(*arguments)
    assert found.returncode == 2 and message in found.stderr and found.stderr.count("\n") == 1


def test_steps_are_chosen_by_name_in_their_own_order() -> None:
    assert [step.name for step in chosen(["batch", "certify"])] == ["certify", "batch"]
    assert chosen([]) == list(STEPS)
    with pytest.raises(UserError, match="known: certify"):
        chosen(["nothing"])


class Commands:
    """Stands for the harness: ends each command as the script says, and notes what it was given."""

    def __init__(self, statuses: dict[str, Any]) -> None:
        self.statuses, self.calls = statuses, list[tuple[Command, float]]()

    def __call__(self, command: Command, seconds: float) -> int | None:
        self.calls.append((command, seconds))
        status = self.statuses.get(command[1], 0)
        if status == "interrupt":
            raise KeyboardInterrupt
        return status  # type: ignore[no-any-return]


def test_a_step_that_fails_or_runs_out_of_time_does_not_stop_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Commands({"vilt-cost": 3, "vilt-fairness": None})
    assert run_steps(chosen(["cost", "fairness", "batch"]), tmp_path, 7.0, run) == 3
    assert [command[1] for command, _ in run.calls] == ["vilt-cost", "vilt-fairness", "vilt-batch"]
    assert all(seconds == pytest.approx(420, abs=1) for _, seconds in run.calls)
    assert "fairness: its 7 minutes are over; the same call goes on" in capsys.readouterr().err


def test_the_budget_of_a_step_is_shared_by_its_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 0.0, 500.0])
    monkeypatch.setattr(measure_gpu.time, "monotonic", lambda: next(moments))
    run = Commands({})
    assert run_steps(chosen(["certify"]), tmp_path, None, run) == 0
    assert [seconds for _, seconds in run.calls] == [600.0, 100.0]


def test_an_interrupt_ends_the_whole(tmp_path: Path) -> None:
    run = Commands({"vilt-fairness": "interrupt"})
    assert run_steps(chosen(["fairness", "batch"]), tmp_path, None, run) == 130
    assert len(run.calls) == 1


@pytest.mark.parametrize(("status", "runs"), [(None, len(AT_A_TIME)), (0, 1)])
def test_packing_goes_from_one_to_eight_until_nothing_is_left(tmp_path: Path, status: int | None, runs: int) -> None:
    run = Commands({"rdrop-alpha": status})
    run_steps(chosen(["packing"]), tmp_path, 8.0, run)
    assert [command[-2:] for command, _ in run.calls] == [("--jobs", str(n)) for n in AT_A_TIME[:runs]]
    assert all(seconds == 120 for _, seconds in run.calls)
    assert [one["asked"] for one in json.loads((tmp_path / "packing.json").read_text())] == list(AT_A_TIME[:runs])


@pytest.mark.slow
def test_a_command_over_its_time_is_stopped_as_by_ctrl_c_and_goes_on_later(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace.write(
        "sweep.yaml",
        """
        experiment: sweep
        title: A sweep
        trial: small_trials:slow
        factors: {index: [0, 1, 2, 3, 4, 5, 6, 7]}
        fixed: {seconds: 0.6}
        resources: {cpus: 1, minutes: 1, exclusive: true}
        profiles: {laptop: {fidelity: proxy}}
        """,
    )
    monkeypatch.chdir(workplace.folder)
    run = Harness(workplace.folder / "store")
    assert run(("run", "sweep.yaml"), 3.5) is None
    assert run(("run", "sweep.yaml"), 200.0) == 0
    trials = finished_since(workplace.folder / "store", "sweep", 0.0)
    assert len(trials) == 8
    assert packed(1, trials)["trials_per_minute"] == pytest.approx(100, rel=0.5)


def test_trials_a_minute_are_those_beside_each_other_over_how_long_one_took() -> None:
    two_lanes = [(0.0, 10.0), (0.5, 10.5), (10.0, 20.0), (10.5, 20.5)]
    assert packed(8, two_lanes) == {"asked": 8, "at_a_time": 2, "finished": 4, "trials_per_minute": 12.0}
    assert packed(4, []) == {"asked": 4, "at_a_time": 4, "finished": 0, "trials_per_minute": None}


def written(store: Path, spec: str, values: dict[tuple[Any, ...], dict[str, float]]) -> None:
    """Write trials of a GPU profile whose records have these values, by batch and levels."""
    design = make_design(find_experiment(spec), "gpu", device="cuda")

    def make(trial: Any) -> Any:
        import itertools

        names = list(trial.blocked)
        records = []
        for levels in itertools.product(*trial.blocked.values()):
            own = values.get((*trial.arm.values(), *levels), {})
            records.append({**dict(zip(names, levels, strict=True)), **own})
        return records, {}

    state_with_samples(design, make, Store(store))


def test_findings_are_read_from_the_store(tmp_path: Path) -> None:
    written(tmp_path, "vilt-batch", {
        (1, "vilt-bfloat16"): {"latency_ms": 5.0, "ceiling_share_percent": 4.0},
        (1, "vilt-bfloat16-graphs"): {"latency_ms": 2.0, "ceiling_share_percent": 10.0},
        (128, "vilt-bfloat16-graphs"): {"latency_ms": 60.0, "ceiling_share_percent": 44.0},
        (256, "vilt-bfloat16"): {"latency_ms": 110.0, "ceiling_share_percent": 51.0},
        (256, "grid-bfloat16"): {"latency_ms": 110.0, "ceiling_share_percent": 90.0},
    })  # fmt: skip
    written(tmp_path, "vilt-fairness", {
        ("region", "naive"): {"times_vilt": 40.0}, ("region", "best"): {"times_vilt": 12.5},
        ("grid", "naive"): {"times_vilt": 4.0}, ("vilt", "naive"): {"speed_up": 1.0},
    })  # fmt: skip
    packing = tmp_path / "packing.json"
    packing.write_text(json.dumps([packed(1, [(0.0, 30.0)]), packed(2, [(0.0, 40.0), (1.0, 41.0)]), packed(4, [])]))
    assert list(findings(tmp_path, packing)) == [
        "ViLT in bfloat16, one pair: 2 ms from CUDA graphs, 5 ms eagerly, 2.50 times as long",
        "the region model's time over ViLT's: naive 40 x, both at their best 12.5 x",
        "ViLT in bfloat16, 256 pairs: 51 % of the GPU's own matrix product",
        "1 small trials at a time: 2 trials a minute (mean of 1)",
        "2 small trials at a time: 3 trials a minute (mean of 2)",
    ]


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    told = list(findings(tmp_path / "nothing", tmp_path / "nothing.json"))
    assert len(told) == 4 and all(sentence.endswith("not measured") for sentence in told)
    assert records_of(tmp_path / "nothing", "vilt-batch", "gpu") == []
