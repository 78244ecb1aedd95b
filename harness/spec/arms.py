"""Do the arms that claims name exist? An arm may be missing from a small profile, but not from all of them."""

from __future__ import annotations

from harness.errors import UserError, listed, nearest
from harness.spec.figures import Arm
from harness.spec.load import Experiment, RegisteredClaim
from harness.spec.models import level_name
from harness.spec.yaml_source import Location


def check_arms(experiment: Experiment) -> None:
    """Check every arm, curve and check of every claim against the spec's factors and the levels of all its profiles.

    Raises:
        UserError: a claim names a factor or level that no profile has; the message names the claim's line.
    """
    for registered in experiment.claims:
        claim = registered.claim
        for role, arm in claim.arms().items():
            _check_arm(experiment, registered, (role,), arm)
        for index, gate in enumerate(claim.gates):
            _check_arm(experiment, registered, ("gates", index, "arm"), gate.arm or {})
        axis = claim.axis()
        if axis is not None:
            _check_factor(experiment, registered, ("along",), axis)
            for level in claim.axis_levels():
                _check_level(experiment, registered, ("along",), axis, level)


def _check_arm(experiment: Experiment, registered: RegisteredClaim, at: Location, arm: Arm) -> None:
    for factor, level in arm.items():
        _check_factor(experiment, registered, (*at, factor), factor)
        _check_level(experiment, registered, (*at, factor), factor, level)


def _check_factor(experiment: Experiment, registered: RegisteredClaim, at: Location, factor: str) -> None:
    factors = experiment.spec.factors
    if factor not in factors:
        raise _error(registered, at, f"no factor '{factor}' in {experiment.name}", factor, list(factors))


def _check_level(experiment: Experiment, registered: RegisteredClaim, at: Location, factor: str, level: object) -> None:
    factors = experiment.spec.factors
    levels = [factors[factor].levels, *(p.factors.get(factor, ()) for p in experiment.spec.profiles.values())]
    known = list(dict.fromkeys(level_name(name) for group in levels for name in group))
    if isinstance(level, dict | list) or level_name(level) not in known:  # type: ignore[arg-type]
        message = f"the factor '{factor}' of {experiment.name} has no level '{level}'"
        raise _error(registered, at, message, str(level), known)


def _error(registered: RegisteredClaim, at: Location, message: str, word: str, known: list[str]) -> UserError:
    sentence = f"claim '{registered.claim.id}': {message}{nearest(word, known)} (known: {listed(known)})"
    return registered.source.error((*registered.location, *at), sentence)
