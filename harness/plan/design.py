"""A spec under one profile and the command line's overrides: checked factors, fixed parameters, replicates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import UserError, listed, nearest
from harness.plan.device import resolve_device
from harness.plan.judged import judged_under
from harness.spec.load import Experiment
from harness.spec.models import (
    ALL_STREAMS,
    VARIED_STREAMS,
    FactorModel,
    Profile,
    Replicates,
    Resources,
    Scalar,
    Select,
    level_name,
)
from harness.spec.signature import Parameter, TrialFunction, reason
from harness.spec.validation import validated
from harness.spec.yaml_source import Location

DEFAULT_PROFILE = "laptop"


@dataclass(frozen=True)
class Level:
    """One level: its name, the value as the spec gives it, its identity, and what tables show."""

    name: str
    given: Any
    identity: Any
    shown: Scalar


@dataclass(frozen=True)
class Factor:
    """A factor with its levels in this profile."""

    name: str
    levels: tuple[Level, ...]
    blocked: bool
    unit: str

    def level(self, name: str) -> Level:
        return next(level for level in self.levels if level.name == name)


@dataclass(frozen=True)
class Design:
    """What will run: everything that the trials of one spec and profile follow from.

    ``experiment`` has the claims as this profile judges them, which everything that reads a plan goes by.
    ``looks`` are the numbers of replicates after which claims are judged, the last one being ``replicates``; a sweep
    without declared looks has that one. ``overrides`` is what the command line changed, for people and for locks.
    """

    experiment: Experiment
    function: TrialFunction
    profile_name: str
    profile: Profile
    factors: tuple[Factor, ...]
    fixed: Mapping[str, Level]
    looks: tuple[int, ...]
    select: Select | None
    resources: Resources
    device: str
    overrides: Mapping[str, Any]

    @property
    def replicates(self) -> int:
        return self.looks[-1]

    @property
    def name(self) -> str:
        return self.experiment.name

    @property
    def fixed_identity(self) -> dict[str, Any]:
        """What the fixed parameters are, without those that only say where something lies."""
        known = self.function.parameters
        return {name: x.identity for name, x in self.fixed.items() if name not in known or not known[name].placement}

    @property
    def plain_factors(self) -> tuple[Factor, ...]:
        return tuple(factor for factor in self.factors if not factor.blocked)

    @property
    def blocked_factors(self) -> tuple[Factor, ...]:
        return tuple(factor for factor in self.factors if factor.blocked)


def profile_of(experiment: Experiment, name: str | None) -> str:
    """Return the profile's name: the one asked for, ``laptop``, or the only one there is."""
    known = list(experiment.spec.profiles)
    if name is None:
        if DEFAULT_PROFILE in known:
            return DEFAULT_PROFILE
        if len(known) == 1:
            return known[0]
        raise UserError(f"{experiment.name}: name a profile with --profile (known: {listed(known)})")
    if name not in known:
        raise UserError(f"{experiment.name}: no profile '{name}'{nearest(name, known)} (known: {listed(known)})")
    return name


