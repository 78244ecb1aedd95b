"""Declared looks: a claim is decided at the first that crosses, and stays so; nothing is decided before a look is whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy
import pytest
from scipy import stats
from synthetic import FAILED, Made, claim_yaml, design_of, judged, published_yaml, state_with, trials_folder

from harness.plan.trials import Trial
from harness.verdicts.judge import judge
from harness.verdicts.judgement import Judgement
from harness.verdicts.saving import all_decided, saved_by_looks
from harness.verdicts.statistics.sequential import nominal_levels

LOOKS = (4, 8, 12)
FRACTIONS = (4 / 12, 8 / 12, 1.0)
REPLICATES = {"min": 4, "max": 12, "looks": list(LOOKS)}
LEVELS = nominal_levels(0.05, FRACTIONS, LOOKS)
CLAIM = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"})
SPEC: dict[str, Any] = {"factors": {"arm": ["a", "b"]}, "replicates": REPLICATES, "claims": [CLAIM]}


def normalised(count: int, seed: int = 3) -> numpy.ndarray:
    """Return values with mean 0 and standard deviation 1."""
    values = numpy.random.default_rng(seed).normal(size=count)
    return (values - values.mean()) / values.std(ddof=1)


@lru_cache
def differences(t_ratios: tuple[float, float, float]) -> numpy.ndarray:
    """Return twelve differences whose t ratio at each look is as asked."""
    blocks: list[float] = []
    for look, wanted in zip(LOOKS, t_ratios, strict=True):
        base = normalised(4, look)
        # One number moves the whole block: find the one that gives the wanted ratio.
        shifts = numpy.linspace(-100, 100, 1_000_001)
        n = len(blocks) + 4
        mean = (sum(blocks) + 4 * shifts + base.sum()) / n
        squares = sum(x**2 for x in blocks) + ((base**2).sum() + 2 * shifts * base.sum() + 4 * shifts**2)
        ratio = mean / numpy.sqrt((squares - n * mean**2) / (n - 1) / n)
        blocks += (base + shifts[numpy.argmin(abs(ratio - wanted))]).tolist()
    made = numpy.array(blocks)
    reached = [stats.ttest_1samp(made[:look], 0).statistic for look in LOOKS]
    assert reached == pytest.approx(t_ratios, abs=0.02), "no such values"
    return made


def with_values(values: numpy.ndarray, until: int = 12) -> Callable[[Trial], Made]:
    def make(trial: Trial) -> Made:
        if trial.replicate >= until:
            return None
        return {"value": float(values[trial.replicate]) if trial.arm["arm"] == "a" else 0.0}

    return make


def found_in(values: numpy.ndarray, until: int = 12, **claim: Any) -> Judgement:
    return judged({**SPEC, "claims": [{**CLAIM, **claim}]}, with_values(values, until))["c"]


def critical(look: int, shift: float = 0.0) -> float:
    """Return the t ratio that crosses at a look, times one plus ``shift``."""
    return float(stats.t.isf(LEVELS[look] / 2, LOOKS[look] - 1)) * (1 + shift)


def test_the_ratios_asked_for_are_those_made() -> None:
    values = differences((1.0, 2.0, -0.5))
    assert [stats.ttest_1samp(values[:look], 0).statistic for look in LOOKS] == pytest.approx([1, 2, -0.5], abs=1e-3)


@pytest.mark.parametrize("look", [0, 1, 2])
def test_a_claim_is_decided_at_the_look_whose_boundary_it_crosses(look: int) -> None:
    below = [critical(k, -0.02) for k in range(3)]
    values = differences((*below[:look], critical(look, 0.02), *below[look + 1 :]))  # type: ignore[arg-type]
    for seen in LOOKS[:look]:
        assert found_in(values, seen).verdict == "inconclusive"
    found = found_in(values, LOOKS[look])
    assert (found.verdict, found.look) == ("direction only", LOOKS[look])
    assert found.level == pytest.approx(LEVELS[look], rel=1e-3)
    assert found.p < 0.05 and found.adjusted[0] > 0
    assert f"decided at {LOOKS[look]} of at most 12 replicates" in found.reason


def test_what_is_decided_stays_decided_whatever_comes_later() -> None:
    values = differences((critical(0, 0.05), 0.1, -2.0))
    first = found_in(values, 4)
    for seen in (8, 12):
        later = found_in(values, seen)
        assert (later.verdict, later.look, later.effect, later.interval) == (
            first.verdict, 4, first.effect, first.interval,
        )  # fmt: skip
        assert later.p <= first.p


def test_a_claim_that_never_crosses_is_inconclusive_at_the_last_look() -> None:
    found = found_in(differences(tuple(critical(k, -0.02) for k in range(3))))  # type: ignore[arg-type]
    assert (found.verdict, found.look) == ("inconclusive", 12) and found.p > 0.05
    assert "after 12 of at most 12 replicates" in found.reason
    plain = stats.ttest_1samp(differences(tuple(critical(k, -0.02) for k in range(3))), 0)  # type: ignore[arg-type]
    assert plain.pvalue < 0.05, "without looks it would have been decided: looks have their price"


def test_a_claim_may_be_contradicted_at_a_look() -> None:
    found = found_in(differences((-critical(0, -0.5), -critical(1, 0.05), 0.0)), 8)
    assert (found.verdict, found.look) == ("contradicted", 8)


@pytest.mark.parametrize("until", [1, 3])
def test_nothing_is_decided_before_the_first_look_is_whole(until: int) -> None:
    found = found_in(numpy.arange(12) + 100.0, until)
    assert (found.verdict, found.look, found.p) == ("inconclusive", None, 1.0)
    assert found.reason == f"{2 * until} of the 8 trials before the first look are finished"


def test_replicates_between_two_looks_change_nothing() -> None:
    values = differences((critical(0, -0.5), critical(1, 0.05), 0.0))
    four, seven = found_in(values, 4).row(), found_in(values, 7).row()
    assert {key for key in four if four[key] != seven[key]} == {"trials", "arms"}


def test_one_missing_trial_of_a_look_keeps_it_from_being_made() -> None:
    values = differences((critical(0, 0.05), 0.0, 0.0))
    make = with_values(values, 4)
    design = design_of(trials_folder(), SPEC)
    late = state_with(design, lambda t: None if (t.replicate, t.arm["arm"]) == (2, "b") else make(t))
    assert judge(late)[0].look is None
    failed = state_with(design, lambda t: FAILED if (t.replicate, t.arm["arm"]) == (2, "b") else make(t))
    assert judge(failed)[0].look == 4, "a failure is settled"


def test_the_interval_shown_is_wider_early_on() -> None:
    values = differences((critical(0, 0.05), 0.0, 0.0))
    found = found_in(values, 4)
    low, high = found.interval
    assert found.shown_level == pytest.approx(LEVELS[0], rel=1e-3)
    half = float(stats.t.isf(found.shown_level / 2, 3)) * stats.sem(values[:4])
    assert (low, high) == pytest.approx((values[:4].mean() - half, values[:4].mean() + half), rel=1e-10)


def test_two_claims_are_each_decided_at_their_own_look() -> None:
    """Holm's first step has half the level, so the looks of a family of two cross at half the overall level."""
    half = nominal_levels(0.025, FRACTIONS, LOOKS)[0]
    crossing = 1.05 * float(stats.t.isf(half / 2, 3))
    early, late = differences((crossing, 0.0, 0.0)), differences((critical(0, -0.5), critical(1, 0.05), 0.0))
    spec = {
        **SPEC,
        "factors": {"arm": ["a", "b", "c"]},
        "claims": [CLAIM, {**CLAIM, "id": "d", "treatment": {"arm": "c"}}],
    }

    def make(until: int) -> Callable[[Trial], Made]:
        columns = {"a": early, "b": numpy.zeros(12), "c": late}
        return lambda t: {"value": float(columns[str(t.arm["arm"])][t.replicate])} if t.replicate < until else None

    first = judged(spec, make(4))
    assert [first[name].verdict for name in "cd"] == ["direction only", "inconclusive"]
    assert not all_decided(list(first.values()))
    second = judged(spec, make(8))
    assert [(second[name].verdict, second[name].look) for name in "cd"] == [
        ("direction only", 4),
        ("direction only", 8),
    ]
    assert first["c"].level == pytest.approx(half, rel=1e-3)
    assert all_decided(list(second.values()))


