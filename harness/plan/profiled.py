"""Which trial ``harness profile`` is about, and which of its arms, by ``--arm FACTOR=LEVEL``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UserError, listed, nearest
from harness.plan.design import Design, Factor
from harness.plan.trials import Trial
from harness.spec.models import level_name
from harness.spec.yaml_source import parse_yaml


@dataclass(frozen=True)
class Chosen:
    """A trial of the plan, whole, and the arms to profile: levels of its blocked ``factor``.

    Where the spec has no blocked factor, ``factor`` is '' and the one arm is called ''.
    """

    trial: Trial
    factor: str
    arms: tuple[str, ...]

    @property
    def cut(self) -> Trial:
        """The trial with the chosen arms alone: what is built. Its id and identity stay those of the whole."""
        if not self.factor:
            return self.trial
        levels = {arm: self.trial.parameters[self.factor][arm] for arm in self.arms}
        return replace(self.trial, parameters={**self.trial.parameters, self.factor: levels})


def choose(design: Design, trials: Sequence[Trial], arms: Sequence[str]) -> Chosen:
    """Return the trial and the arms that the command line means: the first replicate of the one combination named.

    Without a level of the blocked factor all arms of the trial are meant.

    Raises:
        UserError: a factor or level that there is not, a combination that is not run, or one that is not named whole.
    """
    blocked = design.blocked_factors
    if len(blocked) > 1:
        names = " and ".join(f"'{factor.name}'" for factor in blocked)
        raise UserError(f"{design.name}: its trials block {names}, and a profile has arms of one factor")
    wanted = _wanted(design, arms)
    factor = blocked[0].name if blocked else ""
    levels = wanted.pop(factor, [])
    fitting = _fitting(design, trials, wanted)
    _require_one(design, fitting)
    trial = next((trial for trial in fitting if trial.replicate >= 0), fitting[0])
    if not factor:
        return Chosen(trial, "", ("",))
    known = list(trial.blocked[factor])
    for level in levels:
        if level not in known:
            raise UserError(f"--arm {factor}={level}: is skipped there (arms of the trial: {listed(known)})")
    return Chosen(trial, factor, tuple(dict.fromkeys(levels)) or tuple(known))


def _wanted(design: Design, arms: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of the levels that were asked for, by factor."""
    factors = {factor.name: factor for factor in design.factors}
    wanted: dict[str, list[str]] = {}
    for arm in arms:
        name, separator, text = arm.partition("=")
        if not separator or not name or not text:
            raise UserError(f"--arm {arm}: must read FACTOR=LEVEL")
        if name not in factors:
            known = list(factors)
            raise UserError(f"--arm {arm}: no factor '{name}'{nearest(name, known)} (known: {listed(known)})")
        wanted.setdefault(name, []).append(_level(factors[name], text, arm))
    return wanted


def _level(factor: Factor, text: str, arm: str) -> str:
    """Return the name of a level as it is written: by its name, or as a value of the spec is."""
    known = [level.name for level in factor.levels]
    if text in known:
        return text
    value = parse_yaml(text, Path(f"--arm {factor.name}")).data
    name = text if isinstance(value, dict | list) else level_name(value)
    if name not in known:
        message = f"the factor '{factor.name}' has no level '{text}'{nearest(text, known)} (known: {listed(known)})"
        raise UserError(f"--arm {arm}: {message}")
    return name


def _fitting(design: Design, trials: Sequence[Trial], wanted: Mapping[str, Sequence[str]]) -> list[Trial]:
    """Return the trials that have every level that was named.

    Raises:
        UserError: none has, or two levels of one factor were named.
    """
    for name, levels in wanted.items():
        if len(levels) > 1:
            message = f"a trial has one level of '{name}', and {levels[0]} was named already"
            raise UserError(f"--arm {name}={levels[1]}: {message}")
    fitting = [
        trial for trial in trials if all(level_name(trial.arm[name]) == levels[0] for name, levels in wanted.items())
    ]
    if not fitting:
        named = ", ".join(f"{name}={levels[0]}" for name, levels in wanted.items())
        raise UserError(
            f"{design.name}: no trial of profile {design.profile_name} has {named} (see 'skip' in its spec)"
        )
    return fitting


def _require_one(design: Design, trials: Sequence[Trial]) -> None:
    """Make sure that all trials are of one combination of levels.

    Raises:
        UserError: they are not; the sentence lists what is left to choose.
    """
    left = {}
    for factor in design.plain_factors:
        levels = list(dict.fromkeys(level_name(trial.arm[factor.name]) for trial in trials))
        if len(levels) > 1:
            left[factor.name] = levels
    if left:
        choices = "; ".join(f"{name}: {listed(levels)}" for name, levels in left.items())
        example = " ".join(f"--arm {name}={levels[0]}" for name, levels in left.items())
        raise UserError(f"{design.name}: one trial is profiled, so choose a level of {choices} (as in '{example}')")
