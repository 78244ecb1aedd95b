"""Pictures by a function of the spec's author."""

from __future__ import annotations

from typing import Any

from harness.errors import UserError
from harness.spec.signature import imported
from reports.cells import Cell, Heading, Table
from reports.collect import Results
from reports.declarations import FunctionPicture
from reports.pictures.inks import STYLE
from reports.pictures.picture import Drawing
from reports.pictures.svg import to_svg

NO_TABLE = "the picture's function returned no table of its numbers"


def draw_by_function(declaration: FunctionPicture, results: Results) -> Drawing | None:
    """Return what the function that the spec names draws; its module is imported only here.

    Raises:
        UserError: the function cannot be found, fails, or returns something else than a figure.
    """
    import matplotlib

    matplotlib.use("agg")
    experiment = results.design.experiment
    where = f"{experiment.source.path}: the picture '{declaration.title}'"
    with matplotlib.rc_context(STYLE):
        try:
            drawing = _drawing(imported(declaration.function, experiment.search, "function")(results), declaration)
            if drawing is not None:
                # Whatever is wrong with a figure shows when it is written, so here rather than in the page.
                to_svg(drawing.figure, declaration.title)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        except (Exception, SystemExit) as error:
            problem = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"{where}: '{declaration.function}' fails with {problem}") from error
    return drawing


def _drawing(found: Any, declaration: FunctionPicture) -> Drawing | None:
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    figure, numbers = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if found is None:
        return None
    if not isinstance(figure, Figure) or not isinstance(numbers, Table | None):
        raise UserError(
            f"'{declaration.function}' returned {type(found).__name__}; it should return a matplotlib Figure, "
            "or a Figure and a reports.cells.Table"
        )
    # Where the function took it from pyplot, which keeps all figures.
    pyplot.close(figure)
    if numbers is None:
        numbers = Table(declaration.title, "", [Heading("numbers")], [[Cell(text=NO_TABLE)]])
    return Drawing(figure, numbers)
