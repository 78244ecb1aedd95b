"""What a spec may say of claims, looks and tuning; a mistake gets one sentence with file, line and key."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from support import TRIALS

from harness.errors import UserError
from harness.plan.design import make_design
from harness.spec.arms import check_arms
from harness.spec.claims import FORMS, ClaimBase
from harness.spec.figures import AbsoluteMargin, Margin, Published
from harness.spec.load import Experiment, load_experiment

BASE = {"id": "c", "paper": "P", "arxiv": "2101.00001v1", "locator": "Table 1", "statement": "S.", "metric": "value"}
A, B = {"arm": "a"}, {"arm": "b"}
ONE = {"value": 1.0, "locator": "Table 1", "basis": "source"}
MARGIN = {"absolute": 0.5, "reason": "r"}
RIGHT: dict[str, dict[str, Any]] = {
    "difference": {"treatment": A, "control": B},
    "ratio": {"numerator": A, "denominator": B},
    "non_inferiority": {"treatment": A, "control": B, "tolerated": MARGIN},
    "equivalence": {"treatment": A, "control": B, "within": MARGIN},
    "trend": {"along": "level"},
    "optimum": {"along": "level", "claimed": [1.0]},
    "ordering": {"order": [A, B]},
    "value": {"arm": A, "published": ONE, "margin": MARGIN},
    "crossing": {"along": "level", "first": A, "second": B, "published": ONE, "margin": MARGIN},
}
SPEC: dict[str, Any] = {
    "experiment": "formed", "title": "T", "trial": "small_trials:arms",
    "factors": {"arm": ["a", "b"], "level": [0.0, 1.0, 2.0]}, "replicates": 4,
    "profiles": {"laptop": {"fidelity": "paper"}},
}  # fmt: skip
SELECT = {"factors": ["level"], "metric": "validation", "matched": {"level": 1.0}}
LOOKS = {"min": 2, "max": 4, "looks": [2, 4]}


def load(folder: Path, spec: dict[str, Any]) -> Experiment:
    (folder / "small_trials.py").write_text(TRIALS)
    path = folder / "formed.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return load_experiment(path)


def check(folder: Path, spec: dict[str, Any]) -> None:
    """Do what ``harness check`` does to one spec."""
    experiment = load(folder, spec)
    for profile in experiment.spec.profiles:
        make_design(experiment, profile, device="cpu")
    check_arms(experiment)


def sentence(folder: Path, spec: dict[str, Any]) -> str:
    with pytest.raises(UserError) as found:
        check(folder, spec)
    text = str(found.value)
    assert "\n" not in text
    return text


def line_of(folder: Path, text: str) -> int:
    """Return the line of the file on which a text stands first."""
    lines = (folder / "formed.yaml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def claim(form: str, **keys: Any) -> dict[str, Any]:
    return {**BASE, "form": form, **{k: v for k, v in {**RIGHT[form], **keys}.items() if v is not ...}}


@pytest.mark.parametrize("form", list(RIGHT))
def test_each_form_is_read(in_workplace: Callable[..., Path], tmp_path: Path, form: str) -> None:
    assert set(RIGHT) == set(FORMS)
    check(tmp_path, {**SPEC, "claims": [claim(form)]})
    found = load(tmp_path, {**SPEC, "claims": [claim(form)]}).claims[0].claim
    assert type(found) is FORMS[form]
    assert found.family == "confirmatory" and found.pool.rule == "mean"


def needed(form: str, key: str) -> str:
    if form == "value" and key == "published":
        return "a value claim needs 'published', 'at_least' or 'at_most'"
    if form == "crossing" and key == "published":
        return "a crossing needs 'published', 'at_least' or 'at_most'"
    if key == "margin":
        return "a published figure needs 'margin'"
    return f"the key '{key}' is missing"


@pytest.mark.parametrize(("form", "key"), [(form, key) for form, keys in RIGHT.items() for key in keys])
def test_a_key_that_a_form_needs(in_workplace: Callable[..., Path], tmp_path: Path, form: str, key: str) -> None:
    found = sentence(tmp_path, {**SPEC, "claims": [claim(form, **{key: ...})]})
    assert needed(form, key) in found
    assert f"formed.yaml:{line_of(tmp_path, '- id: c')}: claims.0" in found


CLAIM_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": (claim("trend", scael="log"), "claims.0.scael: unknown key; did you mean 'scale'?"),
    "key of another form": (claim("trend", treatment=A), "claims.0.treatment: unknown key"),
    "unknown scale": (claim("trend", scale="cubic"), "claims.0.scale: input should be 'linear', 'log' or 'rank'"),
    "unknown pairing": (claim("difference", pairing="both"), "claims.0.pairing: input should be 'paired' or 'unpaired'"),
    "unknown pooling": (claim("difference", pool={"rule": "median"}), "claims.0.pool.rule: input should be 'mean'"),
    "unknown family": (claim("difference", family="main"), "claims.0.family: input should be 'confirmatory' or"),
    "unknown direction": (claim("ordering", direction="up"), "claims.0.direction: input should be 'greater' or 'less'"),
    "one trend level": (claim("trend", levels=[1.0]), "a trend needs at least two 'levels'"),
    "an order of one": (claim("ordering", order=[A]), "claims.0.order: tuple should have at least 2 items"),
    "an optimum nowhere": (claim("optimum", claimed=[]), "claims.0.claimed: tuple should have at least 1 item"),
    "no tolerance": (claim("non_inferiority", tolerated={"absolute": 0, "reason": "r"}), "tolerated.absolute: input should be greater than 0"),
    "tolerance without a reason": (claim("equivalence", within={"absolute": 1}), "claims.0.within: the key 'reason' is missing"),
    "a relative tolerance": (claim("equivalence", within={"relative": 1, "reason": "r"}), "within.relative: unknown key"),
    "the arm fixes the curve": (claim("trend", arm={"level": 1.0}), "the arm fixes 'level', along which the claim looks"),
    "the curve is a point": (claim("crossing", second={"level": 1.0}), "'second' fixes 'level', along which the claim looks"),
    "two bounds": (claim("difference", at_least=1, at_most=2, bound_reason="b"), "give either 'at_least' or 'at_most', not both"),
    "a bound without words": (claim("difference", at_least=1), "a bound needs 'bound_reason'"),
    "a range upside down": (claim("difference", possible=[1, 0]), "'possible' must be the least and the greatest"),
    "all of no direction": (claim("value", pool={"rule": "all"}), "this form cannot pool by the rule 'all'"),
    "items that do not pair": (claim("difference", items={"table": "t"}, pairing="unpaired"), "items pair by themselves"),
    "stages without samples": (claim("value", stages=["eye"]), "a share of stages needs both 'samples' and 'stages'"),
    "samples without stages": (claim("value", samples="latency"), "a share of stages needs both 'samples' and 'stages'"),
    "a check of nothing": (claim("difference", gates=[{"metric": "m", "reason": "r"}]), "claims.0.gates.0: a gate needs one of"),
    "a check of two things": (claim("difference", gates=[{"metric": "m", "reason": "r", "value": 1, "equal": True}]), "a gate needs one of"),
    "equal to one arm": (claim("difference", gates=[{"metric": "m", "reason": "r", "equal": True, "arm": A}]), "'arm' makes no sense beside it"),
    "a check without a reason": (claim("difference", gates=[{"metric": "m", "value": 1}]), "claims.0.gates.0: the key 'reason' is missing"),
    "a reading without tuning": (claim("difference", reading="best"), "claims.0.reading: asks for a reading, but the spec has no 'select'"),
    "read with a claim that is not there": (claim("difference", beside="d"), "claims.0.beside: no other claim 'd'"),
    "read with itself": (claim("difference", beside="c"), "claims.0.beside: no other claim 'c'"),
    "unknown reading": (claim("difference", reading="worst"), "claims.0.reading: input should be 'matched' or 'best'"),
    "two kinds of figure": (claim("value", published={**ONE, "ratio_of": [1, 2]}), "claims.0.published: give either 'value' or 'ratio_of', not both"),
    "two computed figures": (
        claim("value", published={"ratio_of": [1, 2], "difference_of": [1, 2], "locator": "T", "basis": "source"}),
        "give either 'ratio_of' or 'difference_of', not both",
    ),
    "no figure": (claim("value", published={"locator": "T", "basis": "source"}), "a published figure needs 'value'"),
    "an infinite figure": (claim("value", published={**ONE, "value": math.inf}), "a published figure needs 'value', a finite number"),
    "one printed figure": (claim("value", published={"ratio_of": [1], "locator": "T", "basis": "source"}), "'ratio_of' must be two numbers"),
    "divided by zero": (claim("value", published={"ratio_of": [1, 0], "locator": "T", "basis": "source"}), "'ratio_of' divides by zero"),
    "runs that are no number": (claim("value", published={**ONE, "runs": "some"}), "published.runs"),
    "two margins": (claim("value", margin={"absolute": 1, "relative": 1, "reason": "r"}), "give either 'relative' or 'absolute', not both"),
    "no margin": (claim("value", margin={"reason": "r"}), "give either 'relative' or 'absolute'"),
    "a spread of nothing": (claim("difference", planning={"sd": 0, "reason": "r"}), "planning.sd: input should be greater than 0"),
    "a spread without a reason": (claim("difference", planning={"sd": 1}), "claims.0.planning: the key 'reason' is missing"),
    "an arm that is not there": (claim("ordering", order=[A, {"arm": "z"}]), "the factor 'arm' of formed has no level 'z'"),
    "a factor that is not there": (claim("crossing", first={"amr": "a"}), "no factor 'amr' in formed; did you mean 'arm'?"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CLAIM_MISTAKES))
def test_a_mistake_in_a_claim(in_workplace: Callable[..., Path], tmp_path: Path, name: str) -> None:
    written, wanted = CLAIM_MISTAKES[name]
    found = sentence(tmp_path, {**SPEC, "claims": [written]})
    assert wanted in found, found
    assert "formed.yaml:" in found and "claims.0" in found


def spec_with(**keys: Any) -> dict[str, Any]:
    return {**SPEC, **keys}


def profile(**keys: Any) -> dict[str, Any]:
    return {"profiles": {"laptop": {"fidelity": "paper", **keys}}}


BLOCKED = {"trial": "small_trials:pair", "factors": {"system": {"levels": {"x": 1.0, "y": 2.0}, "blocked": True}}}
SPEC_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "looks that do not rise": (spec_with(replicates={**LOOKS, "looks": [4, 2, 4]}), "replicates: 'looks' must rise, and [4, 2, 4] does not"),
    "looks that stand still": (spec_with(replicates={**LOOKS, "looks": [2, 2, 4]}), "'looks' must rise"),
    "a look too early": (spec_with(replicates={**LOOKS, "min": 3}), "the first look (2) is before 'min' (3)"),
    "no look at the end": (spec_with(replicates={**LOOKS, "max": 8}), "the last look (4) must be at 'max' (8)"),
    "no look": (spec_with(replicates={**LOOKS, "looks": []}), "replicates"),
    "looks without an end": (spec_with(replicates={"min": 2, "looks": [2, 4]}), "replicates"),
    "no replicates": (spec_with(replicates=0), "replicates: input should be greater than or equal to 1, not 0"),
    "looks of a profile": (spec_with(**profile(replicates={**LOOKS, "looks": [4, 2]})), "profiles.laptop.replicates: 'looks' must rise"),
    "no replicates in a profile": (spec_with(**profile(replicates=-1)), "profiles.laptop.replicates: input should be greater than or equal to 1, not -1"),
    "tuning without matched": (spec_with(select={k: v for k, v in SELECT.items() if k != "matched"}), "select: the key 'matched' is missing"),
    "tuning without a metric": (spec_with(select={k: v for k, v in SELECT.items() if k != "metric"}), "select: the key 'metric' is missing"),
    "matched lacks a factor": (spec_with(select={**SELECT, "factors": ["level", "arm"]}), "select: 'matched' must give a level of 'arm'"),
    "matched names another": (spec_with(select={**SELECT, "matched": {"level": 1.0, "arm": "a"}}), "'matched' names 'arm', which is not among 'factors'"),
    "matched at no level": (spec_with(select={**SELECT, "matched": {"level": 7.0}}), "select.matched: the factor 'level' has no level '7'"),
    "tunes no factor": (spec_with(select={**SELECT, "factors": []}), "select.factors: tuple should have at least 1 item"),
    "tunes an unknown factor": (spec_with(select={**SELECT, "factors": ["lvel"], "matched": {"lvel": 1.0}}), "select.factors: no factor 'lvel'; did you mean 'level'?"),
    "tunes a blocked factor": (
        spec_with(**BLOCKED, select={**SELECT, "factors": ["system"], "matched": {"system": "x"}}),
        "select.factors: 'system' is blocked; arms that run together share it",
    ),
    "tunes on nothing": (spec_with(select={**SELECT, "replicates": 0}), "select.replicates: input should be greater than or equal to 1"),
    "misspelt key": (spec_with(select={**SELECT, "metrik": "m"}), "select.metrik: unknown key; did you mean 'metric'?"),
    "a profile changes no tuning": (spec_with(**profile(select={"replicates": 3})), "profiles.laptop.select: changes 'select', but the spec has none"),
    "a profile tunes wrongly": (spec_with(select=SELECT, **profile(select={"replicates": 0})), "profiles.laptop.select.replicates"),
    "streams without all": (spec_with(factors={"varied_streams": ["init"]}), "the factor 'varied_streams' needs the level 'all'"),
    "streams in one trial": (
        spec_with(factors={"varied_streams": {"levels": ["all", "init"], "blocked": True}}),
        "the factor 'varied_streams' needs the level 'all', and cannot be blocked",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(SPEC_MISTAKES))
def test_a_mistake_in_looks_or_tuning(in_workplace: Callable[..., Path], tmp_path: Path, name: str) -> None:
    written, wanted = SPEC_MISTAKES[name]
    found = sentence(tmp_path, written)
    assert wanted in found, found
    assert "formed.yaml" in found


def test_a_mistake_names_its_line(in_workplace: Callable[..., Path], tmp_path: Path) -> None:
    found = sentence(tmp_path, {**SPEC, "claims": [claim("trend", scale="cubic")]})
    assert found.startswith(f"{tmp_path}/formed.yaml:{line_of(tmp_path, 'scale: cubic')}: claims.0.scale: ")
    found = sentence(tmp_path, {**SPEC, "select": {**SELECT, "matched": {"level": 7.0}}})
    assert found.startswith(f"{tmp_path}/formed.yaml:{line_of(tmp_path, 'matched:')}: select.matched: ")


@pytest.mark.parametrize(
    "keys",
    [
        claim("trend", along="levle"),
        claim("trend", levels=[1.0, 9.0]),
        claim("optimum", claimed=[9.0]),
        claim("optimum", against=9.0),
        claim("crossing", along="levle"),
        claim("difference", gates=[{"metric": "m", "value": 1, "reason": "r", "arm": {"arm": "z"}}]),
        claim("difference", gates=[{"metric": "m", "value": 1, "reason": "r", "arm": {"amr": "a"}}]),
    ],
)
def test_curves_and_checks_name_what_is_there(
    in_workplace: Callable[..., Path], tmp_path: Path, keys: dict[str, Any]
) -> None:
    found = sentence(tmp_path, {**SPEC, "claims": [keys]})
    assert "claims.0" in found and "formed.yaml:" in found and ("no level" in found or "no factor" in found)


@pytest.mark.parametrize(
    "keys",
    [
        claim("equivalence", pool={"rule": "all"}),
        claim("optimum", pool={"rule": "all"}),
        claim("crossing", pool={"rule": "all"}),
        claim("optimum", exact=True),
        claim("crossing", exact=True),
        claim("ordering", pool={"rule": "interquartile mean"}),
        claim("trend", exact=True),
        claim("optimum", at_most=1, bound_reason="b"),
    ],
)
def test_what_a_form_cannot_mean_is_refused(
    in_workplace: Callable[..., Path], tmp_path: Path, keys: dict[str, Any]
) -> None:
    assert "claims.0" in sentence(tmp_path, {**SPEC, "claims": [keys]})


# Figures.


def test_published_figures_are_computed_and_not_rounded() -> None:
    rest = {"locator": "T", "basis": "source"}
    assert Published(ratio_of=(900, 15), **rest).value == 60.0  # type: ignore[arg-type]
    assert Published(ratio_of=(1, 3), scale=100, **rest).value == 100 * 1 / 3  # type: ignore[arg-type]
    assert Published(difference_of=(76.3, 74.1), **rest).value == 76.3 - 74.1  # type: ignore[arg-type]


def test_the_dispersion_of_a_difference_of_two_arms_is_that_of_both() -> None:
    rest = {"value": 1.0, "locator": "T", "basis": "source"}
    assert Published(dispersion=(0.3, 0.4), **rest).sd == pytest.approx(0.5)  # type: ignore[arg-type]
    assert Published(dispersion=0.3, runs=5, **rest).left_out() == []  # type: ignore[arg-type]
    plain = Published(**rest)  # type: ignore[arg-type]
    assert (plain.sd, plain.number_of_runs, plain.left_out()) == (None, None, ["dispersion", "number of runs"])


def test_margins_lie_around_a_figure_and_can_be_widened() -> None:
    relative, absolute = Margin(relative=0.25, reason="r"), Margin(absolute=2.0, reason="r")
    assert relative.around(-60) == (-75, -45) and absolute.around(-60) == (-62, -58)
    assert relative.times(2).relative == 0.5 and absolute.times(0.5).absolute == 1.0
    with pytest.raises(ValidationError):
        AbsoluteMargin(absolute=-1.0, reason="r")


def test_all_margins_of_a_claim_are_relaxed_together() -> None:
    keys = claim("equivalence", published=ONE, margin=MARGIN, negligible={"absolute": 0.1, "reason": "r"})
    found: ClaimBase = FORMS["equivalence"].model_validate(keys)
    wide = found.relaxed(2.0)
    assert found.has_margins and not FORMS["trend"].model_validate(claim("trend")).has_margins
    assert wide.margin is not None and wide.margin.absolute == 1.0
    assert wide.negligible is not None and wide.negligible.absolute == 0.2
    assert wide.within.absolute == 1.0  # type: ignore[attr-defined]
    assert found.margin is not None and found.margin.absolute == 0.5, "the claim itself stays"


def test_a_crossing_lays_its_arm_under_both_curves(tmp_path: Path) -> None:
    keys = claim("crossing", arm={"setting": "s"}, first={"arm": "a", "level": 0.0})
    found: ClaimBase = FORMS["crossing"].model_validate(keys)
    assert found.arms() == {"first": {"setting": "s", "arm": "a", "level": 0.0}, "second": {"setting": "s", "arm": "b"}}


def test_what_the_paper_leaves_out_is_kept(in_workplace: Callable[..., Path], tmp_path: Path) -> None:
    registry = {
        "not_stated": ["number of seeds"],
        "common": {"paper": "P"},
        "claims": [claim("trend"), claim("trend", id="d")],
    }
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump(registry))
    found = load(tmp_path, {**SPEC, "claims": ["c"]})
    assert found.not_stated == ("number of seeds",)
    assert [r.claim.id for r in found.claims] == ["c"] and [r.claim.id for r in found.registry] == ["c", "d"]
