"""Every claim of an experiment, judged: the rows of ``claims.json``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from harness.plan.state import PlanState
from harness.spec.claims import Claim
from harness.spec.models import Fidelity
from harness.store.attempt import DamagedAttempt
from harness.verdicts.evidence import gather
from harness.verdicts.rules import Decision, Evidence, Verdict, decide


@dataclass(frozen=True)
class Judgement:
    """A claim with its verdict and all that the verdict rests on; numbers are in ``unit``.

    ``planned`` and ``finished`` count the trials of the experiment's profile.
    """

    claim: Claim
    experiment: str
    profile: str
    fidelity: Fidelity
    verdict: Verdict
    reason: str
    evidence: Evidence
    planned: int
    finished: int

    def row(self) -> dict[str, Any]:
        """Return the claim as an entry of ``claims.json``; what is not known is null."""
        claim, evidence = self.claim, self.evidence
        return {
            "claim": claim.id,
            "paper": claim.paper,
            "arxiv": claim.arxiv,
            "locator": claim.locator,
            "experiment": self.experiment,
            "profile": self.profile,
            "fidelity": self.fidelity,
            "form": claim.form,
            "metric": claim.metric,
            "verdict": self.verdict,
            "effect": _finite(evidence.effect),
            "ci_low": _finite(evidence.low),
            "ci_high": _finite(evidence.high),
            "n": evidence.n,
            "unit": claim.unit,
            "published": _model(claim.published),
            "margin": _model(claim.margin),
            "mde": _finite(evidence.mde),
            "trials": list(evidence.trials),
            "reason": self.reason,
        }


def judge(state: PlanState, *, stale: bool = False) -> list[Judgement]:
    """Judge every claim that the experiment serves, under the profile of ``state``."""
    design = state.design
    found = []
    for registered in design.experiment.claims:
        claim = registered.claim
        try:
            evidence = gather(claim, state, stale=stale)
        except DamagedAttempt as error:
            evidence = Evidence(missing=f"an attempt is damaged: {error}")
        decision = decide(claim, evidence, design.profile.fidelity)
        if not design.profile.conclusive and decision.verdict != "not run":
            decision = Decision(
                "inconclusive", "this profile only shows that everything runs; it is too small to decide"
            )
        finished = state.count("done")
        reason = decision.reason
        if finished < len(state.states) and decision.verdict != "not run":
            reason += f"; {finished} of {len(state.states)} planned trials are finished"
        found.append(
            Judgement(
                claim,
                design.name,
                design.profile_name,
                design.profile.fidelity,
                decision.verdict,
                reason,
                evidence,
                len(state.states),
                finished,
            )
        )
    return found


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _model(model: Any) -> dict[str, Any] | None:
    return None if model is None else model.model_dump(exclude_none=True)
