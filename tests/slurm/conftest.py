"""Private Slurm clusters for this folder's tests: one of each kind per session, started when first asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slurm.private_cluster import Cluster, require_slurm


@pytest.fixture(scope="session")
def cluster_plain() -> Iterator[Cluster]:
    """A cluster without accounting: sacct knows nothing."""
    require_slurm()
    with Cluster.start(accounting=False) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster_accounting() -> Iterator[Cluster]:
    """A cluster with slurmdbd: sacct answers."""
    require_slurm(accounting=True)
    with Cluster.start(accounting=True) as cluster:
        yield cluster


@pytest.fixture(params=["none", "dbd"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Each of the two clusters in turn, and an empty one again for the next test."""
    found: Cluster = request.getfixturevalue("cluster_accounting" if request.param == "dbd" else "cluster_plain")
    yield found
    found.clear()
