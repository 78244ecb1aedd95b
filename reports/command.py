"""``harness report``: plugged into the engine's command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import UserError

if TYPE_CHECKING:
    from reports.parts import Section


@click.command("report")
@click.argument("specs", nargs=-1, metavar="[SPEC]...")
@click.option("--profile", metavar="P", help="One profile (default: laptop; without SPEC every one with results).")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Whose results (default: as 'run').")
@click.option("--store", metavar="DIR", help="Where results live (or HARNESS_STORE; default: results).")
@click.option("--compare", metavar="STORE", help="Another store, of another machine or commit, to show beside it.")
@click.option("--out", metavar="DIR", default="site", show_default=True, help="Where the page goes.")
def report_command(
    specs: tuple[str, ...], profile: str | None, device: str | None, store: str | None, compare: str | None, out: str
) -> None:
    """Write the page, claims.json and tables.zip: a verdict for each claim of SPEC, or of everything in the store.

    Only what has changed since the last report in the same folder is made anew.
    """
    from harness.store.store import Store
    from reports.bench.files import bench_files
    from reports.kept import KeptSections
    from reports.manifest import PAGE
    from reports.sections import sections_of
    from reports.site import Other, is_written, write_site

    folder, kept, other = Path(out), KeptSections(Path(out)), None
    if compare is not None and not Path(compare).is_dir():
        raise UserError(f"--compare {compare}: there is no such store")
    sections = sections_of(specs, profile, device, Store.at(store), kept)
    if compare is not None:
        other = Other(compare, sections_of(specs, profile, device, Store(Path(compare)), kept, beside=True))
    bench = bench_files(Store.at(store))
    unchanged = not kept.made and is_written(sections, other, folder, bench)
    if not unchanged:
        try:
            write_site(sections, other, folder, bench)
            kept.keep()
        except OSError as error:
            raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error
    for line in lines(sections):
        click.echo(line)
    click.echo(f"report: {folder / PAGE}" + (" (nothing has changed since it was made)" if unchanged else ""))


def lines(sections: Sequence[Section]) -> Iterator[str]:
    """Yield what the command prints of each claim."""
    for section in sections:
        for row in section.rows:
            yield f"{row.verdict:15} {row.label}: {row.effect}"
    if not sections:
        yield "the store holds no results yet; run an experiment first"
