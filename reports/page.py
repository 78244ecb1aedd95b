"""The one HTML file: everything in it, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from reports.bench.files import BenchFiles
from reports.bench.part import bench_html
from reports.compare import compare
from reports.manifest import TEMPLATES
from reports.parts import NotStated, OverviewRow, Section
from reports.pictures.forest import draw_forest
from reports.rendering.text import clean
from reports.site import Other
from reports.templating import environment, moment

STYLES = ("style.css", "pictures.css")
SCRIPT = "script.js"


def render(sections: Sequence[Section], other: Other | None, made: float, bench: BenchFiles | None = None) -> str:
    """Return the page's text: the same for the same sections and moment (``made``, in seconds since the epoch).

    With another store its results stand beside these; ``bench`` are kept runs of the benchmarks, which have a part of
    their own.

    The page's own policy lets it fetch nothing and run no script but its own, whatever the store holds.
    """
    script = (TEMPLATES / SCRIPT).read_text()
    rows = [row for section in sections for row in section.rows]
    page = environment().get_template("page.html").render(
        style=Markup("\n".join((TEMPLATES / name).read_text() for name in STYLES)),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        sections=sections,
        papers=by_paper(rows),
        rows=rows,
        counts=counts_by_verdict(rows),
        forest=draw_forest([row for section in sections for row in section.forest]),
        other=other,
        compared=compare(sections, other.sections, other.name) if other else [],
        not_stated=merged([entry for section in sections for entry in section.not_stated]),
        made=moment(made),
        bench=bench_html(bench) if bench else "",
    )  # fmt: skip
    return clean(page)


def by_paper(rows: Sequence[OverviewRow]) -> dict[str, list[OverviewRow]]:
    """Return the rows of each paper, papers in the order in which they come."""
    found: dict[str, list[OverviewRow]] = {}
    for row in rows:
        found.setdefault(row.paper, []).append(row)
    return found


def counts_by_verdict(rows: Sequence[OverviewRow]) -> list[tuple[str, int]]:
    """Return the verdicts that there are with how often they came out, the strongest first."""
    counts = Counter((row.order, row.verdict) for row in rows)
    return [(verdict, count) for (_, verdict), count in sorted(counts.items())]


def merged(entries: Sequence[NotStated]) -> list[NotStated]:
    """Return what is not stated by paper, where several experiments of a paper have found some of it."""
    protocol: dict[str, dict[str, None]] = {}
    figures: dict[str, dict[str, None]] = {}
    for entry in entries:
        protocol.setdefault(entry.paper, {}).update(dict.fromkeys(entry.protocol))
        figures.setdefault(entry.paper, {}).update(dict.fromkeys(entry.figures))
    return [
        NotStated(paper=paper, protocol=tuple(found), figures=tuple(figures[paper]))
        for paper, found in protocol.items()
    ]
