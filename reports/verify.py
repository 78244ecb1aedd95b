"""A report made again from the stored raw samples, compared with what stands in its folder. Nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.spec.find import find_experiment
from harness.store.store import Store
from reports.bench.files import FOLDER, BenchFiles, bench_files
from reports.bundle import bundle_differences
from reports.claim_differences import claim_differences
from reports.collect import Results, collect, collect_beside
from reports.findings import Finding, ordered
from reports.manifest import (
    CLAIMS,
    MANIFEST,
    PAGE,
    TABLES,
    Manifest,
    digest,
    library_versions,
    read_manifest,
    report_code,
    source_hashes,
)
from reports.page import render
from reports.page_differences import blocks_of, count_cells, page_differences
from reports.parts import ReportedResults
from reports.section import make_section
from reports.site import Other, claim_rows, table_files
from reports.stored_evidence import Evidence, check_evidence, check_trials, evidence_of


@dataclass(frozen=True)
class Verification:
    """What a verification found, most important first, and how much it compared.

    ``notes`` explain differences (changed specs, code, libraries); without any there are none. ``unchecked`` counts
    pictures that were not compared, because libraries of other versions draw them with other bytes.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    unchecked: int
    claims: int
    cells: int
    attempts: int
    profiles: int


@dataclass(frozen=True)
class _Recomputed:
    """A report as it comes out now."""

    results: tuple[Results, ...]
    others: tuple[Results, ...]
    rows: Sequence[dict[str, Any]]
    tables: Mapping[str, bytes]
    page: str


def verify(site: Path, store: Store, other: Store | None = None) -> Verification:
    """Make the report in a folder again from a store, and compare; ``other`` is the store it was compared with.

    Raises:
        UserError: there is no report or no store, the manifest cannot be read, or a spec that it names is gone.
    """
    manifest = read_manifest(site)
    compared = manifest.compared
    if compared is not None and other is None:
        raise UserError(
            f"{site}: the report shows another store, '{compared.name}', beside its own; name it with --compare"
        )
    evidence = evidence_of(manifest.results)
    evidence_there = evidence_of(compared.results) if compared else {}
    attempts, profiles = _counts([*evidence.values(), *evidence_there.values()])
    for needed, where, option in ((evidence, store, "--store"), (evidence_there, other, "--compare")):
        if needed and where is not None and not where.root.is_dir():
            raise UserError(
                f"{where.root}: there is no such store; name the one that the report was made from with {option}"
            )
    findings = list(check_evidence(evidence, store))
    if other is not None:
        findings += check_evidence(evidence_there, other)
    bench = bench_files(store)
    findings += _bench(manifest, bench)
    files = {name: _read(site / name) for name in (PAGE, CLAIMS, TABLES)}
    findings += _own_files(manifest, files)
    try:
        now = _recomputed(manifest, site, store, other, bench.named(manifest.bench))
    except UserError:
        raise
    except Exception as error:
        # Forged data may have any shape. Without a sign of forgery, what went wrong is our own fault.
        if not findings:
            raise
        findings.append(Finding("claim", f"what the store holds cannot be judged any more: {error!r}"))
        return Verification(ordered(findings), (), 0, 0, 0, attempts, profiles)
    blamed = {finding.attempt for finding in findings}
    for reported, results in zip(manifest.results, now.results, strict=True):
        findings += check_trials(reported, results, store, blamed)
    if compared is not None and other is not None:
        for reported, results in zip(compared.results, now.others, strict=True):
            findings += check_trials(reported, results, other, blamed)
    findings += _claims(files[CLAIMS], now.rows)
    findings += _tables(files[TABLES], now.tables)
    pictures, places = _page(files[PAGE], now.page)
    as_it_was_made = _is_as_written(manifest, PAGE, files[PAGE])
    unchecked = len(pictures) if as_it_was_made and manifest.libraries != library_versions() else 0
    findings += places if unchecked else [*places, *pictures]
    cells = count_cells(blocks_of(now.page))
    notes = tuple(_notes(manifest, now.results)) if findings or unchecked else ()
    return Verification(ordered(findings), notes, unchecked, len(now.rows), cells, attempts, profiles)


