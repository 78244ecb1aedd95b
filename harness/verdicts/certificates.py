"""What a machine's A/A certificate says of a timing claim: the smallest ratio that it resolves."""

from __future__ import annotations

from dataclasses import dataclass

from harness.plan.state import PlanState
from harness.spec.claims import ClaimBase
from harness.store.certificates import certificate_for
from harness.store.store import Store
from harness.verdicts.evidence import Evidence

NOMINAL = 0.05
"""The rate at which two identical arms are called different by a pipeline that is calibrated."""


@dataclass(frozen=True)
class Floor:
    """The smallest ratio that may be told from its threshold, and what is to be said of it.

    ``miscalibrated`` says that identical arms differ too often on this machine, so that no time decides anything.
    """

    ratio: float | None = None
    sentence: str = ""
    miscalibrated: str = ""


def floor_of(claim: ClaimBase, evidence: Evidence, state: PlanState, store: Store | None) -> Floor:
    """Return the floor for a claim on raw times: that of the worst machine its trials ran on."""
    if getattr(claim, "samples", None) is None or store is None or not evidence.trials:
        return Floor()
    digests = {
        entry.counted.attempt.environment: None
        for entry in state.states
        if entry.counted is not None and entry.trial.id in evidence.trials
    }
    found = [certificate_for(store, store.environment(digest), state.design.device) for digest in digests]
    missing = next((sentence for certificate, sentence in found if certificate is None), "")
    if missing:
        return Floor(sentence=missing)
    certificates = [certificate for certificate, _ in found if certificate is not None]
    worst = max(certificates, key=lambda one: one.smallest_ratio)
    sentence = (
        f"A/A certificate {worst.id}: {worst.false_positives} of {worst.decided} identical pairs called different "
        f"({worst.rate:.1%}, 95 % interval {worst.rate_low:.1%} to {worst.rate_high:.1%}); "
        f"smallest ratio resolved {worst.smallest_ratio:.3f}"
    )
    bad = next((one for one in certificates if one.rate_low > NOMINAL), None)
    wrong = (
        ""
        if bad is None
        else (
            f"identical systems are called different in {bad.rate:.0%} of cases on this machine "
            f"(A/A certificate {bad.id}), so its times decide nothing"
        )
    )
    return Floor(worst.smallest_ratio, sentence, wrong)
