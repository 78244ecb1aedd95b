"""Whole sweeps on a private cluster: the same results as a local run, whoever drives, however they are cut into arrays."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from slurm.private_cluster import Cluster, require_slurm
from support import Workplace

MODULE = '''
"""Trials with a known outcome."""

from __future__ import annotations

import os
from typing import Any


def measured(*, run: Any, arm: str = "a", rate: float = 1.0, sd: float = 0.01) -> dict[str, Any]:
    """The arm a is better by five; each arm is best at another rate."""
    noise = sd * float(run.stream(f"noise_{arm}").numpy.normal())
    best = {"a": 2.0, "b": 1.0}[arm]
    return {"value": (5.0 if arm == "a" else 0.0) + noise, "validation": noise - (rate - best) ** 2}


def nothing(*, run: Any, index: int) -> dict[str, Any]:
    return {"value": float(index)}


def asked(*, run: Any) -> dict[str, Any]:
    names = ("CUDA_VISIBLE_DEVICES", "SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS", "OF_THE_SITE")
    return {name.lower(): os.environ.get(name, "") for name in names}
'''
CLAIM: dict[str, Any] = {
    "id": "c", "paper": "P", "arxiv": "2101.00001v1", "locator": "T", "statement": "S.", "form": "difference",
    "metric": "value", "treatment": {"arm": "a"}, "control": {"arm": "b"},
}  # fmt: skip
TUNED: dict[str, Any] = {
    "experiment": "tuned", "title": "T", "trial": "sweep_trials:measured",
    "factors": {"arm": ["a", "b"], "rate": [1.0, 2.0, 3.0]},
    "replicates": {"min": 3, "max": 6, "looks": [3, 6]}, "claims": [CLAIM],
    "select": {"factors": ["rate"], "metric": "validation", "replicates": 2, "matched": {"rate": 1.0}},
    "resources": {"memory_gib": 0.2, "slurm": {"poll_seconds": 0.5, "signal_seconds": 10}},
    "profiles": {"laptop": {"fidelity": "paper", "device": "cpu"}},
}  # fmt: skip
MANY: dict[str, Any] = {
    "experiment": "many", "title": "T", "trial": "sweep_trials:nothing",
    "factors": {"index": list(range(12))},
    "resources": {"memory_gib": 0.2, "slurm": {"poll_seconds": 0.5}},
    "profiles": {"laptop": {"fidelity": "proxy"}},
}  # fmt: skip


@pytest.fixture
def place(workplace: Workplace) -> Workplace:
    workplace.write("sweep_trials.py", MODULE)
    return workplace


@pytest.fixture(scope="module")
def small_cluster() -> Iterator[Cluster]:
    """A cluster that takes arrays of five at most, and believes that it has GPUs."""
    require_slurm()
    with Cluster.start(accounting=False, max_array=5, gpus=2) as cluster:
        yield cluster


def write(place: Workplace, spec: dict[str, Any]) -> str:
    name = f"{spec['experiment']}.yaml"
    place.write(name, yaml.safe_dump(spec, sort_keys=False))
    return name


def rows(place: Workplace, spec: str, store: str) -> list[dict[str, str]]:
    """Return the exported table without what differs between any two runs."""
    found = place.harness("export", spec, "--store", store)
    assert found.status == 0, found.err
    table = list(csv.DictReader(io.StringIO(found.out)))
    return sorted(({k: v for k, v in row.items() if k != "attempt"} for row in table), key=lambda row: row["trial"])


def claims(place: Workplace, spec: str, store: str) -> Any:
    found = place.harness("report", spec, "--store", store, "--out", f"site-{store}")
    assert found.status == 0, found.err
    return json.loads((place.folder / f"site-{store}" / "claims.json").read_text())


def attempts(place: Workplace, store: str) -> int:
    return len(list((place.folder / store).glob("*/attempts/*/*/COMPLETE")))


def arrays(place: Workplace, store: str) -> list[Path]:
    return sorted((place.folder / store).glob("*/runs/*/slurm/*/submission.json"))


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["none"], indirect=True)
def test_a_sweep_with_tuning_and_looks_ends_as_the_local_one_attached_and_detached(
    cluster: Cluster, place: Workplace
) -> None:
    spec = write(place, TUNED)
    assert place.harness("run", spec, "--store", "local").status == 0
    there = ["run", spec, "--executor", "slurm", "--jobs", "4"]
    found = place.harness(*there, "--store", "attached", environment=cluster.environment)
    assert found.status == 0, found.err
    found = place.harness(*there, "--store", "detached", "--detach", environment=cluster.environment)
    assert found.status == 0, found.err

    def all_stages() -> bool:
        # The first look decides: five, at a standard deviation of a hundredth.
        said = place.harness("status", spec, "--store", "detached", environment=cluster.environment).out
        return "look at 3 of at most 6" in said and "running" not in said and "waiting" not in said

    cluster.wait_until(all_stages, 200, "the second stage, begun by a task of the first")
    local = rows(place, spec, "local")
    # Six combinations on two tuning replicates; then three arms on three: one is best where all are matched.
    assert len(local) == 6 * 2 + 3 * 3
    assert rows(place, spec, "attached") == local == rows(place, spec, "detached")
    assert claims(place, spec, "attached") == claims(place, spec, "local") == claims(place, spec, "detached")
    page = (place.folder / "site-attached" / "index.html").read_text()
    assert f"Slurm job {json.loads(arrays(place, 'attached')[0].with_name('job.json').read_text())['job']}" in page
    assert place.harness("verify", "site-attached", "--store", "attached").status == 0
    # What a detached sweep has done needs no driver: there is nothing left to run.
    again = place.harness(*there, "--store", "detached", environment=cluster.environment)
    assert again.status == 0 and len(arrays(place, "detached")) == 2


def test_a_sweep_beyond_the_largest_array_becomes_several(small_cluster: Cluster, place: Workplace) -> None:
    resources = {**MANY["resources"], "fresh_process": True}
    spec = write(place, {**MANY, "resources": resources})
    found = place.harness("run", spec, "--executor", "slurm", "--jobs", "8", environment=small_cluster.environment)
    assert found.status == 0, found.err
    sizes = [json.loads(path.read_text())["tasks"] for path in arrays(place, "results")]
    assert sum(sizes) == 12 and max(sizes) <= 5
    assert attempts(place, "results") == 12


def test_what_the_spec_and_the_site_ask_for_reaches_the_trial(
    small_cluster: Cluster, place: Workplace, tmp_path: Path
) -> None:
    (tmp_path / "site.yaml").write_text("slurm: {partition: test}\ngpu: {setup: [export OF_THE_SITE=yes]}\n")
    spec = write(
        place,
        {
            "experiment": "asked", "title": "T", "trial": "sweep_trials:asked",
            "resources": {"cpus": 3, "gpus": 2, "memory_gib": 0.5, "slurm": {"poll_seconds": 0.5}},
            "profiles": {"laptop": {"fidelity": "proxy", "device": "cuda"}},
        },
    )  # fmt: skip
    environment = {**small_cluster.environment, "HARNESS_SITE": str(tmp_path / "site.yaml")}
    found = place.harness("run", spec, "--executor", "slurm", environment=environment)
    assert found.status == 0, found.err
    (row,) = list(csv.DictReader(io.StringIO(place.harness("export", spec).out)))
    assert (row["cuda_visible_devices"], row["slurm_cpus_per_task"], row["omp_num_threads"]) == ("0,1", "3", "3")
    assert row["of_the_site"] == "yes"


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"memory_gib": 9999}, "sbatch refuses"),
        ({"cpus": 999}, "sbatch refuses"),
        ({"slurm": {"partition": "moon"}}, "partition 'moon' is not known here"),
    ],
)
def test_what_slurm_refuses_is_told_in_one_sentence_and_nothing_is_started(
    small_cluster: Cluster, place: Workplace, resources: dict[str, Any], said: str
) -> None:
    spec = write(place, {**MANY, "resources": resources})
    found = place.harness("run", spec, "--executor", "slurm", environment=small_cluster.environment)
    assert found.status == 2 and said in found.err and "Traceback" not in found.err
    assert attempts(place, "results") == 0 and small_cluster.no_jobs_left()
    # A refused array is no open one: nobody waits for it.
    assert "nothing of it" in place.harness("cancel", spec, environment=small_cluster.environment).out


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["none"], indirect=True)
def test_two_drivers_started_together_come_to_the_same_end_as_one(cluster: Cluster, place: Workplace) -> None:
    spec = write(place, TUNED)
    assert place.harness("run", spec, "--store", "local").status == 0
    command = [sys.executable, "-m", "harness", "run", spec, "--executor", "slurm", "--jobs", "3"]
    drivers = [
        subprocess.Popen(command, cwd=place.folder, env=cluster.whole_environment(), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [driver.communicate(timeout=240)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], said
    assert rows(place, spec, "results") == rows(place, spec, "local")
    assert attempts(place, "results") == 6 * 2 + 3 * 3, said


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["none"], indirect=True)
def test_five_thousand_empty_trials_are_few_tasks_and_one_attempt_each(cluster: Cluster, place: Workplace) -> None:
    spec = write(place, {**MANY, "factors": {"index": list(range(5000))}})
    found = place.harness("run", spec, "--executor", "slurm", "--jobs", "8", environment=cluster.environment)
    assert found.status == 0, found.err
    assert sum(json.loads(path.read_text())["tasks"] for path in arrays(place, "results")) <= 60
    assert attempts(place, "results") == 5000
    assert "5000 done, of 5000" in place.harness("status", spec, environment=cluster.environment).out
