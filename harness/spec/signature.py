"""Trial functions: found by dotted name, their parameters checked before anything is queued."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import UserError, nearest

RUN_ARGUMENT = "run"


@dataclass(frozen=True)
class Placement:
    """Marks a parameter that says where or how something is got, not what: ``Annotated[str | None, Placement()]``.

    A folder of data sets, say. It is no part of a trial's identity, so results stay valid when the data move.
    """


@dataclass(frozen=True)
class Parameter:
    """One keyword parameter of a trial function: how its values are checked, and its default."""

    name: str
    adapter: TypeAdapter[Any]
    required: bool
    default: Any
    takes_mapping: bool
    placement: bool

    def check(self, value: Any) -> Any:
        """Return ``value`` as the annotated type; types are strict, so ``"5"`` and ``true`` are no numbers.

        Raises:
            ValidationError: the value is not of the annotated type.
        """
        return self.adapter.validate_json(json.dumps(value), strict=True)

    def plain(self, checked: Any) -> Any:
        """Return a checked value as JSON data without the defaults of nested models: its identity."""
        return self.adapter.dump_python(checked, mode="json", exclude_defaults=True)


@dataclass(frozen=True)
class TrialFunction:
    """A trial function and the parameters that a spec may set."""

    name: str
    call: Callable[..., Any]
    parameters: Mapping[str, Parameter]


def resolve(name: str, search: tuple[Path, ...] = ()) -> TrialFunction:
    """Import ``module:function`` and read its signature.

    Raises:
        UserError: the module or function does not exist, fails on import, or has an unusable signature.
    """
    function = imported(name, search, "trial function")
    return TrialFunction(name, function, _parameters(name, function))


def imported(name: str, search: tuple[Path, ...], what: str) -> Callable[..., Any]:
    """Import ``module:function``; ``what`` is how messages call it.

    ``search`` folders are appended to the import path, so that installed packages win over files beside a spec.

    Raises:
        UserError: the module or function does not exist, or fails on import.
    """
    for folder in search:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UserError(f"{what} '{name}': there is no module '{error.name}' on the import path") from None
        raise UserError(f"{what} '{name}': importing it needs the missing module '{error.name}'") from error
    except Exception as error:
        found = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{what} '{name}': its module fails on import with {found}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [n for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__]
        raise UserError(f"{what} '{name}': '{module_name}' has no such function{nearest(function_name, known)}")
    return function  # type: ignore[no-any-return]


def _parameters(name: str, function: Callable[..., Any]) -> dict[str, Parameter]:
    try:
        hints = _hints(function)
    except Exception as error:
        raise UserError(f"trial function '{name}': its annotations cannot be read: {error}") from error
    signature = inspect.signature(function)
    if RUN_ARGUMENT not in signature.parameters:
        raise UserError(f"trial function '{name}': has no '{RUN_ARGUMENT}' argument; add 'run: Run' to its signature")
    parameters = {}
    for parameter in signature.parameters.values():
        if parameter.name == RUN_ARGUMENT:
            continue
        if parameter.kind not in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise UserError(f"trial function '{name}': '{parameter}' is not a keyword parameter a spec could set")
        if parameter.name not in hints:
            raise UserError(f"trial function '{name}': the parameter '{parameter.name}' has no type annotation")
        hint = hints[parameter.name]
        annotated = typing.get_origin(hint) is typing.Annotated
        origin = typing.get_origin(typing.get_args(hint)[0] if annotated else hint)
        parameters[parameter.name] = Parameter(
            parameter.name,
            TypeAdapter(hint),
            parameter.default is parameter.empty,
            None if parameter.default is parameter.empty else parameter.default,
            isinstance(origin, type) and issubclass(origin, Mapping),
            any(isinstance(mark, Placement) for mark in getattr(hint, "__metadata__", ())),
        )
    return parameters


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of what a spec may set; ``run`` may name a type that only type checkers import."""
    inner = inspect.unwrap(function)
    wanted = {k: v for k, v in inner.__annotations__.items() if k not in (RUN_ARGUMENT, "return")}
    holder = types.SimpleNamespace(__annotations__=wanted)
    return typing.get_type_hints(holder, globalns=inner.__globals__, include_extras=True)


def reason(error: ValidationError) -> str:
    """Return what pydantic found wrong with a parameter's value, without pydantic's layout."""
    finding = error.errors()[0]
    where = ".".join(str(part) for part in finding["loc"])
    message = finding["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    given = finding.get("input")
    if finding["type"] == "extra_forbidden":
        return f"'{where}' is not a key it knows"
    shown = (
        "" if isinstance(given, dict | list) or finding["type"] in ("missing", "value_error") else f", not {given!r}"
    )
    return f"{where + ': ' if where else ''}{message}{shown}"
