"""Every system with every lever, built and checked: an arm that may be timed, or the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments.vilt.checks import Checked, agreement, check_system, count_all
from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.levers import Lever, NotApplicable

if TYPE_CHECKING:
    from experiments.vilt.count import Count
    from experiments.vilt.systems import System
    from harness.execution.run import Run
    from harness.measure.devices import Device

__all__ = ["LeverArm", "prepare_arms"]

GIVEN_UP_TIMES, GIVEN_UP_SECONDS = 3.0, 1.0
"""An arm whose first request takes more than so many times that of the naive one, and so long, is no candidate."""
SWITCHES = ("onednn", "tf32")
"""Fields that are set for each request: systems that differ in these alone share their weights."""


@dataclass(frozen=True)
class LeverArm:
    """A system with a lever. ``system`` is None where it cannot be timed; ``record`` says why, or what was checked.

    ``plain`` marks the naive implementation, with which the others' outputs were compared.
    """

    of: str
    lever: str
    count: Count
    record: Mapping[str, Any]
    system: System | None = None
    plain: bool = False

    @property
    def name(self) -> str:
        """Its name among timed arms, and in raw samples."""
        return f"{self.of},{self.lever}"


@dataclass
class _Workshop:
    """What arms of one system are built with: its reference, and what was built so far."""

    run: Run
    device: Device
    count: Count
    reference: System
    checked: Checked
    built: list[System] = field(default_factory=list)

    def system(self, wanted: SystemConfiguration) -> System:
        """Build a system, on the weights of one that differs in switches alone, where there is one."""
        from experiments.vilt.systems import build_system, variant

        if wanted == self.reference.configuration:
            return self.reference
        for known in (self.reference, *self.built):
            theirs = known.configuration
            same = wanted.model_copy(update={name: getattr(theirs, name) for name in SWITCHES}) == theirs
            # What is compiled or recorded has its switches in it.
            if same and not (wanted.compile or wanted.graphs):
                return variant(known, wanted)
        system = build_system(wanted, device=self.run.device, seed=self.run.stream("init").seed)
        self.built.append(system)
        return system


def prepare_arms(
    run: Run, systems: Mapping[str, SystemConfiguration], levers: Mapping[str, Lever], device: Device
) -> list[LeverArm]:
    """Return an arm for each system and lever, in this order; levers that choose are left out.

    An arm is compared with the naive float32 implementation of its system before it may be timed. Where that itself
    fails a check, none of the system's arms may be, and their records have the failed gate.
    """
    from experiments.vilt.systems import build_system

    counts = count_all(systems)
    arms = []
    for name, configuration in systems.items():
        reference = build_system(configuration.reference, device=run.device, seed=run.stream("init").seed)
        checked = check_system(reference, counts[name], device)
        workshop = _Workshop(run, device, counts[name], reference, checked)
        for key, lever in levers.items():
            if lever.choose is None:
                arms.append(_arm(workshop, name, key, configuration, lever))
    return arms


def _arm(workshop: _Workshop, name: str, key: str, configuration: SystemConfiguration, lever: Lever) -> LeverArm:
    if not workshop.checked.passed:
        return LeverArm(name, key, workshop.count, workshop.checked.record)
    try:
        wanted = lever.over(configuration)
    except NotApplicable as problem:
        return LeverArm(name, key, workshop.count, {"reason": str(problem)})
    if wanted == workshop.reference.configuration:
        same = {"outputs_agree": True, "output_difference": 0.0}
        record = dict(workshop.checked.record) | same
        return LeverArm(name, key, workshop.count, record, workshop.reference, plain=True)
    try:
        system = workshop.system(wanted)
        checked = check_system(system, workshop.count, workshop.device)
    except Exception as error:  # compilers and drivers raise kinds of their own, and the other arms go on
        first = (str(error).splitlines() or [""])[0]
        return LeverArm(name, key, workshop.count, {"reason": f"{wanted.label}: {type(error).__name__}: {first}"})
    return _compared(workshop, name, key, system, checked)


def _hopeless(configuration: SystemConfiguration, checked: Checked, reference: Checked) -> str:
    """Say why an arm need not be timed: its first request, the naive one's own first one for a measure, took too long.

    Without such a rule 16 bits on a processor that has no instructions for them take most of the time of a trial. What
    is compiled or recorded in its first request is never given up.
    """
    own, naive = (float(one.record["first_pass_seconds"]) for one in (checked, reference))
    if configuration.compile or configuration.graphs or own < GIVEN_UP_SECONDS or own <= GIVEN_UP_TIMES * naive:
        return ""
    return f"its first request took {own:.1f} s, {own / naive:.1f} times the naive one's; it was not timed further."


def _compared(workshop: _Workshop, name: str, key: str, system: System, checked: Checked) -> LeverArm:
    """Admit a system to the timing if its checks passed and its outputs are the reference's."""
    label = system.label
    failed = [part for part, value in checked.record.items() if part.startswith("gate_") and value is False]
    if failed or checked.output is None or workshop.checked.output is None:
        details = [str(checked.record.get(part.replace("gate_", "detail_"), part)) for part in failed]
        return LeverArm(name, key, workshop.count, {"reason": f"{label}: {' '.join(details)}"})
    found = agreement(system.configuration, checked.output, workshop.checked.output)
    compared = {
        "outputs_agree": found.agree,
        "output_difference": found.worst_relative,
        "output_tolerance": found.tolerance,
    }
    if not found.agree:
        return LeverArm(name, key, workshop.count, compared | {"reason": f"{label}: {found.reason}"})
    reason = _hopeless(system.configuration, checked, workshop.checked)
    if reason:
        return LeverArm(name, key, workshop.count, compared | {"reason": f"{label}: {reason}"})
    return LeverArm(name, key, workshop.count, dict(checked.record) | compared, system)
