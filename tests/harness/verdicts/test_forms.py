"""Each form's effect and interval, out of records, against scipy, statsmodels or a closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy
import pytest
from forms_support import PAIRED, TWO, WITHIN, A, B, agree, close, t_interval
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired
from synthetic import claim_yaml, judged, published_yaml

from harness.plan.trials import Trial
from harness.verdicts.judgement import Judgement
from harness.verdicts.statistics.bootstrap import generator_for
from harness.verdicts.statistics.curves import crossing, optimum

LEVELS = [1.0, 2.0, 4.0, 8.0]


def drawn(*shape: int, seed: int = 1) -> numpy.ndarray:
    return numpy.random.default_rng(seed).lognormal(0.0, 0.3, shape)


def judged_from(
    spec: Mapping[str, Any], values: numpy.ndarray, place: Callable[[Trial], tuple[int, ...]], **claim: Any
) -> Judgement:
    """Judge one claim where a trial's value is that of its replicate and place in an array."""
    whole = {"replicates": len(values), **spec, "claims": [claim_yaml(**claim)]}
    return judged(whole, lambda trial: {"value": float(values[(trial.replicate, *place(trial))])})["c"]


def two(values: numpy.ndarray, **claim: Any) -> Judgement:
    return judged_from(TWO, values, lambda trial: ("ab".index(str(trial.arm["arm"])),), **claim)


def along(values: numpy.ndarray, **claim: Any) -> Judgement:
    spec = {"factors": {"level": LEVELS}}
    place = lambda trial: (LEVELS.index(float(trial.arm["level"])),)  # noqa: E731
    return judged_from(spec, values, place, along="level", **claim)


def test_a_paired_difference_is_the_paired_t_test() -> None:
    values = drawn(7, 2)
    found = two(values, form="difference", **PAIRED)
    wanted = stats.ttest_rel(values[:, 0], values[:, 1])
    assert close(found.effect, float((values[:, 0] - values[:, 1]).mean()))
    assert agree(found.interval, tuple(wanted.confidence_interval(0.95)))
    assert close(found.p, float(wanted.pvalue)) and found.n == 7
    assert found.correlation is not None and close(found.correlation, float(stats.pearsonr(*values.T).statistic))


def test_an_unpaired_difference_is_welchs_test_and_arms_may_lose_other_replicates() -> None:
    values = drawn(7, 2)
    values[2, 0] = values[5, 1] = values[6, 1] = math.nan
    found = two(values, form="difference", pairing="unpaired", **PAIRED)
    sides = [column[numpy.isfinite(column)] for column in values.T]
    wanted = stats.ttest_ind(*sides, equal_var=False)
    assert agree(found.interval, tuple(wanted.confidence_interval(0.95)))
    assert (
        found.estimate is not None and close(2 * found.estimate.tail(0, False), float(wanted.pvalue)) and found.n == 11
    )
    assert found.exact_test is None


def test_a_ratio_is_a_t_test_on_logarithms() -> None:
    values = drawn(6, 2)
    found = two(values, form="ratio", numerator=A, denominator=B)
    logs = numpy.log(values[:, 0] / values[:, 1])
    assert close(found.effect, float(numpy.exp(logs.mean())))
    assert agree(found.interval, tuple(numpy.exp(t_interval(logs))))
    assert close(found.p, float(stats.ttest_1samp(logs, 0).pvalue))


def test_no_worse_is_a_t_test_against_what_is_tolerated() -> None:
    values = drawn(6, 2)
    found = two(values, form="non_inferiority", **PAIRED, tolerated={"absolute": 0.5, "reason": "r"})
    wanted = stats.ttest_1samp(values[:, 0] - values[:, 1], -0.5)
    assert agree(found.interval, tuple(wanted.confidence_interval(0.95)))
    assert close(found.p, float(wanted.pvalue))


def test_an_equivalence_is_two_one_sided_tests() -> None:
    values = drawn(9, 2)
    found = two(values, form="equivalence", **PAIRED, **WITHIN)
    wanted = ttost_paired(values[:, 0], values[:, 1], -1.0, 1.0)[0]
    # Decided by the 95 % interval, so each side is tested at 2.5 %.
    assert close(found.p, 2 * float(wanted)) and found.verdict == "direction only"
    assert agree(found.interval, t_interval(values[:, 0] - values[:, 1]))


