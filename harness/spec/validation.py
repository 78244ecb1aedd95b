"""Pydantic's findings, told as one sentence that names file, line, key and what would be right."""

from __future__ import annotations

from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from harness.errors import UserError, listed, nearest
from harness.spec.yaml_source import Location, Source

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], source: Source, data: Any = None, at: Location = ()) -> Model:
    """Return ``data`` (or the whole of ``source``) as ``model``; ``at`` is where the data stands in the file.

    Raises:
        UserError: the first finding that names a misspelt key, or else the first finding.
    """
    data = source.data if data is None and not at else data
    if not isinstance(data, dict):
        raise source.error(at, f"must be a mapping of keys to values, not {kind_of(data)}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        findings = error.errors()
        first = next((f for f in findings if f["type"] == "extra_forbidden"), findings[0])
        raise sentence(first, model, source, at) from None


def sentence(finding: Any, model: type[BaseModel] | None, source: Source, at: Location) -> UserError:
    """Return one pydantic finding as the sentence that a user reads."""
    location = (*at, *_in_file(tuple(finding["loc"]), source, at))
    if finding["type"] == "extra_forbidden":
        known = _keys_at(model, tuple(finding["loc"])[:-1]) if model else []
        key = str(finding["loc"][-1])
        return source.error(
            location[:-1] + (key,), f"unknown key{nearest(key, known)} (known: {listed(sorted(known))})"
        )
    if finding["type"] == "missing":
        return source.error(location[:-1], f"the key '{finding['loc'][-1]}' is missing")
    if finding["type"] == "union_tag_invalid":
        key, known = (
            finding["ctx"]["discriminator"].strip("'"),
            finding["ctx"]["expected_tags"].replace("'", "").split(", "),
        )
        given = str(finding["ctx"]["tag"])
        return source.error((*location, key), f"there is no '{given}'{nearest(given, known)} (known: {listed(known)})")
    message = finding["msg"].removeprefix("Value error, ")
    given = finding.get("input")
    shown = "" if isinstance(given, dict | list) or finding["type"] == "value_error" else f", not {given!r}"
    return source.error(location, message[:1].lower() + message[1:] + shown)


def kind_of(value: Any) -> str:
    """Return a plain word for the type of a YAML value."""
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", int: "a whole number"}
    return "nothing" if value is None else names.get(type(value), "a number")


def _in_file(location: tuple[Any, ...], source: Source, at: Location) -> Location:
    """Drop the parts of a pydantic location that are branches of a union and stand nowhere in the file."""
    kept: Location = ()
    for part in location:
        if isinstance(part, str) and part.startswith("("):
            continue
        if (*at, *kept, part) in source.lines or part is location[-1]:
            kept = (*kept, part)
    return kept


def _keys_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Return the keys that the model nested at ``location`` knows; of a union, those of the branch that was taken."""
    models = [model]
    for part in location:
        holder = next((m for m in models if part in m.model_fields), None)
        if holder is not None:
            models = _models_within(holder.model_fields[str(part)].annotation)
        else:
            models = [m for m in models if _has_tag(m, part)] or models
    return list(models[0].model_fields) if models else []


def _has_tag(model: type[BaseModel], tag: Any) -> bool:
    """Say whether a model is the branch of a union that a tag stands for."""
    return any(
        get_origin(field.annotation) is Literal and tag in get_args(field.annotation)
        for field in model.model_fields.values()
    )


def _models_within(annotation: Any) -> list[type[BaseModel]]:
    """Return the pydantic models inside an annotation such as ``dict[str, Model]`` or ``Model | None``."""
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for argument in getattr(annotation, "__args__", ()) for found in _models_within(argument)]
