"""Error rates of the verdicts, simulated: sweeps of known truth through the real ``judge``.

Every bound is the promised rate plus two binomial standard errors of the simulation itself (three for a band with two
sides; four in the short versions, where a single case more or less is a standard error). Seeds were set before any result was seen. Effects are in units of the standard
deviation of one arm's metric or of one paired difference, as each test says. The short versions run by default; the long ones with
``make test-slow`` (``-s`` prints the rates).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from simulation import (
    CONFIRMED,
    DISTRIBUTIONS,
    MANY,
    Sweeps,
    at_most,
    deciding_only,
    difference,
    prepared,
    standard_error,
)
from synthetic import claim_yaml, design_of

from harness.plan.state import PlanState, TrialState
from harness.plan.trials import expand
from harness.spec.claims import RatioClaim
from harness.store.attempt import Attempt, write_attempt
from harness.store.store import StoredAttempt
from harness.verdicts.data import RoundData
from harness.verdicts.estimation import estimate
from harness.verdicts.judge import judge
from harness.verdicts.judgement import Judgement
from harness.verdicts.planned_power import planned_power
from harness.verdicts.statistics.means import mean_estimate

try:
    from harness.verdicts.statistics import distribution
except ImportError:
    distribution = None  # type: ignore[assignment]

ALPHA = 0.05
SIZES = (5, 3, 8, 20)
AT_ONCE = 20
"""Sweeps that are judged in one state."""

Generator = numpy.random.Generator
slow = pytest.mark.slow


def cases(name: str, values: Sequence[Any], few: int, many: int) -> Any:
    """Parametrise with values and numbers of sweeps: the first value with few by default, all with many among the slow."""
    short, long = [(values[0], few)], [pytest.param(value, many, marks=slow) for value in values]
    return pytest.mark.parametrize((name, "number"), [*short, *long])


def sized(few: int, many: int) -> Any:
    """Parametrise with a number of sweeps: few by default, many among the slow tests."""
    return pytest.mark.parametrize("number", [few, pytest.param(many, marks=slow)])


def stream(*key: int) -> Generator:
    return numpy.random.default_rng([20260801, *key])


def rate(found: Sequence[bool]) -> float:
    return float(numpy.mean(found))


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


@pytest.mark.skipif(distribution is None, reason="the verdicts do not warn of skewed differences yet")
@pytest.mark.parametrize(
    ("size", "number"), [(5, 100), (20, 200), *(pytest.param(size, 3000, marks=slow) for size in (5, 16, 20))]
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


def _reason(value: float) -> dict[str, Any]:
    return {"absolute": value, "reason": "r"}


MIXED: list[dict[str, Any]] = [
    {"form": "ratio", "numerator": "a", "denominator": "z", "direction": "less"},
    {"form": "non_inferiority", "treatment": "b", "control": "z", "tolerated": _reason(0.5)},
    {"form": "equivalence", "treatment": "c", "control": "z", "within": _reason(0.75)},
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


# --------------------------------------------------------------------------------------------------------------- power


def planning(effect: float, sd: float = 1.0) -> dict[str, Any]:
    return {"planning": {"sd": sd, "effect": effect, "reason": "known in a simulation"}}


RATIO = {"form": "ratio", "numerator": "a", "denominator": "b"}
EQUAL = {"form": "equivalence", "treatment": "a", "control": "b", "within": _reason(1.0)}
NO_WORSE = {"form": "non_inferiority", "treatment": "a", "control": "b", "tolerated": _reason(0.5)}
PLANS: dict[str, tuple[dict[str, Any], float, float, Any]] = {
    "difference 0.8, n = 12": (difference("a", "b"), 0.8, 1.0, 12),
    "difference -1.2, n = 8": (difference("a", "b", direction="less"), -1.2, 1.0, 8),
    "difference 1.5, n = 5": (difference("a", "b"), 1.5, 1.0, 5),
    "difference 2.5, n = 3": (difference("a", "b"), 2.5, 1.0, 3),
    "ratio 1.03, n = 10": (RATIO, 1.03, 0.03, 10),
    "ratio 0.8, n = 6": ({**RATIO, "direction": "less"}, 0.8, 0.15, 6),
    "ratio 1.5 of at least 1.2, n = 8": ({**RATIO, "at_least": 1.2, "bound_reason": "r"}, 1.5, 0.2, 8),
    "non-inferiority 0.4, n = 10": (NO_WORSE, 0.4, 1.0, 10),
    "equivalence 0, n = 12": (EQUAL, 0.0, 1.0, 12),
    "equivalence 0.3, n = 20": (EQUAL, 0.3, 1.0, 20),
    "difference 0.7, looks 4 8 16 24": (difference("a", "b"), 0.7, 1.0, (4, 8, 16, 24)),
    "difference 1.2, looks 4 8 16 24": (difference("a", "b"), 1.2, 1.0, (4, 8, 16, 24)),
    "difference 1.3, looks 2 4 6 8": (difference("a", "b"), 1.3, 1.0, (2, 4, 6, 8)),
    "ratio 1.05, looks 4 6 8 12": (RATIO, 1.05, 0.06, (4, 6, 8, 12)),
    "equivalence 0.2, looks 4 8 16 24": (EQUAL, 0.2, 1.0, (4, 8, 16, 24)),
}
SHORT = ("difference 1.5, n = 5", "equivalence 0, n = 12", "difference 1.3, looks 2 4 6 8")


@pytest.mark.parametrize(
    ("name", "number"), [(name, 200) for name in SHORT] + [pytest.param(name, 1600, marks=slow) for name in PLANS]
)
def test_power_is_what_the_plan_predicted(tmp_path: Path, name: str, number: int) -> None:
    """Within three points of the prediction, and two standard errors of the simulation (2.5 points at most).

    Of an equivalence the plan predicts a bound from below, so it may be exceeded.
    """
    claim, effect, sd, replicates = PLANS[name]
    sweeps = Sweeps(tmp_path, "ab", [[{**claim, **planning(effect, sd)}]] * 40, replicates)
    predicted = [power.power for power in planned_power(sweeps.state(None))]
    # With looks each claim's power is simulated by itself (20,000 draws, from the claim's id); without, all are the same.
    assert None not in predicted and (len(set(predicted)) == 1 or not isinstance(replicates, int))
    expected = float(numpy.mean([power for power in predicted if power is not None]))
    generator = stream(11, list(PLANS).index(name))
    size = sweeps.design.replicates
    confirmed: list[bool] = []
    while len(confirmed) < number:
        control = generator.normal(size=(40, 1, size))
        noise = sd * generator.normal(size=(40, 1, size))
        if claim["form"] == "ratio":
            values = numpy.exp(numpy.concatenate([control + math.log(effect) + noise, control], axis=1))
        else:
            values = numpy.concatenate([control + effect + noise, control], axis=1)
        confirmed += [family[0].verdict in CONFIRMED for family in sweeps.judged(values)]
    found = rate(confirmed)
    print(
        f"power     {name:36s} predicted {expected:.3f}  found {found:.3f}  difference {100 * (found - expected):+.1f} points"
    )
    allowance = 0.03 + (2 if number >= MANY else 4) * standard_error(expected, number)
    assert found >= expected - allowance
    if claim["form"] != "equivalence":
        assert found <= expected + allowance


@sized(20, 600)
def test_power_in_a_family_is_at_least_what_the_plan_predicted(tmp_path: Path, number: int) -> None:
    """A plan counts with the first step of Holm's procedure, so each of five claims is found at least so often."""
    claims = [{**difference(f"a{i}", f"b{i}"), **planning(1.5)} for i in range(5)]
    names = [f"{side}{i}" for i in range(5) for side in "ab"]
    sweeps = Sweeps(tmp_path, names, [claims] * AT_ONCE, 10)
    predicted = planned_power(sweeps.state(None))[0]
    assert predicted.power is not None and predicted.level == pytest.approx(ALPHA / 5)
    generator = stream(12)
    found: list[float] = []
    while len(found) < number:
        values = generator.normal(size=(AT_ONCE, 10, 10)) / math.sqrt(2)
        values[:, ::2] += 1.5
        found += [rate([j.verdict in CONFIRMED for j in family]) for family in sweeps.judged(values)]
    power = float(numpy.mean(found))
    print(f"power     five claims of 1.5, n = 10: predicted {predicted.power:.3f} at least, found {power:.3f}")
    # The mean of five shares in one family varies no more than a single one of them.
    assert power >= predicted.power - 0.03 - 4 * standard_error(predicted.power, number)