@pytest.mark.parametrize("scale", ["rank", "linear", "log"])
def test_a_trend_is_a_t_test_on_slopes_times_the_range(scale: str) -> None:
    values = drawn(6, 4)
    found = along(values, form="trend", scale=scale)
    x = {"rank": numpy.arange(4.0), "linear": numpy.array(LEVELS), "log": numpy.log(LEVELS)}[scale]
    changes = numpy.array([stats.linregress(x, row).slope for row in values]) * (x[-1] - x[0])
    assert close(found.effect, float(changes.mean()))
    assert agree(found.interval, t_interval(changes))
    assert found.n == 6


def test_a_trend_over_some_levels_uses_these_alone() -> None:
    values = drawn(6, 4)
    found = along(values, form="trend", scale="linear", levels=[2.0, 8.0])
    assert agree(found.interval, t_interval(values[:, 3] - values[:, 1]))


def test_an_ordering_is_the_smallest_difference_of_neighbours() -> None:
    values = drawn(6, 4) - numpy.array([0.0, 0.6, 0.8, 3.0])
    order = [{"level": level} for level in LEVELS]
    place = lambda trial: (LEVELS.index(float(trial.arm["level"])),)  # noqa: E731
    found = judged_from({"factors": {"level": LEVELS}}, values, place, form="ordering", order=order)
    steps = [values[:, k] - values[:, k + 1] for k in range(3)]
    assert close(found.effect, min(float(step.mean()) for step in steps))
    low = min(t_interval(step)[0] for step in steps)
    high = min(t_interval(step, 1 - 0.05 / 3)[1] for step in steps)
    assert agree(found.interval, (low, high))
    assert [part.label for part in found.components] == ["1.0 − 2.0", "2.0 − 4.0", "4.0 − 8.0"]
    assert agree((found.components[1].low, found.components[1].high), t_interval(steps[1]))
    confirmed = max(float(stats.ttest_1samp(step, 0, alternative="greater").pvalue) for step in steps)
    refuted = min(float(stats.ttest_1samp(step, 0, alternative="less").pvalue) for step in steps)
    assert close(found.p, min(2 * confirmed, 6 * refuted, 1.0))


def test_a_value_is_a_t_interval() -> None:
    values = drawn(5, 2)
    found = two(values, form="value", arm=B, **published_yaml(1.0, 2.0))
    assert close(found.effect, float(values[:, 1].mean()))
    assert agree(found.interval, t_interval(values[:, 1]))
    assert found.verdict == "reproduced"


def test_an_optimum_has_the_contrast_of_the_claimed_levels_with_none() -> None:
    values = drawn(6, 4) + numpy.array([0.0, 3.0, 2.5, 0.0])
    found = along(values, form="optimum", claimed=[2.0, 4.0], against=1.0)
    contrast = values[:, 1:3].mean(axis=1) - values[:, 0]
    assert close(found.effect, float(contrast.mean())) and agree(found.interval, t_interval(contrast))
    draws = optimum(values, ["1", "2", "4", "8"], frozenset({"2", "4"}), "1", True, generator_for("c"))
    assert [part.share for part in found.components] == draws.shares.tolist()
    assert close(found.components[3].effect, float(values[:, 3].mean()))
    others = along(values, form="optimum", claimed=[2.0, 4.0])
    assert agree(others.interval, t_interval(values[:, 1:3].mean(axis=1) - values[:, [0, 3]].mean(axis=1)))


def test_the_location_of_an_optimum_is_asked_even_where_the_sentence_states_its_size() -> None:
    values = 0.1 * drawn(6, 4) + numpy.array([0.0, 5.0, 9.0, 0.0])
    bound = {"at_least": 2.0, "bound_reason": "b"}
    elsewhere = along(values, form="optimum", claimed=[2.0], against=1.0, **bound)
    assert elsewhere.verdict == "contradicted" and "the optimum is elsewhere (4)" in elsewhere.reason
    assert along(values, form="optimum", claimed=[4.0], against=1.0, **bound).verdict == "direction only"


CURVES = {"factors": {"arm": ["line", "curve"], "level": LEVELS}, "replicates": 4}
CROSSED: dict[str, Any] = {"form": "crossing", "along": "level", "first": {"arm": "line"}, "second": {"arm": "curve"}}
NOISE = 0.05 * numpy.array([1.0, -1.0, 0.5, -0.5])


