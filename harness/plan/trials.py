"""A design into trials: deterministic expansion, and ids that hash what a trial is."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.errors import listed, nearest
from harness.plan.design import Design, Factor, Level
from harness.spec.models import ALL_STREAMS, VARIED_STREAMS, Scalar, Select, level_name
from harness.spec.yaml_source import Location

IDENTITY_VERSION = 1


@dataclass(frozen=True)
class Trial:
    """An arm and a replicate.

    ``arm`` has the shown level of each unblocked factor; ``blocked`` the level names of each blocked one;
    ``parameters`` the keyword arguments as plain data; ``identity`` what the id is the hash of. ``readings`` says what
    it is for in a spec that tunes: ``tuning``, ``matched``, ``best``; it is empty in one that does not.
    """

    id: str
    arm: Mapping[str, Scalar]
    blocked: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, Any]
    replicate: int
    identity: Mapping[str, Any]
    readings: tuple[str, ...] = ()


BestLevels = Mapping[str, Mapping[str, str]]
"""By tuned arm (``outer_arm``): the level name of each tuned factor that was frozen for it."""


def expand(design: Design, best: BestLevels | None = None) -> list[Trial]:
    """Return every trial of a design, replicates outermost, so that a sweep that is cut short has whole replicates.

    Where the spec tunes, the tuning trials come first, on replicates numbered -1, -2, ..., so that none of their random
    streams is met again. The reporting trials follow from what was frozen, ``best``; without it they are left out.

    Raises:
        UserError: a skip rule names what does not exist, or nothing is left to run.
    """
    rules = _skip_rules(design)
    common = _common(design)
    names = [factor.name for factor in design.plain_factors]
    marked = [
        [_Marked(level, common.differs(factor.name, level.identity)) for level in factor.levels]
        for factor in design.plain_factors
    ]
    blocked_factors = design.blocked_factors
    prepared = []
    for levels in itertools.product(*marked):
        chosen = dict(zip(names, levels, strict=True))
        blocked = _blocked_levels(blocked_factors, chosen, rules)
        if blocked is not None:
            prepared.append(_prepare(common, chosen, blocked))
    if not prepared:
        raise design.experiment.source.error(("skip",), "leaves no combination to run; the grid is empty")
    select = design.select
    if select is None:
        return [_trial(arm, replicate) for replicate in range(design.replicates) for arm in prepared]
    tuned = [arm for arm in prepared if _tunes(select, arm.arm)]
    if not tuned:
        raise design.experiment.source.error(("select", "at"), "no combination has these levels; none would be tuned")
    tuning = [_trial(arm, -1 - number, ("tuning",)) for number in range(select.replicates) for arm in tuned]
    if best is None:
        return tuning
    reported = [(arm, readings) for arm in prepared if (readings := _readings(design, arm.arm, best))]
    return tuning + [_trial(arm, replicate, why) for replicate in range(design.replicates) for arm, why in reported]


def _tunes(select: Select, arm: Mapping[str, Scalar]) -> bool:
    return all(level_name(arm[name]) == level_name(level) for name, level in select.at.items())


def outer_arm(design: Design, arm: Mapping[str, Scalar]) -> str:
    """Return the arm without the factors that it tunes, as text that stands for it."""
    tuned = design.select.factors if design.select else ()
    return canonical({name: level_name(level) for name, level in arm.items() if name not in tuned})


def _readings(design: Design, arm: Mapping[str, Scalar], best: BestLevels) -> tuple[str, ...]:
    assert design.select is not None
    levels = {name: level_name(arm[name]) for name in design.select.factors}
    matched = {name: level_name(level) for name, level in design.select.matched.items()}
    wanted = {"matched": matched, "best": dict(best.get(outer_arm(design, arm), {}))}
    return tuple(reading for reading, chosen in wanted.items() if chosen == levels)


class _Arm(NamedTuple):
    arm: Mapping[str, Scalar]
    blocked: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, Any]
    identity: Mapping[str, Any]
    prefix: str


class _Common(NamedTuple):
    """What all arms of a design have in common, worked out once: there may be thousands of them.

    ``defaults`` are the canonical identities of the parameters' defaults; ``given`` the fixed parameters, ``identity``
    what they are, without those that equal their default; ``whole`` the identity of a trial but for its parameters.
    """

    defaults: Mapping[str, str]
    given: Mapping[str, Any]
    identity: Mapping[str, Any]
    whole: Mapping[str, Any]

    def differs(self, name: str, identity: Any) -> bool:
        """Say whether a value is another than the parameter's default, and so a part of what a trial is."""
        return self.defaults.get(name) != canonical(identity)


class _Marked(NamedTuple):
    """A level of an unblocked factor, and whether it differs from the parameter's default."""

    level: Level
    differs: bool


def _common(design: Design) -> _Common:
    whole: dict[str, Any] = {
        "version": IDENTITY_VERSION,
        "experiment": design.name,
        "function": design.function.name,
        "parameters": {},
    }
    if design.device != "cpu":
        whole["device"] = design.device
    given = {name: level.given for name, level in design.fixed.items()}
    common = _Common(_default_identities(design), given, {}, whole)
    identity = {name: value for name, value in design.fixed_identity.items() if common.differs(name, value)}
    return common._replace(identity=identity)


