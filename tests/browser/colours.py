"""Contrast of colours as browsers compute them (WCAG 2.2, 1.4.3 and 1.4.11)."""

from __future__ import annotations

import re

Colour = tuple[float, float, float]


def read(text: str) -> Colour:
    """Return red, green and blue from 0 to 255 of ``rgb(...)``; what is not opaque cannot be read."""
    parts = [float(part) for part in re.findall(r"[\d.]+", text)]
    assert text.startswith("rgb") and len(parts) >= 3 and (len(parts) == 3 or parts[3] == 1), text
    return parts[0], parts[1], parts[2]


def luminance(colour: Colour) -> float:
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    low, high = sorted(luminance(read(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)
