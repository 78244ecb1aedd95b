"""A 300-trial sweep on 8 slots to which everything happens that happens on clusters: nothing is lost, nothing done twice."""

from __future__ import annotations

import pytest
from slurm.chaos import Chaos
from slurm.private_cluster import Cluster
from support import Workplace


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10))
def test_every_trial_is_done_once_whatever_happens(
    seed: int, cluster_plain: Cluster, cluster_accounting: Cluster, workplace: Workplace
) -> None:
    cluster = (cluster_plain, cluster_accounting)[seed % 2]
    chaos = Chaos(cluster, workplace, seed)
    try:
        chaos.run()
        chaos.check()
    finally:
        print(f"seed {seed}: {', '.join(chaos.done)}; {chaos.restarts} new drivers")
        cluster.clear()
