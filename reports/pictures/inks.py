"""Colours of pictures, by name: CSS variables in a page, so that one SVG is readable in light and in dark.

Pictures are drawn in the light values below. ``reports.pictures.svg`` writes each as a variable with that value as its
fallback, and ``reports/templates/pictures.css`` has the values for dark pages.
"""

from __future__ import annotations

from typing import Any

INK = "#1b1f24"
"""Text and whatever must be seen as well as text."""
SOFT = "#57606a"
"""Ticks and remarks."""
LINE = "#d0d7de"
"""Grids and frames."""
SURFACE = "#fffffe"
"""What a picture lies on: hollow marks and edges between bars. Not plain white, which somebody may mean as white."""

SERIES = ("#0173b2", "#ce800c", "#1e9856", "#a1230c", "#b879a9", "#6b2f22", "#8f2d73", "#849485")
"""Colours of data: seaborn's "colorblind", darkened to 3:1 on white and set apart for the colour-blind."""

VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    LINE: "--line",
    SURFACE: "--surface",
    **{colour: f"--series-{place}" for place, colour in enumerate(SERIES, 1)},
}

STYLE: dict[str, Any] = {
    # As seaborn's style "whitegrid" and context "notebook", in inks that a page may change.
    "figure.facecolor": "none", "figure.edgecolor": "none", "savefig.facecolor": "none", "savefig.edgecolor": "none",
    "figure.dpi": 72, "axes.facecolor": "none", "axes.edgecolor": LINE, "axes.linewidth": 1.0, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": LINE, "grid.linewidth": 0.8, "text.color": INK, "axes.labelcolor": INK,
    "axes.titlecolor": INK, "xtick.color": SOFT, "ytick.color": SOFT, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "xtick.bottom": False, "ytick.left": False, "lines.linewidth": 2.0, "lines.solid_capstyle": "round",
    "patch.edgecolor": SURFACE, "patch.force_edgecolor": True, "hatch.color": INK, "legend.frameon": False,
    "font.family": ["sans-serif"], "font.sans-serif": ["DejaVu Sans"], "font.size": 11, "axes.labelsize": 11,
    "axes.titlesize": 10, "axes.titlelocation": "left", "xtick.labelsize": 10, "ytick.labelsize": 10,
    "legend.fontsize": 10, "svg.fonttype": "path", "text.parse_math": False, "text.usetex": False,
    "axes.formatter.use_mathtext": False, "axes.unicode_minus": True, "axes.spines.top": False,
    "axes.spines.right": False, "axes.prop_cycle": f"cycler('color', {list(SERIES)})",
}  # fmt: skip


def palette(count: int = len(SERIES)) -> list[str]:
    """Return so many colours for data; they begin again after the eighth."""
    return [SERIES[place % len(SERIES)] for place in range(count)]
