"""Families of tests: agreement with statsmodels, decisions that match their levels, error rates by simulation."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harness.verdicts.statistics.families import Adjusted, benjamini_hochberg, holm

PROCEDURES = {"holm": holm, "fdr_bh": benjamini_hochberg}
P_VALUES = st.lists(st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.5, 1.0])), max_size=30)
ALPHA = st.floats(1e-4, 0.5)


@pytest.mark.parametrize("name", PROCEDURES)
@given(p_values=P_VALUES.filter(len), alpha=ALPHA)
@settings(max_examples=30, deadline=None)  # statsmodels collects garbage at every call to holm
def test_adjusted_p_values_are_those_of_statsmodels(name: str, p_values: list[float], alpha: float) -> None:
    members = PROCEDURES[name](p_values, alpha)
    rejected, adjusted, _, _ = multipletests(p_values, alpha=alpha, method=name)
    assert [member.p for member in members] == pytest.approx(adjusted.tolist(), rel=1e-12, abs=1e-12)
    for member, decision in zip(members, rejected, strict=True):
        assert member.rejected == decision or math.isclose(member.p, alpha, rel_tol=1e-12)


@pytest.mark.parametrize("procedure", PROCEDURES.values())
@given(p_values=P_VALUES, alpha=ALPHA)
@settings(max_examples=150, deadline=None)
def test_a_member_is_rejected_exactly_where_its_p_value_is_at_most_its_level(procedure, p_values, alpha) -> None:
    members = procedure(p_values, alpha)
    assert len(members) == len(p_values)
    for p, member in zip(p_values, members, strict=True):
        assert member.rejected == (p <= member.level)
        assert member.rejected == (member.p <= alpha) or math.isclose(member.p, alpha, rel_tol=1e-12)
        assert p <= member.p <= 1.0
        assert alpha / len(p_values) * (1 - 1e-12) <= member.level <= alpha


@pytest.mark.parametrize("procedure", PROCEDURES.values())
@given(p_values=P_VALUES, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_family_does_not_matter_and_ties_share_one_result(procedure, p_values, seed) -> None:
    order = numpy.random.default_rng(seed).permutation(len(p_values))
    members = procedure(p_values)
    shuffled = procedure([p_values[place] for place in order])
    assert shuffled == [members[place] for place in order]
    by_value: dict[float, Adjusted] = {}
    for p, member in zip(p_values, members, strict=True):
        assert by_value.setdefault(p, member) == member


def test_holm_levels_go_up_until_the_first_failure_and_stay_there() -> None:
    members = holm([0.03, 0.001, 0.04, 0.011], alpha=0.05)
    assert [member.level for member in members] == pytest.approx([0.025, 0.0125, 0.025, 0.05 / 3], abs=1e-15)
    assert [member.rejected for member in members] == [False, True, False, True]
    assert [member.p for member in members] == pytest.approx([0.06, 0.004, 0.06, 0.033], abs=1e-15)


def test_holm_gives_tied_members_the_level_of_their_lowest_rank() -> None:
    assert [member.level for member in holm([0.01, 0.01, 0.04], 0.05)] == pytest.approx([0.05 / 3, 0.05 / 3, 0.05])


def test_benjamini_hochberg_decides_all_at_the_level_of_the_last_rejection() -> None:
    members = benjamini_hochberg([0.9, 0.02, 0.001, 0.03], alpha=0.05)
    assert [member.level for member in members] == pytest.approx([0.0375] * 4, abs=1e-15)
    assert [member.rejected for member in members] == [False, True, True, True]
    assert [member.level for member in benjamini_hochberg([0.9, 0.8], alpha=0.05)] == pytest.approx([0.025] * 2)


@pytest.mark.parametrize("procedure", PROCEDURES.values())
def test_edges_of_the_input(procedure) -> None:
    assert procedure([]) == []
    assert procedure([0.05], 0.05) == [Adjusted(0.05, 0.05, True)]
    assert procedure([math.nan, 0.001]) == procedure([1.0, 0.001])
    for p_values, alpha in [([1.1], 0.05), ([-0.1], 0.05), ([0.5], 0.0), ([0.5], 1.0), ([], math.nan)]:
        with pytest.raises(ValueError):
            procedure(p_values, alpha)


def test_a_holm_interval_agrees_with_its_decision() -> None:
    generator = numpy.random.default_rng(11)
    for _ in range(200):
        samples = generator.normal(generator.choice([0.0, 1.0], 4)[:, None], 1.0, (4, 6))
        members = holm(stats.ttest_1samp(samples, 0.0, axis=1).pvalue.tolist())
        for sample, member in zip(samples, members, strict=True):
            low, high = stats.ttest_1samp(sample, 0.0).confidence_interval(1.0 - member.level)
            assert member.rejected == (not low <= 0.0 <= high)


def test_error_rates_hold_by_simulation() -> None:
    generator = numpy.random.default_rng(12)
    runs, members, true_nulls, alpha = 3000, 8, 5, 0.1
    effects = numpy.r_[numpy.zeros(true_nulls), numpy.full(members - true_nulls, 2.5)]
    p = 2.0 * stats.norm.sf(numpy.abs(generator.standard_normal((runs, members)) + effects))
    any_false, false_share = numpy.empty(runs), numpy.empty(runs)
    for run in range(runs):
        any_false[run] = any(member.rejected for member in holm(p[run], alpha)[:true_nulls])
        found = numpy.array([member.rejected for member in benjamini_hochberg(p[run], alpha)])
        false_share[run] = found[:true_nulls].sum() / max(found.sum(), 1)
    assert any_false.mean() <= alpha + 3.0 * math.sqrt(alpha * (1 - alpha) / runs)
    assert any_false.mean() >= alpha / 2
    # The step-up procedure's false discovery rate is alpha * (true nulls) / m exactly under independence.
    expected = alpha * true_nulls / members
    assert false_share.mean() == pytest.approx(expected, abs=3.0 * false_share.std() / math.sqrt(runs))
