"""The picture of a crossing: two curves along a factor, and below them where they cross, on the same axis."""

from __future__ import annotations

import math
from typing import Any

from harness.verdicts.judgement import Judgement
from reports.pictures.canvas import INK, wrapped
from reports.pictures.claim_axes import Scale, scale_of
from reports.pictures.claim_beside import draw_curves
from reports.pictures.claim_layout import CROSSING, CURVE, ROW, laid_out
from reports.pictures.claim_panels import SMALL, draw_interval, draw_published, draw_references, label_rows, stand_of
from reports.pictures.claim_sketch import Curves, Sketch
from reports.strip import bounds_of

CURVES_HEIGHT = 1.7


def draw_crossing(sketch: Sketch, judgement: Judgement, heading: str) -> Any:
    """Return the figure; without an estimate it has the curves alone."""
    curves = sketch.curves
    assert curves is not None
    scale = _scale(curves, sketch, judgement)
    if scale is None or judgement.estimate is None:
        figure, axes = laid_out(CURVE, (CURVES_HEIGHT,))
        draw_curves(axes[0], curves, wide=True)
        axes[0].set_title(heading, fontsize=SMALL)
        return figure
    stand = stand_of(sketch, judgement)
    figure, (above, below) = laid_out(CROSSING, (CURVES_HEIGHT, ROW * (stand.bottom + 0.5)))
    draw_curves(above, curves, wide=True)
    for axis in (above, below):
        draw_references(axis, judgement, scale)
    levels = above.get_xticks(), [label.get_text() for label in above.get_xticklabels()]
    above.set_xticks([])
    above.set_xlabel("")
    above.set_title(heading, fontsize=SMALL)
    assert stand.effect is not None
    draw_interval(below, judgement, scale, stand.effect)
    if math.isinf(judgement.effect):
        _say_beyond(below, judgement.effect, stand.effect)
    if stand.paper is not None:
        draw_published(below, judgement, scale, stand.paper)
    label_rows(below, stand.labelled(sketch), stand.bottom)
    below.set_xticks(*levels, fontsize=SMALL)
    below.set_xlabel(wrapped(sketch.axis, 70, 2), fontsize=SMALL + 1)
    for axis in (above, below):
        axis.set_xlim(scale.place(scale.low), scale.place(scale.high))
    return figure


def _scale(curves: Curves, sketch: Sketch, judgement: Judgement) -> Scale | None:
    """Return the axis: over all levels, and as far as the paper's figure, the bound and the interval reach."""
    claim = judgement.claim
    levels = [math.exp(place) if sketch.logarithmic else place for place in curves.places]
    needed = [*levels, judgement.effect, *judgement.interval, *bounds_of(claim)]
    needed += [claim.published.value] if claim.published is not None else []
    return scale_of([value for value in needed if math.isfinite(value)], judgement.adjusted, sketch.logarithmic)


def _say_beyond(axis: Any, effect: float, place: float) -> None:
    """Say at the axis' end that no crossing was met among the levels that were run."""
    right = effect > 0
    words = "no crossing up to the last level" if right else "crossed before the first level"
    axis.annotate(
        words, (0.985 if right else 0.015, place), xycoords=("axes fraction", "data"), fontsize=SMALL, color=INK,
        ha="right" if right else "left", va="center",
    )  # fmt: skip
