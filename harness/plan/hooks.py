"""Functions beside the trial function that a spec names: what a trial costs, and whether what it needs is there.

Such a function names, among its keyword parameters, those of the trial function's that it needs. It is called once for
each combination of their values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from harness.errors import NotKnownYet, UserError, listed, nearest
from harness.plan.design import Design
from harness.plan.trials import Trial, canonical
from harness.spec.signature import imported


class Hook:
    """The function that a spec names under ``key``."""

    def __init__(self, design: Design, key: str, name: str) -> None:
        """Import it.

        Raises:
            UserError: it does not exist, or asks for what the trial function does not take; the spec's line is named.
        """
        self._at = (key,)
        self._source = design.experiment.source
        self._name = name
        self._known = design.function.parameters
        self._answers: dict[str, Any] = {}
        try:
            self._call: Callable[..., Any] = imported(name, design.experiment.search, f"function '{key}'")
        except UserError as error:
            raise self._source.error(self._at, str(error)) from error
        self._names = list(inspect.signature(self._call).parameters)
        for wanted in self._names:
            if wanted not in self._known:
                known = sorted(self._known)
                message = (
                    f"'{name}' asks for '{wanted}', which the trial function does not take{nearest(wanted, known)}"
                )
                raise self._source.error(self._at, f"{message} (known: {listed(known)})")

    def __call__(self, trial: Trial) -> Any:
        """Return what it says of a trial.

        Raises:
            UserError: it raised one, or failed; the latter names the spec's line.
            NotKnownYet: it cannot say yet.
        """
        given = {name: trial.parameters[name] for name in self._names if name in trial.parameters}
        key = canonical(given)
        if key not in self._answers:
            values = {
                name: self._known[name].check(given[name]) if name in given else self._known[name].default
                for name in self._names
            }
            try:
                self._answers[key] = self._call(**values)
            except (UserError, NotKnownYet):
                raise
            except Exception as error:
                message = f"'{self._name}' fails for a trial of this plan with {type(error).__name__}: {error}"
                raise self._source.error(self._at, message) from error
        return self._answers[key]


def require_ready(design: Design, trials: list[Trial]) -> None:
    """Ask the spec's ``ready`` function, if it has one, whether what the trials need is there.

    It may fetch what is missing, so that workers do not do it at the same time.

    Raises:
        UserError: what the function says is missing, or it cannot be used.
    """
    if design.experiment.spec.ready is not None:
        hook = Hook(design, "ready", design.experiment.spec.ready)
        for trial in trials:
            hook(trial)
