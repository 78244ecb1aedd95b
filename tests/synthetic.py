"""Sweeps of known truth, in memory: a design's trials with made-up records, judged by the real verdict code."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from support import TRIALS

from harness.plan.design import Design, make_design
from harness.plan.state import PlanState, TrialState
from harness.plan.trials import Trial, expand
from harness.spec.load import load_experiment
from harness.store.attempt import Attempt, Failure, write_attempt
from harness.store.store import Store, StoredAttempt
from harness.verdicts.judge import judge
from harness.verdicts.judgement import Judgement

Made = Sequence[Mapping[str, Any]] | Mapping[str, Any] | Failure | None
"""Records of a trial, one record, its failure, or None where it has not run."""

FAILED = Failure("raised", "ValueError", "made to fail")


def claim_yaml(**keys: Any) -> dict[str, Any]:
    """Return a claim as a spec would hold it, with the keys that all claims need."""
    base = {"paper": "P", "arxiv": "2101.00001v1", "locator": "Table 1", "statement": "S.", "metric": "value"}
    return {"id": "c", **base, **keys}


def published_yaml(value: float, absolute: float, **keys: Any) -> dict[str, Any]:
    """Return a published figure and the margin around it, as keys of a claim."""
    figure = {"value": value, "locator": "Table 1", "basis": "source", **keys}
    return {"published": figure, "margin": {"absolute": absolute, "reason": "r"}}


@lru_cache(maxsize=1)
def trials_folder() -> Path:
    """Return a folder with the small trial functions that lasts as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="harness-synthetic-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "small_trials.py").write_text(TRIALS)
    return folder


def design_of(folder: Path, spec: Mapping[str, Any], **options: Any) -> Design:
    """Return the design of a spec given as plain data; its trial function is ``small_trials:arms``."""
    import yaml

    path = folder / "synthetic.yaml"
    whole = {"experiment": "synthetic", "title": "T", "trial": "small_trials:arms", **spec}
    whole.setdefault("profiles", {"laptop": {"fidelity": "paper"}})
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return make_design(load_experiment(path), **options)


def state_with(design: Design, make: Callable[[Trial], Made]) -> PlanState:
    """Return the state of a design whose trials gave what ``make`` says."""
    return PlanState(design, "code", [_state(trial, make(trial)) for trial in expand(design)])


def judged(spec: Mapping[str, Any], make: Callable[[Trial], Made], **options: Any) -> dict[str, Judgement]:
    """Return the judgements of a spec's claims, by claim, where its trials gave what ``make`` says."""
    design = design_of(trials_folder(), spec, **options)
    return {one.claim.id: one for one in judge(state_with(design, make))}


def state_with_samples(
    design: Design, make: Callable[[Trial], tuple[Made, Mapping[str, Any]]], store: Store
) -> PlanState:
    """Return the state of a design whose trials gave records and sample tables, written to a store."""
    states = []
    for trial in expand(design):
        made, tables = make(trial)
        entry = _state(trial, made)
        if entry.counted is not None:
            folder = store.attempts_folder(design.name, trial.id)
            folder.mkdir(parents=True, exist_ok=True)
            written = write_attempt(folder, entry.counted.attempt, tables, None)
            entry = TrialState(trial, entry.status, StoredAttempt(entry.counted.attempt, written))
        states.append(entry)
    return PlanState(design, "code", states)


def _state(trial: Trial, made: Made) -> TrialState:
    if made is None:
        return TrialState(trial, "missing", None)
    failure = made if isinstance(made, Failure) else None
    records = () if isinstance(made, Failure) else (made,) if isinstance(made, Mapping) else tuple(made)
    attempt = Attempt(
        f"a{trial.id}", trial.id, "synthetic", trial.identity, trial.arm, trial.replicate, records, failure, 0.0, 1.0, "code", "",
    )  # fmt: skip
    return TrialState(trial, "failed" if failure else "done", StoredAttempt(attempt, Path("nowhere")))