def _counts(evidence: Sequence[Evidence]) -> tuple[int, int]:
    """Return how many attempts and how many profiles there are."""
    profiles = sum(one.is_profile for one in evidence)
    return len(evidence) - profiles, profiles


def _bench(manifest: Manifest, bench: BenchFiles) -> Iterator[Finding]:
    """Compare the kept runs of the benchmarks with those that the report shows."""
    now = bench.digests
    for name, found in manifest.bench.items():
        if name not in now:
            yield Finding("bench", f"{FOLDER}/{name}: is deleted, and the report shows it")
        elif now[name] != found:
            yield Finding("bench", f"{FOLDER}/{name}: its bytes are not those that the report was made from")
    for name in now.keys() - manifest.bench.keys():
        yield Finding("bench", f"{FOLDER}/{name}: is a run of the benchmarks that is not in the report")


def _recomputed(manifest: Manifest, site: Path, store: Store, other: Store | None, bench: BenchFiles) -> _Recomputed:
    results = tuple(_collected(collect, reported, site, store) for reported in manifest.results)
    sections = [make_section(found) for found in results]
    others: tuple[Results, ...] = ()
    beside = None
    if manifest.compared is not None and other is not None:
        others = tuple(_collected(collect_beside, reported, site, other) for reported in manifest.compared.results)
        beside = Other(manifest.compared.name, [make_section(found) for found in others])
    page = render(sections, beside, manifest.made, bench)
    return _Recomputed(results, others, claim_rows(sections), table_files(sections), page)


def _collected(how: Callable[..., Results], reported: ReportedResults, site: Path, store: Store) -> Results:
    try:
        return how(find_experiment(reported.spec), reported.profile, store, reported.device)
    except UserError as error:
        raise UserError(f"{site}: its experiment {reported.experiment} cannot be judged again: {error}") from error


def _own_files(manifest: Manifest, files: dict[str, bytes | None]) -> Iterator[Finding]:
    for name, data in files.items():
        if data is None:
            yield Finding("edited", f"{name}: is missing")
        elif not _is_as_written(manifest, name, data):
            yield Finding("edited", f"{name}: was edited after it was written (its SHA-256 is not that in {MANIFEST})")


def _is_as_written(manifest: Manifest, name: str, data: bytes | None) -> bool:
    return data is not None and manifest.files.get(name) == digest(data)


def _claims(data: bytes | None, rows: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    if data is None:
        return
    try:
        stands = json.loads(data)
    except ValueError as error:
        yield Finding("edited", f"{CLAIMS}: is not JSON: {error}")
        return
    for difference in claim_differences(stands, rows):
        yield Finding("declared" if difference.declared else "claim", difference.sentence)


def _tables(data: bytes | None, recomputed: Mapping[str, bytes]) -> Iterator[Finding]:
    if data is not None:
        yield from (Finding("tables", sentence) for sentence in bundle_differences(data, recomputed))


def _page(data: bytes | None, recomputed: str) -> tuple[list[Finding], list[Finding]]:
    """Return the pictures that differ, and all other places on the page that do."""
    pictures, places = [], []
    if data is not None:
        for difference in page_differences(data.decode(errors="replace"), recomputed):
            if difference.picture:
                pictures.append(Finding("picture", difference.sentence))
            else:
                places.append(Finding("page", difference.sentence))
    return pictures, places


def _notes(manifest: Manifest, all_results: Sequence[Results]) -> Iterator[str]:
    """Yield what else is not as it was when the report was made."""
    sources = {path: hashed for r in all_results for path, hashed in source_hashes(r.design.experiment).items()}
    before = {path: hashed for reported in manifest.results for path, hashed in reported.sources.items()}
    for path, hashed in before.items():
        if sources.get(path) != hashed:
            yield f"{path} is not the file that the report was made with"
    if manifest.code != report_code():
        yield "the code that judges and renders is not the code that the report was made with"
    versions = library_versions()
    for name, version in manifest.libraries.items():
        if versions.get(name) != version:
            yield f"the report was made with {name} {version}, and this is {name} {versions.get(name)}"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
