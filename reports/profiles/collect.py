"""Which profiles count: of every arm the newest one, whole and summarised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.plan.design import Factor
from harness.plan.state import PlanState
from harness.plan.trials import canonical
from harness.spec.models import Scalar
from harness.store.attempt import DamagedAttempt, read_samples, sample_names
from harness.store.profiles import PROFILES, profiles_of
from harness.store.store import Store, StoredAttempt

if TYPE_CHECKING:
    from harness.measure.profile_summary import ProfileSummary


@dataclass(frozen=True)
class ProfiledArm:
    """One arm with the profile that counts for it.

    ``setting`` has the levels of its trial's unblocked factors; ``factor`` is the blocked one whose ``level`` the arm
    is, both empty where the spec has none. ``stale`` says that the profile was made with other code than today's.
    """

    setting: Mapping[str, Scalar]
    factor: str
    level: str
    summary: ProfileSummary
    found: StoredAttempt
    stale: bool

    @property
    def name(self) -> str:
        """The profile's folder, relative to the store."""
        attempt = self.found.attempt
        return f"{attempt.experiment}/{PROFILES}/{attempt.trial}/{attempt.id}"

    @property
    def levels(self) -> dict[str, Scalar]:
        """The levels that the sweep's records of the same arm have."""
        return {**self.setting, **({self.factor: self.level} if self.factor else {})}


@dataclass(frozen=True)
class Profiles:
    """The profiled arms of a design in the spec's order, a sentence for each profile that is damaged, and machines.

    ``environments`` are those that the profiles were made in, each once.
    """

    arms: tuple[ProfiledArm, ...] = ()
    damaged: tuple[str, ...] = ()
    environments: tuple[Mapping[str, Any], ...] = ()


def collect_profiles(state: PlanState, store: Store) -> Profiles:
    """Return the profiles of a plan's arms that a report shows.

    Of each arm counts the newest complete profile made with today's code; where there is none, the newest with other
    code. One that is damaged is left out, and the next one counts.
    """
    design = state.design
    if not (store.root / design.name / PROFILES).is_dir():
        return Profiles()
    factor = next(iter(design.blocked_factors), None)
    by_setting: dict[str, tuple[Mapping[str, Scalar], list[StoredAttempt]]] = {}
    damaged: list[str] = []
    for entry in state.states:
        complete, sentences = profiles_of(store, design.name, entry.trial.id)
        by_setting.setdefault(canonical(dict(entry.trial.arm)), (entry.trial.arm, []))[1].extend(complete)
        damaged += sentences
    arms: list[ProfiledArm] = []
    for setting, found in by_setting.values():
        counted, sentences = _counted(found, setting, factor, state.code)
        arms += counted
        damaged += sentences
    digests = dict.fromkeys(arm.found.attempt.environment for arm in arms if arm.found.attempt.environment)
    return Profiles(tuple(arms), tuple(damaged), tuple(store.environment(digest) for digest in digests))


def _counted(
    found: Sequence[StoredAttempt], setting: Mapping[str, Scalar], factor: Factor | None, today: str
) -> tuple[list[ProfiledArm], list[str]]:
    """Return the arms of one setting in the spec's order, and a sentence for each profile whose tables are damaged."""
    name = factor.name if factor else ""
    arms: dict[str, ProfiledArm] = {}
    damaged = []
    for stored in sorted(found, key=lambda one: (one.attempt.code == today, one.attempt.id), reverse=True):
        wanted = {str(record.get(name, "")) for record in stored.attempt.records} - arms.keys()
        if not wanted:
            continue
        try:
            summaries = _summaries(stored, name)
        except DamagedAttempt as error:
            damaged.append(str(error))
            continue
        for one in summaries:
            if one.arm in wanted:
                arms[one.arm] = ProfiledArm(setting, name, one.arm, one, stored, stored.attempt.code != today)
    order = [level.name for level in factor.levels] if factor else []
    return sorted(arms.values(), key=lambda arm: (*order, arm.level).index(arm.level)), damaged


def _summaries(stored: StoredAttempt, factor: str) -> list[ProfileSummary]:
    """Return what a profile comes to, arm by arm.

    Raises:
        DamagedAttempt: a table is missing or has other bytes, or there is no profile in it.
    """
    from harness.measure.profile_summary import summarise

    tables = {name: read_samples(stored.folder, name) for name in sample_names(stored.folder)}
    try:
        return summarise(stored.attempt.records, factor, tables)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        # Its bytes are those that were written: by hand, or by another version.
        raise DamagedAttempt(stored.folder, "does not hold a profile that can be read") from error
