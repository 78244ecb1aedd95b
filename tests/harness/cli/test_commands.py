"""The commands as a user types them: help without torch, lists, plans, status, schema, doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import Workplace

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["plan", "vilt-speed"], ["check"], ["report", "--help"]])
def test_torch_is_not_imported(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom harness.cli.main import main\n"
        f"sys.argv = ['harness', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "heavy = {'torch', 'transformers', 'torchvision', 'matplotlib', 'submitit'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr


def test_help_names_every_command(workplace: Workplace) -> None:
    found = workplace.harness("--help")
    assert found.status == 0
    for name in ("list", "check", "plan", "run", "status", "export", "doctor", "report"):
        assert f"\n  {name} " in found.out
    assert workplace.harness() == found


def test_list_shows_the_experiments_of_the_project() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "harness", "list"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert "vilt-speed: " in found.stdout and "vilt.speed.region" in found.stdout


def test_plan_as_json_has_its_shape(workplace: Workplace, small_spec: Path) -> None:
    plan = json.loads(workplace.harness("plan", "small.yaml", "--json").out)
    assert list(plan) == ["experiment", "profile", "trials", "predicted_seconds", "power"]
    assert plan["trials"] == {"planned": 12, "done": 0, "failed": 0, "stale": 0}
    assert plan["predicted_seconds"] is None
    workplace.harness("run", "small.yaml", "--replicates", "1")
    after = json.loads(workplace.harness("plan", "small.yaml", "--json").out)
    assert after["trials"]["done"] == 6 and after["predicted_seconds"] >= 0


def test_plan_lists_trials(workplace: Workplace, small_spec: Path) -> None:
    lines = workplace.harness("plan", "small.yaml", "--trials").out.splitlines()
    assert sum(line.startswith("  missing ") for line in lines) == 12


def test_status_counts_what_is_there(workplace: Workplace, small_spec: Path) -> None:
    assert "no results in" in workplace.harness("status", "small.yaml").out
    workplace.harness("run", "small.yaml", "--replicates", "1")
    assert workplace.harness("status", "small.yaml").out == "small (laptop): 6 done, 6 missing, of 12\n"


def test_check_of_a_folder_names_every_mistake(workplace: Workplace, small_spec: Path) -> None:
    text = small_spec.read_text()
    workplace.write("one.yaml", text.replace("draw", "drew"))
    workplace.write("two.yaml", text.replace("[0.5, 2]", "[half]"))
    found = workplace.harness("check", ".")
    assert found.status == 2
    assert "one.yaml:3: trial" in found.err and "two.yaml:6: factors.alpha.0" in found.err
    assert "small: right; 0 claims; trials: laptop 12" in found.out


def test_the_schema_knows_the_keys(workplace: Workplace) -> None:
    schema = json.loads(workplace.harness("check", "--schema").out)
    assert {"experiment", "trial", "factors", "profiles", "claims"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


def test_export_as_parquet_is_the_same_table(workplace: Workplace, small_spec: Path) -> None:
    import io

    import pandas

    workplace.harness("run", "small.yaml")
    assert workplace.harness("export", "small.yaml", "--format", "parquet", "--output", "t.parquet").status == 0
    stored = pandas.read_parquet(workplace.folder / "t.parquet")
    text = pandas.read_csv(io.StringIO(workplace.harness("export", "small.yaml").out))
    pandas.testing.assert_frame_equal(stored, text, check_dtype=False)


def test_doctor_says_what_the_machine_is(workplace: Workplace) -> None:
    found = workplace.harness("doctor")
    assert found.status == 0
    assert "GFLOP/s" in found.out and "GB/s" in found.out and "store" in found.out


def test_a_spec_may_lie_anywhere_with_its_function_beside_it(workplace: Workplace, small_spec: Path) -> None:
    elsewhere = workplace.folder / "elsewhere"
    elsewhere.mkdir()
    found = subprocess.run(
        [sys.executable, "-m", "harness", "run", "../small.yaml"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert len(list(elsewhere.glob("results/small/attempts/*"))) == 12


def test_the_environment_of_an_attempt_says_where_and_with_what(workplace: Workplace, small_spec: Path) -> None:
    workplace.harness("run", "small.yaml")
    (path,) = (workplace.folder / "results" / "environments").glob("*.json")
    environment = json.loads(path.read_text())
    assert {"host", "boot_id", "cpu", "cgroup_cpu_quota", "libraries", "python", "source"} <= set(environment)
    assert set(environment["source"]) == {"commit", "tree", "dirty"}
    attempt = next((workplace.folder / "results").glob("small/attempts/*/*/attempt.json"))
    assert json.loads(attempt.read_text())["environment"] == path.stem
    assert "load_average" in json.loads(attempt.read_text())["moment"]
