"""Options that several commands share, and what they come to: a design, its trials, and their state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from harness.errors import UserError
from harness.plan.design import Design, make_design
from harness.plan.state import PlanState, state_of
from harness.spec.find import find_experiment
from harness.spec.yaml_source import parse_yaml
from harness.store.store import Store

Decorated = Callable[..., Any]


def store_option(function: Decorated) -> Decorated:
    return click.option("--store", metavar="DIR", help="Where results live (or HARNESS_STORE; default: results).")(
        function
    )


def design_options(function: Decorated) -> Decorated:
    """Add SPEC and the options that say which trials are meant."""
    for decorate in reversed(
        (
            click.argument("spec"),
            click.option("--profile", metavar="P", help="Budget and data choice (default: laptop)."),
            click.option(
                "--replicates", type=click.IntRange(min=1), metavar="N", help="In place of the spec's number."
            ),
            click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Fix a parameter or a level."),
            click.option(
                "--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Default: the profile's, or auto."
            ),
            store_option,
        )
    ):
        function = decorate(function)
    return function


@dataclass(frozen=True)
class Selection:
    """What SPEC and its options select."""

    design: Design
    store: Store
    state: PlanState

    def again(self) -> Selection:
        """Return the same selection with the store as it is now."""
        return Selection(self.design, self.store, state_of(self.design, self.store))


def select(
    spec: str,
    profile: str | None,
    replicates: int | None,
    settings: Sequence[str],
    device: str | None,
    store: str | None,
) -> Selection:
    """Return the design that the options describe, with the state of its trials in the store.

    Raises:
        UserError: anything that cannot be used.
    """
    design = make_design(
        find_experiment(spec), profile, replicates=replicates, overrides=_overrides(settings), device=device
    )
    place = Store.at(store)
    return Selection(design, place, state_of(design, place))


def _overrides(settings: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key:
            raise UserError(f"--set {setting}: must read KEY=VALUE")
        if key in found:
            raise UserError(f"--set {key}: is given twice")
        found[key] = parse_yaml(text, Path(f"--set {key}")).data if text.strip() else ""
    return found
