"""What Slurm is asked, each question with a time limit: a silent controller must not hang anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.errors import UserError

SECONDS = 10.0
"""How long one question may take."""
SEPARATOR = "|"
DEFAULTS = ("SQUEUE_", "SACCT_", "SCANCEL_", "SLURM_TIME_FORMAT")


class NoAnswer(Exception):
    """The controller, or the accounting, cannot be reached, or does not answer in time."""


@dataclass(frozen=True)
class QueuedTask:
    """An element of an array as Slurm has it: its state by name, why it waits, where it runs, seconds it has run."""

    job: int
    index: int
    state: str
    reason: str = ""
    node: str = ""
    name: str = ""


@dataclass(frozen=True)
class Limits:
    """What the controller says of itself."""

    cluster: str
    largest_array: int
    accounting: bool


class Controller:
    """Slurm's commands as this machine has them."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def require(self) -> Limits:
        """Return the controller's limits.

        Raises:
            UserError: there is no Slurm here, or its controller does not answer.
        """
        missing = [name for name in ("sbatch", "squeue", "scontrol", "scancel", "srun") if shutil.which(name) is None]
        if missing:
            raise UserError(
                f"--executor slurm: this machine has no {missing[0]}; run it where Slurm's commands are, "
                "or use --executor local"
            )
        try:
            ping = self._ask("scontrol", "ping")
            if " is UP" not in f" {ping}":
                raise NoAnswer(ping.strip().splitlines()[0] if ping.strip() else "no answer")
            return self.limits
        except NoAnswer as error:
            raise UserError(
                f"--executor slurm: the Slurm controller does not answer ({error}); see 'scontrol ping', "
                "or use --executor local"
            ) from error

    @cached_property
    def limits(self) -> Limits:
        """What the controller says of its configuration.

        Raises:
            NoAnswer: it does not answer.
        """
        text = self._ask("scontrol", "show", "config")
        found = dict(re.findall(r"^(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", text, re.MULTILINE))
        # Without accounting: "accounting_storage/none", nothing, or "(null)", by version.
        storage = found.get("AccountingStorageType", "").strip("()").rpartition("/")[2]
        return Limits(
            found.get("ClusterName", ""),
            int(found.get("MaxArraySize") or 1001),
            storage not in ("", "none", "null"),
        )

    def longest_minutes(self, partition: str | None) -> float | None:
        """Return the longest time of a job in a partition (the default one without a name); None where unlimited.

        Of several partitions, separated by commas, any may take the job, so the shortest time counts.

        Raises:
            NoAnswer: the controller does not answer, or knows no such partition.
        """
        found = []
        for name in partition.split(",") if partition else [""]:
            text = self._ask("scontrol", "show", "partition", "--oneliner", *([name] if name else []))
            for line in text.splitlines():
                facts = dict(re.findall(r"(\w+)=(\S+)", line))
                if name or facts.get("Default") == "YES":
                    found.append(minutes_of(facts.get("MaxTime", "UNLIMITED")))
        return min((minutes for minutes in found if minutes is not None), default=None)

    def queue(self, jobs: Sequence[int]) -> list[QueuedTask]:
        """Return every element that the controller knows of these arrays, ended ones too while it remembers them.

        Raises:
            NoAnswer: the controller does not answer.
        """
        if not jobs:
            return []
        return list(self._queued("--jobs", ",".join(str(job) for job in jobs)))

    def queue_named(self, name: str) -> list[QueuedTask]:
        """Return every element of arrays with this job name that the controller knows.

        Raises:
            NoAnswer: the controller does not answer.
        """
        return list(self._queued("--name", name))

    def _queued(self, *which: str) -> Iterator[QueuedTask]:
        form = SEPARATOR.join(("%F", "%K", "%T", "%r", "%N", "%j"))
        try:
            text = self._ask("squeue", "--noheader", "--all", "--array", "--states=all", f"--format={form}", *which)
        except NoAnswer as error:
            # What is said of a single job that the controller has forgotten.
            if "Invalid job id" in str(error):
                return
            raise
        for line in text.splitlines():
            job, index, state, reason, node, name = (line.split(SEPARATOR, 5) + [""] * 5)[:6]
            if job.isdigit() and index.isdigit():
                yield QueuedTask(int(job), int(index), state, reason, node, name)

    def history(self, jobs: Sequence[int]) -> list[QueuedTask]:
        """Return the states of these arrays' elements that the accounting has, in the order of their runs.

        An element that was requeued has several. Without accounting there are none.

        Raises:
            NoAnswer: the accounting does not answer.
        """
        return list(self._accounted("--jobs", ",".join(str(job) for job in jobs))) if jobs else []

    def history_named(self, name: str, since: str) -> list[QueuedTask]:
        """Return the same of arrays with a job name that started after ``since``, as ``sacct`` writes times.

        Raises:
            NoAnswer: the accounting does not answer.
        """
        return list(self._accounted("--name", name, "--starttime", since))

    def _accounted(self, *which: str) -> Iterator[QueuedTask]:
        if not self.limits.accounting or shutil.which("sacct") is None:
            return
        form = "JobID%60,State%30,NodeList%60,JobName%200"
        text = self._ask(
            "sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", "--format", form, *which
        )
        for line in text.splitlines():
            identity, state, node, name = (line.split(SEPARATOR, 3) + [""] * 3)[:4]
            job, _, index = identity.partition("_")
            for number in _indices(index):
                yield QueuedTask(int(job), number, state, "", node, name)

    def cancel(self, tasks: Sequence[str], *options: str) -> None:
        """Cancel jobs or array elements, as ``scancel`` names them.

        Raises:
            NoAnswer: the controller does not answer.
        """
        if tasks:
            self._ask("scancel", *options, *tasks)

    def requeue(self, task: str) -> None:
        """Put a running array element back into the queue.

        Raises:
            NoAnswer: the controller does not answer, or refuses.
        """
        self._ask("scontrol", "requeue", task)

    def facts_of(self, job: str) -> Mapping[str, str]:
        """Return what ``scontrol show job`` says of one job.

        Raises:
            NoAnswer: the controller does not answer, or does not know it.
        """
        return dict(re.findall(r"(\w+)=(\S+)", self._ask("scontrol", "show", "job", "--oneliner", job)))

    def _ask(self, *command: str) -> str:
        try:
            found = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._seconds,
                check=False,
                # A user's own defaults would change what is asked, or how it is answered.
                env={name: value for name, value in os.environ.items() if not name.startswith(DEFAULTS)},
            )
        except subprocess.TimeoutExpired as error:
            raise NoAnswer(f"{command[0]} gave no answer in {self._seconds:g} s") from error
        except OSError as error:
            raise NoAnswer(f"{command[0]}: {error.strerror}") from error
        if found.returncode != 0:
            # The last line that says something: scontrol adds a banner of stars.
            said = [line.strip() for text in (found.stdout, found.stderr) for line in text.splitlines()]
            words = [line for line in said if line and not line.startswith("*")]
            raise NoAnswer(words[-1] if words else f"{command[0]}: exit status {found.returncode}")
        return found.stdout


def _indices(text: str) -> Iterator[int]:
    """Yield the numbers of ``3``, ``[0-4,7]``, ``[0-8:2]`` and ``[0-4,7%2]``."""
    for part in text.strip("[]").partition("%")[0].split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if found is not None:
            first, last, step = found.groups()
            yield from range(int(first), int(last or first) + 1, int(step or 1))


def minutes_of(text: str) -> float | None:
    """Return Slurm's ``[days-]hours:minutes:seconds`` (or ``minutes[:seconds]``) in minutes; None for no limit."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or (days and not days.isdigit()):
        return None
    numbers = [int(part) for part in parts]
    if days:
        hours, minutes, seconds = (numbers + [0, 0])[:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, (minutes, seconds) = 0, (numbers + [0])[:2]
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60
