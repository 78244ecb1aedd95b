"""docs/cluster.md: its files are written, its commands are run on a private cluster, and its tables are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from slurm.private_cluster import Cluster
from support import Workplace

from harness.spec.slurm import SlurmOptions
from harness.store.endings import ENDINGS

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("cluster", ["none"], indirect=True)
def test_every_command_of_the_page_runs(cluster: Cluster, workplace: Workplace) -> None:
    for text in blocks("python") + blocks("yaml"):
        name = re.match(r"# file: (\S+)\n", text)
        assert name, text[:80]
        (workplace.folder / name[1]).write_text(text)
    (commands,) = blocks("sh")
    said = []
    for command in commands.strip().splitlines():
        program, *arguments = command.split()
        assert program == "harness"
        found = workplace.harness(*arguments, environment=cluster.environment)
        assert found.status == 0, (command, found)
        said.append(found.out + found.err)
    assert "16 of 16 trials done, 0 failed" in said[0]
    assert "16 done, of 16" in said[1]
    assert "tasks go on by themselves" in said[2]
    assert "nothing of it is on a cluster" in said[4]
    assert "32 of 32 trials done" in said[5]


def test_the_page_names_every_kind_of_end_and_every_option() -> None:
    text = PAGE.read_text()
    missing = [name for name in (*ENDINGS, *SlurmOptions.model_fields) if f"`{name}`" not in text]
    assert not missing
