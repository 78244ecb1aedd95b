"""A report's folder: the page, the claims, the tables, and the manifest that says what they rest on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.store.atomic import to_json, write_bytes
from reports.bench.files import BenchFiles
from reports.manifest import CLAIMS, MANIFEST, PAGE, TABLES, ComparedResults, digest, make_manifest, read_manifest
from reports.parts import Section


@dataclass(frozen=True)
class Other:
    """Another store that a report is compared with: what it is called on the page, and its sections."""

    name: str
    sections: Sequence[Section]

    def compared(self) -> ComparedResults:
        return ComparedResults(name=self.name, results=tuple(section.reported for section in self.sections))


def is_written(sections: Sequence[Section], other: Other | None, folder: Path, bench: BenchFiles) -> bool:
    """Say whether a folder has the report of these very sections and benchmarks, its files as they were written."""
    try:
        manifest = read_manifest(folder)
    except UserError:
        return False
    if manifest.results != tuple(section.reported for section in sections):
        return False
    if manifest.compared != (other.compared() if other else None) or manifest.bench != bench.digests:
        return False
    try:
        return all(digest((folder / name).read_bytes()) == found for name, found in manifest.files.items())
    except OSError:
        return False


def write_site(sections: Sequence[Section], other: Other | None, folder: Path, bench: BenchFiles) -> None:
    """Write ``index.html``, ``claims.json``, ``tables.zip`` and ``manifest.json``.

    Raises:
        OSError: the folder cannot be written.
    """
    from reports.bundle import bundle
    from reports.page import render

    folder.mkdir(parents=True, exist_ok=True)
    made = time.time()
    files = {
        CLAIMS: to_json(claim_rows(sections)),
        TABLES: bundle(table_files(sections)),
        PAGE: render(sections, other, made, bench).encode(),
    }
    for name, data in files.items():
        write_bytes(folder / name, data)
    reported = [section.reported for section in sections]
    manifest = make_manifest(reported, other.compared() if other else None, made, files, bench.digests)
    write_bytes(folder / MANIFEST, to_json(manifest.model_dump(mode="json")))


def claim_rows(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Return the rows of ``claims.json``."""
    return [row for section in sections for row in section.claims]


def table_files(sections: Sequence[Section]) -> dict[str, bytes]:
    """Return what the zip of raw tables holds, by name."""
    return {name: data for section in sections for name, data in section.files.items()}