# ------------------------------------------------------------------------------------------------------------- timings


ROUNDS = [(1, 0.0), (2, 0.0), (3, 0.0), (3, 0.5), (3, 2.0), (5, 0.0), (5, 0.5), (5, 2.0)]
TIMED = claim_yaml(form="ratio", samples="rounds", numerator={"system": "x"}, denominator={"system": "y"})


@sized(150, 4000)
@pytest.mark.parametrize(("processes", "between"), ROUNDS)
def test_identical_systems_are_called_different_in_at_most_one_case_of_twenty(
    processes: int, between: float, number: int
) -> None:
    """Ratios of identical systems over 8 rounds in each process: the 95 % interval misses 1 in at most 5 % of cases.

    ``between`` is the standard deviation between processes, in units of that between rounds of one process. Two processes
    are allowed 8 %: their interval gives up some coverage so that there is one (see ``rounds_in_processes``).
    """
    claim = RatioClaim(**TIMED)
    generator = stream(13, processes, int(10 * between))
    missed = 0
    for _ in range(number):
        logs = 0.02 * (generator.normal(size=(processes, 8)) + between * generator.normal(size=(processes, 1)))
        low, high = estimate(claim, RoundData(tuple(range(processes)), tuple(logs))).interval()
        missed += not low <= 1.0 <= high
    share = missed / number
    print(f"timing    {processes} processes, between {between}: misses {share:.4f} of {number}")
    promised = 0.08 if processes == 2 else ALPHA
    assert share <= at_most(promised, number)
    assert processes == 2 or share >= ALPHA - 3 * standard_error(ALPHA, number)  # nor is anything given away


