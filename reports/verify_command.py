"""``harness verify``: plugged into the engine's command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reports.verify import Verification

DIFFERENT = 4
"""The exit status of a report that is not what the store gives."""


@click.command("verify")
@click.argument("site", default="site", metavar="[SITE]")
@click.option("--store", metavar="DIR", help="Where results live (or HARNESS_STORE; default: results).")
@click.option("--compare", metavar="STORE", help="The other store, where the report shows two side by side.")
def verify_command(site: str, store: str | None, compare: str | None) -> int:
    """Make the report in SITE (default: site) again from the stored raw samples, and name each difference.

    Every file of every attempt that counts and of every profile that is shown is hashed; every claim, cell and picture
    is recomputed. Nothing is written. Exit status 4 where anything differs.
    """
    from harness.store.store import Store
    from reports.verify import verify

    verification = verify(Path(site), Store.at(store), Store(Path(compare)) if compare else None)
    for line in lines(verification):
        click.echo(line)
    return DIFFERENT if verification.findings else 0


def lines(verification: Verification) -> Iterator[str]:
    """Yield what the command prints: the differences, what may explain them, and how it ended."""
    from reports.findings import listing

    findings = verification.findings
    yield from listing(findings)
    yield from (f"note: {note}" for note in verification.notes)
    scope = (
        f"{_counted(verification.claims, 'claim')}, {_counted(verification.cells, 'cell')}, "
        f"{_counted(verification.attempts, 'attempt')}"
    )
    if verification.profiles:
        scope += f", {_counted(verification.profiles, 'profile')}"
    if verification.unchecked:
        scope += f"; {_counted(verification.unchecked, 'picture')} not compared, since other versions draw other bytes"
    yield f"not verified: {_counted(len(findings), 'difference')} in {scope}" if findings else f"verified: {scope}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
