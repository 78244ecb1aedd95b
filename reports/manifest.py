"""The manifest beside a report: which attempts it rests on, and what it was made of, so that it can be made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from harness.errors import UserError
from harness.plan.code import fingerprint
from harness.spec.find import experiment_folder, spec_paths
from harness.spec.load import Experiment
from harness.store.atomic import COMPLETE
from reports.parts import CountedAttempt, Part, ReportedResults

if TYPE_CHECKING:
    from reports.collect import Results

FORMAT: Literal[1] = 1
MANIFEST = "manifest.json"
PAGE = "index.html"
CLAIMS = "claims.json"
TABLES = "tables.zip"

LIBRARIES = ("numpy", "scipy", "pandas", "matplotlib", "seaborn")
"""Those that the numbers and pictures of a report depend on."""

TEMPLATES = Path(__file__).parent / "templates"


class ComparedResults(Part):
    """What a report shows of another store beside its own: what it calls that store, and the results."""

    name: str
    results: tuple[ReportedResults, ...]


class Manifest(Part):
    """What a report was made of.

    ``made`` is in seconds since the epoch; ``files`` are the SHA-256 of the report's own files, ``bench`` those of the
    kept runs of the benchmarks; ``libraries`` are versions, None for one that is not installed; ``code`` is the
    fingerprint of the code that judges and renders.
    """

    format: Literal[1]
    made: float = Field(ge=0, lt=1e11)
    results: tuple[ReportedResults, ...]
    compared: ComparedResults | None = None
    bench: dict[str, str] = {}
    files: dict[str, str]
    libraries: dict[str, str | None]
    code: str


def make_manifest(
    results: Sequence[ReportedResults],
    compared: ComparedResults | None,
    made: float,
    files: Mapping[str, bytes],
    bench: Mapping[str, str],
) -> Manifest:
    """Return the manifest of a report whose own files are ``files``, by name."""
    return Manifest(
        format=FORMAT,
        made=made,
        results=tuple(results),
        compared=compared,
        bench=dict(bench),
        files={name: digest(data) for name, data in files.items()},
        libraries=library_versions(),
        code=report_code(),
    )


def read_manifest(site: Path) -> Manifest:
    """Return the manifest of the report in a folder.

    Raises:
        UserError: there is no report, or its manifest cannot be used.
    """
    path = site / MANIFEST
    if not path.is_file():
        if (site / PAGE).is_file() or (site / CLAIMS).is_file():
            raise UserError(f"{site}: the report has no {MANIFEST}, so it cannot be verified; make it again")
        raise UserError(f"{site}: there is no report in it ('harness report --out {site}' makes one)")
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path}: is not JSON: {error}") from error
    if isinstance(document, dict) and document.get("format", FORMAT) != FORMAT:
        raise UserError(f"{path}: has the format {document['format']}, and this version reads {FORMAT}")
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: cannot be read: {key + ': ' if key else ''}{first['msg']}") from error


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def library_versions() -> dict[str, str | None]:
    """Return the installed versions of the libraries that numbers and pictures depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def report_code() -> str:
    """Return the fingerprint of the code that turns stored attempts into a report, its templates included."""
    modules = fingerprint("reports.page:render").digest
    templates = [f"{path.name} {digest(path.read_bytes())}" for path in sorted(TEMPLATES.iterdir()) if path.is_file()]
    return digest(" ".join([modules, *templates]).encode())[:16]


def source_hashes(experiment: Experiment) -> dict[str, str]:
    """Return the SHA-256 of the files that an experiment was read from, by path."""
    registered = (*experiment.claims, *experiment.registry)
    paths = dict.fromkeys((experiment.source.path, *(entry.source.path for entry in registered)))
    return {_source_name(path): digest(path.read_bytes()) for path in paths}


def reported(results: Results) -> ReportedResults:
    """Return what the manifest says of one experiment under one profile.

    Raises:
        OSError: an attempt was taken away meanwhile.
    """
    trials = {}
    for entry in results.state.states:
        if entry.counted is not None and entry.status in ("done", "failed"):
            marker = (entry.counted.folder / COMPLETE).read_bytes()
            trials[entry.trial.id] = CountedAttempt(
                attempt=entry.counted.attempt.id,
                status=entry.status,  # type: ignore[arg-type]
                complete=digest(marker),
            )
    design = results.design
    return ReportedResults(
        spec=asked_for(design.experiment),
        experiment=design.name,
        profile=design.profile_name,
        device=design.device,
        sources=source_hashes(design.experiment),
        trials=trials,
        other_code="" if results.state.code == fingerprint(design.function.name).digest else results.state.code,
        profiles={arm.name: digest((arm.found.folder / COMPLETE).read_bytes()) for arm in results.profiles.arms},
    )


def asked_for(experiment: Experiment) -> str:
    """Return what finds an experiment again: its name, or the path of its file where no name leads there."""
    path = experiment.source.path.resolve()
    if path in [known.resolve() for known in spec_paths()]:
        return experiment.name
    shown = _portable(path)
    return shown if "/" in shown or shown.endswith((".yaml", ".yml")) else f"./{shown}"


def _source_name(path: Path) -> str:
    """Return how a file is called whatever the current folder is, where it comes with the project."""
    folder, whole = experiment_folder(), path.resolve()
    if folder is not None and whole.is_relative_to(folder.resolve()):
        return whole.relative_to(folder.resolve().parent).as_posix()
    return _portable(path)


def _portable(path: Path) -> str:
    whole, here = path.resolve(), Path.cwd().resolve()
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()
