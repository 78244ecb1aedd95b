"""``harness check``: everything that can be known to be wrong without running anything."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.errors import UserError
from harness.plan.design import make_design
from harness.plan.hooks import check_hooks
from harness.plan.trials import expand
from harness.spec.arms import check_arms
from harness.spec.find import all_experiments, find_experiment
from harness.spec.load import Experiment
from harness.spec.profiles import JudgedSpec


@click.command("check")
@click.argument("specs", nargs=-1, metavar="[SPEC]...")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of specs, for editors, and stop.")
def check_command(specs: tuple[str, ...], schema: bool) -> None:
    """Check specs and their claims: all of them, or those named (names, files or folders)."""
    if schema:
        click.echo(json.dumps(JudgedSpec.model_json_schema(), indent=2))
        return
    experiments = [found for spec in specs for found in _named(spec)] if specs else all_experiments()
    problems = []
    for experiment in experiments:
        try:
            click.echo(_checked(experiment))
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\nharness: ".join(problems))


def _named(spec: str) -> list[Experiment]:
    folder = Path(spec)
    if not folder.is_dir():
        return [find_experiment(spec)]
    paths = sorted(path for path in folder.rglob("*.y*ml") if path.name != "claims.yaml")
    if not paths:
        raise UserError(f"{folder}: holds no YAML file")
    return [find_experiment(str(path)) for path in paths]


def _checked(experiment: Experiment) -> str:
    counts = []
    for profile in experiment.spec.profiles:
        design = make_design(experiment, profile, device="cpu")
        counts.append(f"{profile} {len(expand(design))}")
        check_hooks(design)
    check_arms(experiment)
    return f"{experiment.name}: right; {len(experiment.claims)} claims; trials: {', '.join(counts)}"
