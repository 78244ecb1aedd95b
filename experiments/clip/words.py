"""What captions and labels call the classes of embedded images: a name, and synonyms that captions use as well."""

from __future__ import annotations

import string
from collections.abc import Mapping

from harness.errors import UserError

Names = tuple[str, ...]
"""The name of a class, which is its label, then its synonyms."""

DIGITS: Mapping[str, Names] = {
    "zero": ("zero", "nought", "nil"),
    "one": ("one", "ace", "single"),
    "two": ("two", "pair", "deuce"),
    "three": ("three", "trio", "triple"),
    "four": ("four", "quartet", "quad"),
    "five": ("five", "quintet", "fiver"),
    "six": ("six", "sextet", "sixer"),
    "seven": ("seven", "septet", "heptad"),
    "eight": ("eight", "octet", "octad"),
    "nine": ("nine", "nonet", "niner"),
}
COLOURS: Mapping[str, Names] = {
    "red": ("red", "scarlet", "crimson"),
    "orange": ("orange", "amber", "tangerine"),
    "yellow": ("yellow", "lemon", "golden"),
    "green": ("green", "emerald", "olive"),
    "cyan": ("cyan", "turquoise", "aqua"),
    "blue": ("blue", "navy", "azure"),
    "purple": ("purple", "violet", "plum"),
    "pink": ("pink", "rose", "salmon"),
    "grey": ("grey", "silver", "ashen"),
    "magenta": ("magenta", "fuchsia", "mauve"),
}
SHAPES: Mapping[str, Names] = {
    "circle": ("circle", "disc", "ball"),
    "square": ("square", "box", "block"),
    "triangle": ("triangle", "wedge", "delta"),
    "star": ("star", "asterisk", "pentagram"),
    "cross": ("cross", "plus", "crucifix"),
    "ring": ("ring", "hoop", "annulus"),
    "heart": ("heart", "valentine", "cardioid"),
    "hexagon": ("hexagon", "honeycomb", "nut"),
    "crescent": ("crescent", "moon", "sickle"),
    "arrow": ("arrow", "pointer", "dart"),
}
TEXTURES: Mapping[str, Names] = {
    "plain": ("plain", "smooth", "even"),
    "striped": ("striped", "barred", "banded"),
    "dotted": ("dotted", "spotted", "speckled"),
    "chequered": ("chequered", "checked", "tiled"),
}
BACKGROUNDS: Mapping[str, Names] = {
    "plain": ("plain", "even", "uniform"),
    "graded": ("graded", "shaded", "fading"),
    "cloudy": ("cloudy", "mottled", "hazy"),
}
COUNTS: Mapping[str, Names] = {
    "one": ("one", "single", "lone"),
    "two": ("two", "twin", "double"),
    "three": ("three", "triple", "treble"),
    "four": ("four", "quadruple", "fourfold"),
}
_LETTER_NAMES = "ay bee cee dee ee eff gee aitch eye jay kay ell em en oh pee cue ar ess tee you vee doubleu ex wye zed"
LETTERS: Mapping[str, Names] = {
    letter: (name,) for letter, name in zip(string.ascii_uppercase, _LETTER_NAMES.split(), strict=True)
}
HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
"""The words for hues, of 60 degrees each around 0, 60, ...: captions of ``glyphs`` have no narrower ones."""

NAMES: Mapping[str, Mapping[str, Mapping[str, Names]]] = {
    "coloured-digits": {"digit": DIGITS, "colour": COLOURS, "background": COLOURS},
    "scenes": {"shape": SHAPES, "colour": COLOURS, "texture": TEXTURES, "background": BACKGROUNDS, "count": COUNTS},
    "glyphs": {"letter": LETTERS},
}
"""Source to factor to class to its names."""


def plural(noun: str) -> str:
    """Return the plural of a name of a shape."""
    return f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"


def label_of(source: str, factor: str, value: str) -> str:
    """Return the label of a class: its first name.

    Raises:
        KeyError: captions have no word for it.
    """
    return NAMES[source][factor][value][0]


def require_captions(source: str) -> None:
    """Refuse a data set that no captions can be written for.

    Raises:
        UserError: it is one.
    """
    if source not in NAMES:
        raise UserError(
            f"{source}: has no captions to train a small encoder on; choose one of {', '.join(NAMES)}, or a model of "
            "kind 'open-clip' in an experiment that takes one"
        )
