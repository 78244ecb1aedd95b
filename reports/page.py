"""The one HTML file: everything in it, nothing fetched."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from harness.execution.display import duration
from harness.store.atomic import to_json, write_bytes
from harness.verdicts.judgement import Judgement
from harness.verdicts.rules import VERDICTS
from harness.verdicts.saving import saved_by_looks
from harness.verdicts.variance import stream_shares
from reports.beside import companions
from reports.cells import Table
from reports.collect import Results
from reports.explain import explanation, interval_text, not_stated, tuning_table
from reports.manifest import CLAIMS, MANIFEST, PAGE, make_manifest
from reports.pictures.declared import Picture, draw
from reports.places import interrupted, place_text, places
from reports.tables import build_table

TEMPLATES = Path(__file__).parent / "templates"


def write_site(all_results: Sequence[Results], folder: Path) -> Path:
    """Write ``index.html``, ``claims.json`` and ``manifest.json``; return the page's path.

    Raises:
        OSError: the folder cannot be written, or an attempt was taken away meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = time.time()
    files = {CLAIMS: to_json(claim_rows(all_results)), PAGE: render(all_results, made).encode()}
    manifest = make_manifest(all_results, made, files)
    for name, data in files.items():
        write_bytes(folder / name, data)
    write_bytes(folder / MANIFEST, to_json(manifest.model_dump(mode="json")))
    return folder / PAGE


def claim_rows(all_results: Sequence[Results]) -> list[dict[str, Any]]:
    """Return the rows of ``claims.json``."""
    return [judgement.row() for results in all_results for judgement in results.judgements]


def render(all_results: Sequence[Results], made: float) -> str:
    """Return the page's text: the same for the same results and moment (``made``, in seconds since the epoch)."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["effect"] = effect_text
    environment.filters["published"] = published_text
    environment.filters["explained"] = explanation
    environment.filters["reading"] = reading_text
    environment.filters["interval"] = interval_text
    environment.filters["slug"] = lambda text: str(text).replace(" ", "-")
    judgements = [judgement for results in all_results for judgement in results.judgements]
    counts = [(verdict, sum(j.verdict == verdict for j in judgements)) for verdict in VERDICTS]
    return environment.get_template("page.html").render(
        beside=companions(judgements),
        sections=[_section(results) for results in all_results],
        judgements=judgements,
        counts=[(verdict, count) for verdict, count in counts if count],
        not_stated=not_stated([results.design.experiment for results in all_results]),
        made=_moment(made),
    )


def _section(results: Results) -> dict[str, Any]:
    declaration = results.declaration
    has_records = not results.table.empty
    tables: list[Table] = [build_table(table, results) for table in declaration.tables] if has_records else []
    pictures: list[Picture] = [p for entry in declaration.pictures if has_records and (p := draw(entry, results))]
    failures = [
        (entry.trial.id, entry.counted.attempt.failure)
        for entry in results.state.states
        if entry.status == "failed" and entry.counted and entry.counted.attempt.failure
    ]
    seconds = sum(entry.counted.attempt.seconds for entry in results.counted if entry.counted)
    design = results.design
    return {
        "results": results,
        "spec": design.experiment.spec,
        "profile": design.profile,
        "tables": tables,
        "pictures": pictures,
        "failures": failures,
        "machines": [_machine(environment) for environment in results.environments],
        "places": places(results.counted),
        "interrupted": interrupted(results.state.states),
        "tasks": results.task_ends,
        "took": duration(seconds),
        "counts": {name: results.state.count(name) for name in ("done", "failed", "stale", "missing")},
        "planned": len(results.state.states),
        "trials": [
            (entry.trial.id, entry.counted.attempt.id, place_text(entry.counted.attempt))
            for entry in results.counted
            if entry.counted
        ],
        "diverged": [e.trial.id for e in results.counted if e.counted and e.counted.attempt.diverged],
        "tuned": tuning_table(results.state),
        "frozen": _moment(results.state.selection.frozen) if results.state.selection else "",
        "streams": stream_shares(results.state, tuple(dict.fromkeys(j.claim.metric for j in results.judgements))),
        "saved": saved_by_looks(results.state, results.judgements),
        "command": f"harness run {design.name} --profile {design.profile_name}",
    }


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _machine(environment: dict[str, Any]) -> str:
    """Return one line about a machine from its stored environment."""
    cpu, torch = environment.get("cpu") or {}, environment.get("torch") or {}
    source = environment.get("source") or {}
    gpus = ", ".join(str(gpu.get("name")) for gpu in torch.get("gpus") or [])
    parts = {
        "": cpu.get("model"),
        "CPUs ": len(cpu.get("affinity") or []) or None,
        "GPU ": gpus or None,
        "threads ": torch.get("threads"),
        "Python ": environment.get("python"),
        "torch ": torch.get("version"),
        "commit ": (source.get("commit") or "")[:10] or None,
    }
    text = ", ".join(f"{label}{value}" for label, value in parts.items() if value is not None)
    return text + (" with uncommitted changes" if source.get("dirty") else "")


def effect_text(judgement: Judgement) -> str:
    """Return an effect with its interval and unit, where a crossing was not met, or a dash."""
    if math.isinf(judgement.effect):
        return f"{'beyond the last' if judgement.effect > 0 else 'before the first'} level that was run"
    if not math.isfinite(judgement.effect):
        return "–"
    unit = f" {judgement.claim.unit}" if judgement.claim.unit else ""
    if judgement.exact:
        return f"{judgement.effect:.4g}{unit}"
    return f"{judgement.effect:.4g}{unit} {interval_text(judgement.interval)}"


def reading_text(reading: str) -> str:
    """Return what a reading of a spec that tunes is: the paper's design, or every arm at its own best."""
    return "each arm at its best" if reading == "best" else "matched settings"


def published_text(judgement: Judgement) -> str:
    """Return the published figure, where it stands, and its dispersion."""
    published = judgement.claim.published
    if published is None:
        return "no figure published"
    uncertainty = (
        "published uncertainty not stated" if published.dispersion == "not stated" else f"± {published.dispersion:g}"
    )
    unit = f" {published.unit}" if published.unit else ""
    derived = f"; {published.derived}" if published.derived else ""
    return f"{published.value:g}{unit} ({published.locator}{derived}; {uncertainty})"
