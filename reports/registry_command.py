"""``harness claims``: plugged into the engine's command line."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import UserError


@click.command("claims")
@click.argument("specs", nargs=-1, metavar="[SPEC]...")
@click.option(
    "--results",
    multiple=True,
    metavar="FILE...",
    help="claims.json files of reports; a later one wins (default: judge what the store holds).",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Whose results (default: as 'run').")
@click.option("--store", metavar="DIR", help="Where results live (or HARNESS_STORE; default: results).")
@click.option("--out", metavar="FILE", help="Write the page there instead of printing it.")
def claims_command(
    specs: tuple[str, ...], results: tuple[str, ...], device: str | None, store: str | None, out: str | None
) -> None:
    """List every registered claim of SPEC, or of all experiments, with its verdicts, as a page of Markdown."""
    from harness.store.atomic import write_bytes
    from harness.store.store import Store
    from reports.registry import registered, results_of_files, results_of_store
    from reports.registry_page import registry_page

    if results:
        # '--results a.json b.json' leaves all but the first among the arguments, and no spec ends so.
        results += tuple(name for name in specs if name.endswith(".json"))
        specs = tuple(name for name in specs if not name.endswith(".json"))
        if store is not None or device is not None:
            raise UserError(
                "--results: names the reports that verdicts are read from, so --store and --device say nothing"
            )
    entries, experiments = registered(specs)
    if results:
        found = results_of_files(entries, experiments, [Path(name) for name in results], narrowed=bool(specs))
    else:
        found = results_of_store(entries, experiments, Store.at(store), device)
    page = registry_page(entries, found)
    if out is None:
        click.echo(page, nl=False)
        return
    try:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(Path(out), page.encode())
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error
    click.echo(f"claims: {out}")
