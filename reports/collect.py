"""What the store holds of one experiment under one profile, judged and ready to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas

from harness.plan.design import Design, make_design
from harness.plan.lock import deviations, underpowered_claims
from harness.plan.state import PlanState, TrialState, state_as_made, state_of
from harness.spec.load import Experiment
from harness.store.store import Store
from harness.store.table import long_table
from harness.verdicts.judge import judge
from harness.verdicts.judgement import Judgement
from reports.declarations import ReportDeclaration, declaration_of
from reports.places import task_ends
from reports.profiles.collect import Profiles, collect_profiles


@dataclass(frozen=True)
class Results:
    """One experiment under one profile: its design, trial states, verdicts, records and environments.

    ``profiles`` are of its arms: what ``harness profile`` measured, which counts for no claim.
    """

    design: Design
    state: PlanState
    declaration: ReportDeclaration
    judgements: Sequence[Judgement]
    table: pandas.DataFrame
    environments: Sequence[dict[str, Any]]
    deviations: Sequence[str]
    underpowered: Sequence[str]
    task_ends: Sequence[tuple[str, str]] = ()
    profiles: Profiles = Profiles()

    @property
    def key(self) -> str:
        return f"{self.design.name}-{self.design.profile_name}"

    @property
    def has_records(self) -> bool:
        return not self.table.empty

    @property
    def counted(self) -> list[TrialState]:
        """The trials whose records are shown."""
        return [entry for entry in self.state.states if entry.status == "done"]

    def records(self, reading: str) -> pandas.DataFrame:
        """Return the records to show; where the spec tunes, those of one reading."""
        return self.table[self.table["trial"].isin({entry.trial.id for entry in self.entries(reading)})]

    def entries(self, reading: str) -> list[TrialState]:
        """Return the trials whose records are shown; where the spec tunes, those of one reading."""
        return [e for e in self.counted if self.design.select is None or reading in e.trial.readings]

    def levels(self, factor: str) -> list[str]:
        """Return the names of a factor's levels under this profile, in the spec's order."""
        return [level.name for f in self.design.factors if f.name == factor for level in f.levels]

    def label(self, level: object, factor: str = "") -> str:
        """Return how a level is written for people: ``labels`` has it by itself, or as ``factor=level``."""
        labels = self.declaration.labels
        return labels.get(f"{factor}={level}", labels.get(str(level), str(level)))


def collect(experiment: Experiment, profile: str | None, store: Store, device: str | None = None) -> Results:
    """Read one experiment's results under one profile.

    Raises:
        UserError: the spec cannot be used.
    """
    return results_of(state_of(make_design(experiment, profile, device=device), store), store)


def collect_beside(experiment: Experiment, profile: str | None, store: Store, device: str | None = None) -> Results:
    """Read one experiment's results of another machine or commit, to be shown beside one's own.

    They may be made with other code. Without a ``device`` it is that of this machine if there are results for it, else
    the other one.

    Raises:
        UserError: the spec cannot be used.
    """
    design = make_design(experiment, profile, device=device)
    state = state_as_made(design, store)
    if device in (None, "auto") and not any(entry.counted for entry in state.states):
        elsewhere = "cpu" if design.device == "cuda" else "cuda"
        found = state_as_made(make_design(experiment, profile, device=elsewhere), store)
        if any(entry.counted for entry in found.states):
            state = found
    return results_of(state, store)


def results_of(state: PlanState, store: Store, *, judged: bool = True) -> Results:
    """Return what a plan's state in a store comes to; ``judged`` is false where only the records are asked for.

    Raises:
        UserError: the ``report`` key of the spec cannot be used.
    """
    design = state.design
    factors = [factor.name for factor in design.factors]
    digests = {e.counted.attempt.environment: None for e in state.states if e.counted and e.status == "done"}
    return Results(
        design=design,
        state=state,
        declaration=declaration_of(design.experiment),
        judgements=judge(state, store) if judged else (),
        table=long_table(design.name, design.profile_name, factors, state.states),
        environments=[store.environment(digest) for digest in digests if digest],
        deviations=deviations(state, store) if judged else (),
        underpowered=underpowered_claims(state, store) if judged else (),
        task_ends=task_ends(design, store),
        profiles=collect_profiles(state, store),
    )
