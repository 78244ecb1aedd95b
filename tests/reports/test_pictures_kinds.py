"""Kinds of pictures from made-up samples and records: what is drawn, the numbers beside it, and nothing from nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import yaml
from drawn import drawing_of, shown
from pydantic import TypeAdapter
from support import Workplace

from harness.spec.find import all_experiments
from harness.spec.load import load_experiment
from harness.store.store import Store
from reports.collect import Results, collect
from reports.declarations import PictureDeclaration, declaration_of
from reports.pictures.declared import KINDS, draw
from reports.pictures.latency import request_times

TRIAL = """
from collections.abc import Mapping
from typing import Any

import pandas

from harness.measure.samples import SAMPLE_COLUMNS


def timed(*, run: Any, system: Mapping[str, float], size: int = 1, slow: float = 1.0) -> list[dict[str, Any]]:
    noise, rows, records = run.stream("noise").numpy, [], []
    for name, cost in system.items():
        for number in range(8):
            for iteration in range(3):
                nanoseconds = int(1e6 * size * slow * cost * noise.lognormal(0, 0.05))
                # The last round was disturbed.
                place = (number, 0, name, iteration, "request")
                rows += [(*place, "", nanoseconds, number < 7), (*place, "encoder", nanoseconds // 2, number < 7)]
        records.append({
            "system": name, "time": cost * size, "low": 0.9 * cost * size, "high": 1.2 * cost * size,
            "weights": 10 * cost, "stage_ms_encoder": cost / 2, "stage_ms_head": cost / 4, "score": 50 + cost + noise.normal(),
        })
    run.samples("latency", pandas.DataFrame(rows, columns=list(SAMPLE_COLUMNS)).astype(SAMPLE_COLUMNS))
    run.samples("singles", {"template": list("abcd"), "score": [40.0, 50.0, 60.0, float("nan")]})
    return records


def shot(*, run: Any, shots: float, kind: str = "plain") -> dict[str, Any]:
    noise = float(run.stream(f"noise {shots}").numpy.normal())
    return {"score": (30.0 if shots == 0 else 10.0 + 5.0 * shots) + 0.1 * noise}
"""
COMMON = {"paper": "P", "arxiv": "2101.00001v1", "locator": "Table 1", "statement": "S."}
TIMED: dict[str, Any] = {
    "experiment": "timed", "title": "T", "trial": "kinds_trials:timed",
    "factors": {"system": {"blocked": True, "levels": {"quick": 1.0, "slow": 10.0}}, "size": [1, 2]},
    "replicates": 3, "profiles": {"laptop": {"fidelity": "proxy", "device": "cpu"}},
    "claims": [{"id": "ratio", "form": "ratio", "metric": "time", "unit": "x", "samples": "latency", "numerator": {"system": "slow"}, "denominator": {"system": "quick"}, "at_least": 4, "bound_reason": "four times", "published": {"value": 9, "unit": "x", "locator": "Table 1", "basis": "source"}, "margin": {"relative": 0.25, "reason": "r"}, **COMMON}],
    "report": {"labels": {"quick": "the quick one"}},
}  # fmt: skip
SHOT: dict[str, Any] = {
    "experiment": "shot", "title": "T", "trial": "kinds_trials:shot",
    "factors": {"shots": [0, 1, 2, 4, 8], "kind": ["plain"]},
    "replicates": 5, "profiles": {"laptop": {"fidelity": "proxy", "device": "cpu"}},
    "claims": [{"id": "cross", "form": "crossing", "metric": "score", "unit": "shots", "along": "shots", "levels": [1, 2, 4, 8], "scale": "log", "first": {"shots": 0}, "second": {}, "published": {"value": 4, "unit": "shots", "locator": "Figure 6", "basis": "source"}, "margin": {"absolute": 2, "reason": "r"}, **COMMON}],
}  # fmt: skip
ADAPTER: TypeAdapter[Any] = TypeAdapter(PictureDeclaration)


def declared(kind: str, **keys: Any) -> Any:
    return ADAPTER.validate_python({"kind": kind, "title": "A picture", "caption": "What to see.", **keys})


def made(folder: Path, spec: dict[str, Any]) -> Results:
    (folder / "kinds_trials.py").write_text(TRIAL)
    path = folder / f"{spec['experiment']}.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    found = Workplace(folder).harness("run", path.name, "--executor", "inline")
    assert found.status == 0, found.err
    return collect(load_experiment(path), "laptop", Store(folder / "results"))


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return made(tmp_path_factory.mktemp("timed"), TIMED)


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return made(tmp_path_factory.mktemp("shot"), SHOT)


LATENCY = declared("latency", rows="system")
X = {"metric": "weights", "label": "parameters", "unit": "M", "published": {"locator": "Table 6", "values": {"quick": 11, "slow": 90}}}  # fmt: skip
Y = {"metric": "time", "label": "time", "unit": "ms", "logarithmic": True, "low": "low", "high": "high", "published": {"locator": "Table 6", "approximate": True, "values": {"quick": 2}}}  # fmt: skip
SCATTER = declared("scatter", rows="system", x=X, y=Y)
BARS = declared("bars", metric="score", label="score", unit="%", along="size", by="system", published={"locator": "Figure 8", "values": {"slow": {"2": 61.5, "4": 62.0}}})  # fmt: skip
STAGES = declared("stages", rows="system", total="time", groups={"all of it": ["encoder", "head"]})
BESIDE = declared("beside-published", rows="system", metrics={"time": "time", "absent": "nothing"}, unit="ms", published={"locator": "Table 6", "values": {"slow": 12}})  # fmt: skip
ROUNDS = declared("round-ratios")
GRID = declared("grid", metric="score", label="score", rows="system", columns="size", published={"locator": "Figure 5", "values": {"quick": {"1": 1.5}}})  # fmt: skip
CLOUD = declared("curves", metric="score", label="score", unit="%", along="size", by="system", cloud={"table": "singles", "metric": "score", "label": "one alone", "at": 1})  # fmt: skip
EFFECTS = declared("effects", metric="score", label="gain", along="size", treatment={"system": "slow"}, control={"system": "quick"})  # fmt: skip
ALL = [LATENCY, SCATTER, BARS, STAGES, BESIDE, ROUNDS, GRID, CLOUD, EFFECTS]
IDS = [picture.kind for picture in ALL]


def test_single_times_are_those_of_kept_rounds_of_every_trial(timed: Results) -> None:
    times = request_times(LATENCY, timed)
    # Seven kept rounds of three requests, in three replicates of two sizes.
    assert {level: own.size for level, own in times.items()} == {"quick": 126, "slow": 126}
    assert all((numpy.diff(own) >= 0).all() for own in times.values())
    assert numpy.median(times["slow"]) / numpy.median(times["quick"]) == pytest.approx(10, rel=0.1)
    by_size = request_times(LATENCY.model_copy(update={"rows": "size"}), timed)
    assert {level: own.size for level, own in by_size.items()} == {"1": 126, "2": 126}
    drawing = drawing_of(LATENCY, timed)
    (axis,) = drawing.figure.axes
    labels = axis.get_legend_handles_labels()[1]
    assert labels[0].startswith("the quick one: ") and axis.get_xscale() == "log" and "ms" in axis.get_xlabel()
    assert shown(drawing.numbers)[1][:2] == ["the quick one", "126"]
    (median,) = [line for line in axis.lines if line.get_label() == labels[1]]
    assert median.get_ydata()[0] == 50 and median.get_xdata()[0] == pytest.approx(numpy.median(times["slow"]))


def test_a_scatter_joins_our_marks_to_the_papers(timed: Results) -> None:
    drawing = drawing_of(SCATTER, timed)
    (axis,) = drawing.figure.axes
    (theirs,) = [line for line in axis.lines if str(line.get_label()).startswith("paper")]
    # The paper's figure for the other level is not given on one axis, so it has no mark.
    assert (list(theirs.get_xdata()), list(theirs.get_ydata())) == ([11], [2])
    assert {text.get_text() for text in axis.texts} == {"the quick one", "slow"}
    assert axis.get_yscale() == "log" and axis.get_ylabel() == "time (ms, log scale)"
    rows = shown(drawing.numbers)
    assert rows[1][-2:] == ["11", "~2"] and rows[2][-2:] == ["–", "–"]


def test_bars_stand_before_the_papers(timed: Results) -> None:
    drawing = drawing_of(BARS, timed)
    (axis,) = drawing.figure.axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2", "4"]
    bars = {container.get_label(): container for container in axis.containers if hasattr(container, "patches")}
    assert [patch.get_height() for patch in bars["paper, slow"].patches] == [61.5, 62.0]
    records = timed.table[timed.table["system"] == "quick"].groupby("size")["score"].mean()
    assert [patch.get_height() for patch in bars["the quick one"].patches] == pytest.approx(records.tolist())
    assert axis.get_ylim()[0] == 0 and "3 replicates" in axis.get_title(loc="left")
    assert [row[-1] for row in shown(drawing.numbers)] == ["paper: Figure 8 (%)", "–", "61.5", "62"]


def test_a_cloud_is_moved_to_the_mean_of_all_replicates(timed: Results) -> None:
    alone = CLOUD.model_copy(update={"by": "", "where": {"system": "quick"}})
    drawing = drawing_of(alone, timed)
    (axis,) = drawing.figure.axes
    (dots,) = [line for line in axis.lines if str(line.get_label()).startswith("one alone")]
    records = timed.table[(timed.table["system"] == "quick") & (timed.table["size"] == 1)]
    curve = records.set_index("replicate")["score"]
    expected = sorted(value + curve.mean() - own for own in curve for value in (40.0, 50.0, 60.0))
    assert sorted(dots.get_ydata()) == pytest.approx(expected)
    assert "9" in str(dots.get_label()) and shown(drawing.numbers)[-1][0].startswith("one alone")


def test_the_crossing_that_was_judged_is_marked_with_its_interval(shot: Results) -> None:
    curve = declared("curves", metric="score", label="score", along="shots", logarithmic=True, across=[0], crossing="cross")  # fmt: skip
    drawing = drawing_of(curve, shot)
    (axis,) = drawing.figure.axes
    marks = {str(line.get_label()): line for line in axis.lines}
    (met,) = [line for label, line in marks.items() if label.startswith("means cross at")]
    (judgement,) = shot.judgements
    assert met.get_xdata()[0] == pytest.approx(judgement.effect) and 3 < judgement.effect < 5
    assert list(marks["paper: at 4"].get_xdata()) == [4]
    rows = [row[:2] for row in shown(drawing.numbers)[-2:]]
    assert rows[0][0] == "where the means cross" and "[" in rows[0][1] and rows[1][1] == "4"


def test_a_ratio_shows_its_rounds_and_the_sentences_bound(timed: Results) -> None:
    drawing = drawing_of(ROUNDS, timed)
    (axis,) = drawing.figure.axes
    marks = {str(line.get_label()): line for line in axis.lines}
    (judgement,) = timed.judgements
    assert len(marks["one round"].get_xdata()) == judgement.n
    assert list(marks["paper"].get_xdata()) == [9] and list(marks["bound of the sentence"].get_xdata()) == [4, 4]
    assert list(marks["mean and its interval"].get_xdata()) == pytest.approx(judgement.interval)


def test_stages_say_how_long_they_take(timed: Results) -> None:
    drawing = drawing_of(STAGES, timed)
    assert shown(drawing.numbers)[0] == ["system", "request (ms)", "all of it (ms)"]
    times, shares = drawing.figure.axes
    assert "(ms)" in times.get_xlabel() and "(%)" in shares.get_xlabel() and "6 trials" in times.get_title(loc="left")


def test_levels_without_an_order_are_not_joined_unless_the_spec_says_so(timed: Results) -> None:
    for keys, joined in (({"along": "system"}, False), ({"along": "system", "joined": True}, True), ({"along": "size"}, True)):  # fmt: skip
        drawing = drawing_of(declared("curves", metric="score", label="score", **keys), timed)
        (container,) = drawing.figure.axes[0].containers
        assert (container.lines[0].get_linestyle() == "-") is joined, keys


def test_curves_of_which_all_levels_stand_across_have_no_axis_to_stand_on(timed: Results) -> None:
    keys = {"metric": "score", "label": "score", "along": "size", "by": "system"}
    assert draw(declared("curves", across=[1, 2], **keys), timed) is None
    one = timed.table[(timed.table["size"] == 1) | (timed.table["system"] == "slow")]
    assert drawing_of(declared("curves", across=[1], **keys), replace(timed, table=one))


@pytest.mark.parametrize("picture", ALL, ids=IDS)
def test_every_kind_says_what_its_axes_are_and_over_how_much(timed: Results, picture: Any) -> None:
    drawing = drawing_of(picture, timed)
    axis = drawing.figure.axes[0]
    assert axis.get_xlabel() and (axis.get_ylabel() or axis.get_yticklabels())
    said = axis.get_title(loc="left") + " ".join(label.get_text() for label in axis.get_yticklabels())
    assert any(word in said for word in ("replicates", "trials", "rounds"))
    assert drawing.numbers.title == "A picture" and len(drawing.numbers.rows) > 0


@pytest.mark.parametrize("picture", ALL, ids=IDS)
def test_nothing_is_drawn_from_nothing(timed: Results, picture: Any) -> None:
    empty = replace(timed, table=timed.table.iloc[:0], judgements=[], state=replace(timed.state, states=[]))
    assert draw(picture, empty) is None


@pytest.mark.parametrize("picture", ALL, ids=IDS)
def test_values_that_are_not_finite_are_left_out(timed: Results, picture: Any) -> None:
    numbers = [name for name in timed.table if name.startswith("stage_") or name in ("time", "low", "weights", "score")]
    first = timed.table["replicate"] == 0
    table = timed.table.assign(**{name: timed.table[name].mask(first, math.nan) for name in numbers})
    assert drawing_of(picture, replace(timed, table=table))
    none = replace(timed, table=timed.table.assign(**dict.fromkeys(numbers, math.nan)))
    if picture.kind not in ("latency", "round-ratios"):
        assert draw(picture, none) is None


@pytest.mark.parametrize("picture", ALL, ids=IDS)
def test_one_replicate_of_one_level_is_a_picture(timed: Results, picture: Any) -> None:
    wanted = timed.table["system"].isin(["slow"] if picture.kind != "effects" else ["slow", "quick"])
    table = timed.table[wanted & (timed.table["replicate"] == 0) & (timed.table["size"] == 1)]
    states = [e for e in timed.state.states if e.trial.replicate == 0]
    few = replace(timed, table=table, state=replace(timed.state, states=states))
    drawing = drawing_of(picture, few)
    if picture.kind in ("bars", "grid", "curves", "effects"):
        cells = [cell for row in drawing.numbers.rows for cell in row if cell.has_value and not cell.published]
        assert not any(cell.has_interval for cell in cells if picture.kind != "curves")
        assert "one replicate" in drawing.figure.axes[0].get_title(loc="left") + drawing.figure.axes[0].get_title()


@pytest.mark.parametrize("label", ["$x^{", "<b>\"&'", "x" * 10_000, "\u202eback", "_under", "a\nb"])
def test_any_label_of_a_level_is_drawn(timed: Results, label: str) -> None:
    labelled = replace(
        timed, declaration=timed.declaration.model_copy(update={"labels": {"slow": label, "quick": label}})
    )
    for picture in ALL:
        found = draw(picture, labelled)
        assert found is not None and len(found.svg) < 150_000, picture.kind


def test_every_declared_kind_has_a_function() -> None:
    kinds = {definition["properties"]["kind"]["const"] for definition in ADAPTER.json_schema()["$defs"].values() if "kind" in definition.get("properties", {})}  # fmt: skip
    assert kinds == set(KINDS)


@pytest.mark.parametrize(
    ("picture", "key", "said"),
    [
        ({"kind": "latency", "rows": "sistem"}, "pictures.0.rows", "did you mean 'system'"),
        ({"kind": "bars", "metric": "score", "label": "l", "along": "size", "by": "other"}, "pictures.0.by", "factors: system, size"),
        ({"kind": "curves", "metric": "score", "label": "l", "along": "size", "crossing": "ratio"}, "pictures.0.crossing", "no crossing claim"),
        ({"kind": "scatter", "rows": "system", "x": X}, "pictures.0", "'y' is missing"),
        ({"kind": "function", "function": "no colon"}, "function", "should match"),
    ],
)  # fmt: skip
def test_a_picture_that_cannot_be_is_one_sentence(tmp_path: Path, picture: dict[str, Any], key: str, said: str) -> None:
    (tmp_path / "kinds_trials.py").write_text(TRIAL)
    spec = {**TIMED, "report": {"pictures": [{"title": "t", **picture}]}}
    (tmp_path / "timed.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    found = Workplace(tmp_path).harness("report", "timed.yaml")
    assert found.status == 2 and found.err.count("\n") == 1 and key in found.err and said in found.err, found.err


def test_two_pictures_of_one_title_have_names_of_their_own(timed: Results) -> None:
    one, other = draw(BARS, timed), draw(GRID, timed)
    assert one is not None and other is not None and one.title == other.title
    import re

    names = [set(re.findall(r'\bid="([^"]+)"', picture.svg)) for picture in (one, other)]
    assert not names[0] & names[1] and pandas.Series([*names[0], *names[1]]).is_unique


def test_every_picture_of_our_own_specs_says_what_to_see() -> None:
    for experiment in all_experiments():
        pictures = declaration_of(experiment).pictures
        assert pictures and len({picture.title for picture in pictures}) == len(pictures), experiment.name
        assert all(len(picture.caption) > 20 for picture in pictures), experiment.name
