"""Files into experiments: the spec, the claims it serves, and where each stands."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import UserError, listed, nearest
from harness.spec.claims import FORMS, Claim, ClaimsFile, ProtocolEntry
from harness.spec.profiles import JudgedSpec
from harness.spec.signature import TrialFunction, resolve
from harness.spec.validation import sentence, validated
from harness.spec.yaml_source import Location, Source, read_yaml

_CLAIM: TypeAdapter[Claim] = TypeAdapter(Claim)


@dataclass(frozen=True)
class RegisteredClaim:
    """A claim and the place in a file that it was read from."""

    claim: Claim
    source: Source
    location: Location


@dataclass(frozen=True)
class Experiment:
    """A validated spec with the claims it serves. The trial function is imported only when it is asked for.

    ``registry`` holds every claim of the claims file, served here or by another experiment; ``protocol`` what the file
    says that the paper did, as far as it concerns this experiment, and ``not_stated`` what the paper leaves out.
    """

    spec: JudgedSpec
    source: Source
    claims: tuple[RegisteredClaim, ...]
    registry: tuple[RegisteredClaim, ...] = ()
    not_stated: tuple[str, ...] = ()
    protocol: tuple[ProtocolEntry, ...] = ()

    @property
    def name(self) -> str:
        return self.spec.experiment

    @property
    def search(self) -> tuple[Path, ...]:
        """Folders, beside the installed packages, in which the trial function's module may lie."""
        return (Path.cwd(), self.source.path.resolve().parent)

    def function(self) -> TrialFunction:
        """Import the trial function.

        Raises:
            UserError: it does not exist or cannot be used; the message names the spec's line.
        """
        try:
            return resolve(self.spec.trial, self.search)
        except UserError as error:
            raise self.source.error(("trial",), str(error)) from error


def load_experiment(path: Path) -> Experiment:
    """Read and validate one spec and its claims.

    Raises:
        UserError: anything in either file that cannot be used.
    """
    source = read_yaml(path)
    if isinstance(source.data, dict) and "experiment" not in source.data and "claims" in source.data:
        raise source.error((), "is a file of claims, not an experiment; name a file with the key 'experiment'")
    spec = validated(JudgedSpec, source)
    path = source.path.parent / (spec.claims_file or "claims.yaml")
    named = any(isinstance(entry, str) for entry in spec.claims)
    # A spec without claims may still be about the paper of the file, whose protocol then names it.
    if not named and (spec.claims or not path.exists()):
        return Experiment(spec, source, tuple(_claims(spec, source, {}, path)))
    if not path.exists():
        raise source.error(("claims",), f"names registered claims, but there is no {path}")
    file = load_claims(path)
    claims = tuple(_claims(spec, source, file.claims, path))
    protocol = tuple(_protocol(file, {spec.experiment, *(c.claim.id for c in claims)}, source.path.parent))
    return Experiment(spec, source, claims, tuple(file.claims.values()), file.not_stated, protocol)


def _claims(
    spec: JudgedSpec, source: Source, registry: dict[str, RegisteredClaim], path: Path
) -> list[RegisteredClaim]:
    found = []
    for index, entry in enumerate(spec.claims):
        if isinstance(entry, dict):
            found += _expanded(entry, {}, source, ("claims", index))
            continue
        chosen = [c for name, c in registry.items() if _stands_for(entry, name)]
        # The id of a claim with 'each' stands for all of its entries; an exact name stands for itself alone.
        exact = [c for c in chosen if c.claim.id == entry]
        if not chosen:
            known = sorted(registry)
            raise source.error(
                ("claims", index), f"no claim '{entry}' in {path}{nearest(entry, known)} (known: {listed(known)})"
            )
        found += exact or chosen
    names = [c.claim.id for c in found]
    for c in found:
        if c.claim.reading is not None and spec.select is None:
            raise c.source.error((*c.location, "reading"), "asks for a reading, but the spec has no 'select'")
        there = c.claim.beside in names or c.claim.beside in registry
        if c.claim.beside and (not there or c.claim.beside == c.claim.id):
            known = sorted({*names, *registry})
            message = f"no other claim '{c.claim.beside}'{nearest(c.claim.beside, known)} (known: {listed(known)})"
            raise c.source.error((*c.location, "beside"), message)
    for name in names:
        if names.count(name) > 1:
            raise source.error(("claims",), f"the claim '{name}' is named twice")
    return found


def _stands_for(entry: str, name: str) -> bool:
    """Say whether a word in a list of claims means the claim ``name``: its id, or that of a series it is part of."""
    return name == entry or name.startswith(entry + ".")


