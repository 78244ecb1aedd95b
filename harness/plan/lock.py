"""The locked plan: what was asked, of which trials, by which code, written down before the first trial ran.

The first lock of an experiment's profile is the plan. Whatever differs from it later is a deviation, and stands in the
report with what it was before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.plan.code import fingerprint
from harness.plan.design import Design
from harness.plan.state import PlanState
from harness.plan.trials import IDENTITY_VERSION, Trial, canonical
from harness.store.atomic import write_json_once
from harness.store.store import Store

FORMAT = 1
ANALYSIS = "harness.verdicts.judge:judge"
STREAMS = "harness.execution.streams:Stream"
NAMED = 3


def lock_plan(state: PlanState, store: Store, underpowered: Sequence[str] = ()) -> None:
    """Write the plan down unless it stands there already as it is; ``underpowered`` names claims run all the same.

    Raises:
        OSError: the store cannot be written.
    """
    folder = _folder(store, state.design)
    locked = _read(folder)
    document = describe(state, underpowered)
    digest = _digest(document)
    if locked and _digest(locked[-1]) == digest:
        return
    folder.mkdir(parents=True, exist_ok=True)
    created = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(created))
    moment = {"created": created, "finished_before": state.count("done") + state.count("stale")}
    with contextlib.suppress(FileExistsError):
        write_json_once(folder / f"{stamp}.{int(created % 1 * 1e6):06d}-{digest}.json", document | {"moment": moment})


def describe(state: PlanState, underpowered: Sequence[str] = ()) -> dict[str, Any]:
    """Return the plan as it is now, as JSON data."""
    design = state.design
    return {
        "format": FORMAT,
        "experiment": design.name,
        "profile": {"fidelity": design.profile.fidelity, "conclusive": design.profile.conclusive},
        "claims": {r.claim.id: r.claim.model_dump(mode="json") for r in design.experiment.claims},
        "factors": {f.name: {level.name: level.identity for level in f.levels} for f in design.factors},
        "fixed": design.fixed_identity,
        "looks": list(design.looks),
        "select": design.select.model_dump(mode="json") if design.select else None,
        "trials": sorted(entry.trial.id for entry in state.states if _is_planned(entry.trial)),
        "identity_version": IDENTITY_VERSION,
        "streams": fingerprint(STREAMS).digest,
        "trial_code": fingerprint(design.function.name).modules,
        "analysis_code": fingerprint(ANALYSIS).modules if design.experiment.claims else {},
        "underpowered": sorted(underpowered),
    }


def deviations(state: PlanState, store: Store) -> list[str]:
    """Return a sentence for each thing that differs from the plan as it was locked, with what it was before."""
    locked = _read(_folder(store, state.design))
    if not locked:
        ran = any(entry.counted is not None for entry in state.states)
        return ["no plan was locked before these trials ran"] if ran else []
    plan = locked[0]
    found = []
    if before := plan.get("moment", {}).get("finished_before"):
        found.append(f"the plan was locked when {before} of its trials had finished already")
    # Powers are a matter of when one looks, not of what was planned.
    found += _differences(plan, describe(state, plan.get("underpowered", ())))
    return found


def accepted_before(state: PlanState, store: Store) -> list[str] | None:
    """Return the claims that this plan was accepted with as underpowered when it was locked; None without that.

    Code may have changed since: what is planned has not.
    """
    for lock in reversed(_read(_folder(store, state.design))):
        underpowered = lock.get("underpowered", [])
        now = describe(state, underpowered)
        code = {"trial_code": {}, "analysis_code": {}, "streams": ""}
        if _digest({**lock, **code}) == _digest({**now, **code}):
            return list(underpowered)
    return None


def underpowered_claims(state: PlanState, store: Store) -> list[str]:
    """Return the claims that were run although the plan said that the design could hardly decide them."""
    return sorted({name for lock in _read(_folder(store, state.design)) for name in lock.get("underpowered", ())})


def _is_planned(trial: Trial) -> bool:
    # Which reporting trials a tuning leads to is no part of the plan: the rule that leads there is.
    return not trial.readings or "tuning" in trial.readings


def _folder(store: Store, design: Design) -> Path:
    """Return the folder of a profile's locks; a command line that changes the design has a plan of its own."""
    name = f"{design.profile_name}-{design.device}"
    if design.overrides:
        name += "-" + hashlib.sha256(canonical(dict(design.overrides)).encode()).hexdigest()[:8]
    return store.root / design.name / "locks" / name


def _read(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        with contextlib.suppress(OSError, ValueError):
            found.append(json.loads(path.read_bytes()))
    return found


def _digest(document: Mapping[str, Any]) -> str:
    text = canonical({key: value for key, value in document.items() if key != "moment"})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    yield from _claims(before["claims"], now["claims"])
    for key in ("factors", "fixed", "looks", "select", "profile"):
        for path, was, is_now in _changes(before[key], now[key], (key,)):
            yield f"{'.'.join(path)} was {_shown(was)} when the plan was locked, and is {_shown(is_now)}"
    yield from _trials(set(before["trials"]), set(now["trials"]))
    if (before["identity_version"], before["streams"]) != (now["identity_version"], now["streams"]):
        yield "the derivation of random streams (the seeds) changed after the plan was locked"
    for key, name in (("trial_code", "the trials' code"), ("analysis_code", "the analysis code")):
        modules = sorted(m for m in before[key].keys() | now[key].keys() if before[key].get(m) != now[key].get(m))
        if modules:
            yield f"{name} changed after the plan was locked: {_listed(modules)}"


def _claims(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*before, *now)):
        if name not in now:
            yield f"the claim {name} was planned, and is left out now"
        elif name not in before:
            yield f"the claim {name} was added after the plan was locked"
        else:
            for path, was, is_now in _changes(before[name], now[name], ()):
                key = ".".join(path)
                yield f"claim {name}: {key} was {_shown(was)} when the plan was locked, and is {_shown(is_now)}"


def _trials(before: set[str], now: set[str]) -> Iterator[str]:
    if dropped := sorted(before - now):
        yield f"{len(dropped)} planned trials were dropped: {_listed(dropped)}"
    if added := sorted(now - before):
        yield f"{len(added)} trials were added to the plan: {_listed(added)}"


def _changes(before: Any, now: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield every leaf that differs, with its path."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            yield from _changes(before.get(key), now.get(key), (*path, str(key)))
    elif before != now:
        yield path, before, now


def _shown(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
