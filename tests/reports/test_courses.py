"""Pictures of training over its steps, levels drawn as lines across, and claims that are to be read together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from drawn import axes_of
from scipy import stats
from support import Workplace

from harness.spec.load import load_experiment
from harness.store.store import Store
from reports.beside import companions
from reports.collect import Results, collect
from reports.pictures.courses import course_table
from reports.pictures.declared import draw

TRIAL = """
from typing import Any

RISE = {"plain": 1.0, "twice": 2.0, "0": 3.0, "5": 9.0}


def train(*, run: Any, alpha: float | str, width: int = 8) -> dict[str, Any]:
    name = str(alpha).removesuffix(".0")
    steps = 6 if name == "twice" else 3
    noise = run.stream(f"noise {width} {name}").numpy.normal(size=(2, steps))
    rows = [
        {"seed": seed, "step": 10 * (step + 1), "score": RISE[name] * step + width + noise[seed, step]}
        for seed in (0, 1) for step in range(steps)
    ]
    import pandas

    run.samples("course", pandas.DataFrame(rows))
    return {"score": rows[-1]["score"] - (20.0 if name == "twice" else 0.0)}
"""
CLAIM = {"paper": "P", "arxiv": "2101.00001v1", "locator": "Table 1", "statement": "S.", "metric": "score"}
FIVE: dict[str, Any] = {"form": "difference", "treatment": {"alpha": 5}, "family": "exploratory", **CLAIM}
SPEC: dict[str, Any] = {
    "experiment": "trained", "title": "T", "trial": "trained_trials:train",
    "factors": {"alpha": ["plain", "twice", 0, 5], "width": [8, 16]},
    "replicates": 4, "profiles": {"laptop": {"fidelity": "proxy", "device": "cpu"}},
    "claims": [
        {"id": "plain", "beside": "compute", "control": {"alpha": "plain"}, **FIVE},
        {"id": "compute", "control": {"alpha": "twice"}, "direction": "less", **FIVE},
        {"id": "doubled", "control": {"alpha": 0}, **FIVE},
    ],
    "report": {
        "labels": {"twice": "twice the steps", "alpha=0": "none of it", "width=0": "wrong"},
        "pictures": [
            {"kind": "course", "title": "Course", "by": "alpha", "levels": [5, "twice"], "where": {"width": 8}, "metrics": {"score": "the score", "absent": "nothing"}},
            {"kind": "course", "title": "Lost", "by": "alpha", "table": "nothing", "metrics": {"score": "the score"}},
            {"kind": "curves", "title": "Curve", "metric": "score", "label": "score", "along": "alpha", "across": ["twice", "plain"], "where": {"width": 8}},
            {"kind": "effects", "title": "Effects", "metric": "score", "label": "gain", "along": "alpha", "without": ["plain", "twice"], "controls": {"over plain": {"alpha": "plain"}, "over twice": {"alpha": "twice"}}},
        ],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "trained_trials.py").write_text(TRIAL)
    (folder / "trained.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    found = Workplace(folder).harness("run", "trained.yaml", "--executor", "inline")
    assert found.status == 0, found.err
    return Workplace(folder)


@pytest.fixture(scope="module")
def results(place: Workplace) -> Results:
    return collect(load_experiment(place.folder / "trained.yaml"), "laptop", Store(place.folder / "results"))


def test_a_course_is_averaged_within_a_replicate_and_then_over_replicates(results: Results) -> None:
    (panel,) = axes_of(results, 0)
    table = course_table(results.declaration.pictures[0], results)  # type: ignore[arg-type]
    # One row a level, replicate and step: the two seeds are one value, and the other width is left out.
    assert len(table) == 4 * (3 + 6) and set(table["level"]) == {"5", "twice"}
    lines = {line.get_label(): line for line in panel.lines}
    assert list(lines) == ["twice the steps", "alpha 5"]
    assert lines["twice the steps"].get_xdata().tolist() == [10, 20, 30, 40, 50, 60]
    own = table[(table["level"] == "5") & (table["step"] == 20)]["score"]
    assert lines["alpha 5"].get_ydata()[1] == pytest.approx(own.mean())
    low, high = stats.ttest_1samp(own, 0).confidence_interval(0.95)
    band = panel.collections[1].get_paths()[0].vertices
    assert {round(y, 6) for x, y in band if x == 20} == {round(low, 6), round(high, 6)}
    assert panel.get_ylabel() == "the score" and "4 replicates" in panel.get_title(loc="left")


def test_a_course_that_no_trial_kept_is_not_drawn(results: Results) -> None:
    assert draw(results.declaration.pictures[1], results) is None


def test_levels_without_a_place_on_the_axis_are_lines_across(results: Results) -> None:
    (axis,) = axes_of(results, 2)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["none of it", "5"]
    (container,) = axis.containers
    assert len(container.lines[0].get_xdata()) == 2
    table = results.table[results.table["width"] == 8]
    across = {str(line.get_label()): line for line in axis.lines}
    for label, level in (("plain", "plain"), ("twice the steps", "twice")):
        mean = table[table["alpha"].astype(str) == level]["score"].mean()
        assert list(across[label].get_ydata()) == pytest.approx([mean, mean])


def test_effects_are_against_each_control_and_paired(results: Results) -> None:
    (axis,) = axes_of(results, 3)
    lines = {container.get_label(): container.lines[0].get_ydata().tolist() for container in axis.containers}
    assert list(lines) == ["over plain", "over twice"]
    by_arm = {
        level: own.groupby("replicate")["score"].mean()
        for level, own in results.table.groupby(results.table["alpha"].astype(str))
    }
    for name, control in (("over plain", "plain"), ("over twice", "twice")):
        assert lines[name] == pytest.approx([(by_arm[level] - by_arm[control]).mean() for level in ("0", "5")])
    low, high = stats.ttest_rel(by_arm["5"], by_arm["plain"]).confidence_interval(0.95)
    spans = axis.containers[0].lines[2][0].get_segments()
    assert (spans[1][0][1], spans[1][1][1]) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"controls": {}}, "needs either 'control' or 'controls'"),
        ({"control": {"width": 8}}, "needs either 'control' or 'controls'"),
        ({"by": "width"}, "not both"),
    ],
)
def test_effects_need_one_kind_of_control(
    place: Workplace, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    picture = {**SPEC["report"]["pictures"][3], **changed}
    spec = {**SPEC, "report": {"pictures": [picture]}}
    (tmp_path / "trained_trials.py").write_text(TRIAL)
    (tmp_path / "trained.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    found = Workplace(tmp_path).harness("report", "trained.yaml")
    assert found.status == 2 and message in found.err and found.err.count("\n") == 1


def test_claims_that_name_each_other_are_read_together_and_others_are_not(results: Results) -> None:
    found = companions(results.judgements)
    by_claim = {one.claim.id: one for one in results.judgements}
    assert by_claim["plain"].verdict == "direction only"
    (companion,) = found[by_claim["plain"].anchor]
    assert companion.judgement is by_claim["compute"] and companion.disagrees
    (back,) = found[by_claim["compute"].anchor]
    assert back.judgement is by_claim["plain"]
    assert by_claim["doubled"].anchor not in found


def test_the_page_says_that_two_verdicts_disagree(place: Workplace) -> None:
    found = place.harness("report", "trained.yaml")
    assert found.status == 0, found.err
    page = (place.folder / "site" / "index.html").read_text()
    said = re.findall(r"<strong>The two disagree</strong>: <a href=\"#[\w-]+\"><code>(\w+)</code>", page)
    assert sorted(said) == ["compute", "plain"]
    assert place.harness("verify").status == 0
