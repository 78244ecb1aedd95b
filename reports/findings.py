"""What a verification finds: one sentence a difference, most important first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["bytes", "deleted", "bench", "edited", "trial", "declared", "claim", "tables", "page", "picture"]

ORDER: tuple[Kind, ...] = (
    "bytes",
    "deleted",
    "bench",
    "edited",
    "trial",
    "declared",
    "claim",
    "tables",
    "page",
    "picture",
)
"""What the numbers rest on, what was done to the report's files, which trials count now, then what comes out of it."""

SHOWN = 10
"""Sentences of one kind that are shown before the rest is only counted."""

NAMES: dict[Kind, str] = {
    "bytes": "files of attempts and profiles",
    "deleted": "deleted attempts and profiles",
    "bench": "runs of the benchmarks",
    "edited": "files of the report",
    "trial": "trials",
    "declared": "declared figures of claims",
    "claim": "figures of claims",
    "tables": "tables in tables.zip",
    "page": "places on the page",
    "picture": "pictures",
}


@dataclass(frozen=True)
class Finding:
    """One difference: its kind, the sentence that names it, and the attempt it is about, if it is about one."""

    kind: Kind
    sentence: str
    attempt: str = field(default="", compare=False)


def ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings, each once, most important first."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: ORDER.index(finding.kind)))


def listing(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the sentences of ordered findings; of each kind the first ten, and how many more there are."""
    for kind in ORDER:
        sentences = [finding.sentence for finding in findings if finding.kind == kind]
        yield from sentences[:SHOWN]
        if len(sentences) > SHOWN:
            yield f"and {len(sentences) - SHOWN} more {NAMES[kind]}"
