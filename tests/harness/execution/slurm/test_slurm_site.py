"""What a spec and a site's own file ask of Slurm: which of them counts, and what is said of mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from slurm_fakes import Commands, configuration
from support import SMALL_SPEC

from harness.cli.slurm import cluster_for
from harness.errors import UserError
from harness.plan.design import make_design
from harness.spec.find import find_experiment
from harness.spec.load import load_experiment
from harness.spec.site import site_path, slurm_options
from harness.spec.slurm import OURS, SlurmOptions

HEAD = SMALL_SPEC.lstrip()

SITE = """
slurm:
  account: vision
  partition: cpu
  constraint: avx512
  setup: [module load python/3.11]
  sbatch: {nice: 5, comment: ours}
gpu:
  partition: a100
  qos: gpu
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Write a site's file that ``HARNESS_SITE`` names."""

    def write(text: str) -> Path:
        path = tmp_path / "site.yaml"
        path.write_text(text.lstrip())
        monkeypatch.setenv("HARNESS_SITE", str(path))
        return path

    return write


def refused(path: Path) -> str:
    with pytest.raises(UserError) as told:
        slurm_options(SlurmOptions(), 0)
    assert "\n" not in str(told.value)
    return str(told.value).replace(str(path), path.name)


def test_the_sites_defaults_stand_under_a_spec_that_says_nothing(site: Callable[[str], Path]) -> None:
    site(SITE)
    found = slurm_options(SlurmOptions(), gpus=0)
    assert (found.account, found.partition, found.qos, found.constraint) == ("vision", "cpu", None, "avx512")
    assert found.setup == ("module load python/3.11",)
    assert found.sbatch == {"nice": 5, "comment": "ours"}
    assert found.signal_seconds == SlurmOptions().signal_seconds


def test_trials_that_take_a_gpu_have_the_sites_gpu_options_on_top(site: Callable[[str], Path]) -> None:
    site(SITE)
    found = slurm_options(SlurmOptions(), gpus=1)
    assert (found.account, found.partition, found.qos) == ("vision", "a100", "gpu")


@pytest.mark.parametrize("gpus", [0, 1])
def test_the_spec_comes_before_both(site: Callable[[str], Path], gpus: int) -> None:
    site(SITE)
    found = slurm_options(SlurmOptions(partition="mine", signal_seconds=30), gpus)
    assert (found.partition, found.signal_seconds, found.account) == ("mine", 30, "vision")


def test_a_spec_can_ask_for_slurms_own_default(site: Callable[[str], Path]) -> None:
    site(SITE)
    found = slurm_options(SlurmOptions.model_validate({"partition": None, "task_minutes": 10.0}), gpus=1)
    assert found.partition is None
    assert found.task_minutes == 10.0


def test_lists_and_mappings_are_replaced_whole(site: Callable[[str], Path]) -> None:
    site(SITE)
    found = slurm_options(SlurmOptions(setup=("source env.sh",), sbatch={"nice": 1}), gpus=0)
    assert found.setup == ("source env.sh",)
    assert found.sbatch == {"nice": 1}


def test_without_a_file_the_spec_alone_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_SITE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    spec = SlurmOptions(partition="mine")
    assert slurm_options(spec, 0) is spec
    assert site_path() == tmp_path / "harness" / "site.yaml"


def test_the_file_of_the_users_configuration_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_SITE", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".config" / "harness" / "site.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("slurm: {partition: here}\n")
    assert slurm_options(SlurmOptions(), 0).partition == "here"


