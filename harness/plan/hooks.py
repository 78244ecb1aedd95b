"""Functions beside the trial function that a spec names: what a trial costs, whether what it needs is there, its arms.

Such a function names, among its keyword parameters, those of the trial function's that it needs. It is called once for
each combination of their values; one that is given a ``run`` as well, each time anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from harness.errors import NotKnownYet, UserError, listed, nearest
from harness.plan.design import Design
from harness.plan.trials import Trial, canonical
from harness.spec.signature import RUN_ARGUMENT, imported

KEYS = ("operations", "ready", "profiled")
"""Those of a spec that name such a function."""
WITH_RUN = ("profiled",)
"""The keys under which a spec names a function that may ask for the run too."""


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
        given = (RUN_ARGUMENT,) if key in WITH_RUN else ()
        for wanted in self._names:
            if wanted not in self._known and wanted not in given:
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
        key = canonical({name: trial.parameters[name] for name in self._names if name in trial.parameters})
        if key not in self._answers:
            self._answers[key] = self._asked(trial, {})
        return self._answers[key]

    def with_run(self, trial: Trial, run: Any) -> Any:
        """Return what it makes of a trial in a run, asked anew each time; raises as a call does."""
        return self._asked(trial, {RUN_ARGUMENT: run} if RUN_ARGUMENT in self._names else {})

    def _asked(self, trial: Trial, besides: dict[str, Any]) -> Any:
        values = {
            name: self._known[name].check(trial.parameters[name])
            if name in trial.parameters
            else self._known[name].default
            for name in self._names
            if name not in besides
        }
        try:
            return self._call(**values, **besides)
        except (UserError, NotKnownYet):
            raise
        except Exception as error:
            message = f"'{self._name}' fails for a trial of this plan with {type(error).__name__}: {error}"
            raise self._source.error(self._at, message) from error


def check_hooks(design: Design) -> None:
    """Make sure of all such functions that the spec names.

    Raises:
        UserError: one does not exist, or asks for what the trial function does not take.
    """
    for key in KEYS:
        name = getattr(design.experiment.spec, key)
        if name is not None:
            Hook(design, key, name)


def profiled_hook(design: Design) -> Hook | None:
    """Return the spec's ``profiled`` function, None where it names none.

    Raises:
        UserError: it does not exist, or asks for what the trial function does not take.
    """
    name = design.experiment.spec.profiled
    return Hook(design, "profiled", name) if name is not None else None


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
