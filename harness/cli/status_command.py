"""``harness status``: how far the experiments are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import click

from harness.cli.options import store_option
from harness.cli.progress import Arrays, claims_of, held_trials, sweep_line
from harness.execution.claims import Claims
from harness.plan.design import Design, make_design
from harness.plan.state import progress_of
from harness.spec.find import all_experiments, find_experiment
from harness.spec.load import Experiment
from harness.store.store import Store

WATCH_SECONDS = 2.0


@click.command("status")
@click.argument("spec", required=False)
@click.option("--profile", metavar="P", help="One profile (default: each that has results).")
@click.option("--watch", is_flag=True, help="Look again every two seconds until nothing waits or runs.")
@store_option
def status_command(spec: str | None, profile: str | None, watch: bool, store: str | None) -> None:
    """Show done, failed, stale, running and missing trials of SPEC, or of every experiment with results.

    Arrays on a cluster are shown with it, as their tasks and Slurm tell. A controller that does not answer is given up
    after seconds.
    """
    place = Store.at(store)
    experiments = [find_experiment(spec)] if spec else all_experiments()
    views = [_View.of(experiment, profile, place) for experiment in experiments]
    text, busy = _look(views, place)
    if not watch:
        click.echo(text)
        return
    if sys.stdout.isatty():
        _watch_live(views, place, text, busy)
        return
    while True:
        click.echo(text)
        shown = text
        while busy and text == shown:
            time.sleep(WATCH_SECONDS)
            text, busy = _look(views, place)
        if not busy:
            if text != shown:
                click.echo(text)
            return


def _watch_live(views: list[_View], place: Store, text: str, busy: bool) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(Text(text), auto_refresh=False) as live:
        while busy:
            time.sleep(WATCH_SECONDS)
            text, busy = _look(views, place)
            live.update(Text(text), refresh=True)


@dataclass
class _View:
    """One experiment, with what stays between two looks."""

    experiment: Experiment
    profiles: list[str]
    store: Store
    claims: Claims
    arrays: Arrays

    @classmethod
    def of(cls, experiment: Experiment, profile: str | None, store: Store) -> _View:
        claims = claims_of(store, experiment.name)
        profiles = [profile] if profile else list(experiment.spec.profiles)
        return cls(experiment, profiles, store, claims, Arrays(store, experiment.name))

    def lines(self) -> list[str]:
        self.arrays.refresh(self.claims)
        self.arrays.look()
        held = held_trials(self.claims)
        lines = []
        for design in self._designs():
            state = progress_of(design, self.store)
            if line := sweep_line(design, state, held, self.arrays.running):
                lines.append(line)
        arrays = list(self.arrays.lines())
        return [*(lines or [f"{self.experiment.name}: no results yet"] if arrays else lines), *arrays]

    def _designs(self) -> Iterator[Design]:
        """Yield each profile as it would be run here, and as it was submitted to nodes with another device."""
        for name in self.profiles:
            here = make_design(self.experiment, name)
            yield here
            for device in sorted(self.arrays.devices.get(name, set()) - {here.device}):
                yield make_design(self.experiment, name, device=device)

    @property
    def busy(self) -> bool:
        return self.arrays.live or bool(held_trials(self.claims))


def _look(views: list[_View], place: Store) -> tuple[str, bool]:
    lines = [line for view in views for line in view.lines()]
    return "\n".join(lines) or f"no results in {place.root}", any(view.busy for view in views)