def saved(values: numpy.ndarray, until: int, claims: list[dict[str, Any]]) -> str:
    state = state_with(design_of(trials_folder(), {**SPEC, "claims": claims}), with_values(values, until))
    return saved_by_looks(state, judge(state))


def test_what_an_early_stop_saved_is_said() -> None:
    values = differences((critical(0, 0.05), 0.0, 0.0))
    assert saved(values, 4, [CLAIM]) == (
        "every confirmatory claim is decided at 4 of at most 12 replicates; "
        "16 of 24 trials were not needed, about 16 s of trial time"
    )
    assert saved(values, 12, [CLAIM]) == "", "everything ran"
    assert saved(values, 3, [CLAIM]) == "", "no look was made"
    assert saved(numpy.tile([1.0, -1.0], 6), 4, [CLAIM]) == "", "nothing is decided"


def test_exploratory_claims_do_not_keep_a_sweep_going_and_do_not_stop_it() -> None:
    values = differences((critical(0, 0.05), 0.0, 0.0))
    undecided = {**CLAIM, "id": "x", "family": "exploratory", "treatment": {"arm": "b"}, "control": {"arm": "b"}}
    assert saved(values, 4, [CLAIM, undecided])
    assert saved(values, 4, [{**CLAIM, "family": "exploratory"}]) == ""


