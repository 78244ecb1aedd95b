"""``harness report``: plugged into the engine's command line."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import UserError


@click.command("report")
@click.argument("specs", nargs=-1, metavar="[SPEC]...")
@click.option("--profile", metavar="P", help="One profile (default: laptop; without SPEC every one with results).")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Whose results (default: as 'run').")
@click.option("--store", metavar="DIR", help="Where results live (or HARNESS_STORE; default: results).")
@click.option("--out", metavar="DIR", default="site", show_default=True, help="Where the page goes.")
def report_command(
    specs: tuple[str, ...], profile: str | None, device: str | None, store: str | None, out: str
) -> None:
    """Write index.html and claims.json: a verdict for each claim of SPEC, or of everything in the store."""
    from harness.store.store import Store
    from reports.collect import collect_all
    from reports.page import effect_text, reading_text, write_site

    found = collect_all(specs, profile, Store.at(store), device)
    try:
        page = write_site(found, Path(out))
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error
    for results in found:
        for judgement in results.judgements:
            reading = f" ({reading_text(judgement.reading)})" if judgement.reading else ""
            click.echo(f"{judgement.verdict:15} {judgement.claim.id}{reading}: {effect_text(judgement)}")
    if not found:
        click.echo("the store holds no results yet; run an experiment first")
    click.echo(f"report: {page}")
