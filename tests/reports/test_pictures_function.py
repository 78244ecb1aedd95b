"""Pictures by a function of the spec's author: drawn like the others, and a failure is a sentence in its place."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from drawn import shown
from support import Workplace

from harness.spec.load import load_experiment
from harness.store.store import Store
from reports.collect import Results, collect
from reports.declarations import FunctionPicture
from reports.pictures.declared import draw
from reports.pictures.functions import NO_TABLE

TRIAL = """
from typing import Any


def measure(*, run: Any, level: int = 0) -> dict[str, Any]:
    return {"value": float(level)}
"""
PLOTS = """
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from reports.cells import Cell, Heading, Table


def plain(results):
    figure, axis = plt.subplots()
    axis.plot(results.table["level"], results.table["value"], color="black", label="$bad{")
    axis.set_title("$\\\\nonsense{")
    axis.legend()
    return figure


def numbered(results):
    figure = Figure(layout="constrained")
    figure.add_subplot().bar([0], [1])
    return figure, Table("mine", "", [Heading("level")], [[Cell(1.0, digits=0)]])


def empty(results):
    return None


def fails(results):
    raise KeyError("<b>no such</b>\\nthing")


def exits(results):
    raise SystemExit(3)


def words(results):
    return "a picture"


def undrawable(results):
    figure = Figure()
    axis = figure.add_subplot()
    axis.set_yscale("log")
    axis.xaxis.set_major_formatter(lambda value, place: 1 / 0)
    return figure
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("function")
    (folder / "function_trials.py").write_text(TRIAL)
    (folder / "function_plots.py").write_text(PLOTS)
    (folder / "broken_plots.py").write_text("import nothing_of_that_name\n")
    pictures = [{"kind": "function", "title": f"By {n}", "function": f"function_plots:{n}"} for n in ("plain", "fails")]
    spec = {
        "experiment": "function", "title": "T", "trial": "function_trials:measure", "factors": {"level": [1, 2]},
        "profiles": {"laptop": {"fidelity": "proxy", "device": "cpu"}}, "report": {"pictures": pictures},
    }  # fmt: skip
    (folder / "function.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    found = Workplace(folder).harness("run", "function.yaml", "--executor", "inline")
    assert found.status == 0, found.err
    return collect(load_experiment(folder / "function.yaml"), "laptop", Store(folder / "results"))


def by(name: str) -> FunctionPicture:
    return FunctionPicture(kind="function", title="Mine", caption="See.", function=name)


def test_nothing_is_imported_before_it_is_drawn(results: Results) -> None:
    sys.modules.pop("function_plots", None)
    assert len(results.declaration.pictures) == 2 and "function_plots" not in sys.modules
    assert draw(by("function_plots:plain"), results) is not None and "function_plots" in sys.modules


def test_a_figure_without_a_table_says_that_it_has_none(results: Results) -> None:
    picture = draw(by("function_plots:plain"), results)
    assert picture is not None and picture.svg.startswith("<svg") and picture.caption == "See."
    assert shown(picture.numbers) == [["numbers"], [NO_TABLE]]
    # Plain black becomes the page's ink.
    assert "var(--ink" in picture.svg and "#000000" not in picture.svg


def test_a_figure_with_a_table_shows_it(results: Results) -> None:
    picture = draw(by("function_plots:numbered"), results)
    assert picture is not None and shown(picture.numbers) == [["level"], ["1"]]


def test_a_function_may_have_nothing_to_draw(results: Results) -> None:
    assert draw(by("function_plots:empty"), results) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("function_plots:fails", "KeyError: '<b>no such</b>"),
        ("function_plots:exits", "SystemExit: 3"),
        ("function_plots:words", "returned str; it should return a matplotlib Figure"),
        ("function_plots:undrawable", "ZeroDivisionError"),
        ("function_plots:absent", "has no such function"),
        ("no_such_plots:plain", "there is no module 'no_such_plots'"),
        ("broken_plots:plain", "needs the missing module 'nothing_of_that_name'"),
    ],
)
def test_a_failure_stands_in_the_pictures_place(results: Results, name: str, said: str) -> None:
    picture = draw(by(name), results)
    assert picture is not None and picture.svg == ""
    assert picture.caption.startswith("Not drawn: ") and said in picture.caption and "\n" not in picture.caption
    assert "function.yaml" in picture.caption and "'Mine'" in picture.caption
    assert shown(picture.numbers) == [["numbers"], ["not drawn"]]


def test_a_picture_leaves_no_style_behind(results: Results) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw(by("function_plots:plain"), results)
    assert dict(matplotlib.rcParams) == before


def test_the_page_is_made_all_the_same(results: Results) -> None:
    folder: Path = results.design.experiment.source.path.parent
    found = Workplace(folder).harness("report", "function.yaml")
    assert found.status == 0, found.err
    page = (folder / "site" / "index.html").read_text()
    assert "By plain" in page and "Not drawn: " in page and "KeyError" in page and "<b>no such" not in page


def test_another_experiments_picture_of_that_title_has_other_names(results: Results) -> None:
    design = results.design
    other = replace(results, design=replace(design, profile_name="other"))
    one, two = draw(by("function_plots:plain"), results), draw(by("function_plots:plain"), other)
    assert one is not None and two is not None and one.svg != two.svg
