"""Profiles in a store: what ``harness profile`` keeps of a trial's arms, in the shape of an attempt.

::

    <store>/<experiment>/profiles/<trial>/<attempt>/    attempt.json, <samples>.parquet, files/traces/<arm>/, COMPLETE

They lie apart from the attempts, so that no verdict is made of them. A profile has a record for each arm that it was
asked for; arms may be profiled one by one, and of each the newest profile counts.
"""

from __future__ import annotations

from harness.store.attempt import PROFILES
from harness.store.store import Store, StoredAttempt, attempts_in

__all__ = ["PROFILES", "latest_profile", "profiles_of"]


def profiles_of(store: Store, experiment: str, trial: str) -> tuple[list[StoredAttempt], list[str]]:
    """Return the complete profiles of a trial, oldest first, and a sentence for each one that is damaged."""
    return attempts_in(store.profiles_folder(experiment, trial))


def latest_profile(store: Store, experiment: str, trial: str, factor: str = "", arm: str = "") -> StoredAttempt | None:
    """Return the newest complete profile of a trial that has an arm: a level of its blocked factor.

    Without ``factor`` any arm will do. None where there is no such profile.
    """
    found, _ = profiles_of(store, experiment, trial)
    having = (p for p in reversed(found) if any(not factor or str(r.get(factor)) == arm for r in p.attempt.records))
    return next(having, None)