def test_a_ratio_at_a_first_look_of_two_replicates_has_no_finite_detectable_effect() -> None:
    """Its local level is so small that the factor found in 80 of 100 cases is no number any more."""
    spec = {
        **SPEC,
        "replicates": {"min": 2, "max": 8, "looks": [2, 8]},
        "claims": [claim_yaml(form="ratio", numerator={"arm": "a"}, denominator={"arm": "b"})],
    }
    make = lambda t: {"value": 1.0 + 0.1 * t.replicate * (t.arm["arm"] == "a")} if t.replicate < 2 else None  # noqa: E731
    found = judged(spec, make)["c"]
    assert found.verdict == "inconclusive" and found.row()["mde"] is None


def test_looks_are_made_for_every_form() -> None:
    claim = {**CLAIM, **published_yaml(1.0, 5.0)}
    found = judged({**SPEC, "claims": [claim]}, with_values(1.0 + 0.01 * normalised(12), 4))["c"]
    assert found.verdict == "reproduced" and found.reason.endswith("decided at 4 of at most 12 replicates")


def test_exploratory_claims_are_looked_at_once_where_the_sweep_stopped() -> None:
    """Crossing at the first look and not at the last is a decision for a confirmatory claim, and none for another."""
    values = differences((critical(0, 0.1), 1.0, 0.5))
    assert found_in(values).verdict == "direction only"
    other = found_in(values, family="exploratory")
    assert (other.verdict, other.look) == ("inconclusive", 12)
    assert other.level == pytest.approx(0.05) and other.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_what_the_original_could_not_have_detected_is_decided_at_the_look_that_shows_it() -> None:
    published = published_yaml(2.0, 0.1, dispersion=1.0, runs=5)
    values = numpy.array([0.1, -0.1, 0.05, -0.05, 2, 2.2, -2, 3, 1, -1, 2, 0.5])
    early, late = found_in(values, 4, **published), found_in(values, **published)
    assert early.verdict == late.verdict == "contradicted" and "could hardly detect" in late.reason
    assert (early.look, late.look) == (4, 4) and early.p < 0.05
