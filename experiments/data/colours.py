"""Colours with a given hue and lightness, and backgrounds that stand out from them.

Lightness is the luma of ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B. Colours are float64 [count, 3] in [0, 1].
"""

from __future__ import annotations

import numpy

NAMED = {
    "red": (0.90, 0.10, 0.10),
    "orange": (1.00, 0.55, 0.05),
    "yellow": (0.98, 0.90, 0.10),
    "green": (0.10, 0.65, 0.15),
    "cyan": (0.10, 0.85, 0.90),
    "blue": (0.15, 0.25, 0.95),
    "purple": (0.55, 0.15, 0.75),
    "pink": (1.00, 0.50, 0.75),
}
NAMES = tuple(NAMED)
NAMED_COLOURS = numpy.array(list(NAMED.values()))

LEAST_CONTRAST = 0.35  # difference in lightness between foreground and background
MOST_CONTRAST = 0.6
DARKEST, LIGHTEST = 0.15, 0.9  # of a background: nearer to black or white no hue is left to see


def luma(colours: numpy.ndarray) -> numpy.ndarray:
    """Return the lightness [count] of colours [count, 3]."""
    return 0.299 * colours[:, 0] + 0.587 * colours[:, 1] + 0.114 * colours[:, 2]


def of_hue(degrees: numpy.ndarray) -> numpy.ndarray:
    """Return the fully saturated colours [count, 3] of hues in degrees (HSV with S = V = 1)."""
    sixths = degrees / 60
    return numpy.stack(
        [numpy.clip(numpy.abs(numpy.mod(sixths + offset, 6) - 3) - 1, 0, 1) for offset in (0, 4, 2)], axis=1
    )


def at_luma(colours: numpy.ndarray, lightness: numpy.ndarray) -> numpy.ndarray:
    """Return colours of the same hue with another lightness, by mixing with black or with white."""
    current = luma(colours)
    darker = colours * (lightness / current)[:, None]
    lighter = 1 - (1 - colours) * ((1 - lightness) / (1 - current))[:, None]
    return numpy.where((lightness <= current)[:, None], darker, lighter)


def saturated(colours: numpy.ndarray, saturation: numpy.ndarray) -> numpy.ndarray:
    """Return colours mixed with the grey of their own lightness; 1 leaves them, 0 is that grey."""
    grey = luma(colours)[:, None]
    return grey + saturation[:, None] * (colours - grey)


def contrasting_luma(lightness: numpy.ndarray, side: numpy.ndarray, amount: numpy.ndarray) -> numpy.ndarray:
    """Return a lightness at least LEAST_CONTRAST away from another one, within [DARKEST, LIGHTEST].

    ``side`` and ``amount`` are uniform numbers in [0, 1): whether it lies above or below, where both have room, and
    how far away.
    """
    above, below = LIGHTEST - lightness, lightness - DARKEST
    both = (above >= LEAST_CONTRAST) & (below >= LEAST_CONTRAST)
    upwards = numpy.where(both, side < 0.5, above > below)
    room = numpy.minimum(numpy.where(upwards, above, below), MOST_CONTRAST)
    distance = LEAST_CONTRAST + amount * (room - LEAST_CONTRAST)
    return numpy.where(upwards, lightness + distance, lightness - distance)


def with_article(words: str) -> str:
    """Return words that begin with a colour after "a" or "an"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