@pytest.mark.parametrize("processes", [1, 3, 5])
def test_the_judge_reads_rounds_from_samples_into_the_same_interval(tmp_path: Path, processes: int) -> None:
    spec = {
        "trial": "small_trials:pair",
        "factors": {"system": {"levels": {"x": 1.0, "y": 1.0}, "blocked": True}},
        "claims": [TIMED],
        "replicates": processes,
    }
    design = design_of(prepared(tmp_path), spec)
    generator = stream(14, processes)
    for sweep in range(4):
        states, groups = [], []
        for trial in expand(design):
            nanoseconds = numpy.exp(13 + 0.02 * generator.normal(size=(8, 2, 3)))
            rows = [
                {"arm": name, "quantity": "request", "stage": "", "kept": True, "round": number, "nanoseconds": value}
                for number, both in enumerate(nanoseconds)
                for name, times in zip("xy", both, strict=True)
                for value in times
            ]
            medians = numpy.median(nanoseconds, axis=2)
            groups.append(numpy.log(medians[:, 0] / medians[:, 1]))
            records = tuple({"system": name, "value": 1.0} for name in "xy")
            attempt = Attempt(
                f"a{sweep}", trial.id, "synthetic", trial.identity, trial.arm, trial.replicate, records, None, 0.0, 1.0, "code", "",
            )  # fmt: skip
            samples = pandas.DataFrame(rows)
            folder = write_attempt(Path(tempfile.mkdtemp(dir=tmp_path)), attempt, {"rounds": samples}, None)
            states.append(TrialState(trial, "done", StoredAttempt(attempt, folder)))
        with deciding_only():
            (found,) = judge(PlanState(design, "code", states))
        expected = estimate(RatioClaim(**TIMED), RoundData(tuple(range(processes)), tuple(groups)))
        assert found.interval == pytest.approx(expected.interval(), rel=1e-12)
        assert found.n == 8 * processes