def make_design(
    experiment: Experiment,
    profile: str | None = None,
    *,
    replicates: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> Design:
    """Lay a profile and overrides over a spec and check every value against the trial function's signature.

    Raises:
        UserError: a key, level or override that cannot be used; the message names its line.
    """
    function = experiment.function()
    name = profile_of(experiment, profile)
    chosen = experiment.spec.profiles[name]
    checker = _Checker(experiment, function, name, chosen)
    checker.factor_names()
    factors = {key: checker.factor(key, model) for key, model in experiment.spec.factors.items()}
    fixed: dict[str, Level] = {}
    for origin, values in ((("fixed",), experiment.spec.fixed), (("profiles", name, "fixed"), chosen.fixed)):
        for key, value in values.items():
            fixed[key] = checker.fixed((*origin, key), key, value)
    for key, value in (overrides or {}).items():
        if key in factors:
            factors[key] = checker.restricted(factors[key], value)
        else:
            fixed[key] = checker.fixed(None, key, value)
    checker.required({*factors, *fixed})
    return Design(
        judged_under(experiment, name),
        function,
        name,
        chosen,
        tuple(factors.values()),
        fixed,
        _looks(replicates or chosen.replicates or experiment.spec.replicates),
        _select(experiment, name, chosen, factors),
        _resources(experiment, name, chosen),
        resolve_device(device or chosen.device or "auto"),
        {
            **{key: value for key, value in (overrides or {}).items() if not checker.is_placement(key)},
            **({"replicates": replicates} if replicates else {}),
        },
    )


def _looks(replicates: int | Replicates) -> tuple[int, ...]:
    return replicates.looks if isinstance(replicates, Replicates) else (replicates,)


def _select(experiment: Experiment, name: str, profile: Profile, factors: Mapping[str, Factor]) -> Select | None:
    """Return what the arms tune, checked against the factors; None where the spec tunes nothing."""
    if experiment.spec.select is None:
        if profile.select:
            at: Location = ("profiles", name, "select")
            raise experiment.source.error(at, "changes 'select', but the spec has none")
        return None
    merged = {**experiment.spec.select.model_dump(), **profile.select}
    at = ("profiles", name, "select") if profile.select else ("select",)
    select = validated(Select, experiment.source, merged, at)
    for key in select.factors:
        if key not in factors:
            known = list(factors)
            raise experiment.source.error(
                (*at, "factors"), f"no factor '{key}'{nearest(key, known)} (known: {listed(known)})"
            )
        if factors[key].blocked:
            raise experiment.source.error((*at, "factors"), f"'{key}' is blocked; arms that run together share it")
    for part, wanted in (("matched", select.matched), ("at", select.at)):
        for key, given in wanted.items():
            if key not in factors or factors[key].blocked:
                message = f"no factor '{key}' that runs in trials of its own (known: {listed(list(factors))})"
                raise experiment.source.error((*at, part), message)
            level, known = level_name(given), [level.name for level in factors[key].levels]
            if level not in known:
                message = f"the factor '{key}' has no level '{level}'{nearest(level, known)} (known: {listed(known)})"
                raise experiment.source.error((*at, part), message)
    return select


def _resources(experiment: Experiment, name: str, profile: Profile) -> Resources:
    if not profile.resources:
        return experiment.spec.resources
    at: Location = ("profiles", name, "resources")
    ours = experiment.spec.resources.model_dump(exclude_unset=True)
    merged = {**ours, **profile.resources}
    if isinstance(profile.resources.get("slurm"), dict):
        merged["slurm"] = {**ours.get("slurm", {}), **profile.resources["slurm"]}
    return validated(Resources, experiment.source, merged, at)


class _Checker:
    """Checks one spec's levels and parameters against its trial function."""

    def __init__(self, experiment: Experiment, function: TrialFunction, profile_name: str, profile: Profile) -> None:
        self.experiment = experiment
        self.function = function
        self.profile_name = profile_name
        self.profile = profile

    def error(self, at: Location | None, key: str, message: str) -> UserError:
        if at is None:
            return UserError(f"--set {key}: {message}")
        return self.experiment.source.error(at, message)

    def parameter(self, at: Location | None, key: str) -> Parameter:
        if key == VARIED_STREAMS:
            return Parameter(key, TypeAdapter(str), False, ALL_STREAMS, False, False)
        known = sorted(self.function.parameters)
        if key not in self.function.parameters:
            raise self.error(
                at, key, f"{self.function.name} has no parameter '{key}'{nearest(key, known)} (known: {listed(known)})"
            )
        return self.function.parameters[key]

    def is_placement(self, key: str) -> bool:
        return key in self.function.parameters and self.function.parameters[key].placement

    def factor_names(self) -> None:
        """Refuse a profile that changes a factor the spec does not have, and a name that is both factor and fixed."""
        spec = self.experiment.spec
        for key in self.profile.factors:
            if key not in spec.factors:
                at = ("profiles", self.profile_name, "factors", key)
                known = list(spec.factors)
                raise self.error(at, key, f"no factor '{key}'{nearest(key, known)} (known: {listed(known)})")
        for origin, keys in ((("fixed",), spec.fixed), (("profiles", self.profile_name, "fixed"), self.profile.fixed)):
            for key in keys:
                if key in spec.factors:
                    raise self.error((*origin, key), key, "is a factor already; a parameter is either varied or fixed")

    def factor(self, key: str, model: FactorModel) -> Factor:
        at: Location = ("factors", key)
        parameter = self.parameter(at, key)
        if parameter.placement:
            raise self.error(at, key, "only says where something lies, so it cannot be a factor; name it under 'fixed'")
        if model.blocked and not parameter.takes_mapping:
            raise self.error(
                at, key, f"is blocked, so {self.function.name} must take '{key}' as a mapping of level name to value"
            )
        levels_at = (*at, "levels") if (*at, "levels") in self.experiment.source.lines else at
        levels: Any = model.levels
        replaced = self.profile.factors.get(key)
        if replaced is not None:
            replaced_at = ("profiles", self.profile_name, "factors", key)
            if not replaced:
                raise self.error(replaced_at, key, "has no levels, so the grid is empty; give at least one")
            if isinstance(model.levels, dict) and isinstance(replaced, list):
                return self.chosen(key, model, replaced, replaced_at, parameter, levels_at)
            levels, levels_at = replaced, replaced_at
        return Factor(key, self.levels(parameter, levels, levels_at, model.blocked), model.blocked, model.unit)

    def chosen(
        self, key: str, model: FactorModel, names: list[Scalar], at: Location, parameter: Parameter, levels_at: Location
    ) -> Factor:
        """Return the factor with some of its named levels."""
        known = model.levels
        assert isinstance(known, dict)
        for index, name in enumerate(names):
            if level_name(name) not in known:
                message = f"no level '{name}'{nearest(str(name), list(known))} (known: {listed(list(known))})"
                raise self.error((*at, index), key, message)
        wanted = {level_name(name): known[level_name(name)] for name in names}
        return Factor(key, self.levels(parameter, wanted, levels_at, model.blocked), model.blocked, model.unit)

    def levels(self, parameter: Parameter, levels: Any, at: Location, blocked: bool) -> tuple[Level, ...]:
        named = isinstance(levels, dict)
        found = []
        for index, item in enumerate(levels):
            given = levels[item] if named else item
            where = (*at, item if named else index)
            name = str(item) if named else level_name(item)
            identity = self.checked(parameter, {name: given} if blocked else given, where)
            found.append(Level(name, given, identity[name] if blocked else identity, name if named else item))
        return tuple(found)

    def checked(self, parameter: Parameter, given: Any, at: Location | None) -> Any:
        try:
            return parameter.plain(parameter.check(given))
        except ValidationError as error:
            raise self.error(at, parameter.name, reason(error)) from None
        except (TypeError, ValueError) as error:
            raise self.error(at, parameter.name, str(error)) from None

    def fixed(self, at: Location | None, key: str, value: Any) -> Level:
        parameter = self.parameter(at, key)
        return Level(key, value, self.checked(parameter, value, at), None)

    def restricted(self, factor: Factor, value: Any) -> Factor:
        """Return the factor with the one level, or the list of levels, that ``--set`` names."""
        wanted = value if isinstance(value, list) else [value]
        parameter = self.parameter(None, factor.name)
        levels = []
        for item in wanted:
            name = level_name(item) if not isinstance(item, dict) else ""
            known = [level.name for level in factor.levels]
            if name in known:
                levels.append(factor.level(name))
            elif factor.blocked or any(
                level.shown == level.name and level.given != level.name for level in factor.levels
            ):
                raise UserError(
                    f"--set {factor.name}: no level '{item}'{nearest(name, known)} (known: {listed(known)})"
                )
            else:
                levels.append(Level(name, item, self.checked(parameter, item, None), item))
        if not levels:
            raise UserError(f"--set {factor.name}: has no levels, so the grid is empty; give at least one")
        return Factor(factor.name, tuple(levels), factor.blocked, factor.unit)

    def required(self, given: set[str]) -> None:
        for parameter in self.function.parameters.values():
            if parameter.required and parameter.name not in given:
                raise self.error(
                    ("trial",), "", f"{self.function.name} needs '{parameter.name}': name it under 'factors' or 'fixed'"
                )
