"""What ``harness profile`` prints of an arm: small tables and sentences, from its summary alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness.measure.profile_summary import ACCEPTED_POINTS, ProfileSummary, Share, largest_difference

OPERATORS_SHOWN = 6
SMALLEST = 0.001
"""Kinds that would be shown as 0.0 % are left out."""


def summary_lines(summary: ProfileSummary, name: str, threads: int) -> Iterator[str]:
    """Yield an arm's lines: its times, stages profiled and timed, kinds, operators, and what follows from them."""
    cost = "" if math.isnan(summary.overhead) else f" ({100 * (summary.overhead - 1):+.0f} %)"
    timed_step, profiled_step = _milliseconds(summary.timed_microseconds), _milliseconds(summary.step_microseconds)
    how = f"{_counted(summary.steps, 'step')} on {summary.device}, {_counted(threads, 'thread')}"
    yield f"{name}: {timed_step} a step, {profiled_step} profiled{cost}; {how}"
    timed = {stage.name: stage for stage in summary.timed_stages}
    yield from _table(
        ("stage", "timed", "profiled", "ms profiled"),
        [
            (stage.name, _percent(timed[stage.name].share) if stage.name in timed else "-", *_figures(stage))
            for stage in summary.stages
        ],
    )
    difference = largest_difference(summary)
    if difference is not None:
        beyond = f", beyond {ACCEPTED_POINTS:g}: go by the timed shares" if difference[0] > ACCEPTED_POINTS else ""
        yield f"  largest difference of a stage's share: {difference[0]:.1f} points ({difference[1]}){beyond}"
    kinds = [kind for kind in summary.kinds if kind.share >= SMALLEST]
    yield from _table(("kind of work", "share", "ms"), [(kind.name, *_figures(kind)) for kind in kinds])
    yield from _table(
        ("operator", "share", "ms", "calls"),
        [(one.name, *_figures(one), f"{one.calls:.0f}") for one in summary.operators[:OPERATORS_SHOWN]],
    )
    yield from (f"  {sentence}" for sentence in summary.sentences)


def _figures(part: Share) -> tuple[str, str]:
    return _percent(part.share), f"{part.microseconds / 1000:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1000:.{1 if microseconds >= 1e4 else 3}f} ms"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows under their headings, the first column to the left; nothing where there are no rows."""
    if not rows:
        return
    cells = [headings, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for first, *others in cells:
        aligned = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield f"  {first:{widths[0]}}  " + "  ".join(aligned)
