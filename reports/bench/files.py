"""Runs of the benchmarks as files in a store.

::

    <store>/bench/<time>-<commit>.json    pytest-benchmark's JSON, and what was accepted when it was judged

Nothing here takes long to load, so that a report which has not changed is told at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.store.store import Store
from reports.manifest import digest

if TYPE_CHECKING:
    from reports.bench.runs import BenchRun

FOLDER = "bench"


@dataclass(frozen=True)
class BenchFiles:
    """The kept runs of a store as they stand on the disk, in order of time, by name."""

    files: Mapping[str, bytes]

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file."""
        return {name: digest(data) for name, data in self.files.items()}

    def named(self, names: Collection[str]) -> BenchFiles:
        """Return those of some names."""
        return BenchFiles({name: data for name, data in self.files.items() if name in names})

    @cached_property
    def runs(self) -> Mapping[str, BenchRun]:
        """The runs that can be read, by the name of their file."""
        return self._read[0]

    @property
    def damaged(self) -> tuple[str, ...]:
        """A sentence for each file that cannot be read."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[dict[str, BenchRun], tuple[str, ...]]:
        from reports.bench.runs import parse_document, run_of

        runs, damaged = {}, []
        for name, data in self.files.items():
            place = f"{FOLDER}/{name}"
            try:
                runs[name] = run_of(parse_document(data, place), place)
            except UserError as error:
                damaged.append(str(error))
        return runs, tuple(damaged)


def bench_files(store: Store) -> BenchFiles:
    """Return the kept runs of a store; none where it has none."""
    found = {}
    for path in sorted((store.root / FOLDER).glob("*.json")):
        try:
            found[path.name] = path.read_bytes()
        except OSError:
            # A file that cannot be read is as one that cannot be understood: it is shown as damaged.
            found[path.name] = b""
    return BenchFiles(found)
