"""The claims of an experiment as one profile judges them."""

from __future__ import annotations

from dataclasses import replace

from harness.spec.claims import items_problem, may_have_items
from harness.spec.figures import Items
from harness.spec.load import Experiment, RegisteredClaim


def judged_under(experiment: Experiment, profile: str) -> Experiment:
    """Return the experiment with its claims as a profile judges them: over its test items, where it names some.

    Claims with items of their own keep these, and claims that are about no items stay as they are. The registry is left
    alone: what a paper claims does not depend on a profile.

    Raises:
        UserError: a claim cannot be judged over items; the message names the profile's line.
    """
    items = experiment.spec.profiles[profile].items
    if items is None:
        return experiment
    return replace(experiment, claims=tuple(_over(items, found, experiment, profile) for found in experiment.claims))


def _over(items: Items, registered: RegisteredClaim, experiment: Experiment, profile: str) -> RegisteredClaim:
    claim = registered.claim
    if not may_have_items(claim) or claim.items is not None:  # type: ignore[union-attr]
        return registered
    if problem := items_problem(claim):
        message = f"the claim '{claim.id}' cannot be judged over items: {problem}"
        raise experiment.source.error(("profiles", profile, "items"), message)
    return replace(registered, claim=claim.model_copy(update={"items": items}))
