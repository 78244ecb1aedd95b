"""Every registered claim with the experiments that judge it, and the verdicts that were read for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import UserError
from harness.spec.claims import ClaimBase
from harness.spec.find import all_experiments, experiment_folder, find_experiment
from harness.spec.load import Experiment, RegisteredClaim, load_claims
from harness.spec.models import Fidelity
from harness.store.store import Store
from harness.verdicts.rules import Verdict

CLAIMS_FILE = "claims.yaml"


class Result(BaseModel):
    """A verdict as a row of ``claims.json`` states it; the keys that are not read here are left aside."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    claim: str
    experiment: str
    profile: str
    fidelity: Fidelity
    reading: str | None
    form: str
    metric: str
    verdict: Verdict
    reason: str
    effect: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    unit: str
    published: dict[str, Any] | None
    margin: dict[str, Any] | None

    @property
    def identity(self) -> tuple[str, str, str, str | None]:
        """What one verdict is of: a later one takes the place of an earlier one of the same identity."""
        return self.claim, self.experiment, self.profile, self.reading

    def is_of(self, claim: ClaimBase) -> bool:
        """Say whether the claim was judged as it is registered now: the same metric, figure and margin."""
        now = (claim.form, claim.metric, _plain(claim.published), _plain(claim.margin))  # type: ignore[attr-defined]
        return (self.form, self.metric, self.published, self.margin) == now


@dataclass(frozen=True)
class Entry:
    """A registered claim and the experiments that judge it, in the order of their files."""

    claim: ClaimBase
    experiments: tuple[Experiment, ...]


@dataclass(frozen=True)
class Results:
    """What was read: the results of known profiles, those that fit none, and whether a store was read.

    ``unknown`` are of claims, experiments or profiles that there are not, or of a profile that has another fidelity
    now.
    """

    known: Mapping[tuple[str, str, str, str | None], Result]
    unknown: tuple[Result, ...]
    of_store: bool

    def of(self, claim: ClaimBase, experiment: Experiment, profile: str) -> list[Result]:
        """Return the results of a claim under a profile, the reading at matched settings first."""
        readings = (None, "matched", "best")
        identities = [(claim.id, experiment.name, profile, reading) for reading in readings]
        return [self.known[identity] for identity in identities if identity in self.known]


def registered(specs: Sequence[str]) -> tuple[list[Entry], list[Experiment]]:
    """Return every claim in the claims files and the specs, with who judges it, and the experiments.

    These are the experiments named, or all of the experiment folder with all its claims files: a claim that no
    experiment serves stands in the list as well.

    Raises:
        UserError: a file cannot be used.
    """
    experiments = [find_experiment(spec) for spec in specs] if specs else all_experiments()
    folder = None if specs else experiment_folder()
    files = sorted(folder.glob(f"*/{CLAIMS_FILE}")) if folder is not None else []
    found: dict[tuple[object, ...], ClaimBase] = {}
    judges: dict[tuple[object, ...], list[Experiment]] = {}
    for path in files:
        found.update({_place(one): one.claim for one in load_claims(path).claims.values()})
    for experiment in experiments:
        for one in (*experiment.registry, *experiment.claims):
            found.setdefault(_place(one), one.claim)
        for one in experiment.claims:
            judges.setdefault(_place(one), []).append(experiment)
    return [Entry(claim, tuple(judges.get(place, ()))) for place, claim in found.items()], experiments


def _place(one: RegisteredClaim) -> tuple[object, ...]:
    return one.source.path.resolve(), one.location


def conclusive_profiles(experiment: Experiment, fidelity: Fidelity | None = None) -> list[str]:
    """Return the names of the profiles that may conclude something, of one fidelity or of all."""
    return [
        name
        for name, profile in experiment.spec.profiles.items()
        if profile.conclusive and fidelity in (None, profile.fidelity)
    ]


def results_of_store(
    entries: Sequence[Entry], experiments: Sequence[Experiment], store: Store, device: str | None
) -> Results:
    """Judge what a store holds of every profile that may conclude something.

    Raises:
        UserError: a spec cannot be used.
    """
    from reports.collect import collect

    rows = []
    for experiment in experiments:
        if not store.trial_ids(experiment.name):
            continue
        for profile in conclusive_profiles(experiment):
            found = collect(experiment, profile, store, device)
            if any(entry.counted for entry in found.state.states):
                rows += [Result.model_validate(json.loads(json.dumps(j.row()))) for j in found.judgements]
    return _sorted_out(rows, entries, experiments, of_store=True, narrowed=False)


def results_of_files(
    entries: Sequence[Entry], experiments: Sequence[Experiment], paths: Sequence[Path], narrowed: bool
) -> Results:
    """Read verdicts from ``claims.json`` files of reports; ``narrowed`` leaves out experiments that are not listed.

    Raises:
        UserError: a file cannot be read, or is none that a report wrote.
    """
    rows = [row for path in paths for row in read_results(path)]
    return _sorted_out(rows, entries, experiments, of_store=False, narrowed=narrowed)


def read_results(path: Path) -> list[Result]:
    """Return the rows of a report's ``claims.json``.

    Raises:
        UserError: the file cannot be read, or is none that a report wrote.
    """
    try:
        rows = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"--results {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"--results {path}: is not JSON: {error}") from error
    if not isinstance(rows, list):
        raise UserError(f"--results {path}: is no claims.json of 'harness report': it holds no list")
    return [_result(row, number, path) for number, row in enumerate(rows, 1)]


def _result(row: Any, number: int, path: Path) -> Result:
    try:
        return Result.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = f"{key}: {first['msg'].lower()}" if key else "is no mapping of keys to values"
        raise UserError(f"--results {path}: is no claims.json of 'harness report': entry {number}: {what}") from None


def _sorted_out(
    rows: Sequence[Result],
    entries: Sequence[Entry],
    experiments: Sequence[Experiment],
    of_store: bool,
    narrowed: bool,
) -> Results:
    """Tell results of profiles that count from others; later rows take the place of earlier ones."""
    served = {(entry.claim.id, experiment.name) for entry in entries for experiment in entry.experiments}
    profiles = {(e.name, name): profile for e in experiments for name, profile in e.spec.profiles.items()}
    names = {experiment.name for experiment in experiments}
    known: dict[tuple[str, str, str, str | None], Result] = {}
    unknown: dict[tuple[str, str, str, str | None], Result] = {}
    for row in rows:
        profile = profiles.get((row.experiment, row.profile))
        if narrowed and row.experiment not in names:
            continue
        if profile is None or profile.fidelity != row.fidelity or (row.claim, row.experiment) not in served:
            unknown[row.identity] = row
        elif profile.conclusive:
            known[row.identity] = row
    return Results(known, tuple(unknown.values()), of_store)


def verdicts_of(entry: Entry, results: Results) -> Iterator[Result]:
    """Yield the results of one claim under all experiments and profiles that judge it."""
    for experiment in entry.experiments:
        for profile in conclusive_profiles(experiment):
            yield from results.of(entry.claim, experiment, profile)


def _plain(model: BaseModel | None) -> Any:
    return None if model is None else json.loads(json.dumps(model.model_dump(exclude_none=True)))
