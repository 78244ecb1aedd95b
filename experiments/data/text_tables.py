"""Columns of text from CSV, TSV and Parquet files, with a sentence where one cannot be read."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
from pathlib import Path
from typing import Any, NoReturn

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pyarrow.types

from harness.errors import UserError, listed, nearest

SEPARATORS = {".csv": ",", ".tsv": "\t"}
KNOWN = [*SEPARATORS, ".parquet"]


def read_columns(path: Path, kind: str, columns: dict[str, str]) -> dict[str, list[str | None]]:
    """Return the columns of a file by the keys of ``columns``, which names them; ``kind`` is its extension.

    Raises:
        UserError: the file cannot be read, or lacks a column.
    """
    read = _read_parquet if kind == ".parquet" else _read_separated
    return read(path, columns)


def checked_kind(setting: str, path: Path) -> str:
    """Return a file's extension in lower case.

    Raises:
        UserError: the file is missing or a folder, or its extension is unknown.
    """
    kind = path.suffix.lower()
    # os.path rather than Path, whose methods raise where a folder on the way may not be entered.
    if os.path.isdir(path):
        raise UserError(f"{path} is a folder; '{setting}' needs the name of a file ({listed(KNOWN)}).")
    if not os.path.exists(path):
        beside: list[str] = []
        with contextlib.suppress(OSError):
            beside = sorted(other.name for other in path.parent.iterdir() if other.suffix.lower() in KNOWN)
        raise UserError(
            f"The file {path} that '{setting}' names is missing{nearest(path.name, beside)} (known in that folder: "
            f"{listed(beside)})."
        )
    if kind not in KNOWN:
        raise UserError(
            f"The file {path} that '{setting}' names has the extension '{path.suffix}', which is unknown"
            f"{nearest(kind, KNOWN)} (known: {listed(KNOWN)})."
        )
    return kind


def _position(path: Path, key: str, column: str, known: list[str]) -> int:
    """Return the index of a column among all.

    Raises:
        UserError: there is none, or there are two.
    """
    if column not in known:
        raise UserError(
            f"The file {path} has no column '{column}' for '{key}'{nearest(column, known)} (known: {listed(known)})."
        )
    if known.count(column) > 1:
        raise UserError(
            f"The file {path} has {known.count(column)} columns '{column}' for '{key}'; give all but one of them "
            "another name."
        )
    return known.index(column)


def _unreadable(path: Path, reason: object, right: str) -> NoReturn:
    """Refuse a file that cannot be read, in one line whatever the reader's own message is."""
    raise UserError(f"The file {path} cannot be read ({' '.join(str(reason).split()).rstrip('.')}); {right}.")


def _read_separated(path: Path, columns: dict[str, str]) -> dict[str, list[str | None]]:
    """Return the named columns of a CSV or TSV file; a line that ends before a column has the empty text there.

    Raises:
        UserError: the file is unreadable, no UTF-8, empty, or has a line with too many fields or an open quote, or a
            column is missing.
    """
    separator = SEPARATORS[path.suffix.lower()]
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _unreadable(path, error, "it needs to be text in UTF-8")
    except OSError as error:
        _unreadable(path, error.strerror or error, "it needs to be a file that you may read")
    if "\0" in content:
        # pandas would end the text there without a word.
        _unreadable(path, "it has a character NUL", "it needs to be text in UTF-8 without one")
    if not content.strip():
        raise UserError(f"The file {path} is empty; it needs a line of column names and one line for every example.")
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    if separator == "\t":
        content = content.replace("\r\n", "\n")
    # Left to itself, pandas also ends a line at a carriage return inside a text, which it writes there without quotes.
    first, newline, _ = content.partition("\n")
    terminator = "\n" if newline and not first.endswith("\r") else None
    try:
        # The names are read as a row: else pandas renames equal ones, and takes the first column for an index where
        # lines have one field more than there are names.
        frame = pandas.read_csv(
            io.StringIO(content, newline=""),
            sep=separator,
            header=None,
            dtype=str,
            keep_default_na=False,
            quoting=quoting,
            engine="c",
            lineterminator=terminator,
        )
    except pandas.errors.ParserError as error:
        quotes = "quotes are characters like any other" if separator == "\t" else "a text with commas is in quotes"
        _unreadable(path, error, f"every line needs as many fields as the line of column names, and {quotes}")
    known = frame.iloc[0].tolist()
    return {key: frame[_position(path, key, column, known)].tolist()[1:] for key, column in columns.items()}


def _read_parquet(path: Path, columns: dict[str, str]) -> dict[str, list[str | None]]:
    """Return the named columns of a Parquet file, labels as text; None stands for null and for a label that is NaN.

    Raises:
        UserError: the file is unreadable, or a column is missing or of a type that is no text or no label.
    """
    try:
        # From an open file: by its name, pyarrow would tell a missing right and a broken file in the same words.
        with path.open("rb") as source:
            file = pyarrow.parquet.ParquetFile(source)
            known = list(file.schema_arrow.names)
            for key, column in columns.items():
                _position(path, key, column, known)
            table = file.read(columns=list(columns.values()))
            return {key: _strings(path, key, column, table.column(column)) for key, column in columns.items()}
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        _unreadable(path, reason, "it needs to be a whole Parquet file that you may read")


def _strings(path: Path, key: str, column: str, values: Any) -> list[str | None]:
    """Return a Parquet column's values as text.

    Raises:
        UserError: its type is none for a text, or none for a label.
    """
    types = pyarrow.types
    kind = values.type
    if types.is_dictionary(kind):
        kind = kind.value_type
        values = values.cast(kind)
    if str(kind) in ("string", "large_string", "string_view"):
        return values.to_pylist()
    if types.is_null(kind):
        return [None] * len(values)
    if key == "label":
        if types.is_floating(kind):
            return [_float_label(value) for value in values.to_pylist()]
        if types.is_integer(kind) or types.is_boolean(kind) or types.is_decimal(kind):
            return [None if value is None else str(value) for value in values.to_pylist()]
    needed = "whole numbers or words" if key == "label" else "text (string)"
    raise UserError(f"The column '{column}' of {path} has the type {kind}; '{key}' needs {needed}.")


def _float_label(value: float | None) -> str | None:
    """Return a number as text without an exponent; libraries write whole numbers as floats where some are missing."""
    if value is None or math.isnan(value):
        return None
    return numpy.format_float_positional(value, trim="-")
