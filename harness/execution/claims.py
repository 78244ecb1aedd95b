"""Who is at a trial now. A claim is advice that saves work; the attempts alone say what is done.

A claim is a file that is linked into place whole, so that one process wins. The claim of a dead process is never
removed by others: they link a successor, whose name comes from the dead claim's id, and then look whether the first
claim still stands. So the claims of a trial form a chain from ``<trial>.json``, whose last one holds it, and of two
that take over at once one wins. The holder releases by removing the first one before its own::

    <experiment>/claims/<trial>.json              the first claim
    <experiment>/claims/followers/<id>.json       who took over from the claim <id>
    <experiment>/claims/heartbeats/<worker>       harness.execution.heartbeat
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.execution.heartbeat import Watch, remove_silent
from harness.execution.place import Place, process_lives
from harness.store.atomic import TEMPORARY

FOLLOWERS = "followers"
TRIES = 5


@dataclass(frozen=True)
class Claim:
    """A process that holds a trial. ``id`` is new for each claim, ``heart`` names the worker's sign of life."""

    id: str
    trial: str
    worker: str
    heart: str
    place: Place


@dataclass(frozen=True)
class Held:
    """A trial that this process holds: its own claim, and the id of the first one of the chain."""

    claim: Claim
    first: str


class Claims:
    """The claims of one experiment, as one process sees them.

    ``dead`` names claims of which the caller knows that their processes are gone, as Slurm says of its jobs.
    """

    def __init__(
        self, folder: Path, place: Place, *, worker: str = "", heart: str = "", dead: Collection[str] = ()
    ) -> None:
        self.folder = folder
        self.watch = Watch(folder)
        self.place = place
        self._worker = worker
        self._heart = heart
        self._dead = set(dead)

    def acquire(self, trial: str) -> Held | None:
        """Try to claim; None where a live process holds the trial.

        Raises:
            OSError: the folder cannot be written.
        """
        for _ in range(TRIES):
            chain = self._chain(trial)
            claim = Claim(uuid.uuid4().hex, trial, self._worker, self._heart, self.place)
            if not chain:
                if self._link(self._first_path(trial), claim):
                    return Held(claim, claim.id)
                continue
            if not self.is_dead(chain[-1]):
                return None
            path = self._next_path(chain[-1])
            if self._link(path, claim):
                if self._first_id(trial) == chain[0].id:
                    return Held(claim, chain[0].id)
                _remove(path)
        return None

    def still_held(self, held: Held) -> bool:
        """Say whether nobody has taken the trial over, believing this process dead."""
        followed = self._next_path(held.claim).exists()
        return not followed and self._first_id(held.claim.trial) == held.first

    def release(self, held: Held) -> None:
        """Give a trial back. What somebody else has taken over stays theirs."""
        if not self.still_held(held):
            return
        chain = self._chain(held.claim.trial)
        _remove(self._first_path(held.claim.trial))
        for claim in chain:
            _remove(self._next_path(claim))

    def holder(self, trial: str) -> Claim | None:
        """Return the claim of the process that holds a trial, dead or alive; None where nobody does."""
        chain = self._chain(trial)
        return chain[-1] if chain else None

    def is_held(self, trial: str) -> bool:
        """Say whether a process holds the trial that is not known to be dead."""
        holder = self.holder(trial)
        return holder is not None and not self.is_dead(holder)

    def is_dead(self, claim: Claim) -> bool:
        """Say whether a claim's process is gone.

        On this machine that is known at once. Of another one it is known from Slurm, or once its worker has been silent
        for a lease while this object was looking, or if it was this very Slurm job before it was requeued.
        """
        there, here = claim.place, self.place
        if there == NOWHERE:
            return True
        if here.sees(there):
            return not process_lives(there.pid, there.process_started)
        if claim.id in self._dead or (there.host == here.host and there.boot != here.boot):
            return True
        if there.job and (there.job, there.cluster) == (here.job, here.cluster) and there.restart < here.restart:
            return True
        return self.watch.silent(claim.heart)

    def bury(self, job: str, cluster: str, restart: int | None = None) -> None:
        """Note that a Slurm job has ended, or its runs up to ``restart`` have: what it held is free."""
        for claim in self.all():
            there = claim.place
            if (there.job, there.cluster) == (job, cluster) and (restart is None or there.restart <= restart):
                self._dead.add(claim.id)

    def dead_among(self, trials: Collection[str]) -> list[str]:
        """Return the ids of claims on these trials that are known to be dead, for workers that cannot know it."""
        holders = [self.holder(trial) for trial in trials]
        return [claim.id for claim in holders if claim is not None and self.is_dead(claim)]

    def all(self) -> Iterator[Claim]:
        """Yield the claim of each trial that is held, dead or alive."""
        for path in self.folder.glob("*.json"):
            if (claim := self.holder(path.stem)) is not None:
                yield claim

    def clear_dead(self) -> None:
        """Remove claims of processes that died after their trial was finished; nobody else would come by."""
        for claim in list(self.all()):
            if self.is_dead(claim) and (held := self.acquire(claim.trial)) is not None:
                self.release(held)
        # Listed before the chains are read: what is linked meanwhile is not judged by an older look.
        followers = list((self.folder / FOLLOWERS).glob("*.json"))
        chained = {claim.id for path in self.folder.glob("*.json") for claim in self._chain(path.stem)}
        for path in followers:
            # A successor of a claim that is gone: whoever linked it withdrew, or died before it could.
            if path.stem not in chained:
                _remove(path)
        for path in self.folder.glob(f"{TEMPORARY}*"):
            # Of a process killed before it could link its claim; one that lives and misses the file writes it again.
            if (unlinked := _read(path)) is not None and self.is_dead(unlinked):
                _remove(path)
        remove_silent(self.folder, {claim.heart for claim in self.all()})

    def _first_path(self, trial: str) -> Path:
        return self.folder / f"{trial}.json"

    def _next_path(self, claim: Claim) -> Path:
        return self.folder / FOLLOWERS / f"{claim.id}.json"

    def _chain(self, trial: str) -> list[Claim]:
        chain: list[Claim] = []
        claim = _read(self._first_path(trial))
        while claim is not None:
            chain.append(claim)
            claim = _read(self._next_path(claim))
        return chain

    def _first_id(self, trial: str) -> str:
        first = _read(self._first_path(trial))
        return first.id if first else ""

    def _link(self, path: Path, claim: Claim) -> bool:
        """Put a claim under a name that nobody has taken; its content is there from the first moment."""
        temporary = self.folder / f"{TEMPORARY}{claim.id}"
        data = json.dumps({**vars(claim), "place": vars(claim.place)}).encode()
        for _ in range(2):
            try:
                temporary.write_bytes(data)
                os.link(temporary, path)
                return True
            except FileExistsError:
                # A network file system may have linked it, lost the reply, and tried again.
                return _links(temporary) == 2
            except FileNotFoundError:
                (self.folder / FOLLOWERS).mkdir(parents=True, exist_ok=True)
            finally:
                _remove(temporary)
        return False


NOWHERE = Place("", "", "", 0, 0.0)
"""The place of a claim that cannot be read: of a file that a power cut left empty, or of another version."""


def _read(path: Path) -> Claim | None:
    """Return the claim in a file; None where there is no file."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    try:
        document = json.loads(data)
        return Claim(**{**document, "place": Place(**document["place"])})
    except (ValueError, TypeError, KeyError):
        # Claims are linked whole, so nobody is still writing this one: it is a dead one, named by what it holds.
        name = hashlib.sha256(path.name.encode() + data).hexdigest()[:32]
        return Claim(name, path.stem, "", "", NOWHERE)


def _links(path: Path) -> int:
    try:
        return path.stat().st_nlink
    except OSError:
        return 0


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
