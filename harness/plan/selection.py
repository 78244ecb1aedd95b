"""Selection under equal budgets: tuning trials to levels that are frozen before the reporting replicates start."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.plan.design import Design
from harness.plan.state import TrialState
from harness.plan.trials import canonical, outer_arm
from harness.spec.models import level_name
from harness.store.atomic import write_json_once
from harness.store.store import Store


@dataclass(frozen=True)
class Score:
    """What one combination of tuned levels reached: the mean of the validation metric over the tuning replicates."""

    arm: str
    levels: Mapping[str, str]
    mean: float | None
    replicates: int


@dataclass(frozen=True)
class Selection:
    """The levels frozen for each arm, the scores they were chosen by, and the attempts these rest on."""

    best: Mapping[str, Mapping[str, str]]
    scores: tuple[Score, ...]
    attempts: Mapping[str, str]
    metric: str
    frozen: float


def frozen_selection(store: Store, design: Design, code: str) -> Selection | None:
    """Return what was frozen for a design and its trials' present code; None where the arms are not tuned yet."""
    try:
        document = json.loads(_path(store, design, code).read_bytes())
    except OSError:
        return None
    document["scores"] = tuple(Score(**score) for score in document["scores"])
    return Selection(**document)


def freeze(store: Store, design: Design, code: str, states: Sequence[TrialState]) -> Selection:
    """Choose each arm's best levels from its finished tuning trials and write them down, once.

    A combination that failed, diverged or lacks the metric in a replicate is never chosen. Ties go to the combination
    that stands first in the spec. Whoever froze first is right: what stands there already is returned.

    Raises:
        UserError: an arm has no combination that finished all its tuning replicates.
    """
    assert design.select is not None
    values: dict[tuple[str, str], list[float]] = {}
    attempts = {}
    for entry in states:
        if "tuning" not in entry.trial.readings:
            continue
        levels = {name: level_name(entry.trial.arm[name]) for name in design.select.factors}
        values.setdefault((outer_arm(design, entry.trial.arm), canonical(levels)), []).append(_metric(entry, design))
        if entry.counted is not None:
            attempts[entry.trial.id] = entry.counted.attempt.id
    scores = [_score(arm, levels, found, design.select.replicates) for (arm, levels), found in values.items()]
    best = {arm: _best(arm, scores, design) for arm in dict.fromkeys(score.arm for score in scores)}
    selection = Selection(best, tuple(scores), attempts, design.select.metric, time.time())
    path = _path(store, design, code)
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        write_json_once(path, asdict(selection))
    found_now = frozen_selection(store, design, code)
    assert found_now is not None
    return found_now


def _metric(entry: TrialState, design: Design) -> float:
    """Return the validation metric of a tuning trial, its mean over blocked levels; NaN where it is missing."""
    assert design.select is not None
    if entry.status != "done" or entry.counted is None:
        return math.nan
    numbers = [record.get(design.select.metric) for record in entry.counted.attempt.records]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        return math.nan
    return sum(numbers) / len(numbers)  # type: ignore[arg-type]


def _score(arm: str, levels: str, values: Sequence[float], replicates: int) -> Score:
    whole = len(values) == replicates and all(math.isfinite(value) for value in values)
    return Score(arm, json.loads(levels), sum(values) / len(values) if whole else None, len(values))


def _best(arm: str, scores: Sequence[Score], design: Design) -> Mapping[str, str]:
    assert design.select is not None
    sign = 1.0 if design.select.direction == "greater" else -1.0
    usable = [score for score in scores if score.arm == arm and score.mean is not None]
    if not usable:
        tuned = ", ".join(design.select.factors)
        raise UserError(
            f"{design.name}: no combination of {tuned} finished its tuning replicates with a finite "
            f"'{design.select.metric}' in the arm {arm}; failed ones run again with --retry-failed, stale ones without "
            "--stale keep"
        )
    return max(usable, key=lambda score: sign * (score.mean or 0.0)).levels


def _path(store: Store, design: Design, code: str) -> Path:
    """Return the file of a selection: it changes with what is tuned, with the fixed parameters and with the code."""
    assert design.select is not None
    what: dict[str, Any] = {
        "select": design.select.model_dump(),
        "factors": {f.name: {level.name: level.identity for level in f.levels} for f in design.factors},
        "fixed": design.fixed_identity,
        "device": design.device,
        "code": code,
    }
    digest = hashlib.sha256(canonical(what).encode()).hexdigest()[:16]
    return store.root / design.name / "selections" / f"{digest}.json"