def test_a_variable_that_names_a_file_comes_before_the_users_configuration(
    site: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "site.yaml").write_text("slurm: {partition: there}\n")
    site(SITE)
    assert slurm_options(SlurmOptions(), 0).partition == "cpu"
    monkeypatch.setenv("HARNESS_SITE", "")
    assert slurm_options(SlurmOptions(), 0).partition == "there"


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_a_variable_that_names_no_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    path = tmp_path / "nowhere.yaml"
    if what == "folder":
        path.mkdir()
    monkeypatch.setenv("HARNESS_SITE", str(path))
    assert refused(path) == (
        "HARNESS_SITE: there is no file nowhere.yaml; name a YAML file with a mapping 'slurm', or unset it"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "slurm:\n  partiton: cpu\n",
            "site.yaml:2: slurm.partiton: unknown key; did you mean 'partition'? "
            "(known: account, constraint, jobs, max_minutes, partition, poll_seconds, qos, sbatch, setup, "
            "signal_seconds, task_minutes)",
        ),
        ("slrum:\n  partition: cpu\n", "site.yaml:1: slrum: unknown key; did you mean 'slurm'? (known: gpu, slurm)"),
        ("slurm: {}\ngpu:\n  acount: x\n", "site.yaml:3: gpu.acount: unknown key; did you mean 'account'? (known: "),
        ("slurm:\n  jobs: 0\n", "site.yaml:2: slurm.jobs: input should be greater than or equal to 1, not 0"),
        ("slurm:\n  jobs: many\n", "site.yaml:2: slurm.jobs: input should be a valid integer"),
        ("slurm:\n  task_minutes: 0\n", "site.yaml:2: slurm.task_minutes: input should be greater than 0, not 0"),
        (
            "slurm:\n  signal_seconds: 1\n",
            "site.yaml:2: slurm.signal_seconds: input should be greater than or equal to 2",
        ),
        ("slurm:\n  setup: module load x\n", "site.yaml:2: slurm.setup: input should be a valid "),
        ("slurm: cpu\n", "site.yaml:1: slurm: input should be a valid dictionary"),
        ("- slurm\n", "site.yaml:1: must be a mapping of keys to values, not a list"),
        ("slurm:\n  partition: cpu\n  partition: gpu\n", "site.yaml:3: the key 'partition' stands twice"),
        ("slurm: {\n", "site.yaml:2: is not valid YAML"),
        ("", "site.yaml: is empty"),
    ],
)
def test_a_mistake_in_the_sites_file_is_told_with_file_line_and_key(
    site: Callable[[str], Path], text: str, told: str
) -> None:
    path = site(text)
    assert refused(path).startswith(told)


@pytest.mark.parametrize("name", sorted(OURS))
@pytest.mark.parametrize("form", ["{}", "--{}"])
def test_an_option_that_is_set_otherwise_is_refused_with_what_to_use(
    site: Callable[[str], Path], name: str, form: str
) -> None:
    written = form.format(name)
    path = site(f"slurm:\n  sbatch:\n    '{written}': x\n")
    assert refused(path) == f"site.yaml:2: slurm.sbatch: '{written}' cannot be set here: {OURS[name]}"


@pytest.mark.parametrize("written", ["job_name", "cpus_per_task", "gpus_per_node", "open_mode", "no_requeue"])
def test_an_option_is_refused_with_underscores_too(site: Callable[[str], Path], written: str) -> None:
    path = site(f"gpu:\n  sbatch: {{{written}: x}}\n")
    assert f"gpu.sbatch: '{written}' cannot be set here: {OURS[written.replace('_', '-')]}" in refused(path)


def test_options_that_are_nobodys_else_are_taken(site: Callable[[str], Path]) -> None:
    site("slurm: {sbatch: {mail-type: END, nice: 100, exclusive: false, reservation: paper}}\n")
    assert slurm_options(SlurmOptions(), 0).sbatch == {
        "mail-type": "END",
        "nice": 100,
        "exclusive": False,
        "reservation": "paper",
    }


@pytest.mark.parametrize("name", ["wait", "parsable", "clusters"])
def test_options_that_would_break_a_sweep_are_refused_too(name: str) -> None:
    # With --wait, sbatch returns only when all is over; with --parsable it prints no "job", so that an array that runs
    # is taken for refused; the tasks of another cluster are not in this one's queue.
    with pytest.raises(ValueError, match="cannot be set here"):
        SlurmOptions(sbatch={name: True})


SPEC_MISTAKES = {
    "misspelt": ("{partiton: cpu}", "resources.slurm.partiton: unknown key; did you mean 'partition'?"),
    "forbidden": (
        "{sbatch: {time: 10}}",
        "resources.slurm.sbatch: 'time' cannot be set here: 'minutes' says how long a trial may take, 'max_minutes' a task",
    ),
    "wrong": ("{jobs: -1}", "resources.slurm.jobs: input should be greater than or equal to 1, not -1"),
}


