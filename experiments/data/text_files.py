"""``text-files``: texts, or pairs of texts, with a class each, from CSV, TSV or Parquet files.

A text is taken as it stands in the file: "NA", "null" and the empty text are texts. Rows are counted from 1, without
the line of column names.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy

from experiments.data.splits import held_out, required_root
from experiments.data.text_settings import TextFilesSettings
from experiments.data.text_tables import checked_kind, read_columns
from harness.errors import UserError, listed, nearest

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
    kind = checked_kind(setting, path)
    wanted = {"text": settings.text, "second_text": settings.second_text, "label": settings.label}
    columns = {key: column for key, column in wanted.items() if column is not None}
    found = read_columns(path, kind, columns)
    if not found["label"]:
        raise UserError(f"The file {path} has columns but no examples; '{setting}' needs one at least.")
    texts = {key: _checked_texts(path, columns[key], found[key]) for key in columns if key != "label"}
    labels = _checked_labels(setting, path, settings.label, found["label"])
    return _File(setting, path, settings.label, texts["text"], texts.get("second_text"), labels)


def _checked_texts(path: Path, column: str, found: list[str | None]) -> tuple[str, ...]:
    texts = []
    for row, text in enumerate(found, start=1):
        if text is None:
            raise UserError(f"Row {row} of {path} has no text in column '{column}'; a text may be empty, not missing.")
        texts.append(text)
    return tuple(texts)
