"""Error rates of the verdicts, simulated: sweeps of known truth through the real ``judge``.

Every bound is the promised rate plus two binomial standard errors of the simulation itself (three for a band with two
sides; four in the short versions, where a single case more or less is a standard error). Seeds were set before any result was seen. Effects are in units of the standard
deviation of one arm's metric or of one paired difference, as each test says. The short versions run by default; the long ones with
``make test-slow`` (``-s`` prints the rates).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
from simulation import (
    CONFIRMED,
    DISTRIBUTIONS,
    Sweeps,
    at_most,
    cases,
    difference,
    margin_of,
    rate,
    sized,
    standard_error,
    stream,
)

from harness.verdicts.judge import judge
from harness.verdicts.judgement import Judgement
from harness.verdicts.statistics import distribution
from harness.verdicts.statistics.means import mean_estimate

ALPHA = 0.05
SIZES = (5, 3, 8, 20)
AT_ONCE = 20
"""Sweeps that are judged in one state."""


# ---------------------------------------------------------------------------------------------------- what is left out


def test_what_only_describes_changes_no_verdict(tmp_path: Path) -> None:
    """The simulations leave out what only describes; with it, every number that decides is the same bytes."""
    families = [[difference(arm, "z") for arm in "abc"]] * 4
    sweeps = Sweeps(tmp_path, "abcz", families, (4, 8))
    values = stream(0).normal(size=(4, 4, 8)) + numpy.array([3.0, 1.0, -2.0, 0.0])[:, None]
    whole = iter(judge(sweeps.state(values)))
    for judgement in (j for family in sweeps.judged(values) for j in family):
        other = next(whole)
        for name in ("verdict", "reason", "effect", "interval", "adjusted", "level", "p", "look", "family"):
            assert getattr(judgement, name) == getattr(other, name), name


# ------------------------------------------------------------------------------------------------------------ coverage


def misses(values: numpy.ndarray, truth: float) -> int:
    """Return how many 95 % intervals over the rows of ``values`` do not hold the truth."""
    missed = 0
    for row in values:
        low, high = mean_estimate(row).interval()
        missed += not low <= truth <= high
    return missed


@cases("size", SIZES, 200, 6000)
@pytest.mark.parametrize("law", list(DISTRIBUTIONS))
def test_coverage_of_paired_differences(law: str, size: int, number: int) -> None:
    """95 % intervals cover 93.5 to 96.5 % of normal means, and at least 92 % of others, or the report warns.

    The acceptance bands are met up to three standard errors of the simulation (0.9 points at 6000 sweeps). What is skewed is
    not covered so well (88 % of exponential means at n = 3, 5): for that the report warns, see the tests of the warning.
    """
    draw, truth = DISTRIBUTIONS[law]
    values = draw(stream(1, list(DISTRIBUTIONS).index(law), size), (number, size))
    covered = 1 - misses(values, truth) / number
    print(f"coverage  {law:32s} n = {size:2d}  {covered:.4f} of {number}")
    allowance = 3 * standard_error(0.95, number)
    if law == "normal":
        assert 0.935 - allowance <= covered <= 0.965 + allowance
        assert abs(covered - 0.95) <= allowance  # Student's t is exact for normal differences
    elif not is_skewed(law):
        assert covered >= 0.92 - allowance
    else:
        assert covered >= 0.85 - allowance  # and the warning must do the rest


def is_skewed(law: str) -> bool:
    return law in ("exponential", "lognormal, sigma 0.5", "normal, a tenth shifted by 5 sd")


@cases("size", SIZES, 40, 1000)
def test_the_judge_shows_the_intervals_whose_coverage_is_simulated(tmp_path: Path, size: int, number: int) -> None:
    sweeps = Sweeps(tmp_path, "ab", [[difference("a", "b")]] * 40, size)
    generator = stream(2, size)
    for _ in range(number // 40):
        values = generator.normal(size=(40, 2, size)) + generator.exponential(size=(40, 2, size))
        for judgements, (treatment, control) in zip(sweeps.judged(values), values, strict=True):
            assert judgements[0].interval == mean_estimate(treatment - control).interval()
            assert judgements[0].shown_level == ALPHA


@pytest.mark.parametrize(
    ("size", "number"),
    [(5, 100), (20, 200), *(pytest.param(size, 3000, marks=pytest.mark.slow) for size in (5, 16, 20))],
)
@pytest.mark.parametrize("law", list(DISTRIBUTIONS))
def test_a_miss_without_a_warning_is_rare(law: str, size: int, number: int) -> None:
    """In at most 8 % of sweeps the interval misses and nothing warns: what 92 % coverage means with a warning.

    A warning that is always there says little: from the size on at which skewness shows, few normal samples are warned of.
    """
    draw, truth = DISTRIBUTIONS[law]
    values = draw(stream(15, list(DISTRIBUTIONS).index(law), size), (number, size))
    warned = [bool(distribution.distribution_warning(row)) for row in values]
    silent = misses(values[~numpy.array(warned)], truth) / number
    print(f"warning   {law:32s} n = {size:2d}  warned {rate(warned):.3f}  missed without {silent:.4f}")
    assert silent <= at_most(0.08, number)
    if law == "normal" and size >= distribution.FEWEST_TO_TELL:
        assert rate(warned) <= at_most(0.12, number)


# --------------------------------------------------------------------------------------------------- families of claims


def errors(
    sweeps: Sweeps, values: Callable[[], numpy.ndarray], number: int, nulls: Sequence[int], runs: bool = False
) -> dict[str, float]:
    """Return how often a family holds a false confirmation, a false contradiction, or either, among its null claims."""
    confirmed: list[bool] = []
    contradicted: list[bool] = []
    while len(confirmed) < number:
        drawn = values()
        families = [s.judgements for s in sweeps.run(drawn)] if runs else sweeps.judged(drawn)
        for family in families:
            verdicts = [family[place].verdict for place in nulls]
            confirmed.append(any(verdict in CONFIRMED for verdict in verdicts))
            contradicted.append("contradicted" in verdicts)
    either = [a or b for a, b in zip(confirmed, contradicted, strict=True)]
    return {"confirmed": rate(confirmed), "contradicted": rate(contradicted), "either": rate(either)}


def assert_held(found: dict[str, float], number: int, what: str) -> None:
    print(f"errors    {what:58s} {found} of {number} families")
    assert max(found.values()) <= at_most(ALPHA, number)


INDEPENDENT = [difference(f"a{i}", f"b{i}") for i in range(5)]
SHARED = [difference(f"a{i}", "z", direction="less" if i % 2 else "greater") for i in range(5)]


@cases("size", [5, 8], 40, 1000)
@pytest.mark.parametrize("arms", ["independent", "one control"])
def test_five_null_claims(tmp_path: Path, arms: str, size: int, number: int) -> None:
    """Five claims without any effect: at most 5 % of families confirm one, and at most 5 % contradict one.

    With one control for all, differences correlate by 0.5; replicates of all arms share half of their variance besides.
    """
    claims = INDEPENDENT if arms == "independent" else SHARED
    names = (
        [f"{side}{i}" for i in range(5) for side in "ab"]
        if arms == "independent"
        else ["a0", "a1", "a2", "a3", "a4", "z"]
    )
    sweeps = Sweeps(tmp_path, names, [claims] * AT_ONCE, size)
    generator = stream(3, size, len(names))

    def values() -> numpy.ndarray:
        shared = generator.normal(size=(AT_ONCE, 1, size))
        return generator.normal(size=(AT_ONCE, len(names), size)) + shared

    assert_held(errors(sweeps, values, number, range(5)), number, f"five nulls, {arms}, n = {size}")


MIXED: list[dict[str, Any]] = [
    {"form": "ratio", "numerator": "a", "denominator": "z", "direction": "less"},
    {"form": "non_inferiority", "treatment": "b", "control": "z", "tolerated": margin_of(0.5)},
    {"form": "equivalence", "treatment": "c", "control": "z", "within": margin_of(0.75)},
    {"form": "trend", "along": "a", "levels": ["d", "e", "z"]},
    {"form": "ordering", "order": ["d", "e", "z"]},
]
MIXED_TRUTH = {"b": -0.5, "c": 0.75}
"""Each arm just where its claim is not true any more, which is where confirming it is likeliest."""


@cases("size", [5, 8], 40, 1000)
def test_five_forms_at_the_edge_of_their_claims(tmp_path: Path, size: int, number: int) -> None:
    """A ratio, a non-inferiority, an equivalence, a trend and an ordering that are all just not true."""
    names = ["a", "b", "c", "d", "e", "z"]
    sweeps = Sweeps(tmp_path, names, [MIXED] * AT_ONCE, size)
    generator = stream(4, size)
    at = 20.0 + numpy.array([MIXED_TRUTH.get(name, 0.0) for name in names])[:, None]

    def values() -> numpy.ndarray:
        return at + generator.normal(size=(AT_ONCE, len(names), size))

    assert_held(errors(sweeps, values, number, range(5)), number, f"five forms at their edges, n = {size}")


@cases("size", [5, 8], 40, 1000)
def test_two_null_claims_beside_three_that_are_true(tmp_path: Path, size: int, number: int) -> None:
    """Where Holm's procedure has given the level of three confirmed claims on to the other two."""
    sweeps = Sweeps(tmp_path, ["a0", "a1", "a2", "a3", "a4", "z"], [SHARED] * AT_ONCE, size)
    generator = stream(5, size)
    at = numpy.array([20.0, -20.0, 20.0, 0.0, 0.0, 0.0])[:, None]

    def values() -> numpy.ndarray:
        return at + generator.normal(size=(AT_ONCE, 6, size))

    assert_held(errors(sweeps, values, number, [3, 4]), number, f"two nulls beside three true, n = {size}")


