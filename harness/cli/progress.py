"""How far a sweep is, from the store and from Slurm, in lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.execution.claims import Claims
from harness.execution.display import duration
from harness.execution.place import Place
from harness.execution.slurm.adoption import find_job
from harness.execution.slurm.controller import Controller, NoAnswer
from harness.execution.slurm.fleet import Fleet, settle, waiting_reasons
from harness.execution.slurm.submission import Submission, submissions
from harness.plan.design import Design
from harness.plan.state import PlanProgress, predicted_seconds, superseded
from harness.store.store import Store

STATUS_SECONDS = 5.0
"""How long one question to Slurm may take."""


@dataclass
class Arrays:
    """The arrays of one experiment: those that are followed, and those of the newest run that are over.

    ``devices`` are the devices that each profile was submitted for: nodes may have what this machine lacks.
    """

    store: Store
    experiment: str
    fleets: list[Fleet] = field(default_factory=list)
    over: list[Submission] = field(default_factory=list)
    devices: dict[str, set[str]] = field(default_factory=dict)
    problem: str = ""

    def refresh(self, claims: Claims) -> None:
        """Take in arrays that were submitted since the last look."""
        known = {fleet.submission.token for fleet in self.fleets}
        everything = list(submissions(self.store, self.experiment))
        newest = everything[-1].run if everything else ""
        self.over = []
        for found in everything:
            self.devices.setdefault(found.profile, set()).add(found.device)
            if found.closed is None:
                if found.token not in known:
                    self.fleets.append(Fleet(found, self.store, claims))
            elif found.run == newest:
                self.over.append(found)
        over = {found.token for found in self.over}
        self.fleets = [fleet for fleet in self.fleets if fleet.live and fleet.submission.token not in over]

    def look(self) -> None:
        """Ask Slurm, where anything is left to ask; ends that nobody else can tell are written into the store."""
        self.problem = ""
        if not any(fleet.live for fleet in self.fleets):
            return
        controller = Controller(STATUS_SECONDS)
        try:
            known = [fleet for fleet in self.fleets if find_job(fleet.submission, controller)]
            settle(known, controller)
        except NoAnswer as error:
            self.problem = f"Slurm does not answer ({error}); this is what the store says"
        except OSError as error:
            self.problem = f"the store cannot be written ({error.strerror}), so ends are not written down"

    @property
    def live(self) -> bool:
        return any(fleet.live for fleet in self.fleets)

    @property
    def running(self) -> int:
        """How many tasks run."""
        return sum(task.phase == "running" for fleet in self.fleets for task in fleet.live)

    def lines(self) -> Iterator[str]:
        """Yield a line for each array."""
        for submission in self.over:
            ends = dict(submission.closed or {})
            yield _array_line(submission, Counter(ends.get("ends", {}).values()), str(ends.get("message", "")))
        for fleet in self.fleets:
            counts = Counter(task.end or task.phase for task in fleet.tasks)
            message = fleet.message
            if counts["waiting"] and (reasons := ", ".join(waiting_reasons([fleet]))):
                message = f"Slurm's reason for waiting: {reasons}"
            yield _array_line(fleet.submission, counts, message)
        if self.problem:
            yield f"  {self.problem}"


def _array_line(submission: Submission, counts: Counter[str], message: str) -> str:
    first = [name for name in ("running", "waiting", "finished") if counts[name]]
    parts = [f"{counts[name]} {name}" for name in (*first, *sorted(counts.keys() - {"running", "waiting", "finished"}))]
    job = submission.job
    where = f"Slurm job {job}" if job is not None else "an array that Slurm has not named yet"
    tasks = "task" if submission.tasks == 1 else "tasks"
    return f"  {where} ({submission.profile}), {submission.tasks} {tasks}: {', '.join(parts)}" + (
        f"; {message}" if message else ""
    )


def sweep_line(design: Design, state: PlanProgress, held: set[str], tasks: int) -> str:
    """Return how far one profile is; empty where nothing of it is in the store or running.

    ``held`` are the trials that live processes are at, ``tasks`` how many Slurm tasks run.
    """
    running = sum(entry.trial.id in held and entry.status != "done" for entry in state.states)
    if not running and not any(entry.counted for entry in state.states):
        return ""
    counts = {name: state.count(name) for name in ("done", "failed", "stale", "missing")}
    counts["missing"] -= min(running, counts["missing"])
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    if kinds := failures_by_kind(state):
        parts = [part + f" ({kinds})" if part.endswith(" failed") else part for part in parts]
    parts += [f"{running} running"] if running else []
    which = design.profile_name if design.device == "cpu" else f"{design.profile_name}, {design.device}"
    text = f"{design.name} ({which}): {', '.join(parts)}, of {len(state.states)}"
    if again := ended_before(state):
        text += f"; run again: {again}"
    if design.select is not None:
        text += "; levels frozen" if state.selection is not None else "; still tuning"
    made = state.looks_made()
    if len(design.looks) > 1 and made:
        text += f"; look at {made[-1]} of at most {design.replicates} replicates made"
    undone = [entry for entry in state.states if entry.status in ("missing", "stale")]
    left = predicted_seconds(state, undone, max(running, tasks)) if running and undone else None
    return text + (f"; about {duration(left)} left" if left else "")


def failures_by_kind(state: PlanProgress) -> str:
    """Return the kinds of failure of the failed trials with their numbers."""
    kinds = Counter(
        entry.counted.attempt.failure.kind
        for entry in state.states
        if entry.status == "failed" and entry.counted and entry.counted.attempt.failure
    )
    return _listed(kinds)


def ended_before(state: PlanProgress) -> str:
    """Return the kinds of failure, with their numbers, of attempts after which the trial was, or is, run again."""
    kinds: Counter[str] = Counter()
    for entry in state.states:
        kinds.update(
            found.attempt.failure.kind
            for found in superseded(entry.status, entry.failures)
            if found.attempt.failure is not None
        )
    return _listed(kinds)


def _listed(kinds: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))


def held_trials(claims: Claims) -> set[str]:
    """Return the trials that processes are at which are not known to be dead."""
    return {claim.trial for claim in claims.all() if not claims.is_dead(claim)}


def claims_of(store: Store, experiment: str) -> Claims:
    return Claims(store.claims_folder(experiment), Place.here())
