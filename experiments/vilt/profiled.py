"""The systems of ``vilt-speed`` for ``harness profile``: the very arms that its trial times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from experiments.vilt.configuration import SystemConfiguration

if TYPE_CHECKING:
    from harness.execution.run import Run
    from harness.measure.profiling import Profiled


def profiled(*, run: Run, system: Mapping[str, SystemConfiguration], threads: int | None = None) -> dict[str, Profiled]:
    """Build every system, with the operations that are counted of it on the meta device.

    Args:
        system: name to configuration; one arm each.
        threads: torch's intra-operator threads; the trial's CPUs where it is None.
    """
    import torch

    from experiments.vilt.checks import count_all
    from experiments.vilt.systems import build_system
    from experiments.vilt.timing_records import probe_dtype
    from harness.measure.profiling import Profiled

    torch.set_num_threads(threads or run.threads or torch.get_num_threads())
    seed = run.stream("init").seed
    counts = count_all(system)
    return {
        name: Profiled(
            build_system(configuration, device=run.device, seed=seed),
            float(counts[name].flops),
            probe_dtype(configuration),
        )
        for name, configuration in system.items()
    }
