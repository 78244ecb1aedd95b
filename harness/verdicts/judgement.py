"""A claim with its verdict and all that the verdict rests on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from harness.spec.claims import ClaimBase
from harness.spec.models import Fidelity
from harness.verdicts.components import Component
from harness.verdicts.evidence import ArmCount
from harness.verdicts.exact_tests import ExactTest
from harness.verdicts.families import Membership
from harness.verdicts.rules import Verdict, expected_repetition
from harness.verdicts.sensitivity import Check
from harness.verdicts.statistics.estimates import Estimate, Exact


@dataclass(frozen=True)
class Judgement:
    """A claim under one profile (and reading) with its verdict; numbers are in the claim's unit.

    Attributes:
        level, shown_level: two-sided levels of the decision (family and looks) and of the interval shown (looks alone).
        p: the smallest family-wide level at which the claim would be decided if it stood alone, over all looks made.
        look: replicates at which it was decided or last judged; None while the first look is not complete.
        replicates: those of ours that the effect rests on.
        planned, finished: trials of the experiment's profile.
        bounds: the interval if lost trials had been as bad or as good as any; None where none was lost.
        unit_of_analysis: what ``n`` counts, or what the interval rests on, in words; empty for counts.
        correlation: that of the two arms over the units that pair.
        mde: the smallest distance from the threshold that this design finds in 80 of 100 cases.
        needed: units (of which there are ``units``) that would decide in 80 of 100 cases.
        warning: why the interval may cover less than it says; empty where nothing speaks for it.
        certificate: what is to be said of the machine's A/A certificate; empty for claims that rest on no times.
    """

    claim: ClaimBase
    experiment: str
    profile: str
    fidelity: Fidelity
    reading: str | None
    verdict: Verdict
    reason: str
    estimate: Estimate | None
    level: float
    shown_level: float
    family: Membership
    p: float
    look: int | None
    looks: tuple[int, ...]
    replicates: int
    planned: int
    finished: int
    trials: tuple[str, ...]
    arms: tuple[ArmCount, ...]
    bounds: tuple[float, float] | None
    unit_of_analysis: str
    correlation: float | None
    components: tuple[Component, ...]
    mde: float | None
    units: int | None
    needed: int | None
    sensitivity: tuple[Check, ...]
    warning: str
    exact_test: ExactTest | None
    certificate: str

    @property
    def effect(self) -> float:
        return self.estimate.effect if self.estimate is not None else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The interval shown: 95 %, or wider where looks spend the level."""
        return self._interval(self.shown_level)

    @property
    def adjusted(self) -> tuple[float, float]:
        """The interval that decides: at the level left by the family's and the looks' correction."""
        return self._interval(self.level)

    def _interval(self, level: float) -> tuple[float, float]:
        return self.estimate.interval(1 - level) if self.estimate is not None else (math.nan, math.nan)

    @property
    def n(self) -> int:
        return self.estimate.n if self.estimate is not None else 0

    @property
    def exact(self) -> bool:
        return isinstance(self.estimate, Exact)

    @property
    def anchor(self) -> str:
        """A name for the judgement that is its own among all."""
        parts = (self.experiment, self.profile, self.claim.id, self.reading or "")
        return "-".join(part for part in parts if part)

    @property
    def expected_repetition(self) -> tuple[float, float] | None:
        """Where a repetition of the paper's own experiment would fall; None where the paper states too little."""
        return expected_repetition(self.claim, self.replicates)

    def row(self) -> dict[str, Any]:
        """Return the claim as an entry of ``claims.json``; what is not known is null."""
        claim = self.claim
        low, high = (_finite(end) for end in self.interval)
        adjusted_low, adjusted_high = (_finite(end) for end in self.adjusted)
        return {
            "claim": claim.id,
            "paper": claim.paper,
            "arxiv": claim.arxiv,
            "locator": claim.locator,
            "experiment": self.experiment,
            "profile": self.profile,
            "fidelity": self.fidelity,
            "reading": self.reading,
            "form": claim.form,  # type: ignore[attr-defined]
            "metric": claim.metric,
            "verdict": self.verdict,
            "effect": _finite(self.effect),
            "ci_low": low,
            "ci_high": high,
            "confidence": 1 - self.shown_level,
            "n": self.n,
            "unit": claim.unit,
            "published": _model(claim.published),
            "margin": _model(claim.margin),
            "mde": _finite(self.mde),
            "trials": list(self.trials),
            "reason": self.reason,
            "beside": claim.beside or None,
            "p": _finite(self.p),
            "adjusted": {
                "low": adjusted_low,
                "high": adjusted_high,
                "confidence": 1 - self.level,
                "p": _finite(self.family.p_adjusted),
                "method": self.family.method,
                "members": self.family.members,
                "registered": self.family.registered,
            },
            "looks": {"planned": list(self.looks), "decided_at": self.look},
            "arms": [asdict(arm) for arm in self.arms],
            "worst_case": None if self.bounds is None else [_finite(end) for end in self.bounds],
            "unit_of_analysis": self.unit_of_analysis or None,
            "pairing_correlation": _finite(self.correlation),
            "components": [{k: _plain(v) for k, v in asdict(part).items()} for part in self.components],
            "replicates_that_decide": self.needed,
            "expected_repetition": None if self.expected_repetition is None else list(self.expected_repetition),
            "sensitivity": [asdict(check) for check in self.sensitivity],
            "exact_test": None if self.exact_test is None else asdict(self.exact_test),
            "warning": self.warning or None,
            "certificate": self.certificate or None,
        }


def _plain(value: Any) -> Any:
    return _finite(value) if isinstance(value, float) else value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _model(model: Any) -> dict[str, Any] | None:
    return None if model is None else model.model_dump(exclude_none=True)
