"""Where trials ran, and which attempts and tasks ended otherwise than in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.execution.slurm.submission import submissions
from harness.plan.design import Design
from harness.plan.state import TrialState, superseded
from harness.store.attempt import Attempt
from harness.store.store import Store

IN_ORDER = ("finished", "not needed")


def place_text(attempt: Attempt) -> str:
    """Return where an attempt ran: the host, and the Slurm job with its restarts where there was one."""
    host = str(attempt.place.get("host") or attempt.worker.rpartition("@")[2] or "not recorded")
    job = attempt.place.get("job")
    if not job:
        return host
    cluster, restart = attempt.place.get("cluster"), int(attempt.place.get("restart") or 0)
    text = f"{host}, Slurm job {job}" + (f" of {cluster}" if cluster else "")
    return text + (f" (requeued {restart} times)" if restart > 1 else " (requeued once)" if restart else "")


def places(entries: Sequence[TrialState]) -> list[tuple[str, int]]:
    """Return hosts with their Slurm array, if any, and the number of counted trials that ran there, most first."""
    found: Counter[str] = Counter()
    for entry in entries:
        if entry.counted is not None:
            attempt = entry.counted.attempt
            host = place_text(attempt).partition(",")[0]
            array = str(attempt.place.get("job") or "").partition("_")[0]
            found[f"{host}, Slurm job {array}" if array else f"{host}, a local run"] += 1
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def interrupted(entries: Sequence[TrialState]) -> list[tuple[str, str, str, str]]:
    """Return trial, kind, message and place of every attempt that failed and after which its trial was run again."""
    rows = []
    for entry in entries:
        for found in superseded(entry.status, entry.failures):
            if (failure := found.attempt.failure) is not None:
                rows.append((entry.trial.id, failure.kind, failure.message, place_text(found.attempt)))
    return rows


def task_ends(design: Design, store: Store) -> list[tuple[str, str]]:
    """Return each Slurm array of this profile of which tasks ended otherwise than in order, and how, in words."""
    rows = []
    for submission in submissions(store, design.name):
        closed = submission.closed
        if closed is None or (submission.profile, submission.device) != (design.profile_name, design.device):
            continue
        ends = Counter(end for end in closed.get("ends", {}).values() if end not in IN_ORDER)
        if ends:
            name = f"Slurm job {submission.job}" if submission.job is not None else "an array that Slurm never had"
            what = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
            rows.append((name, f"of {submission.tasks} tasks {what}"))
    return rows
