"""A doubled time is caught, an unchanged one is not flagged; intervals against scipy, growth against closed forms."""

from __future__ import annotations

import math

import numpy
import pytest
from benched import generator, measured
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.bench.accepted import AcceptedRatio
from reports.bench.growth import LINEAR, grown
from reports.bench.judging import MARGIN, SLOWER, check_lines, judge, judge_all, ratio_of
from reports.bench.measured import FORMAT, Check, Measured, Scale, Side

NOISY = 0.15
"""Spread of a single visit: several times what a quiet machine has."""
TRIALS = 400


def accepted_of(one: Measured) -> AcceptedRatio:
    return AcceptedRatio.of(judge(one, None))


def exact(ours: list[int], theirs: list[int], name: str = "work", scale: Scale | None = None) -> Measured:
    return Measured(
        format=FORMAT,
        name=name,
        group="Group",
        ours=Side(name="ours", repetitions=1, nanoseconds=tuple(ours)),
        rival=Side(name="theirs", repetitions=1, nanoseconds=tuple(theirs)),
        ours_first=(True,) * len(ours),
        scale=scale,
    )


def test_the_ratio_and_its_interval_are_those_of_scipys_t_on_logarithms() -> None:
    one = measured(ratio=0.3, noise=NOISY)
    logs = numpy.log(numpy.array(one.ours.nanoseconds) / numpy.array(one.rival.nanoseconds))
    low, high = stats.t.interval(0.95, len(logs) - 1, logs.mean(), stats.sem(logs))
    found = judge(one, None)
    assert (found.ratio, found.low, found.high) == pytest.approx((math.exp(logs.mean()), math.exp(low), math.exp(high)))
    assert found.outcome == "new" and found.finds_doubling is None


def test_repetitions_are_divided_out() -> None:
    one = exact([1000, 1010, 1020], [500, 505, 512])
    many = one.model_copy(update={"ours": one.ours.model_copy(update={"repetitions": 10})})
    assert ratio_of(many).effect == pytest.approx(ratio_of(one).effect / 10)


@pytest.mark.parametrize(("ours", "theirs", "ratio"), [([7] * 5, [7] * 5, 1.0), ([20, 40, 60], [10, 20, 30], 2.0)])
def test_a_clock_without_noise_gives_a_point(ours: list[int], theirs: list[int], ratio: float) -> None:
    found = judge(exact(ours, theirs), None)
    assert found.low == found.ratio == found.high == pytest.approx(ratio)


@pytest.mark.parametrize(("rounds", "noise"), [(60, 0.15), (20, 0.1), (6, 0.03)])
def test_unchanged_code_is_never_flagged_and_doubled_code_always_is(rounds: int, noise: float) -> None:
    """Noise of each visit, ratios from a fiftieth to a thousand, accepted on another day; counted, not timed."""
    flagged = missed = 0
    for number in range(TRIALS):
        random = generator(rounds, number)
        ratio = float(numpy.exp(random.uniform(math.log(0.02), math.log(1000))))
        accepted = accepted_of(measured(ratio=ratio, noise=noise, rounds=rounds, random=random))
        again = judge(measured(ratio=ratio, noise=noise, rounds=rounds, random=random), accepted)
        slow = judge(measured(ratio=2 * ratio, noise=noise, rounds=rounds, random=random), accepted)
        flagged += again.outcome != "as accepted"
        missed += slow.outcome != SLOWER
    assert (flagged, missed) == (0, 0)


@pytest.mark.parametrize("moved", [1 / 1.3, 1.3])
def test_another_machine_that_moves_a_ratio_by_a_third_flags_nothing(moved: float) -> None:
    for number in range(TRIALS):
        random = generator(3, number)
        accepted = accepted_of(measured(ratio=0.5, random=random))
        assert judge(measured(ratio=0.5 * moved, random=random), accepted).outcome == "as accepted"


def test_identical_arms_are_told_apart_as_often_as_the_interval_says() -> None:
    outside = 0
    for number in range(TRIALS):
        found = judge(measured(ratio=1.0, noise=NOISY, random=generator(4, number)), None)
        outside += not found.low <= 1.0 <= found.high
    assert abs(outside / TRIALS - 0.05) < 3 * math.sqrt(0.05 * 0.95 / TRIALS)


@given(
    ratio=st.floats(1e-3, 1e3), half=st.floats(0.001, 0.5), moved=st.floats(0.05, 20.0), spread=st.floats(0.001, 0.5)
)
def test_an_outcome_needs_the_whole_interval_beyond_the_margin(
    ratio: float, half: float, moved: float, spread: float
) -> None:
    accepted = AcceptedRatio(ratio=ratio, low=ratio / (1 + half), high=ratio * (1 + half), rounds=20)
    below, above = 1e9, 1e9 * ratio * moved
    found = judge(exact([int(above * (1 + spread)), int(above)], [int(below), int(below)]), accepted)
    slower, faster = found.low > accepted.high * MARGIN, found.high < accepted.low / MARGIN
    assert found.outcome == (SLOWER if slower else "faster than accepted" if faster else "as accepted")
    assert not slower or found.finds_doubling


