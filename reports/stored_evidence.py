"""What a report rests on, against the store as it is now: files of attempts and profiles, and which of them count."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.plan.state import TrialState
from harness.store.atomic import COMPLETE
from harness.store.attempt import check_files
from harness.store.store import Store
from reports.collect import Results
from reports.findings import Finding
from reports.manifest import digest
from reports.parts import CountedAttempt, ReportedResults


@dataclass(frozen=True)
class Evidence:
    """A folder of the store that a report rests on: an attempt that it counts, or a profile that it shows.

    ``complete`` is the SHA-256 of its marker.
    """

    complete: str
    is_profile: bool = False

    @property
    def noun(self) -> str:
        return "profile" if self.is_profile else "attempt"

    @property
    def used(self) -> str:
        return "shows it" if self.is_profile else "counts it"


def evidence_of(results: Sequence[ReportedResults]) -> dict[str, Evidence]:
    """Return what a report rests on, each once, by the folder relative to the store."""
    attempts = {
        _name(entry.experiment, trial, counted.attempt): Evidence(counted.complete)
        for entry in results
        for trial, counted in entry.trials.items()
    }
    profiles = {
        name: Evidence(complete, is_profile=True) for entry in results for name, complete in entry.profiles.items()
    }
    return attempts | profiles


def check_evidence(evidence: Mapping[str, Evidence], store: Store) -> Iterator[Finding]:
    """Hash every file of every attempt and profile against its marker, and the marker against the manifest."""
    for name, one in evidence.items():
        folder = store.root / name
        if not folder.is_dir():
            yield Finding("deleted", f"{name}: the {one.noun} is deleted, and the report {one.used}", name)
            continue
        sentences = check_files(folder)
        for sentence in sentences:
            yield Finding("bytes", _short(sentence, store), name)
        marker = _read(folder / COMPLETE)
        if marker is not None and digest(marker) != one.complete:
            why = "" if sentences else f": files of the {one.noun} were changed and their hashes written anew"
            yield Finding("bytes", f"{name}/{COMPLETE}: is not the one that the report was made from{why}", name)


def check_trials(
    reported: ReportedResults, results: Results, store: Store, blamed: Collection[str]
) -> Iterator[Finding]:
    """Compare which attempts count now with those that did; ``blamed`` are attempts of which the cause is known."""
    experiment = reported.experiment
    for sentence in (*results.state.damaged, *results.profiles.damaged):
        yield Finding("bytes", sentence)
    for name in dict.fromkeys(arm.name for arm in results.profiles.arms):
        if name not in reported.profiles:
            yield Finding("trial", f"{name}: the profile is shown now, and is not in the report")
    now = {entry.trial.id: entry for entry in results.state.states}
    for trial, counted in reported.trials.items():
        if trial not in now:
            yield Finding("trial", f"trial {trial} of {experiment} is in the report, and is not planned any more")
            continue
        sentence = _changed(now[trial], counted, known=_name(experiment, trial, counted.attempt) in blamed)
        if sentence:
            yield Finding("trial", f"trial {trial} of {experiment} {sentence}")
    for trial, entry in now.items():
        if trial not in reported.trials and entry.counted is not None and entry.status in ("done", "failed"):
            counts = "counts" if entry.status == "done" else "failed and is shown"
            attempt = entry.counted.attempt.id
            yield Finding(
                "trial", f"attempt {attempt} of trial {trial} of {experiment} {counts} now, and is not in the report"
            )
    yield from _environments(results, store)


def _changed(entry: TrialState, counted: CountedAttempt, known: bool) -> str:
    """Say how a trial's state is another than in the report; empty where it is not, or where the cause is known."""
    shown = "counts in the report" if counted.status == "done" else "stands in the report as failed"
    if entry.status == "stale":
        return f"{shown}, and is stale now: its code changed since"
    if entry.status == "missing":
        return "" if known else f"{shown}, and is missing now"
    assert entry.counted is not None
    if entry.status != counted.status:
        return f"{shown}, and is {entry.status} now, by attempt {entry.counted.attempt.id}"
    if entry.counted.attempt.id != counted.attempt:
        return f"{shown} by attempt {counted.attempt}; now attempt {entry.counted.attempt.id} counts"
    return ""


def _environments(results: Results, store: Store) -> Iterator[Finding]:
    """Check the stored environments, which are named by their hash."""
    attempts = [entry.counted.attempt for entry in results.counted if entry.counted is not None]
    attempts += [arm.found.attempt for arm in results.profiles.arms]
    for name in dict.fromkeys(attempt.environment for attempt in attempts if attempt.environment):
        data = _read(store.root / "environments" / f"{name}.json")
        if data is None:
            yield Finding("bytes", f"environments/{name}.json: is missing")
        elif not digest(data).startswith(name):
            yield Finding("bytes", f"environments/{name}.json: its bytes are not those that were written")


def _name(experiment: str, trial: str, attempt: str) -> str:
    return f"{experiment}/attempts/{trial}/{attempt}"


def _short(sentence: str, store: Store) -> str:
    return sentence.replace(f"{store.root}/", "")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
