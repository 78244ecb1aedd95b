"""Which claims share one error rate, and at which level each of them is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.spec.claims import ClaimBase
from harness.spec.load import Experiment
from harness.verdicts.rules import ALPHA
from harness.verdicts.statistics.families import benjamini_hochberg, holm


@dataclass(frozen=True)
class Membership:
    """A claim's place in its family.

    ``members`` counts what is decided together here (a claim with two readings twice), ``registered`` the paper's
    confirmatory claims in the claims file. ``share`` is the part of the paper's 5 % that this experiment's claims may
    spend: their part of all those registered. Holm's procedure runs within the share, so the error over all experiments
    of the paper stays at 5 %, and no verdict depends on what else was run.
    """

    method: str
    members: int
    registered: int
    share: float
    p_adjusted: float
    level: float


def is_tested(claim: ClaimBase) -> bool:
    """Say whether a claim is decided with an error rate: counts without sampling error are not."""
    return not claim.exact


def share_of(experiment: Experiment, paper: str) -> tuple[float, int]:
    """Return the part of a paper's 5 % that an experiment's confirmatory claims may spend, and how many are registered.

    The part is the experiment's share of all distinct claims of the paper in its claims file.
    """
    served = {r.claim.id for r in experiment.claims if _counts(r.claim, paper)}
    registered = served | {r.claim.id for r in experiment.registry if _counts(r.claim, paper)}
    return (len(served) / len(registered) if registered else 1.0), len(registered)


def _counts(claim: ClaimBase, paper: str) -> bool:
    return claim.paper == paper and claim.family == "confirmatory" and is_tested(claim)


def memberships(experiment: Experiment, claims: Sequence[ClaimBase], p_values: Sequence[float]) -> list[Membership]:
    """Return each claim's place: Holm within a paper's confirmatory claims, Benjamini-Hochberg over exploratory ones.

    ``claims`` may name one claim twice, once for each reading. A count is no member: it is decided at the full level.
    """
    found: list[Membership] = [Membership("none: a count", 0, 0, 1.0, p, ALPHA) for p in p_values]
    for paper, family in dict.fromkeys((claim.paper, claim.family) for claim in claims):
        places = [i for i, c in enumerate(claims) if (c.paper, c.family) == (paper, family) and is_tested(c)]
        if not places:
            continue
        values = [p_values[i] for i in places]
        if family == "confirmatory":
            share, registered = share_of(experiment, paper)
            for i, one in zip(places, holm(values, ALPHA * share), strict=True):
                adjusted = min(1.0, one.p / share)
                found[i] = Membership("Holm", len(places), registered, share, adjusted, one.level)
        else:
            for i, one in zip(places, benjamini_hochberg(values, ALPHA), strict=True):
                found[i] = Membership("Benjamini-Hochberg", len(places), len(places), 1.0, one.p, one.level)
    return found


def planned_level(experiment: Experiment, claim: ClaimBase) -> float:
    """Return the level that a plan counts with: the first step of the family's procedure, with nothing decided yet."""
    members = sum(
        2 if experiment.spec.select is not None and other.claim.reading is None else 1
        for other in experiment.claims
        if (other.claim.paper, other.claim.family) == (claim.paper, claim.family) and is_tested(other.claim)
    )
    share = share_of(experiment, claim.paper)[0] if claim.family == "confirmatory" else 1.0
    return ALPHA * share / max(members, 1)