@cases("law", ["exponential", "t, 3 df", "lognormal, sigma 0.5"], 20, 1000)
def test_five_null_claims_on_skewed_metrics(tmp_path: Path, law: str, number: int) -> None:
    """Two arms with one law have differences that are symmetric, however skewed the metric: a null claim is held to 5 %."""
    draw, _ = DISTRIBUTIONS[law]
    sweeps = Sweeps(tmp_path, ["a0", "a1", "a2", "a3", "a4", "z"], [SHARED] * AT_ONCE, 5)
    generator = stream(6, len(law))
    found = errors(sweeps, lambda: draw(generator, (AT_ONCE, 6, 5)), number, range(5))
    assert_held(found, number, f"five nulls, metric {law}, n = 5")


# --------------------------------------------------------------------------------------------------------------- looks


LOOKS = [(4, 8, 16, 24), (2, 4, 6, 8)]


@cases("looks", LOOKS, 40, 2000)
def test_one_null_claim_with_looks(tmp_path: Path, looks: tuple[int, ...], number: int) -> None:
    """Judged after every look, stopped where decided, as ``harness run`` does: at most 5 % of null claims are decided."""
    sweeps = Sweeps(tmp_path, "ab", [[difference("a", "b")]] * 40, looks)
    generator = stream(7, looks[-1])
    found = errors(sweeps, lambda: generator.normal(size=(40, 2, looks[-1])), number, [0], runs=True)
    assert_held(found, number, f"one null, looks {looks}")