def _protocol(file: ClaimRegistry, names: set[str], folder: Path) -> list[ProtocolEntry]:
    """Return the entries that concern an experiment; ``names`` are its own and its claims', ``folder`` has its spec.

    One that serves none of the claims has those that name it.

    Raises:
        UserError: an entry is about an experiment or a claim that there is not.
    """
    _check_concerns(file, names, folder)
    serves = names & file.claims.keys()
    return [
        entry
        for entry in file.protocol
        if any(_stands_for(wanted, name) for wanted in entry.concerns for name in names)
        or (serves and not entry.concerns)
    ]


TYPING_ERROR = 0.87
"""How alike, of 1 for equal ones, two names are of which one is the other with a letter wrong."""


def _check_concerns(file: ClaimRegistry, names: set[str], folder: Path) -> None:
    """Refuse a name under ``concerns`` that looks like a claim or an experiment beside claims or spec, and is none.

    Any other name is of an experiment that lies elsewhere, as where a claims file was copied beside one's own spec.
    """
    known = {*names, *file.claims}
    open_names = [
        (("protocol", index, "concerns", place), wanted)
        for index, entry in enumerate(file.protocol)
        for place, wanted in enumerate(entry.concerns)
        if not any(_stands_for(wanted, name) for name in known)
    ]
    if open_names:
        known |= _experiments_in(file.source.path.parent) | _experiments_in(folder)
    for at, wanted in open_names:
        names_known = sorted(known)
        if wanted not in known and difflib.get_close_matches(wanted, names_known, cutoff=TYPING_ERROR):
            message = f"no experiment or claim '{wanted}'{nearest(wanted, names_known)} (known: {listed(names_known)})"
            raise file.source.error(at, message)


def _experiments_in(folder: Path) -> set[str]:
    """Return the names that the specs of a folder give themselves, without parsing them: they may be unfinished."""
    files = [path for path in folder.glob("*.yaml") if path.is_file()]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    return {name for text in texts for name in re.findall(r"^experiment:\s*[\"']?([\w-]+)", text, re.MULTILINE)}


@dataclass(frozen=True)
class ClaimRegistry:
    """A claims file: its claims by id, what the paper did, and what it does not state."""

    source: Source
    claims: dict[str, RegisteredClaim]
    protocol: tuple[ProtocolEntry, ...]
    not_stated: tuple[str, ...]


@lru_cache(maxsize=64)
def _load_claims(path: Path, modified: int) -> ClaimRegistry:
    source = read_yaml(path)
    file = validated(ClaimsFile, source)
    registry: dict[str, RegisteredClaim] = {}
    for index, entry in enumerate(file.claims):
        for registered in _expanded(entry, file.common, source, ("claims", index)):
            name = registered.claim.id
            if name in registry:
                raise source.error(registered.location, f"the claim '{name}' is registered twice")
            registry[name] = registered
    return ClaimRegistry(source, registry, tuple(file.protocol), tuple(file.not_stated))


def load_claims(path: Path) -> ClaimRegistry:
    """Read a ``claims.yaml`` into claims by id.

    Raises:
        UserError: the file or one of its claims cannot be used.
    """
    try:
        modified = path.stat().st_mtime_ns
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return _load_claims(path, modified)


def _expanded(entry: Any, common: dict[str, Any], source: Source, at: Location) -> list[RegisteredClaim]:
    if not isinstance(entry, dict):
        raise source.error(at, "a claim is a mapping of keys to values")
    base = {**common, **{key: value for key, value in entry.items() if key != "each"}}
    if "each" not in entry:
        return [_claim(base, source, at)]
    series = entry["each"]
    if (
        not isinstance(series, list)
        or not all(isinstance(item, dict) and "id" in item for item in series)
        or not series
    ):
        raise source.error((*at, "each"), "must be a list of mappings that each have an 'id'")
    found = []
    for index, item in enumerate(series):
        published = {**(base.get("published") or {}), **(item.get("published") or {})}
        merged = {**base, **item, "id": f"{base.get('id', '')}.{item['id']}"}
        if published:
            merged["published"] = published
        found.append(_claim(merged, source, (*at, "each", index)))
    return found


def _claim(data: dict[str, Any], source: Source, at: Location) -> RegisteredClaim:
    try:
        return RegisteredClaim(_CLAIM.validate_python(data), source, at)
    except ValidationError as error:
        findings = error.errors()
        first: Any = dict(next((f for f in findings if f["type"] == "extra_forbidden"), findings[0]))
        # The first part of the location is the form, which pydantic's tagged union puts there.
        if first["loc"] and first["loc"][0] in FORMS:
            first["loc"] = first["loc"][1:]
        if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
            given = data.get("form")
            known = sorted(FORMS)
            message = f"unknown form '{given}'{nearest(str(given), known)}" if given else "the key 'form' is missing"
            raise source.error((*at, "form"), f"{message} (known: {listed(known)})") from None
        raise sentence(first, FORMS.get(str(data.get("form"))), source, at) from None
