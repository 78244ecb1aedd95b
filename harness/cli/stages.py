"""The stages of a sweep: tuning, then one for each declared look, until every confirmatory claim is decided."""

from __future__ import annotations

import click

from harness.cli.options import Selection
from harness.errors import UserError
from harness.plan.lock import accepted_before
from harness.plan.selection import freeze
from harness.plan.state import PlanState, TrialState, due, predicted_seconds


class Stages:
    """What a run has to do next, from what the store holds."""

    def __init__(self, selection: Selection, retry_failed: bool, keep_stale: bool) -> None:
        self.selection = selection
        self._retry_failed = retry_failed
        self._keep_stale = keep_stale
        self._tried: set[str] = set()
        self._name = ""

    def refresh(self) -> None:
        """Look at the store again, after a stage has run."""
        self.selection = self.selection.again()

    def name(self) -> str:
        """Return how the stage that is wanted next is called; empty where a sweep has but one."""
        return self._name

    def wanted(self) -> list[TrialState]:
        """Return the trials of the next stage; none where the sweep is finished or decided.

        Raises:
            UserError: an arm has no tuned levels to freeze, since none of its combinations finished.
        """
        design = self.selection.design
        if design.select is not None and self.selection.state.selection is None:
            if wanted := self._untried(None):
                self._name = "tuning"
                return wanted
            freeze(self.selection.store, design, self.selection.state.code, self.selection.state.states)
            self.refresh()
            click.echo(f"{design.name}: every arm is tuned; its levels are frozen", err=True)
        for number, look in enumerate(design.looks):
            if wanted := self._untried(look):
                several = len(design.looks) > 1
                self._name = f"up to look {number + 1} of {len(design.looks)} at {look} replicates" if several else ""
                return wanted
            if look < design.replicates and is_decided(self.selection):
                return []
        return []

    def _untried(self, replicates: int | None) -> list[TrialState]:
        """Return what is due and was not tried in this very run: a second attempt would only fail again."""
        wanted = due(
            self.selection.state,
            retry_failed=self._retry_failed,
            keep_stale=self._keep_stale,
            replicates=replicates,
        )
        wanted = [entry for entry in wanted if entry.trial.id not in self._tried]
        self._tried |= {entry.trial.id for entry in wanted}
        return wanted


def is_decided(selection: Selection) -> bool:
    """Say whether every confirmatory claim is decided at the looks made so far, so that more would change nothing."""
    from harness.verdicts.judge import judge
    from harness.verdicts.saving import all_decided

    return selection.design.profile.conclusive and all_decided(judge(selection.state, selection.store))


def saving(selection: Selection) -> str:
    """Say what stopping early saved; empty for a sweep without looks, or one that has not stopped early."""
    if len(selection.design.looks) < 2:
        return ""
    from harness.verdicts.judge import judge
    from harness.verdicts.saving import saved_by_looks

    return saved_by_looks(selection.state, judge(selection.state, selection.store))


def refuse_undecidable(selection: Selection, *, allowed: bool) -> list[str]:
    """Return the confirmatory claims that the plan can hardly decide, if running it all the same is ``allowed``.

    A plan that was accepted goes on where it stopped: what its own first trials say of the spread is no reason to ask
    again.

    Raises:
        UserError: there are such claims, nothing is decided yet, and it is not allowed.
    """
    state = selection.state
    if not state.design.experiment.claims or state.looks_made():
        return []
    accepted = accepted_before(state, selection.store)
    if accepted is not None:
        return accepted
    from harness.verdicts.planned_power import planned_power, undecidable

    unsure = undecidable(planned_power(state))
    if unsure and not allowed:
        first = unsure[0]
        more = f" (and {len(unsure) - 1} more claims)" if len(unsure) > 1 else ""
        raise UserError(
            f"{selection.design.name}: the plan can hardly decide the claim '{first.claim}'{more}: {first.problem}; "
            "raise 'replicates', or run it all the same with --underpowered, which the report will say"
        )
    return [power.claim for power in unsure]


def seconds_of_replicate(state: PlanState, workers: int) -> float | None:
    """Return the wall time of one replicate of every arm, from earlier attempts; None where there are none."""
    first = [entry for entry in state.states if entry.trial.replicate == 0]
    return predicted_seconds(state, first, workers) if first else None
