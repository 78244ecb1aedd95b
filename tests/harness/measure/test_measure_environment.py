from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from harness.measure import machine, torch_state
from harness.measure.environment import describe_environment, describe_moment, library_versions
from harness.measure.torch_state import describe_torch

CPUINFO = """processor\t: 0
model name\t: Intel(R) Xeon(R) CPU
physical id\t: 0
core id\t\t: 0
cpu MHz\t\t: 2500.5
flags\t\t: fpu avx2 avx512f

processor\t: 1
model name\t: Intel(R) Xeon(R) CPU
physical id\t: 0
core id\t\t: 0
cpu MHz\t\t: 1200.0
flags\t\t: fpu avx2 avx512f

processor\t: 2
model name\t: Intel(R) Xeon(R) CPU
physical id\t: 1
core id\t\t: 0
cpu MHz\t\t: 2500.0
flags\t\t: fpu avx2 avx512f
"""


def machine_at(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_this_machine_is_described_as_json() -> None:
    description = json.loads(json.dumps(describe_environment(), allow_nan=False))
    assert description["cpu"]["logical_cpus"] >= 1
    assert description["libraries"]["torch"] == str(torch.__version__).split("+")[0]
    assert description["torch"]["threads"] == torch.get_num_threads()
    assert json.loads(json.dumps(describe_moment()))["time"].endswith("+00:00")


def test_a_machine_without_any_file_is_described_too(tmp_path: Path) -> None:
    description = describe_environment(root=tmp_path)
    assert description["boot_id"] is None
    assert description["cgroup_cpu_quota"] is None
    assert description["cpu"]["governors"] is None
    assert description["cpu"]["sockets"] is None
    assert describe_moment(root=tmp_path)["cpu_megahertz"] is None
    json.dumps(description)


def test_cores_sockets_governor_and_frequencies_are_read(tmp_path: Path) -> None:
    folder = "sys/devices/system/cpu"
    root = machine_at(
        tmp_path,
        {
            "proc/cpuinfo": CPUINFO,
            f"{folder}/cpu0/cpufreq/scaling_governor": "performance\n",
            f"{folder}/cpu1/cpufreq/scaling_governor": "powersave\n",
            f"{folder}/cpu0/cpufreq/cpuinfo_max_freq": "3500000\n",
            "proc/loadavg": "0.50 1.25 2.00 1/99 1234\n",
            "proc/meminfo": "MemTotal:       1024 kB\n",
        },
    )
    facts = machine.cpu_facts(root)
    assert facts["model"] == "Intel(R) Xeon(R) CPU"
    assert (facts["logical_cpus"], facts["cores"], facts["sockets"]) == (3, 2, 2)
    assert facts["governors"] == ["performance", "powersave"]
    assert facts["maximum_khz"] == "3500000"
    assert facts["simd"] == ["avx2", "avx512f"]
    assert facts["hypervisor"] is False
    assert machine.cpu_megahertz(root) == [2500.5, 1200.0, 2500.0]
    assert machine.load_average(root) == [0.5, 1.25, 2.0]
    assert machine.memory_bytes(root) == 1024 * 1024


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "150000 100000"}, 1.5),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "max 100000"}, None),
        (
            {
                "proc/self/cgroup": "0::/slice/job\n",
                "sys/fs/cgroup/slice/job/cpu.max": "400000 100000",
                "sys/fs/cgroup/slice/cpu.max": "200000 100000",
            },
            2.0,
        ),
        ({"proc/self/cgroup": "0::/not/mounted\n", "sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/job\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
        ({"proc/self/cgroup": "nonsense\n0::/job\n", "sys/fs/cgroup/job/cpu.max": "broken"}, None),
    ],
)
def test_the_tightest_cpu_quota_counts(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert machine.cgroup_cpu_quota(machine_at(tmp_path, files)) == quota


def test_the_memory_limit_of_both_versions(tmp_path: Path) -> None:
    two = {"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/memory.max": "1000000"}
    assert machine.cgroup_memory_limit(machine_at(tmp_path / "two", two)) == 1_000_000
    one = {
        "proc/self/cgroup": "4:memory:/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    }
    assert machine.cgroup_memory_limit(machine_at(tmp_path / "one", one)) is None


def test_frequencies_come_from_the_governor_where_cpuinfo_has_none(tmp_path: Path) -> None:
    files = {f"sys/devices/system/cpu/cpu{number}/cpufreq/scaling_cur_freq": "2100000\n" for number in (0, 1)}
    assert machine.cpu_megahertz(machine_at(tmp_path, files)) == [2100.0, 2100.0]


def test_only_listed_variables_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    description = describe_environment()
    assert description["variables"]["OMP_NUM_THREADS"] == "2"
    assert "hf_secret" not in json.dumps(description)


def test_what_is_not_installed_has_no_version() -> None:
    assert library_versions(["numpy", "no-such-library"])["no-such-library"] is None


def test_torch_settings_are_those_in_force() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        described = describe_torch()
        assert described is not None
        assert described["threads"] == 1
        assert described["version"] == str(torch.__version__)
        assert isinstance(described["attention_backends"]["flash"], bool)
        assert described["encoder_fast_path"] == torch.backends.mha.get_fastpath_enabled()
    finally:
        torch.set_num_threads(before)


def test_a_setting_that_this_torch_refuses_is_none() -> None:
    def refuse() -> bool:
        raise RuntimeError("mixing of legacy and new APIs")

    assert torch_state._value(refuse) is None
    assert torch_state._value(lambda: torch.float32) == "torch.float32"


def test_the_nvidia_driver_is_read_from_its_file(tmp_path: Path) -> None:
    line = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n"
    root = machine_at(tmp_path, {"proc/driver/nvidia/version": line})
    assert torch_state._gpu_driver(root) == "570.86.15"
    assert torch_state._gpu_driver(tmp_path / "elsewhere") is None