@cases("looks", LOOKS, 20, 1000)
def test_five_null_claims_with_looks(tmp_path: Path, looks: tuple[int, ...], number: int) -> None:
    sweeps = Sweeps(tmp_path, ["a0", "a1", "a2", "a3", "a4", "z"], [SHARED] * AT_ONCE, looks)
    generator = stream(8, looks[-1])
    found = errors(sweeps, lambda: generator.normal(size=(AT_ONCE, 6, looks[-1])), number, range(5), runs=True)
    assert_held(found, number, f"five nulls, looks {looks}")


@sized(20, 1000)
def test_a_null_claim_beside_true_ones_with_looks(tmp_path: Path, number: int) -> None:
    """The other claims are decided at the first look and pass their level on; the null one is looked at again and again."""
    looks = (4, 8, 16, 24)
    sweeps = Sweeps(tmp_path, ["a0", "a1", "a2", "z"], [SHARED[:3]] * AT_ONCE, looks)
    generator = stream(9)
    at = numpy.array([60.0, -60.0, 0.0, 0.0])[:, None]

    def values() -> numpy.ndarray:
        return at + generator.normal(size=(AT_ONCE, 4, 24))

    assert_held(errors(sweeps, values, number, [2], runs=True), number, f"one null beside two true, looks {looks}")


def test_what_is_decided_stays_decided(tmp_path: Path) -> None:
    """A claim that is confirmed or contradicted at a look is so at every later one, whatever the data bring."""
    sweeps = Sweeps(tmp_path, ["a0", "a1", "a2", "z"], [SHARED[:3]] * AT_ONCE, (2, 4, 6, 8))
    generator = stream(10)
    values = generator.normal(size=(AT_ONCE, 4, 8))
    values[:, :3, :4] += 3.0 * generator.normal(size=(AT_ONCE, 3, 1))
    before: list[tuple[Judgement, ...]] = []
    for look in (2, 4, 6, 8):
        now = sweeps.judged(values, look)
        for earlier, later in zip(before, now, strict=bool(before)):
            for one, two in zip(earlier, later, strict=True):
                assert one.verdict in ("inconclusive", two.verdict)
        before = now