@pytest.mark.parametrize("case", SPEC_MISTAKES)
def test_a_mistake_in_a_specs_resources_is_told_with_file_line_and_key(tmp_path: Path, case: str) -> None:
    written, told = SPEC_MISTAKES[case]
    path = tmp_path / "bad.yaml"
    path.write_text(HEAD + f"resources:\n  cpus: 1\n  slurm: {written}\n")
    with pytest.raises(UserError) as error:
        load_experiment(path)
    line = 1 + path.read_text().splitlines().index(f"  slurm: {written}")
    assert str(error.value).startswith(f"{path}:{line}: {told}")


@pytest.mark.parametrize("case", SPEC_MISTAKES)
def test_a_mistake_in_a_profiles_resources_is_told_with_file_line_and_key(
    in_workplace: Callable[..., Path], case: str
) -> None:
    written, told = SPEC_MISTAKES[case]
    path = in_workplace(
        "bad.yaml", HEAD.replace("{fidelity: proxy}", f"{{fidelity: proxy, resources: {{slurm: {written}}}}}")
    )
    with pytest.raises(UserError) as error:
        make_design(find_experiment(str(path)), "laptop")
    line = 1 + next(n for n, text in enumerate(path.read_text().splitlines()) if "fidelity" in text)
    assert str(error.value).startswith(f"{path}:{line}: profiles.laptop.{told}")


@pytest.fixture
def toy_cluster(commands: Commands) -> Commands:
    for name in ("sbatch", "squeue", "scancel", "srun"):
        commands.says(name, "")
    commands.controller_says(
        config=configuration(), partition="PartitionName=cpu Default=YES MaxTime=02:00:00 State=UP"
    )
    return commands


def test_a_sweep_has_the_options_of_spec_and_site_and_the_partitions_limit(
    toy_cluster: Commands, site: Callable[[str], Path], in_workplace: Callable[..., Path]
) -> None:
    site(SITE)
    path = in_workplace("small.yaml", HEAD + "resources: {slurm: {account: spec}}\n")
    found = cluster_for(make_design(find_experiment(str(path)), device="cpu"), jobs=3, detach=True)
    assert (found.options.account, found.options.partition) == ("spec", "cpu")
    assert (found.longest_minutes, found.jobs, found.detach) == (120, 3, True)
    assert "show partition --oneliner cpu" in toy_cluster.calls("scontrol")


def test_a_plan_on_cuda_that_asks_for_a_gpu_has_the_sites_gpu_options(
    toy_cluster: Commands, site: Callable[[str], Path], in_workplace: Callable[..., Path]
) -> None:
    site(SITE)
    path = in_workplace("small.yaml", HEAD)
    found = cluster_for(make_design(find_experiment(str(path)), device="cuda"), jobs=None, detach=False)
    assert found.options.partition == "a100"


def test_a_partition_that_is_not_known_is_told(
    toy_cluster: Commands, site: Callable[[str], Path], in_workplace: Callable[..., Path]
) -> None:
    site("slurm: {partition: nowhere}\n")
    toy_cluster.add(
        "scontrol",
        'case "$*" in\nping) echo "Slurmctld(primary) at head is UP";;\n"show config") echo "ClusterName = toy";;\n'
        "*) echo 'Partition nowhere not found' >&2; exit 1;;\nesac",
    )
    path = in_workplace("small.yaml", HEAD)
    with pytest.raises(UserError) as told:
        cluster_for(make_design(find_experiment(str(path)), device="cpu"), jobs=None, detach=False)
    assert str(told.value) == (
        "--executor slurm: the partition 'nowhere' is not known here (Partition nowhere not found)"
    )


def test_several_partitions_are_allowed_as_sbatch_allows_them(
    toy_cluster: Commands, site: Callable[[str], Path], in_workplace: Callable[..., Path]
) -> None:
    site("slurm: {partition: 'cpu,short'}\n")
    toy_cluster.add(
        "scontrol",
        'case "$*" in\nping) echo "Slurmctld(primary) at head is UP";;\n"show config") echo "ClusterName = toy";;\n'
        "*,*) echo 'Partition cpu,short not found' >&2; exit 1;;\n"
        "*) echo 'PartitionName=cpu MaxTime=02:00:00';;\nesac",
    )
    path = in_workplace("small.yaml", HEAD)
    found = cluster_for(make_design(find_experiment(str(path)), device="cpu"), jobs=None, detach=False)
    assert found.options.partition == "cpu,short"
