"""Which claims share an error rate, and that the interval shown beside a decision agrees with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from synthetic import claim_yaml, design_of, judged, state_with, trials_folder

from harness.plan.trials import Trial
from harness.verdicts.judge import judge
from harness.verdicts.judgement import Judgement

NOISE = numpy.random.default_rng(5).normal(0, 1, (8, 9))
NOISE -= NOISE.mean(axis=0)


def claim(name: str, arm: str, **keys: Any) -> dict[str, Any]:
    return claim_yaml(id=name, form="difference", treatment={"arm": arm}, control={"arm": "none"}, **keys)


def made(effects: Sequence[float]) -> Any:
    """Eight replicates of arms a, b, ... whose differences from ``none`` have these effects and a standard deviation of 1."""

    def make(trial: Trial) -> dict[str, float]:
        arm = str(trial.arm["arm"])
        if arm == "none":
            return {"value": 0.0}
        place = "abcdefghi".index(arm)
        noise = NOISE[:, place] / NOISE[:, place].std(ddof=1)
        return {"value": effects[place] + float(noise[trial.replicate])}

    return make


def spec_of(claims: Sequence[Any], arms: int) -> dict[str, Any]:
    return {"factors": {"arm": ["none", *"abcdefghi"[:arms]]}, "replicates": 8, "claims": list(claims)}


def family(effects: Sequence[float], **keys: Any) -> list[Judgement]:
    claims = [claim(f"c{arm}", arm, **keys) for arm in "abcdefghi"[: len(effects)]]
    return list(judged(spec_of(claims, len(effects)), made(effects)).values())


EFFECTS = (1.6, 1.15, 1.05, 0.4, -0.1)


@pytest.mark.parametrize(
    ("kind", "method", "name"),
    [("confirmatory", "holm", "Holm"), ("exploratory", "fdr_bh", "Benjamini-Hochberg")],
)
def test_families_are_corrected_as_statsmodels_does(kind: str, method: str, name: str) -> None:
    found = family(EFFECTS, family=kind)
    rejected, adjusted, _, _ = multipletests([one.p for one in found], 0.05, method)
    assert [one.verdict == "direction only" for one in found] == rejected.tolist()
    assert [one.family.p_adjusted for one in found] == pytest.approx(adjusted.tolist(), rel=1e-10)
    assert {(one.family.method, one.family.members) for one in found} == {(name, 5)}
    assert 0 < sum(rejected) < 5


def test_the_two_corrections_differ_here() -> None:
    verdicts = {kind: [j.verdict for j in family(EFFECTS, family=kind)] for kind in ("confirmatory", "exploratory")}
    assert verdicts["confirmatory"] != verdicts["exploratory"]


@settings(max_examples=25)
@given(
    effects=st.lists(st.floats(-2, 2), min_size=1, max_size=5),
    kind=st.sampled_from(["confirmatory", "exploratory"]),
)
def test_the_adjusted_interval_agrees_with_the_decision(effects: list[float], kind: str) -> None:
    for found in family(effects, family=kind):
        low, high = found.adjusted
        excludes = "direction only" if low > 0 else "contradicted" if high < 0 else "inconclusive"
        assert found.verdict == excludes
        assert low <= found.interval[0] and found.interval[1] <= high, "never narrower than the plain one"


@settings(max_examples=25)
@given(
    effects=st.lists(st.floats(-2, 2), min_size=2, max_size=5), kind=st.sampled_from(["confirmatory", "exploratory"])
)
def test_an_undecided_claim_more_never_helps_another(effects: list[float], kind: str) -> None:
    fewer = family(effects, family=kind)
    more = family([*effects, 0.0], family=kind)
    assert more[-1].verdict == "inconclusive"
    for before, after in zip(fewer, more[:-1], strict=True):
        assert after.family.level <= before.family.level + 1e-15
        assert after.verdict in (before.verdict, "inconclusive")


def test_papers_and_kinds_are_families_of_their_own() -> None:
    claims = [claim("c1", "a"), claim("c2", "b", paper="Q"), claim("c3", "c", family="exploratory")]
    found = judged(spec_of(claims, 3), made((0.9, 0.9, 0.9)))
    assert {one.family.members for one in found.values()} == {1}
    assert {one.level for one in found.values()} == {0.05}


def test_counts_are_no_members() -> None:
    claims = [claim("c1", "a"), claim("c2", "b"), claim("count", "c", exact=True)]
    find = lambda trial: {"value": 3.0} if trial.arm["arm"] == "c" else made((0.9, 0.9))(trial)  # noqa: E731
    found = judged(spec_of(claims, 3), find)
    assert found["count"].verdict == "direction only" and found["count"].family.method == "none: a count"
    assert (found["c1"].family.members, found["c1"].family.registered) == (2, 2)


def test_an_experiment_spends_its_share_of_the_claims_registered_for_the_paper(tmp_path: Path) -> None:
    """Three of the paper's claims are registered, one is a count, one is exploratory, one is another paper's."""
    registry = [
        claim("p.one", "a"), claim("p.two", "b"), claim("p.three", "b"), claim("p.count", "b", exact=True),
        claim("p.grid", "b", family="exploratory"), claim("q.one", "b", paper="Q"),
    ]  # fmt: skip
    (tmp_path / "small_trials.py").write_text((trials_folder() / "small_trials.py").read_text())
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump({"claims": registry}))
    alone = judge(state_with(design_of(tmp_path, spec_of(["p.one"], 2)), made((1.6, 1.0))))[0]
    assert (alone.family.members, alone.family.registered, alone.family.share) == (1, 3, pytest.approx(1 / 3))
    assert alone.level == pytest.approx(0.05 / 3)
    assert alone.family.p_adjusted == pytest.approx(3 * alone.p)
    both = judge(state_with(design_of(tmp_path, spec_of(["p.one", "p.two"], 2)), made((1.6, 0.0))))
    assert [one.family.level for one in both] == pytest.approx([0.05 / 3, 0.1 / 3]), "two thirds, in two steps"
    assert both[0].verdict == alone.verdict == "direction only"
    whole = judge(state_with(design_of(tmp_path, spec_of(["p"], 2)), made((1.0, 0.0))))
    assert {one.claim.id: one.family.share for one in whole if one.family.method == "Holm"} == {
        "p.one": 1.0, "p.two": 1.0, "p.three": 1.0,
    }  # fmt: skip


def test_a_claim_inside_the_spec_has_the_whole_share() -> None:
    found = judged(spec_of([claim("c1", "a")], 1), made((1.0,)))["c1"]
    assert (found.family.share, found.level, found.family.p_adjusted) == (1.0, 0.05, found.p)


def test_a_claim_that_could_not_be_run_still_counts_in_its_family() -> None:
    claims = [claim("c1", "a"), claim("c2", "b")]
    narrow = {"profiles": {"laptop": {"fidelity": "paper", "factors": {"arm": ["none", "a"]}}}}
    found = judged({**spec_of(claims, 2), **narrow}, made((1.0, 1.0)))
    assert found["c2"].verdict == "not run" and found["c1"].level == 0.025
