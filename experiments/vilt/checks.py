"""What is checked of a system before it is timed: its structure, its parameters, its outputs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.vilt.configuration import SystemConfiguration

if TYPE_CHECKING:
    import torch

    from experiments.vilt.count import Count
    from experiments.vilt.systems import System
    from harness.measure.devices import Device
    from harness.measure.equality import Agreement

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Checked:
    """What a system's first request came to: the ``record`` with its gates, and the ``output`` [B, hidden], None where
    the request was not what it should be.
    """

    record: dict[str, Any]
    output: torch.Tensor | None

    @property
    def passed(self) -> bool:
        """Whether no gate failed."""
        return not any(value is False for value in self.record.values())


def count_all(systems: Mapping[str, SystemConfiguration]) -> dict[str, Count]:
    """Count every system; implementations of one computation, apart from the floor, are counted once."""
    from experiments.vilt.count import count

    known: dict[SystemConfiguration, Count] = {}
    found = {}
    for name, configuration in systems.items():
        implementation = "floor" if configuration.implementation == "floor" else "optimised"
        plain = configuration.reference.model_copy(update={"implementation": implementation, "nms": None})
        if plain not in known:
            known[plain] = count(plain)
        found[name] = known[plain]
    return found


def check_system(system: System, count: Count, device: Device) -> Checked:
    """Run one request and compare what it did with what it should have done."""
    from baselines.errors import StructureError
    from harness.measure.memory import peak_memory

    record: dict[str, Any] = {"gate_structure": True}
    found: list[Any] = []
    start = time.perf_counter()
    try:
        memory = peak_memory(lambda: found.append(system.check()), device)
        record |= {f"structure_{key}": value for key, value in found[0].numbers.items()}
        record |= {"peak_memory_mib": memory.peak / MEBIBYTE, "working_memory_mib": memory.growth / MEBIBYTE}
    except StructureError as error:
        record |= {"gate_structure": False, "detail_structure": str(error)}
    record["first_pass_seconds"] = time.perf_counter() - start
    record |= _same_parameters(system, count)
    return Checked(record, found[0].output if found else None)


def _same_parameters(system: System, count: Count) -> dict[str, Any]:
    """Compare the built system's parameters with those of the count that stands beside Table 6."""
    found, expected = system.parameters_by_component(), count.parameters
    if found == expected or system.configuration.weights is not None:
        return {"gate_parameters": True}
    differing = {key: (found.get(key), expected.get(key)) for key in found.keys() | expected.keys()}
    detail = {key: pair for key, pair in differing.items() if pair[0] != pair[1]}
    return {"gate_parameters": False, "detail_parameters": f"built and counted differ in {detail}"}


def agreement(configuration: SystemConfiguration, output: torch.Tensor, reference: torch.Tensor) -> Agreement:
    """Compare an output with the reference's, within the tolerance of the coarsest numbers that it was computed in."""
    import torch

    from harness.measure.equality import outputs_agree

    coarsest = getattr(torch, configuration.dtype)
    if configuration.quantise != "none":
        coarsest = torch.int8
    elif configuration.tf32:
        # TF32 keeps as many digits as float16 does.
        coarsest = torch.float16
    return outputs_agree(output, reference, coarsest)
