"""What all renderings share: text that no format chokes on, which columns hold numbers, and names for files."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

from reports.cells import NOTHING, Table

REPLACEMENT = "\ufffd"
LONGEST_NAME = 60

# Control characters, lone surrogates and what Unicode calls noncharacters: no format can hold all of them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")

_SAFE = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_-]{{0,{LONGEST_NAME}}}")


def clean(text: str) -> str:
    """Return text that can be encoded and parsed anywhere: lines end in a newline, what cannot be shown is U+FFFD."""
    return _UNPRINTABLE.sub(REPLACEMENT, text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str) -> str:
    """Return clean text without line breaks, with single spaces."""
    return " ".join(clean(text).split())


def after_title(table: Table) -> str:
    """Return what a caption adds to the title that it stands behind; nothing where there is none."""
    if not table.caption:
        return ""
    return f"{'' if table.title.endswith(('.', '?', '!', ':')) else ':'} {table.caption}"


def numeric_columns(table: Table) -> list[bool]:
    """Return for each column whether it holds numbers, and so stands to the right.

    The first column names the rows. A column that is empty but for dashes counts as one of numbers.
    """
    return [
        index > 0
        and (
            any(row[index].value is not None for row in table.rows)
            or all(row[index].shown().strip() in ("", NOTHING) for row in table.rows)
        )
        for index in range(len(table.headings))
    ]


def file_name(text: str, otherwise: str = "table") -> str:
    """Return a name that every file system and shell takes: lower-case letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain)[:LONGEST_NAME].strip("-") or otherwise


def folder_name(text: str) -> str:
    """Return text as it is where any file system takes it, and else a name that no other text has."""
    if _SAFE.fullmatch(text):
        return text
    return f"{file_name(text, 'folder')}-{hashlib.sha256(clean(text).encode()).hexdigest()[:8]}"


def file_names(titles: Iterable[str], taken: Sequence[str] = ()) -> list[str]:
    """Return a name of its own for each title, none of them among those that are taken."""
    found: list[str] = []
    for title in titles:
        stem = name = file_name(title)
        number = 1
        while name in found or name in taken:
            number += 1
            name = f"{stem}-{number}"
        found.append(name)
    return found
