"""Many sweeps of known truth at once, judged by the real ``judge``.

Sweeps lie side by side in one experiment, each as a paper of its own: families are corrected within a paper, so nothing
that is decided in one sweep depends on another. Arms are levels of one blocked factor, which keeps a replicate one trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy
import pytest
from support import TRIALS
from synthetic import claim_yaml, design_of

from harness.plan.design import Design
from harness.plan.state import PlanState, TrialState
from harness.plan.trials import Trial, expand
from harness.store.attempt import Attempt
from harness.store.store import StoredAttempt
from harness.verdicts import data as data_module
from harness.verdicts import judge as judge_module
from harness.verdicts.judgement import Judgement
from harness.verdicts.saving import all_decided

Claims = Sequence[Mapping[str, Any]]
CONFIRMED = ("direction only", "reproduced")
DESCRIPTIONS: dict[str, Callable[..., Any]] = {
    "sensitivity": lambda *_: (),
    "components": lambda *_: (),
    "exact_test": lambda *_: None,
    "smallest_found": lambda *_: None,
    "deciding_replicates": lambda *_: None,
}
"""What stands beside a verdict and cannot change it, with what is put in its place: it takes three quarters of the time."""


@contextmanager
def deciding_only() -> Iterator[None]:
    """Leave out what only describes. A test holds that the verdicts, effects, levels and p-values are the same bytes."""
    with (
        mock.patch.multiple(judge_module, **DESCRIPTIONS),
        mock.patch.object(data_module, "pairing_correlation", lambda *_: None),
    ):
        yield


def standard_error(share: float, number: int) -> float:
    """Return the binomial standard error of a share that was counted in ``number`` independent cases."""
    return math.sqrt(share * (1 - share) / number)


MANY = 1000
"""Sweeps from which a simulation is held to two of its standard errors; fewer only show that it runs, and are held to four."""


def at_most(share: float, number: int) -> float:
    """Return what a share that is promised may come out as in ``number`` simulated cases."""
    return share + (2 if number >= MANY else 4) * standard_error(share, number)


def prepared(folder: Path) -> Path:
    """Return a folder with the trial functions that the specs here name."""
    (folder / "small_trials.py").write_text(TRIALS)
    return folder


def difference(treatment: str, control: str, **keys: Any) -> dict[str, Any]:
    """Return a difference claim between two arms of a sweep; arms are plain names here."""
    return {"form": "difference", "treatment": treatment, "control": control, **keys}


@dataclass(frozen=True)
class Stopped:
    """A sweep at the look where it stopped, with its claims as judged there."""

    look: int
    judgements: tuple[Judgement, ...]


class Sweeps:
    """Sweeps that share arms and replicates, each with claims of its own.

    ``values`` in the methods are (sweeps, arms, replicates). ``families`` has one list of claims for each sweep.
    """

    def __init__(
        self, folder: Path, arms: Sequence[str], families: Sequence[Claims], replicates: Any, **spec: Any
    ) -> None:
        self.arms, self.number = tuple(arms), len(families)
        self.sizes = [len(family) for family in families]
        placed = [
            _placed(claim, sweep, place) for sweep, family in enumerate(families) for place, claim in enumerate(family)
        ]
        levels = {f"{arm}-{sweep}": 1.0 for sweep in range(self.number) for arm in self.arms}
        self.names = list(levels)
        whole = {
            "trial": "small_trials:pair",
            "factors": {"system": {"levels": levels, "blocked": True}},
            "claims": placed,
            "replicates": _looks(replicates),
            **spec,
        }
        self.design: Design = design_of(prepared(folder), whole)
        self.trials: list[Trial] = expand(self.design)
        self.ids = [_counted(trial) for trial in self.trials]

    def state(self, values: numpy.ndarray | None, replicates: int | None = None) -> PlanState:
        """Return the state after the first ``replicates`` (default: all); without values nothing has run."""
        done = 0 if values is None else self.design.replicates if replicates is None else replicates
        flat = values.reshape(-1, values.shape[-1]).tolist() if values is not None else []
        states = []
        for trial in self.trials:
            if trial.replicate >= done:
                states.append(TrialState(trial, "missing", None))
                continue
            records = tuple(
                {"system": name, "value": row[trial.replicate]} for name, row in zip(self.names, flat, strict=True)
            )
            states.append(TrialState(trial, "done", _counted(trial, records)))
        return PlanState(self.design, "code", states)

    def judged(self, values: numpy.ndarray, replicates: int | None = None) -> list[tuple[Judgement, ...]]:
        """Return the judgements of each sweep."""
        with deciding_only():
            found = iter(judge_module.judge(self.state(values, replicates)))
        return [tuple(next(found) for _ in range(size)) for size in self.sizes]

    def run(self, values: numpy.ndarray) -> list[Stopped]:
        """Go from look to look as ``harness run`` does: stop where every confirmatory claim is decided."""
        found: dict[int, Stopped] = {}
        for look in self.design.looks:
            for sweep, judgements in enumerate(self.judged(values, look)):
                if sweep not in found and (look == self.design.replicates or all_decided(judgements)):
                    found[sweep] = Stopped(look, judgements)
            if len(found) == self.number:
                break
        return [found[sweep] for sweep in range(self.number)]


def _looks(replicates: Any) -> Any:
    if isinstance(replicates, int):
        return replicates
    return {"min": replicates[0], "max": replicates[-1], "looks": list(replicates)}


def _placed(claim: Mapping[str, Any], sweep: int, place: int) -> dict[str, Any]:
    def arm(name: str) -> dict[str, str]:
        return {"system": f"{name}-{sweep}"}

    whole = {key: arm(value) if key in ("treatment", "control", "numerator", "denominator", "arm") else value
             for key, value in claim.items()}  # fmt: skip
    if "order" in whole:
        whole["order"] = [arm(name) for name in whole["order"]]
    if "along" in whole:
        whole["along"], whole["levels"] = "system", [f"{name}-{sweep}" for name in whole["levels"]]
    return claim_yaml(**{"id": f"s{sweep}c{place}", "paper": f"sweep {sweep}", **whole})


def _counted(trial: Trial, records: tuple[Mapping[str, Any], ...] = ()) -> StoredAttempt:
    attempt = Attempt(
        f"a{trial.id}", trial.id, "synthetic", trial.identity, trial.arm, trial.replicate, records, None, 0.0, 1.0, "code", "",
    )  # fmt: skip
    return StoredAttempt(attempt, Path("nowhere"))


Drawn = Callable[[numpy.random.Generator, tuple[int, ...]], numpy.ndarray]


def _scale_mixture(generator: numpy.random.Generator, shape: tuple[int, ...]) -> numpy.ndarray:
    wide = generator.random(shape) < 0.1
    return generator.normal(size=shape) * numpy.where(wide, 5.0, 1.0)


def _shift_mixture(generator: numpy.random.Generator, shape: tuple[int, ...]) -> numpy.ndarray:
    return generator.normal(size=shape) + numpy.where(generator.random(shape) < 0.1, 5.0, 0.0)


DISTRIBUTIONS: dict[str, tuple[Drawn, float]] = {
    "normal": (lambda g, shape: g.normal(size=shape), 0.0),
    "t, 3 df": (lambda g, shape: g.standard_t(3, shape), 0.0),
    "normal, a tenth 5 times as wide": (_scale_mixture, 0.0),
    "exponential": (lambda g, shape: g.exponential(size=shape), 1.0),
    "lognormal, sigma 0.5": (lambda g, shape: g.lognormal(0.0, 0.5, shape), math.exp(0.125)),
    "normal, a tenth shifted by 5 sd": (_shift_mixture, 0.5),
}
"""Laws of a paired difference, and their means: what is symmetric first, then what is skewed."""


ARMS = ("a0", "a1", "a2", "a3", "a4")
SPREAD = 0.5
"""How far apart neighbouring arms of :class:`Large` are, in standard deviations of one record."""


class Large:
    """One sweep with many records and a claim of every form but the crossing: five arms, settings and replicates as many as are wanted.

    ``values`` are (replicates, arms, settings): 10 + 0.5 x the arm's number, and normal noise.
    """

    def __init__(self, folder: Path, settings: int, replicates: int, blocked: bool = False) -> None:
        factor, other = ("system", "threads") if blocked else ("arm", "setting")
        levels = {name: 1.0 for name in ARMS} if blocked else list(ARMS)
        numbers = range(settings) if blocked else [f"s{number}" for number in range(settings)]
        spec = {
            "trial": "small_trials:pair" if blocked else "small_trials:arms",
            "factors": {factor: {"levels": levels, "blocked": blocked}, other: list(numbers)},
            "claims": _claims_of_all_forms(factor),
            "replicates": replicates,
        }
        self.design = design_of(prepared(folder), spec)
        generator = numpy.random.default_rng([20260801, settings, replicates])
        self.values = generator.normal(size=(replicates, len(ARMS), settings)) + _means()[:, None]
        self.records = self.values.size
        place = {str(name): index for index, name in enumerate(numbers)}
        states = []
        for trial in expand(self.design):
            column = place[str(trial.arm[other])]
            rows = self.values[trial.replicate, :, column].tolist()
            records = (
                tuple({factor: name, "value": row} for name, row in zip(ARMS, rows, strict=True))
                if blocked
                else ({"value": rows[ARMS.index(str(trial.arm[factor]))]},)
            )
            states.append(TrialState(trial, "done", _counted(trial, records)))
        self.state = PlanState(self.design, "code", states)

    def expected(self) -> dict[str, float]:
        """Return the effects of the claims that pool by the mean, by claim, straight from the values."""
        means = self.values.mean(axis=(0, 2))
        logs = numpy.log(self.values[:, 3]) - numpy.log(self.values[:, 0])
        slopes = numpy.arange(5) - 2.0
        return {
            "difference": means[1] - means[0],
            "ratio": math.exp(logs.mean()),
            "non-inferiority": means[1] - means[2],
            "equivalence": means[0] - means[1],
            "trend": 4 * float(slopes @ means) / 10,
            "optimum": means[4] - means[0],
            "ordering": min(means[4] - means[3], means[3] - means[2]),
            "value": means[4],
            "unpaired": means[4] - means[0],
        }


def _means() -> numpy.ndarray:
    return 10 + SPREAD * numpy.arange(len(ARMS))


def _claims_of_all_forms(factor: str) -> list[dict[str, Any]]:
    def arm(number: int) -> dict[str, str]:
        return {factor: ARMS[number]}

    margin = {"absolute": 0.1, "reason": "r"}
    published = {"value": SPREAD, "locator": "Table 1", "basis": "source"}
    found = {
        "difference": {"form": "difference", "treatment": arm(1), "control": arm(0), "published": published, "margin": margin},
        "iqm": {"form": "difference", "treatment": arm(2), "control": arm(0), "pool": {"rule": "interquartile mean"}},
        "ratio": {"form": "ratio", "numerator": arm(3), "denominator": arm(0)},
        "non-inferiority": {"form": "non_inferiority", "treatment": arm(1), "control": arm(2), "tolerated": margin},
        "equivalence": {"form": "equivalence", "treatment": arm(0), "control": arm(1), "within": margin},
        "trend": {"form": "trend", "along": factor, "levels": list(ARMS)},
        "optimum": {"form": "optimum", "along": factor, "claimed": [ARMS[4]], "against": ARMS[0]},
        "ordering": {"form": "ordering", "order": [arm(4), arm(3), arm(2)]},
        "all": {"form": "ordering", "order": [arm(4), arm(3)], "pool": {"rule": "all"}},
        "value": {"form": "value", "arm": arm(4), "published": {**published, "value": 12.0}, "margin": margin},
        "unpaired": {"form": "difference", "treatment": arm(4), "control": arm(0), "pairing": "unpaired"},
    }  # fmt: skip
    return [claim_yaml(**{"id": name, **claim}) for name, claim in found.items()]


def cases(name: str, values: Sequence[Any], few: int, many: int) -> Any:
    """Parametrise with values and numbers of sweeps: the first value with few by default, all with many among the slow."""
    short, long = [(values[0], few)], [pytest.param(value, many, marks=pytest.mark.slow) for value in values]
    return pytest.mark.parametrize((name, "number"), [*short, *long])


def sized(few: int, many: int) -> Any:
    """Parametrise with a number of sweeps: few by default, many among the slow tests."""
    return pytest.mark.parametrize("number", [few, pytest.param(many, marks=pytest.mark.slow)])


def stream(*key: int) -> numpy.random.Generator:
    return numpy.random.default_rng([20260801, *key])


def rate(found: Sequence[bool]) -> float:
    return float(numpy.mean(found))


def margin_of(value: float) -> dict[str, Any]:
    return {"absolute": value, "reason": "r"}
