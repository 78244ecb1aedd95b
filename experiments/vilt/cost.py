"""The trial behind ``vilt-cost``: parameters and operations of systems, counted beside Table 6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.vilt.configuration import SystemConfiguration

if TYPE_CHECKING:
    from harness.execution.run import Run


def count_systems(*, run: Run, system: Mapping[str, SystemConfiguration]) -> list[dict[str, Any]]:
    """Count every system on the meta device and return one record a system.

    Metrics: ``parameters_millions`` (text embedding and pooler left out, as in Table 6), ``parameters_all_millions``,
    operations in units of 1e9 under three conventions, and operations and parameters by stage and component.
    """
    from experiments.vilt.count import CONVENTIONS, count

    records = []
    for done, (name, configuration) in enumerate(system.items()):
        run.progress(done, len(system))
        found = count(configuration)
        record: dict[str, Any] = {
            "system": name,
            "parameters_millions": found.parameters_in_paper / 1e6,
            "parameters_all_millions": sum(found.parameters.values()) / 1e6,
        }
        for convention in CONVENTIONS:
            record[f"gops_{convention.replace('-', '_')}"] = found.operations(convention) / 1e9
        record |= {f"stage_gflop_{stage.name}": stage.flops / 1e9 for stage in found.stages}
        record |= {f"parameters_{part}": number for part, number in found.parameters.items()}
        records.append(record)
    return records
