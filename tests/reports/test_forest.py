"""The forest plot: published effects stand at 1 and no effect at 0, whatever the form, and every claim is accounted for."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis
import lxml.etree
import pytest
from hypothesis import strategies
from pictured import results_of
from synthetic import FAILED, claim_yaml, published_yaml

from harness.spec.claims import FORMS, ClaimBase
from reports.parts import ForestRow
from reports.pictures.forest import (
    HIGH,
    LOW,
    NO_CROSSING,
    NO_UNIT,
    NOTHING,
    OTHER,
    draw_forest,
    forest_rows,
    in_units,
    unit_of,
)

A, B = {"arm": "a"}, {"arm": "b"}
KEYS: dict[str, dict[str, Any]] = {
    "difference": {"treatment": A, "control": B},
    "non_inferiority": {"treatment": A, "control": B, "tolerated": {"absolute": 1.0, "reason": "r"}},
    "equivalence": {"treatment": A, "control": B, "within": {"absolute": 1.0, "reason": "r"}},
    "ratio": {"numerator": A, "denominator": B},
    "value": {"arm": A},
    "trend": {"along": "level"},
    "optimum": {"along": "level", "claimed": [2]},
    "ordering": {"order": [A, B]},
    "crossing": {"along": "level", "first": A, "second": B},
}
FIGURES = strategies.floats(-1e6, 1e6).filter(lambda value: abs(value) > 1e-6)
RATIOS = strategies.floats(1e-3, 1e3).filter(lambda value: abs(math.log(value)) > 1e-3)


def claim_of(form: str, published: float) -> ClaimBase:
    return FORMS[form](**claim_yaml(form=form, **KEYS[form], **published_yaml(published, 1.0)))


@hypothesis.given(strategies.sampled_from(sorted(FORMS)), strategies.data())
def test_the_published_effect_is_one_and_no_effect_is_zero(form: str, data: strategies.DataObject) -> None:
    published = data.draw(RATIOS if form == "ratio" else FIGURES)
    claim = claim_of(form, published)
    assert in_units(claim, published) == pytest.approx(1.0)
    assert in_units(claim, 1.0 if form == "ratio" else 0.0) == 0.0


@hypothesis.given(RATIOS, RATIOS, RATIOS)
def test_units_keep_order_and_ratios_add_up(published: float, first: float, second: float) -> None:
    claim = claim_of("ratio", published)
    both = in_units(claim, first) + in_units(claim, second)
    assert in_units(claim, first * second) == pytest.approx(both, abs=1e-6)
    rising = in_units(claim, max(first, second)) >= in_units(claim, min(first, second))
    assert first == second or rising == (published > 1)


@pytest.mark.parametrize(("form", "published"), [("difference", 0.0), ("ratio", 1.0), ("ratio", -2.0), ("value", 0.0)])
def test_a_published_figure_of_no_effect_is_no_unit(form: str, published: float) -> None:
    claim = claim_of(form, published)
    assert unit_of(claim) is None
    with pytest.raises(ValueError, match="no unit of it"):
        in_units(claim, 2.0)


SPEC: dict[str, Any] = {"factors": {"arm": ["a", "b"], "level": [1, 2, 4]}, "replicates": 3}


def rows_of(*claims: dict[str, Any], make: Any = None) -> list[ForestRow]:
    values = {"a": [5.0, 5.2, 5.1], "b": [4.0, 4.4, 4.2]}
    usual = lambda t: {"value": values[str(t.arm["arm"])][t.replicate] + 0.1 * t.replicate * float(t.arm["level"])}  # noqa: E731
    results = results_of({**SPEC, "claims": list(claims)}, make or usual)
    found = forest_rows(results.judgements)
    for row, judgement in zip(found, [j for j in results.judgements if j.claim.published is not None], strict=True):
        if row.value is not None:
            assert row.value == in_units(judgement.claim, judgement.effect)
            ends = sorted(in_units(judgement.claim, end) for end in judgement.interval)
            assert (row.low, row.high) == tuple(end if math.isfinite(end) else None for end in ends)
        assert (row.anchor, row.verdict, row.paper) == (judgement.anchor, judgement.verdict, judgement.claim.paper)
    return found


def published(name: str, form: str, value: float, **keys: Any) -> dict[str, Any]:
    return claim_yaml(id=name, form=form, **{**KEYS[form], **keys}, **published_yaml(value, 0.5))


def test_rows_are_the_judgements_in_units_of_the_published_effects() -> None:
    rows = rows_of(
        published("up", "difference", 2.0),
        published("down", "difference", -2.0),
        published("ratio", "ratio", 1.5),
        published("value", "value", 5.0),
        published("never", "crossing", 2.0, along="level", first=B, second=A),
        published("zero", "difference", 0.0),
        claim_yaml(id="silent", form="difference", **KEYS["difference"]),
    )
    by_label = {row.label: row for row in rows}
    assert list(by_label) == ["up", "down", "ratio", "value", "never", "zero"]
    up, down = by_label["up"], by_label["down"]
    assert up.value == -(down.value or 0.0) and up.low == -(down.high or 0.0)
    assert by_label["zero"].left_out == NO_UNIT and by_label["never"].left_out == NO_CROSSING
    assert not by_label["value"].from_nothing and by_label["ratio"].from_nothing
    picture = draw_forest(rows)
    assert picture is not None and f"1 {NO_UNIT}, 1 {NO_CROSSING}" not in picture.caption
    assert f"1 {NO_UNIT}" in picture.caption and f"1 {NO_CROSSING}" in picture.caption
    assert OTHER.strip() in picture.caption
    shown = {row[0].text: row[5] for row in picture.numbers.rows}
    assert {name: (cell.value, cell.low, cell.high) for name, cell in shown.items()} == {
        name: (row.value, row.low, row.high) for name, row in by_label.items() if row.value is not None
    }


def test_claims_without_an_estimate_are_counted() -> None:
    rows = rows_of(published("lost", "difference", 2.0), make=lambda trial: FAILED)
    assert rows[0].left_out == NOTHING and draw_forest(rows) is None
    assert draw_forest([]) is None


ROW = ForestRow(
    label="c",
    paper="P",
    anchor="a",
    verdict="reproduced",
    fidelity="paper",
    profile="laptop",
    value=0.9,
    low=0.8,
    high=1.0,
)


def test_a_row_survives_json() -> None:
    rows = [ROW, ROW.model_copy(update=dict(value=None, low=None, high=None, left_out=NO_UNIT))]
    text = json.dumps([row.model_dump() for row in rows], allow_nan=False)
    assert [ForestRow(**entry) for entry in json.loads(text)] == rows


def texts_of(rows: list[ForestRow]) -> tuple[Any, str]:
    picture = draw_forest(rows)
    assert picture is not None
    return lxml.etree.fromstring(picture.svg.encode()), picture.caption


def test_what_lies_beyond_the_axis_is_an_arrow_with_its_number() -> None:
    inside = texts_of([ROW])[1]
    _, caption = texts_of(
        [
            ROW.model_copy(update=dict(value=HIGH + 1, high=HIGH + 2)),
            ROW.model_copy(update=dict(value=LOW - 100.0, low=None)),
        ]
    )
    assert "arrow with a number" in caption and "arrow" not in inside


def test_a_claim_under_two_profiles_says_which_and_papers_stand_together() -> None:
    rows = [
        ROW,
        ROW.model_copy(update=dict(paper="Q", label="d", anchor="b")),
        ROW.model_copy(update=dict(profile="paper", anchor="c")),
    ]
    picture = draw_forest(rows)
    assert picture is not None
    assert [(row[1].text, row[2].text) for row in picture.numbers.rows] == [
        ("P", "laptop"),
        ("P", "paper"),
        ("Q", "laptop"),
    ]


@hypothesis.settings(max_examples=15)
@hypothesis.given(
    strategies.lists(
        strategies.builds(
            ForestRow,
            label=strategies.one_of(strategies.text(max_size=80), strategies.just("x" * 10_000)),
            paper=strategies.one_of(strategies.sampled_from(["P", "<b>&$x$"]), strategies.text(max_size=9)),
            anchor=strategies.uuids().map(str),
            verdict=strategies.sampled_from(["reproduced", "direction only", "contradicted", "inconclusive"]),
            fidelity=strategies.sampled_from(["proxy", "reduced", "paper"]),
            profile=strategies.text(max_size=5),
            value=strategies.floats(allow_nan=False, allow_infinity=False),
            low=strategies.none() | strategies.floats(allow_nan=False, allow_infinity=False),
            high=strategies.none() | strategies.floats(allow_nan=False, allow_infinity=False),
            from_nothing=strategies.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_rows_can_be_drawn(rows: list[ForestRow]) -> None:
    picture = draw_forest(rows)
    assert picture is not None and len(picture.numbers.rows) == len(rows)
    lxml.etree.fromstring(picture.svg.encode())