def test_checks_are_judged_as_what_they_were_made_after_and_are_no_comparisons() -> None:
    real = measured("loss", 0.4)
    same, slow = (
        Check(of=real.key, expected="as accepted"),
        Check(of=real.key, expected="slower than accepted"),
    )
    copies = [measured("copy", 0.4, random=generator(5, n), check=same) for n in range(20)]
    found = judge_all([real, *copies, measured("doubled", 0.8, check=slow)], {})
    assert [judged.measured.name for judged in found.comparisons] == ["loss"]
    assert [judged.outcome for judged in found.checks] == ["as accepted"] * 20 + [SLOWER]
    unchanged, doubled = check_lines(found.checks)
    assert "flagged as slower in 0 of 20" in unchanged and unchanged.endswith(": as it should be")
    assert "flagged as slower in 1 of 1" in doubled and doubled.endswith(": as it should be")


def test_a_check_that_fails_says_so() -> None:
    real, slow = measured("loss", 0.4), Check(of="loss beside theirs", expected="slower than accepted")
    (line,) = check_lines(judge_all([real, measured("doubled", 0.41, check=slow)], {}).checks)
    assert line.endswith("NOT as it should be")


def test_a_check_goes_by_what_was_accepted_before_it_goes_by_this_run() -> None:
    real = measured("loss", 0.4)
    kept = {real.key: AcceptedRatio(ratio=0.1, low=0.09, high=0.11, rounds=20)}
    same = Check(of=real.key, expected="as accepted")
    assert judge_all([real, measured("copy", 0.4, check=same)], kept).checks[0].outcome == SLOWER


def sized(what: str, trials: int, microseconds: list[float], files: str = "memory", floor: float = 1.0) -> Measured:
    """Return a comparison of known microseconds a trial, beside a floor of ``floor`` microseconds a trial."""
    scale = Scale(what=what, trials=trials, files=files)  # type: ignore[arg-type]
    times = [int(1000 * value * trials) for value in microseconds]
    return exact(times, [int(1000 * floor * trials)] * len(times), f"{what} {trials}", scale)


SMALL = [10.0, 10.3, 9.8, 10.1, 9.9]


def test_growth_is_welchs_interval_of_the_time_of_a_trial() -> None:
    small, large = [10.0, 11.0, 9.5, 10.2], [12.0, 12.5, 11.8]
    _, found = grown([sized("plan", 10_000, large), sized("plan", 1000, small)])
    assert found.growth is not None
    reference = stats.ttest_ind(numpy.log(large), numpy.log(small), equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert found.growth.interval() == pytest.approx((math.exp(interval.low), math.exp(interval.high)), rel=1e-6)


@pytest.mark.parametrize(
    ("factor", "floor", "sentence"),
    [
        (1.0, 1.0, "no worse than linearly"), (0.3, 1.0, "no worse than linearly"), (10.0, 1.0, "worse than linearly"),
        (LINEAR, 1.0, "undecided"), (1.6, 1.6, "no worse than its floor"), (1.6, 1.2, "worse than linearly"),
        (1.0, 0.1, "no worse than linearly"),
    ],
)  # fmt: skip
def test_growth_is_told_by_its_whole_interval(factor: float, floor: float, sentence: str) -> None:
    """A floor that grew too says that the machine is slower at that size; one that grew less takes nothing back."""
    sizes = [sized("plan", 10_000, [factor * value for value in SMALL], floor=floor), sized("plan", 1000, SMALL)]
    first, second = grown([*sizes, measured()])
    assert (first.trials, first.growth, first.sentence) == (1000, None, "")
    assert second.trials == 10_000 and second.sentence == sentence
    assert second.growth is not None and second.growth.effect == pytest.approx(factor, rel=1e-6)
    assert second.beside is not None and second.beside.effect == pytest.approx(factor / floor, rel=1e-6)
    assert first.seconds == pytest.approx(0.01, rel=0.02)


def test_sizes_without_any_spread_grow_by_a_point() -> None:
    _, found = grown([sized("plan", 1000, [10.0] * 3), sized("plan", 10_000, [20.0] * 3)])
    assert found.growth is not None and found.growth.interval() == pytest.approx((2.0, 2.0))


def test_sizes_with_files_in_different_places_are_not_compared() -> None:
    small, large = sized("run", 1000, [1.0, 1.1]), sized("run", 10_000, [1.0, 1.1], files="disk")
    assert "cannot be told" in grown([small, large])[1].sentence
