"""Keeping a run of the benchmarks in a store, written once, and finding the newest again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.store.atomic import write_json_once
from harness.store.store import Store, attempt_id
from reports.bench.accepted import Accepted
from reports.bench.files import FOLDER, bench_files
from reports.bench.runs import ACCEPTED_KEY, BenchRun, read_document, run_of


def keep_run(path: Path, store: Store, accepted: Accepted) -> tuple[Path, BenchRun]:
    """Copy a run that pytest-benchmark wrote into a store, once, with what is accepted now; return where, and the run.

    A run that was kept already stays as it is, and is judged as it was then.

    Raises:
        UserError: the file cannot be used, the store cannot be written, or holds another run under the same name.
    """
    document = read_document(path)
    run = run_of(document, str(path))
    if not run.accepted:
        document = {**document, ACCEPTED_KEY: {key: one.model_dump(mode="json") for key, one in accepted.items()}}
    store.require_writable()
    target = store.root / FOLDER / f"{attempt_id(run.made, (run.commit or 'none')[:10])}.json"
    try:
        target.parent.mkdir(exist_ok=True)
        write_json_once(target, document)
    except FileExistsError:
        before = read_document(target)
        if _without_accepted(before) != _without_accepted(document):
            raise UserError(f"{path}: the store has another run of that time and commit, {target}") from None
        document = before
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}") from error
    return target, run_of(document, str(target))


def latest_run(store: Store) -> BenchRun:
    """Return the newest run of a store.

    Raises:
        UserError: it has none that can be read.
    """
    files = bench_files(store)
    if not files.runs:
        reason = files.damaged[0] if files.damaged else "'make bench' makes one"
        raise UserError(f"{store.root}: holds no run of the benchmarks; {reason}")
    return list(files.runs.values())[-1]


def _without_accepted(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != ACCEPTED_KEY}
