"""The code that a trial depends on, as one hash that comments, docstrings and layout do not change.

The imports of the trial function's module are followed through the source, those inside functions too. Installed
packages and the standard library stay out: their versions stand in the environment of each attempt.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from harness.errors import UserError


@dataclass(frozen=True)
class CodeFingerprint:
    """Hash of a module and everything of ours that it imports, with the hash of each module."""

    digest: str
    modules: dict[str, str]


def fingerprint(function_name: str) -> CodeFingerprint:
    """Return the fingerprint of the code behind ``module:function``; the module must be importable."""
    waiting = [function_name.partition(":")[0]]
    seen: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        path = _own_source(name)
        if path is None:
            continue
        status = path.stat()
        digest, imports = _read(str(path), name, status.st_mtime_ns, status.st_size)
        seen[name] = digest
        waiting += imports
        # A package's __init__ runs before its modules do.
        waiting += [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]
    whole = hashlib.sha256("".join(f"{name}={seen[name]}\n" for name in sorted(seen)).encode()).hexdigest()[:16]
    return CodeFingerprint(whole, dict(sorted(seen.items())))


def source_files(function_name: str) -> list[Path]:
    """Return the files that a fingerprint is made of."""
    found = (_own_source(name) for name in fingerprint(function_name).modules)
    return [path for path in found if path is not None]


@lru_cache(maxsize=4096)
def _read(path: str, name: str, modified: int, size: int) -> tuple[str, tuple[str, ...]]:
    text = Path(path).read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise UserError(f"{path}:{line}: cannot be read as Python: {getattr(error, 'msg', error)}") from error
    is_package = Path(path).name == "__init__.py"
    digest = hashlib.sha256(" ".join(_tokens(text, tree)).encode()).hexdigest()[:16]
    return digest, tuple(dict.fromkeys(_imports(tree, name, is_package)))


def _own_source(name: str) -> Path | None:
    """Return the source file of a module that belongs to the user or the project, else None."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        return None
    spec = _find(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin).resolve()
    return None if any(path.is_relative_to(folder) for folder in _installed()) else path


@cache
def _installed() -> tuple[Path, ...]:
    """Return where installed packages and the standard library lie."""
    return tuple(Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib", "stdlib"))


def _find(name: str) -> ModuleSpec | None:
    """Return where a module lies without importing its packages: they may take seconds, and we only read them."""
    parts = name.split(".")
    try:
        spec = importlib.util.find_spec(parts[0])
        for depth in range(2, len(parts) + 1):
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(".".join(parts[:depth]), list(spec.submodule_search_locations))
    except (ImportError, ValueError, AttributeError):
        return None
    return spec


def _imports(tree: ast.Module, name: str, is_package: bool) -> Iterator[str]:
    for node in _walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".") if is_package else name.split(".")[:-1]
                parts = parts[: len(parts) - (node.level - 1)]
                base = ".".join([*parts, base] if base else parts)
            yield base
            # 'from package import module' depends on the module too; for other names no source is found.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, leaving out what only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from _walk(node)


def _tokens(text: str, tree: ast.Module) -> Iterator[str]:
    """Yield the code's tokens without comments, blank lines and docstrings.

    An f-string is yielded as its source text: Python 3.11 reads it as one token, later versions as several.
    """
    docstrings = {node.body[0].lineno for node in ast.walk(tree) if _has_docstring(node)}  # type: ignore[attr-defined]
    lines = text.splitlines(keepends=True)
    dropped = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
    start_kind = getattr(tokenize, "FSTRING_START", None)
    end_kind = getattr(tokenize, "FSTRING_END", None)
    depth, start = 0, (0, 0)
    previous, after_docstring = tokenize.NEWLINE, False
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if start_kind is not None and token.type == start_kind:
            start = token.start if depth == 0 else start
            depth += 1
        elif end_kind is not None and token.type == end_kind:
            depth -= 1
            if depth == 0:
                yield _slice(lines, start, token.end)
        elif depth or token.type in dropped:
            continue
        elif token.type == tokenize.STRING and previous in _LINE_STARTS and token.start[0] in docstrings:
            after_docstring = True
        elif after_docstring and token.type == tokenize.NEWLINE:
            after_docstring = False
        elif token.type in (tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE):
            yield tokenize.tok_name[token.type]
        else:
            yield token.string
        previous = token.type


_LINE_STARTS = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def _has_docstring(node: ast.AST) -> bool:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None


def _slice(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    return "".join([lines[start[0] - 1][start[1] :], *middle, lines[end[0] - 1][: end[1]]])
