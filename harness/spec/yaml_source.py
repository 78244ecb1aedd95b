"""YAML text into plain data that remembers the line of every key.

The scalars follow the YAML 1.2 core schema, so ``1e-3`` is a number and ``no`` is a word. A key given twice, an
alias that multiplies the document and a document of another shape than plain data are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError

MAXIMUM_BYTES = 4 * 1024 * 1024
MAXIMUM_VALUES = 200_000
MAXIMUM_DEPTH = 50

Location = tuple[str | int, ...]


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's composer with the YAML 1.2 core schema in place of YAML 1.1's guesses."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


_PREFIX = "tag:yaml.org,2002:"
_PLAIN_TAGS = {"null", "bool", "int", "float", "str", "seq", "map"}
_CORE_SCHEMA = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN\0"),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
)
for _tag, _pattern, _first in _CORE_SCHEMA:
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), [c if c != "\0" else "" for c in _first])


@dataclass(frozen=True)
class Source:
    """Plain data read from one YAML file.

    ``lines`` maps the location of a value, as a tuple of keys and indices, to the one-based line it stands on.
    """

    path: Path
    data: Any
    lines: dict[Location, int] = field(repr=False)

    def line(self, location: Location) -> int:
        """Return the line of ``location``, or of the nearest enclosing value that has one."""
        for length in range(len(location), -1, -1):
            if (found := self.lines.get(location[:length])) is not None:
                return found
        return 1

    def error(self, location: Location, message: str) -> UserError:
        """Return the sentence about a value: file, line, key, what is wrong."""
        key = ".".join(str(part) for part in location)
        return UserError(f"{self.path}:{self.line(location)}: {key + ': ' if key else ''}{message}")


def read_yaml(path: Path) -> Source:
    """Read one YAML file.

    Raises:
        UserError: the file is missing, unreadable, too large, not YAML, or holds a key twice.
    """
    try:
        size = path.stat().st_size
        if size > MAXIMUM_BYTES:
            raise UserError(f"{path}: {size} bytes are more than the {MAXIMUM_BYTES} a spec may have")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> Source:
    """Parse YAML text; ``path`` is what errors name."""
    try:
        _refuse_depth(text, path)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise UserError(f"{path}:{line}: is not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not valid YAML: {str(error).splitlines()[0]}") from error
    if node is None:
        raise UserError(f"{path}: is empty")
    lines: dict[Location, int] = {}
    builder = _Builder(path, lines)
    data = builder.build(node, ())
    return Source(path, data, lines)


def _refuse_depth(text: str, path: Path) -> None:
    """Refuse deep nesting before anything is composed: composing recurses in C, where no exception stops it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAXIMUM_DEPTH:
                raise UserError(f"{path}: is nested more than {MAXIMUM_DEPTH} levels deep; a spec is flatter")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Builder:
    """Turns composed nodes into plain data, counting what aliases expand to."""

    def __init__(self, path: Path, lines: dict[Location, int]) -> None:
        self.path = path
        self.lines = lines
        self.values = 0
        self.open: set[int] = set()
        self.scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node, location: Location) -> Any:
        line = node.start_mark.line + 1
        self.values += 1
        if self.values > MAXIMUM_VALUES:
            raise UserError(
                f"{self.path}:{line}: expands to more than {MAXIMUM_VALUES} values; "
                "aliases that refer to aliases multiply, so write the values out"
            )
        if id(node) in self.open:
            raise UserError(f"{self.path}:{line}: an alias contains itself")
        self.lines.setdefault(location, line)
        if node.tag.removeprefix(_PREFIX) not in _PLAIN_TAGS:
            raise UserError(f"{self.path}:{line}: the tag '{node.tag}' is not allowed; a spec is plain data")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, line)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(child, (*location, index)) for index, child in enumerate(node.value)]
            return self.mapping(node, location)
        finally:
            self.open.discard(id(node))

    def scalar(self, node: yaml.ScalarNode, line: int) -> Any:
        try:
            if node.tag == _PREFIX + "int":
                return int(node.value, 0 if node.value[:2] in ("0o", "0x") else 10)
            return self.scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f"{self.path}:{line}: '{node.value}' cannot be read as {node.tag[18:]}") from error

    def mapping(self, node: yaml.Node, location: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise UserError(f"{self.path}:{line}: a key must be a word, not a list or a mapping")
            # A level may be called 36 or 0.1: keys are always read as the text that stands there.
            key = key_node.value
            if key == "<<":
                raise UserError(f"{self.path}:{line}: merge keys ('<<') are not part of YAML 1.2; repeat the keys")
            if key in result:
                first = self.lines[(*location, key)]
                raise UserError(f"{self.path}:{line}: the key '{key}' stands twice (first on line {first})")
            self.lines[(*location, key)] = line
            result[key] = self.build(value_node, (*location, key))
        return result
