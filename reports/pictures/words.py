"""Words in pictures: any text as text that can be drawn, cut and broken where it is too long."""

from __future__ import annotations

import textwrap
import unicodedata

LABEL_WIDTH = 34
"""Characters of a line beside an axis, before it goes on in the next."""
LONGEST = 160
"""Characters of the longest text that is drawn at all."""
ELLIPSIS = "…"


def plain(text: object, longest: int = LONGEST) -> str:
    """Return a text without what cannot be drawn (control characters, lone surrogates), cut where it is too long.

    Line breaks stay. An empty text stays empty.
    """
    # Cut generously first: looking at each of a million characters is of no use.
    kept = "".join(map(_drawable, str(text)[: 4 * longest]))
    return kept if len(kept) <= longest else kept[: longest - 1].rstrip() + ELLIPSIS


def _drawable(character: str) -> str:
    """Return a character as it can be drawn: none where it is only for the direction or shape of others."""
    if character == "\n":
        return character
    category = unicodedata.category(character)
    # Half of a surrogate pair, and what no text may hold.
    if category == "Cs" or ord(character) & 0xFFFE == 0xFFFE:
        return "\N{REPLACEMENT CHARACTER}"
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category == "Cf" else character


def wrapped(text: object, width: int = LABEL_WIDTH, lines: int = 3) -> str:
    """Return a text broken into at most so many lines of at most ``width`` characters, with an ellipsis if cut."""
    single = " ".join(plain(text, width * (lines + 1)).split())
    if single.startswith("_"):
        # A legend would leave out a name that begins with an underscore.
        single = "\N{THIN SPACE}" + single
    return "\n".join(textwrap.wrap(single, width, max_lines=lines, placeholder=ELLIPSIS))


def spoken(name: str) -> str:
    """Return the name of a factor or metric as people read it."""
    return name.replace("_", " ")


def with_unit(label: str, unit: str) -> str:
    """Return a label with its unit in brackets; without them where there is none."""
    return f"{label} ({unit})" if unit else label
