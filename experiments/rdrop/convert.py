"""``python -m experiments.rdrop.convert 5 paper``: one alpha in all the conventions of the loss."""

from __future__ import annotations

from typing import cast, get_args

import click

from experiments.rdrop.conventions import CONVENTIONS, ConventionName, translated


@click.command()
@click.argument("alpha", type=click.FloatRange(min=0))
@click.argument("convention", type=click.Choice(get_args(ConventionName)))
@click.option("--batch", type=click.IntRange(min=1), help="Examples that a form which sums over them sees.")
def convert(alpha: float, convention: str, batch: int | None) -> None:
    """Print what weighs in every other CONVENTION what ALPHA weighs in this one."""
    source = cast(ConventionName, convention)
    examples = batch or CONVENTIONS[source].batch or 1
    click.echo(f"alpha {alpha:g} in '{source}', {examples} example{'s' if examples > 1 else ''} a batch, is")
    for name, form in CONVENTIONS.items():
        click.echo(f"  {translated(alpha, source, name, examples):<10.6g} {name:<28} {form.source}")


if __name__ == "__main__":
    convert()