def curves(trial: Trial) -> dict[str, float]:
    """Two curves whose difference at 1, 2, 4, 8 is 3, 1, -1, -2 and a little: they cross at 3."""
    place = LEVELS.index(float(trial.arm["level"]))  # type: ignore[arg-type]
    if trial.arm["arm"] == "line":
        return {"value": 10.0}
    return {"value": 10.0 - [3, 1, -1, -2][place] + float(numpy.roll(NOISE, place)[trial.replicate])}


@pytest.mark.parametrize("direction", ["greater", "less"])
@pytest.mark.parametrize(("scale", "effect"), [("linear", 3.0), ("log", math.sqrt(8.0))])
def test_curves_cross_where_the_line_between_two_means_is_zero(direction: str, scale: str, effect: float) -> None:
    sign = 1.0 if direction == "greater" else -1.0
    claim = claim_yaml(**CROSSED, scale=scale, direction=direction, **published_yaml(3.0, 1.0))
    found = judged({**CURVES, "claims": [claim]}, lambda trial: {"value": sign * curves(trial)["value"]})["c"]
    assert close(found.effect, effect)
    # Fieller's limits: where the interpolated differences' t ratio is that of the interval.
    differences = numpy.stack(
        [[3, 1, -1, -2] - numpy.array([numpy.roll(NOISE, k)[r] for k in range(4)]) for r in range(4)]
    )
    x = numpy.array(LEVELS) if scale == "linear" else numpy.log(LEVELS)
    for end, tail in zip(found.interval, (0.025, -0.025), strict=True):
        at = end if scale == "linear" else math.log(end)
        there = numpy.array([numpy.interp(at, x, row) for row in differences])
        wanted = math.copysign(float(stats.t.isf(abs(tail), 3)), tail)
        assert math.isclose(there.mean() / stats.sem(there), wanted, rel_tol=1e-8)
    assert found.verdict == "reproduced"


def test_a_horizontal_line_may_be_measured_at_a_level_of_its_own() -> None:
    spec = {**CURVES, "factors": {"arm": ["line", "curve"], "level": [0.0, *LEVELS]}}
    spec["skip"] = [{"arm": "line", "level": LEVELS}, {"arm": "curve", "level": 0}]
    make = lambda trial: {"value": 10.0} if trial.arm["arm"] == "line" else curves(trial)  # noqa: E731
    plain = judged({**CURVES, "claims": [claim_yaml(**CROSSED, **published_yaml(3.0, 1.0))]}, curves)["c"]
    for first in ({"arm": "line"}, {"arm": "line", "level": 0}):
        claim = claim_yaml(**{**CROSSED, "first": first}, levels=LEVELS, **published_yaml(3.0, 1.0))
        found = judged({**spec, "claims": [claim]}, make)["c"]
        assert agree(found.interval, plain.interval) and found.verdict == "reproduced"


def test_curves_that_never_cross_have_no_place_to_show() -> None:
    claim = claim_yaml(**CROSSED, at_least=5.0, bound_reason="b")
    found = judged(
        {**CURVES, "claims": [claim]}, lambda t: {"value": curves(t)["value"] - 9 * (t.arm["arm"] == "curve")}
    )["c"]
    assert found.effect == math.inf and found.verdict == "direction only"
    assert found.row()["effect"] is None


def test_a_level_without_a_place_on_the_scale_decides_nothing() -> None:
    spec = {**CURVES, "factors": {"arm": ["line", "curve"], "level": [0.0, 1.0, 2.0]}}
    make = lambda trial: {"value": 1.0 + trial.replicate * (trial.arm["arm"] == "line")}  # noqa: E731
    claim = claim_yaml(**CROSSED, scale="log", **published_yaml(1.0, 1.0))
    trend = claim_yaml(form="trend", along="level", scale="log", arm={"arm": "line"}, id="t")
    found = judged({**spec, "claims": [claim, trend]}, make)
    for one in found.values():
        assert (one.verdict, one.reason) == ("inconclusive", "value: the level 0 has no place on a log scale")


def test_levels_that_are_no_numbers_have_no_linear_scale_but_a_rank() -> None:
    spec = {"factors": {"setting": ["small", "large"]}, "replicates": 5}
    noise = drawn(5, 2)
    both = [claim_yaml(form="trend", along="setting", scale=scale, id=scale) for scale in ("linear", "rank")]
    make = lambda t: {"value": float(noise[t.replicate, ["small", "large"].index(str(t.arm["setting"]))])}  # noqa: E731
    found = judged({**spec, "claims": both}, make)
    assert found["linear"].verdict == "inconclusive" and "are not numbers" in found["linear"].reason
    assert agree(found["rank"].interval, t_interval(noise[:, 1] - noise[:, 0]))


