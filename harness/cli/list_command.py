"""``harness list``."""

from __future__ import annotations

import click

from harness.spec.find import all_experiments


@click.command("list")
def list_command() -> None:
    """Show the experiments at hand, their profiles and the claims they serve."""
    experiments = all_experiments()
    if not experiments:
        click.echo("No experiments here: a spec is a YAML file in a folder below 'experiments'.")
    for experiment in experiments:
        spec = experiment.spec
        profiles = ", ".join(f"{name} ({profile.fidelity})" for name, profile in spec.profiles.items())
        click.echo(f"{spec.experiment}: {spec.title}")
        click.echo(f"  profiles: {profiles}")
        click.echo(f"  claims:   {len(experiment.claims)}")
        for registered in experiment.claims[:6]:
            click.echo(f"    {registered.claim.id}: {registered.claim.statement}")
        if len(experiment.claims) > 6:
            click.echo(f"    ... and {len(experiment.claims) - 6} more")