def _prepare(common: _Common, chosen: Mapping[str, _Marked], blocked: Mapping[str, list[Level]]) -> _Arm:
    given = {name: marked.level.given for name, marked in chosen.items()}
    given |= {name: {level.name: level.given for level in levels} for name, levels in blocked.items()}
    identity = {name: marked.level.identity for name, marked in chosen.items() if marked.differs}
    for name, levels in blocked.items():
        together = {level.name: level.identity for level in levels}
        if common.differs(name, together):
            identity[name] = together
    identity |= common.identity
    return _Arm(
        {name: marked.level.shown for name, marked in chosen.items()},
        {name: tuple(level.name for level in levels) for name, levels in blocked.items()},
        {**given, **common.given},
        {**common.whole, "parameters": identity},
        _readable(identity),
    )


def _trial(arm: _Arm, replicate: int, readings: tuple[str, ...] = ()) -> Trial:
    identity = {**arm.identity, "replicate": replicate}
    digest = hashlib.sha256(canonical(identity).encode()).hexdigest()[:16]
    name = f"{arm.prefix}r{replicate}-{digest}" if replicate >= 0 else f"{arm.prefix}tuning{-replicate}-{digest}"
    return Trial(name, arm.arm, arm.blocked, arm.parameters, replicate, identity, readings)


def canonical(value: Any) -> str:
    """Return JSON text that depends on the value alone: sorted keys, shortest floats, no spaces."""
    return _CANONICAL.encode(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _readable(identity: Mapping[str, Any]) -> str:
    """Return a prefix for people; it follows from the identity, so it is as stable as the hash."""
    scalars = [f"{key}={value}" for key, value in sorted(identity.items()) if not isinstance(value, dict | list)]
    text = _UNREADABLE.sub("_", ",".join(scalars))[:48]
    return text + "-" if text else ""


_UNREADABLE = re.compile(r"[^A-Za-z0-9=.,_-]+")


def _default_identities(design: Design) -> dict[str, str]:
    """Return the canonical identity of each parameter's default: a value equal to it leaves the id as it was."""
    found = {VARIED_STREAMS: canonical(ALL_STREAMS)}
    for parameter in design.function.parameters.values():
        if not parameter.required:
            found[parameter.name] = canonical(parameter.plain(parameter.default))
    return found


@dataclass(frozen=True)
class _Rule:
    plain: Mapping[str, frozenset[str]]
    blocked: tuple[str, frozenset[str]] | None


def _skip_rules(design: Design) -> list[_Rule]:
    source = design.experiment.source
    factors = {factor.name: factor for factor in design.factors}
    rules = []
    places: list[tuple[Location, Mapping[str, Any]]] = [
        ((*at, index), rule)
        for at, found in (
            (("skip",), design.experiment.spec.skip),
            (("profiles", design.profile_name, "skip"), design.profile.skip),
        )
        for index, rule in enumerate(found)
    ]
    for place, rule in places:
        plain: dict[str, frozenset[str]] = {}
        blocked: list[tuple[str, frozenset[str]]] = []
        for key, wanted in rule.items():
            at = (*place, key)
            if key not in factors:
                raise source.error(
                    at, f"no factor '{key}'{nearest(key, list(factors))} (known: {listed(list(factors))})"
                )
            levels = frozenset(level_name(level) for level in (wanted if isinstance(wanted, list) else [wanted]))
            _known_levels(design, factors[key], levels, at)
            if factors[key].blocked:
                blocked.append((key, levels))
            else:
                plain[key] = levels
        if len(blocked) > 1:
            raise source.error(place, "names two blocked factors; a rule may name one")
        rules.append(_Rule(plain, blocked[0] if blocked else None))
    return rules


def _known_levels(design: Design, factor: Factor, wanted: frozenset[str], at: Location) -> None:
    spec = design.experiment.spec
    sets = [spec.factors[factor.name].levels, *(p.factors.get(factor.name, ()) for p in spec.profiles.values())]
    known = {level_name(level) for levels in sets for level in levels} | {level.name for level in factor.levels}
    for name in sorted(wanted - known):
        message = f"the factor '{factor.name}' has no level '{name}'{nearest(name, sorted(known))}"
        raise design.experiment.source.error(at, message)


def _blocked_levels(
    factors: Sequence[Factor], chosen: Mapping[str, _Marked], rules: list[_Rule]
) -> dict[str, list[Level]] | None:
    """Return the levels that run together in one trial, or None where a rule skips the whole arm."""
    dropped: dict[str, set[str]] = {}
    for rule in rules:
        if any(chosen[name].level.name not in levels for name, levels in rule.plain.items()):
            continue
        if rule.blocked is None:
            return None
        dropped.setdefault(rule.blocked[0], set()).update(rule.blocked[1])
    kept = {}
    for factor in factors:
        kept[factor.name] = [level for level in factor.levels if level.name not in dropped.get(factor.name, set())]
        if not kept[factor.name]:
            return None
    return kept