# Factors that a claim leaves open.

OPEN = {"factors": {"arm": ["a", "b"], "setting": ["s", "t", "u"]}}


def pooled(values: numpy.ndarray, **claim: Any) -> Judgement:
    place = lambda trial: ("ab".index(str(trial.arm["arm"])), "stu".index(str(trial.arm["setting"])))  # noqa: E731
    return judged_from(OPEN, values, place, form="difference", **PAIRED, **claim)


def test_settings_are_averaged_within_the_replicate_and_are_no_replicates() -> None:
    values = drawn(5, 2, 3)
    found = pooled(values)
    wanted = stats.ttest_rel(values[:, 0].mean(axis=1), values[:, 1].mean(axis=1))
    assert agree(found.interval, tuple(wanted.confidence_interval(0.95))) and close(found.p, float(wanted.pvalue))
    assert found.n == 5, "not 15"
    assert [part.label for part in found.components] == ["setting s", "setting t", "setting u"]
    for index, part in enumerate(found.components):
        assert agree((part.low, part.high), t_interval(values[:, 0, index] - values[:, 1, index])) and part.n == 5


def test_a_claim_on_all_settings_is_as_strong_as_the_weakest() -> None:
    values = drawn(6, 2, 3)
    values[:, 0] += numpy.array([1.0, 2.0, 3.0])
    found = pooled(values, pool={"rule": "all", "reason": "r"})
    differences = values[:, 0] - values[:, 1]
    assert close(found.effect, float(differences.mean(axis=0).min()))
    assert close(found.interval[0], min(t_interval(column)[0] for column in differences.T))
    assert close(found.interval[1], min(t_interval(column, 1 - 0.05 / 3)[1] for column in differences.T))
    against = values.copy()
    against[:, 0, 1] -= 9.0
    assert pooled(against, pool={"rule": "all"}).verdict == "contradicted"
    assert pooled(against).verdict != "direction only"
    assert pooled(-values, pool={"rule": "all"}, direction="less").verdict == found.verdict == "direction only"


def test_the_interquartile_mean_is_taken_over_settings_and_replicates() -> None:
    values = drawn(8, 2, 3)
    found = pooled(values, pool={"rule": "interquartile mean"})
    assert close(found.effect, float(stats.trim_mean((values[:, 0] - values[:, 1]).ravel(), 0.25)))
    assert found.n == 8 and found.interval[0] < found.effect < found.interval[1]
    assert found.interval == pooled(values, pool={"rule": "interquartile mean"}).interval, "the same bytes every time"


def test_constant_settings_carry_no_interval_by_the_bootstrap_either() -> None:
    values = numpy.zeros((5, 2, 3))
    values[:, 0] = [1.0, 2.0, 3.0]
    found = pooled(values, pool={"rule": "interquartile mean"}, **published_yaml(2.0, 5.0))
    assert found.verdict == "inconclusive" and "every value is the same" in found.reason


@pytest.mark.parametrize("form", ["difference", "ratio", "trend", "ordering", "non_inferiority"])
def test_less_mirrors_greater(form: str) -> None:
    values = drawn(6, 4)
    keys: dict[str, Any] = {
        "difference": {"treatment": {"level": 1.0}, "control": {"level": 8.0}},
        "ratio": {"numerator": {"level": 1.0}, "denominator": {"level": 8.0}},
        "trend": {"along": "level"},
        "ordering": {"order": [{"level": level} for level in LEVELS[:3]]},
        "non_inferiority": {
            "treatment": {"level": 1.0}, "control": {"level": 8.0}, "tolerated": {"absolute": 0.3, "reason": "r"},
        },
    }[form]  # fmt: skip
    place = lambda trial: (LEVELS.index(float(trial.arm["level"])),)  # noqa: E731
    spec = {"factors": {"level": LEVELS}}
    mirrored = 1 / values if form == "ratio" else -values
    one = judged_from(spec, values, place, form=form, direction="greater", **keys)
    other = judged_from(spec, mirrored, place, form=form, direction="less", **keys)
    turned = [1 / end if form == "ratio" else -end for end in reversed(other.interval)]
    assert agree(one.interval, (turned[0], turned[1])) and close(one.p, other.p) and one.verdict == other.verdict


