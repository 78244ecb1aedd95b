"""The picture that decides a claim, drawn by the claim's form alone."""

from __future__ import annotations

from typing import Any

from harness.spec.claims import CrossingClaim
from harness.store.attempt import DamagedAttempt
from harness.verdicts.data import CellData, Data
from harness.verdicts.evidence import gather
from harness.verdicts.judgement import Judgement
from harness.verdicts.observations import Observations
from reports.collect import Results
from reports.pictures.canvas import to_svg, wrapped
from reports.pictures.claim_beside import draw_arms, draw_curves
from reports.pictures.claim_crossing import draw_crossing
from reports.pictures.claim_forms import sketch_of
from reports.pictures.claim_layout import ALONE, ARMS, CURVE, CURVES, ROW, laid_out
from reports.pictures.claim_numbers import numbers_of
from reports.pictures.claim_panels import SMALL, draw_effect, effect_scale, stand_of
from reports.pictures.claim_sketch import Sketch
from reports.pictures.claim_words import TITLE, caption, counted, one_line
from reports.pictures.picture import Picture

UNDECIDED = ("not run", "not comparable")


def draw_claim(judgement: Judgement, results: Results, observations: Observations | None = None) -> Picture | None:
    """Return the picture of a claim by its form; None where nothing finite was measured.

    ``observations`` are those of ``results`` under the claim's reading, where the caller has them.
    """
    data = data_of(judgement, results, observations)
    if data is None:
        return None
    sketch = sketch_of(judgement, data, results)
    figure = _figure(sketch, judgement, data)
    if figure is None:
        return None
    title = one_line(sketch.title, TITLE)
    words = caption(judgement, sketch.seen, sketch.effect)
    return Picture(title, words, to_svg(figure, title, salt=judgement.anchor), numbers_of(sketch, judgement))


def data_of(judgement: Judgement, results: Results, observations: Observations | None = None) -> Data | None:
    """Return the data that a judgement rests on, as the harness read them; None where it had none."""
    if judgement.verdict in UNDECIDED:
        return None
    seen = observations if observations is not None else Observations(results.state, judgement.reading)
    try:
        data = gather(judgement.claim, seen).data
    except DamagedAttempt:
        return None
    return data.first(judgement.look or results.design.replicates) if data is not None else None


def _figure(sketch: Sketch, judgement: Judgement, data: Data) -> Any:
    """Return the figure; None where nothing finite is to be drawn."""
    replicates = int(data.cells.whole.sum()) if isinstance(data, CellData) else judgement.replicates
    heading = counted(judgement, replicates)
    if isinstance(judgement.claim, CrossingClaim):
        return draw_crossing(sketch, judgement, heading) if sketch.drawn else None
    scale = effect_scale(sketch, judgement)
    beside = sketch.left is not None or (sketch.curves is not None and bool(sketch.curves.drawn))
    if scale is None and not (beside and sketch.drawn):
        return None
    stand = stand_of(sketch, judgement)
    steps = any(not row.label for row in sketch.rows)
    height = max(1.6 if sketch.curves is not None else 0.7, ROW * (stand.bottom + 0.5))
    boxes = _columns(sketch, beside, effect=scale is not None)
    figure, axes = laid_out(boxes, (height,))
    if sketch.left is not None:
        draw_arms(axes[0], sketch.left)
        count = len(sketch.left.arms)
        axes[0].set_ylim(*((stand.bottom, -0.5) if steps and scale is not None else (count - 0.5, -0.5)))
    elif beside and sketch.curves is not None:
        draw_curves(axes[0], sketch.curves, wide=scale is None)
    if scale is not None:
        axis = axes[-1]
        draw_effect(axis, sketch, judgement, scale, stand)
        scale.lay(axis, 4 if len(axes) > 1 else 7)
        axis.set_xlabel(wrapped(sketch.axis, 28 if len(axes) > 1 else 70, 2), fontsize=SMALL + 1)
        if len(axes) > 1:
            axis.yaxis.tick_right()
            axis.tick_params(axis="y", right=False)
            axis.spines["left"].set_visible(False)
    axes[-1].set_title(heading, fontsize=SMALL)
    return figure


def _columns(sketch: Sketch, beside: bool, effect: bool) -> tuple[tuple[float, float], ...]:
    if not beside:
        return ALONE
    if sketch.left is not None:
        return ARMS if effect else ALONE
    return CURVES if effect else CURVE
