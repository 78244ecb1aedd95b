"""``text-files``: texts, or pairs of texts, with a class each, from CSV, TSV or Parquet files.

A text is taken as it stands in the file: "NA", "null" and the empty text are texts. Rows are counted from 1, without
the line of column names.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pyarrow.types

from experiments.data.splits import held_out, required_root
from experiments.data.text_settings import TextFilesSettings
from harness.errors import UserError, listed, nearest

__all__ = ["TextDataset", "TextFilesSettings", "TextPart", "load_text_files"]

SEPARATORS = {".csv": ",", ".tsv": "\t"}
KNOWN = [*SEPARATORS, ".parquet"]
HIDDEN = "-1"  # what GLUE's and SNLI's files have in place of a label that is not told

# No exponent and at most 18 digits: longer strings of digits are names, and int64 holds these.
_NUMBER = re.compile(r"(?=[+-]?\.?[0-9])(?P<whole>[+-]?[0-9]{0,18})(?:\.(?P<rest>[0-9]*))?")

# Which file would be right where one with hidden labels is named.
_INSTEAD = {
    "train": "name the labelled training file as 'train'",
    "test": "name the validation file as 'test' and leave 'validation' a share",
    "validation": "name a labelled file as 'validation' or leave it a share",
}


@dataclass(frozen=True, eq=False)
class TextPart:
    """Examples in the order of their file: ``texts``; ``second``, the other texts of pairs, or None; ``labels`` int64
    [count], indices of ``TextDataset.classes``."""

    texts: tuple[str, ...]
    second: tuple[str, ...] | None
    labels: numpy.ndarray

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, eq=False)
class TextDataset:
    """``classes`` are the distinct labels of the training file, sorted: whole numbers as numbers, words as text.
    ``key`` is the SHA-256 over the classes and the examples of all parts; names of files and columns are not in it."""

    name: str
    train: TextPart
    validation: TextPart
    test: TextPart
    classes: tuple[str, ...]
    key: str


@dataclass(frozen=True, eq=False)
class _File:
    """A file's examples: ``setting`` is the key by which the user named the file; every label is there, and a whole
    number has its shortest form."""

    setting: str
    path: Path
    label: str
    texts: tuple[str, ...]
    second: tuple[str, ...] | None
    labels: list[str]


def load_text_files(settings: TextFilesSettings, root: str | None) -> TextDataset:
    """Return the examples of the files, with validation examples held out of the training file if so asked.

    Held-out examples are the same share of every class, and the same at every call. An example may be in several files.

    Args:
        settings: the files and their columns.
        root: the folder below which relative names of files lie; not needed where all are absolute.

    Raises:
        UserError: ``root`` is needed and None; a file is missing, unreadable, empty or of an unknown kind; a column is
            missing, doubled or of the wrong type; a text or a label is missing; labels are hidden (-1), no whole
            numbers, numbers and words mixed, of one class only or unknown to the training file; or no class has an
            example to hold out.
    """
    train = _read(settings, "train", settings.train, root)
    test = _read(settings, "test", settings.test, root)
    classes = _classes(train)
    parts = {"train": _part(train, classes), "test": _part(test, classes)}
    if isinstance(settings.validation, str):
        parts["validation"] = _part(_read(settings, "validation", settings.validation, root), classes)
    else:
        parts["train"], parts["validation"] = _divided(settings, train.path, parts["train"], settings.validation)
    return TextDataset(settings.source, **parts, classes=classes, key=_key(classes, parts))


def _divided(settings: TextFilesSettings, path: Path, part: TextPart, share: float) -> tuple[TextPart, TextPart]:
    """Return what is kept and what is held out of the training examples."""
    if numpy.bincount(part.labels).max() < 2:
        raise UserError(
            f"The file {path} has no class with two examples in column '{settings.label}', so no validation examples "
            "can be held out; it needs two at least in one class, or name a file as 'validation'."
        )
    held = held_out(settings.source, part.labels, share)
    return _chosen(part, numpy.setdiff1d(numpy.arange(len(part)), held)), _chosen(part, held)


def _chosen(part: TextPart, indices: numpy.ndarray) -> TextPart:
    second = part.second
    return TextPart(
        tuple(part.texts[index] for index in indices),
        None if second is None else tuple(second[index] for index in indices),
        part.labels[indices],
    )


def _key(classes: tuple[str, ...], parts: dict[str, TextPart]) -> str:
    found = hashlib.sha256(json.dumps(classes).encode())
    for name, part in sorted(parts.items()):
        found.update(json.dumps([name, part.texts, part.second, part.labels.tolist()]).encode())
    return found.hexdigest()


# Labels.


def _normal(label: str) -> str:
    """Return the shortest form of a whole number (1 for 1.0 and +01), and any other label as it is."""
    number = _NUMBER.fullmatch(label)
    if number is None or not _is_whole(number):
        return label
    return str(int(number["whole"])) if number["whole"].strip("+-") else "0"


def _is_whole(number: re.Match[str]) -> bool:
    return not (number["rest"] or "").strip("0")


def _classes(train: _File) -> tuple[str, ...]:
    """Return the distinct labels of the training file in their order.

    Raises:
        UserError: there is only one, or whole numbers and words are mixed.
    """
    first_rows = _first_rows(train.labels)
    numbers = [label for label in first_rows if _NUMBER.fullmatch(label)]
    words = [label for label in first_rows if label not in set(numbers)]
    if numbers and words:
        raise UserError(
            f"The labels in column '{train.label}' of {train.path} are whole numbers ({numbers[0]} in row "
            f"{first_rows[numbers[0]]}) and words ({_shown(words[0])} in row {first_rows[words[0]]}); they need to be "
            "all of one kind."
        )
    if len(first_rows) < 2:
        raise UserError(
            f"The column '{train.label}' of {train.path} has {_shown(*first_rows)} in every row; a training file needs "
            "two classes at least."
        )
    return tuple(sorted(numbers, key=int) or sorted(words))


def _part(file: _File, classes: tuple[str, ...]) -> TextPart:
    """Return a file's examples with the indices of their classes.

    Raises:
        UserError: a label is none of the classes.
    """
    indices = {label: index for index, label in enumerate(classes)}
    for label, row in _first_rows(file.labels).items():
        if label not in indices:
            known = list(classes)
            raise UserError(
                f"Row {row} of {file.path} has the label {_shown(label)} in column '{file.label}', which the training "
                f"file does not have{nearest(label, known)} (known: {listed(known)})."
            )
    return TextPart(file.texts, file.second, numpy.asarray([indices[label] for label in file.labels], numpy.int64))


def _checked_labels(setting: str, path: Path, column: str, found: list[str | None]) -> list[str]:
    """Return a file's labels, whole numbers in their shortest form.

    Raises:
        UserError: one is missing, hidden or a number that is not whole.
    """
    labels = []
    for row, label in enumerate(found, start=1):
        if label is None or not label.strip():
            raise UserError(f"Row {row} of {path} has no label in column '{column}'; every example needs one.")
        labels.append(_normal(label.strip()))
    first_rows = _first_rows(labels)
    if list(first_rows) == [HIDDEN]:
        raise UserError(
            f"The labels of {path} are hidden (-1) in column '{column}', as in GLUE's test files: {_INSTEAD[setting]}."
        )
    if HIDDEN in first_rows:
        raise UserError(
            f"Row {first_rows[HIDDEN]} of {path} has the label -1 in column '{column}', which stands for a label that "
            "is not told: leave such examples out, or give the class another number if it is one."
        )
    for label, row in first_rows.items():
        number = _NUMBER.fullmatch(label)
        if number and not _is_whole(number):
            raise UserError(
                f"Row {row} of {path} has the label {_shown(label)} in column '{column}', which is not a whole number: "
                "a regression task such as STS-B is not trained here, and classes are whole numbers or words."
            )
    return labels


def _first_rows(labels: list[str]) -> dict[str, int]:
    """Return the distinct labels in the order of their first rows, with these."""
    rows: dict[str, int] = {}
    for row, label in enumerate(labels, start=1):
        rows.setdefault(label, row)
    return rows


def _shown(label: str) -> str:
    """Return a label in quotes; cut, because it is half a page where the fields of a file are out of step."""
    return repr(label if len(label) <= 40 else label[:40] + "...")


# Files.


def _read(settings: TextFilesSettings, setting: str, name: str, root: str | None) -> _File:
    """Read the columns of one file and check them.

    Raises:
        UserError: as ``load_text_files``, for what one file can show by itself.
    """
    path = Path(os.path.expanduser(name))
    if not path.is_absolute():
        path = required_root(settings.source, root) / path
    kind = _checked_kind(setting, path)
    wanted = {"text": settings.text, "second_text": settings.second_text, "label": settings.label}
    columns = {key: column for key, column in wanted.items() if column is not None}
    read = _read_parquet if kind == ".parquet" else _read_separated
    found = read(path, columns)
    if not found["label"]:
        raise UserError(f"The file {path} has columns but no examples; '{setting}' needs one at least.")
    texts = {key: _checked_texts(path, columns[key], found[key]) for key in columns if key != "label"}
    labels = _checked_labels(setting, path, settings.label, found["label"])
    return _File(setting, path, settings.label, texts["text"], texts.get("second_text"), labels)


def _checked_kind(setting: str, path: Path) -> str:
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


def _checked_texts(path: Path, column: str, found: list[str | None]) -> tuple[str, ...]:
    texts = []
    for row, text in enumerate(found, start=1):
        if text is None:
            raise UserError(f"Row {row} of {path} has no text in column '{column}'; a text may be empty, not missing.")
        texts.append(text)
    return tuple(texts)


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