@pytest.mark.parametrize("form", ["difference", "ratio", "value"])
def test_a_blocked_factor_gives_the_same_as_one_in_trials_of_its_own(form: str) -> None:
    values = drawn(6, 2)
    fast, slow = {"system": "fast"}, {"system": "slow"}
    claim = {
        "difference": {"treatment": slow, "control": fast},
        "ratio": {"numerator": slow, "denominator": fast},
        "value": {"arm": slow, **published_yaml(1.0, 3.0)},
    }[form]
    claim = {key: {"arm": {"fast": "a", "slow": "b"}[v["system"]]} if isinstance(v, dict) and "system" in v else v for key, v in claim.items()}  # fmt: skip
    apart = two(values, form=form, **claim)
    spec = {
        "trial": "small_trials:pair",
        "factors": {"system": {"levels": {"a": 1.0, "b": 2.0}, "blocked": True}},
        "replicates": 6,
        "claims": [claim_yaml(form=form, **{k: {"system": v["arm"]} if isinstance(v, dict) and "arm" in v else v for k, v in claim.items()})],
    }  # fmt: skip
    make = lambda t: [{"system": name, "value": float(values[t.replicate, k])} for k, name in enumerate("ab")]  # noqa: E731
    together = judged(spec, make)["c"]
    assert (together.interval, together.n, together.verdict) == (apart.interval, apart.n, apart.verdict)
    assert len(together.trials) == 6 and len(apart.trials) == (6 if form == "value" else 12)


def test_a_claim_rests_on_the_trials_of_its_own_arms() -> None:
    spec = {"factors": {"arm": ["a", "b", "c"]}, "replicates": 3, "claims": [claim_yaml(form="difference", **PAIRED)]}
    found = judged(
        spec, lambda trial: {"value": float(drawn(3, 3)[trial.replicate, "abc".index(str(trial.arm["arm"]))])}
    )["c"]
    assert len(found.trials) == 6 and (found.planned, found.finished) == (9, 9)


# Counts.


def counted(form: str, values: Mapping[str, float], **claim: Any) -> Judgement:
    spec = {"factors": {"arm": list(values)}, "replicates": 2, "claims": [claim_yaml(form=form, exact=True, **claim)]}
    return judged(spec, lambda trial: {"value": values[str(trial.arm["arm"])]})["c"]


def test_counts_have_no_interval_and_no_error() -> None:
    found = counted("ratio", {"a": 6, "b": 2}, numerator=A, denominator=B)
    assert (found.effect, found.interval, found.exact, found.verdict) == (
        pytest.approx(3.0, rel=1e-12), (found.effect, found.effect), True, "direction only",
    )  # fmt: skip
    assert found.sensitivity == () and found.mde is None and found.components == ()


@pytest.mark.parametrize("form", ["difference", "ratio"])
def test_counts_that_are_the_same_have_no_direction(form: str) -> None:
    keys = PAIRED if form == "difference" else {"numerator": A, "denominator": B}
    found = counted(form, {"a": 5, "b": 5}, **keys, **published_yaml(0.5, 2.0))
    assert found.verdict == "contradicted"


@pytest.mark.parametrize(
    ("values", "verdict"), [((9, 5, 2), "direction only"), ((9, 5, 5), "contradicted"), ((9, 2, 5), "contradicted")]
)
def test_counts_in_order(values: tuple[int, int, int], verdict: str) -> None:
    found = counted("ordering", dict(zip("abc", values, strict=True)), order=[A, B, {"arm": "c"}])
    assert found.verdict == verdict and found.effect == min(values[0] - values[1], values[1] - values[2])


def test_the_crossing_here_is_the_crossing_of_the_statistics() -> None:
    """The role of each curve: first minus second, in the claim's direction."""
    found = judged({**CURVES, "claims": [claim_yaml(**CROSSED, **published_yaml(3.0, 1.0))]}, curves)["c"]
    data = numpy.array([[10.0 - curves(_at(r, x))["value"] for x in LEVELS] for r in range(4)])
    assert agree(found.interval, crossing(LEVELS, data).interval())


def _at(replicate: int, level: float) -> Trial:
    return Trial("", {"arm": "curve", "level": level}, {}, {}, replicate, {})
