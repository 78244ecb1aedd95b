"""Evidence from stored attempts to a judged claim, through the real store and plan."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from synthetic import state_with_samples

from harness.plan.design import make_design
from harness.plan.state import PlanState, examine
from harness.plan.trials import Trial, expand
from harness.spec.load import load_experiment
from harness.store.attempt import Attempt, Failure, write_attempt
from harness.store.store import Store
from harness.verdicts.judge import judge
from harness.verdicts.judgement import Judgement

SPEC = """
experiment: timed
title: Systems timed against each other
trial: small_trials:pair
claims:
  - {id: t.ratio, paper: P, arxiv: 2101.00001v1, locator: Table 1, statement: S, form: ratio, metric: latency_ms,
     numerator: {system: slow}, denominator: {system: fast}%s}
  - {id: t.value, paper: P, arxiv: 2101.00001v1, locator: Table 1, statement: S, form: value, metric: parameters, exact: true,
     arm: {system: slow}, published: {value: 100, locator: Table 1, basis: source}, margin: {relative: 0.01, reason: r}}
  - {id: t.share, paper: P, arxiv: 2101.00001v1, locator: Table 1, statement: S, form: value, metric: share, samples: latency,
     arm: {system: slow}, stages: [eye], at_least: 50, bound_reason: half}
factors:
  system: {blocked: true, levels: {fast: 1.0, slow: 10.0}}
replicates: 3
profiles:
  laptop: {fidelity: paper}
  tiny: {fidelity: paper, conclusive: false}
  few: {fidelity: paper, factors: {system: [fast]}}
"""

Setting = Callable[..., tuple[Store, PlanState]]


def samples(ratio: float, rounds: int, seed: int) -> pandas.DataFrame:
    generator = numpy.random.default_rng(seed)
    rows = []
    for number in range(rounds):
        drift = generator.lognormal(0, 0.3)
        for arm, cost in (("fast", 1e6), ("slow", ratio * 1e6)):
            whole = drift * cost * generator.lognormal(0, 0.01)
            for stage, share in (("", 1.0), ("eye", 0.8), ("brain", 0.2)):
                rows.append((number, arm, "request", stage, int(whole * share), number != rounds - 1))
    return pandas.DataFrame(rows, columns=["round", "arm", "quantity", "stage", "nanoseconds", "kept"])


@pytest.fixture
def judged(in_workplace: Callable[..., Path], tmp_path: Path) -> Callable[..., dict[str, Judgement]]:
    """Store an attempt for each trial as ``make`` says (None: none at all) and return the judgements by claim."""

    def run(
        make: Callable[[Trial], Any], extra: str = ", samples: latency", profile: str | None = None
    ) -> dict[str, Judgement]:
        design = make_design(load_experiment(in_workplace("t.yaml", SPEC % extra)), profile)
        store = Store(tmp_path / "results")
        trials = expand(design)
        for trial in trials:
            made = make(trial)
            if made is None:
                continue
            records, table = made
            failure = records if isinstance(records, Failure) else None
            attempt = Attempt(
                f"a{trial.replicate}", trial.id, "timed", trial.identity, trial.arm, trial.replicate,
                () if failure else tuple(records), failure, 0.0, 1.0, "code", "",
            )  # fmt: skip
            folder = store.attempts_folder("timed", trial.id)
            folder.mkdir(parents=True)
            write_attempt(folder, attempt, {} if table is None else {"latency": table}, None)
        return {j.claim.id: j for j in judge(examine(design, trials, store, "code"), store)}

    return run


def records(**changes: Any) -> list[dict[str, Any]]:
    return [
        {"system": "fast", "latency_ms": 1.0, "parameters": 50},
        {"system": "slow", "latency_ms": 10.0, "parameters": 100, **changes},
    ]


def test_rounds_are_the_unit_of_analysis_and_drift_cancels(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (records(), samples(10, 9, trial.replicate)))
    ratio = found["t.ratio"]
    assert ratio.verdict == "direction only"
    assert ratio.n == 3 * 8, "the dropped round of each process does not count"
    low, high = ratio.interval
    assert low < 10 < high and high / low < 1.03
    assert ratio.adjusted[0] <= low and high <= ratio.adjusted[1]
    assert len(ratio.trials) == 3
    assert ratio.certificate.startswith("no A/A certificate")


def test_a_share_of_stages_comes_from_rounds(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (records(), samples(10, 9, trial.replicate)))["t.share"]
    assert found.verdict == "direction only"
    assert math.isclose(found.effect, 80, rel_tol=1e-4)


def test_an_exact_count_needs_no_interval(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (records(), samples(10, 9, 0)))["t.value"]
    assert (found.verdict, found.interval, found.effect, found.exact) == ("reproduced", (100, 100), 100, True)


def test_a_count_that_varies_is_no_count(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (records(parameters=100 + trial.replicate), None), extra="")
    assert found["t.value"].verdict == "inconclusive"


def test_without_samples_replicates_pair(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (records(latency_ms=10.0 + trial.replicate), None), extra="")
    assert found["t.ratio"].n == 3
    assert math.isclose(found["t.ratio"].effect, (10 * 11 * 12) ** (1 / 3))


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, -1.0, 0.0])
def test_a_number_that_is_not_one_is_never_averaged(judged: Callable[..., dict[str, Judgement]], bad: Any) -> None:
    def make(trial: Trial) -> Any:
        return records(latency_ms=bad if trial.replicate == 1 else 10.0), None

    assert judged(make, extra="")["t.ratio"].verdict == "inconclusive"


def test_nothing_finished_is_not_run(judged: Callable[..., dict[str, Judgement]]) -> None:
    assert {j.verdict for j in judged(lambda trial: None).values()} == {"not run"}


def test_all_failed_is_not_run_with_the_reason(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (Failure("raised", "ValueError", "no"), None))
    assert found["t.ratio"].verdict == "not run" and "3 of 3 trials failed" in found["t.ratio"].reason


def test_a_partial_sweep_says_so(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (records(), samples(10, 9, trial.replicate)) if trial.replicate < 2 else None)[
        "t.ratio"
    ]
    assert found.verdict == "inconclusive"
    assert found.reason == "2 of 3 planned trials are finished; a verdict waits for all of them"
    assert math.isclose(found.effect, 10, rel_tol=0.05), "what there is, is shown"
    assert (found.planned, found.finished, found.look) == (3, 2, None)


def test_an_arm_that_the_profile_leaves_out_is_not_run(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (records()[:1], None), profile="few")["t.ratio"]
    assert (found.verdict, found.reason) == ("not run", "the profile 'few' does not run system slow")


def test_a_profile_that_only_shows_that_it_runs_decides_nothing(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (records(), samples(10, 9, 0)), profile="tiny")
    assert {j.verdict for j in found.values()} == {"inconclusive"}


def test_a_failed_gate_is_not_comparable(judged: Callable[..., dict[str, Judgement]]) -> None:
    gate = {"gate_structure": False, "detail_structure": "10 regions, not 36"}
    found = judged(lambda trial: (records(**gate), samples(10, 9, 0)))["t.ratio"]
    assert found.verdict == "not comparable"
    assert "slow: the check 'structure' failed: 10 regions, not 36" in found.reason


def test_a_failed_gate_of_another_arm_is_the_reason_that_nothing_was_timed(
    judged: Callable[..., dict[str, Judgement]],
) -> None:
    def make(trial: Trial) -> Any:
        fast, slow = records()
        return [fast | {"gate_structure": False, "detail_structure": "no boxes"}, slow], None

    share = judged(make)["t.share"]
    assert share.verdict == "not run"
    assert share.reason == "nothing was timed: fast: the check 'structure' failed: no boxes"


def test_a_trial_that_kept_no_samples_is_not_run(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (records(), None))["t.ratio"]
    assert (found.verdict, found.reason) == ("not run", "nothing was timed: the trial kept no samples 'latency'")


def test_damaged_samples_are_named(judged: Callable[..., dict[str, Judgement]], tmp_path: Path) -> None:
    make = lambda trial: (records(), samples(10, 9, 0))  # noqa: E731
    judged(make)
    for path in (tmp_path / "results").rglob("latency.parquet"):
        path.write_bytes(b"changed")
    found = judged(lambda trial: None)["t.ratio"]
    assert found.verdict == "not run" and "its bytes are not those that were written" in found.reason


@pytest.mark.parametrize("rounds", [(1, 1, 1), (2, 1, 1), (3, 3, 2)])
def test_too_few_rounds_decide_nothing(judged: Callable[..., dict[str, Judgement]], rounds: tuple[int, ...]) -> None:
    found = judged(lambda trial: (records(), samples(10, rounds[trial.replicate], trial.replicate)))
    kept = sum(rounds) - 3
    for name in ("t.ratio", "t.share"):
        assert (found[name].verdict, found[name].n) == ("inconclusive", 0)
        assert (
            found[name].reason == f"the rounds in which the machine was not busy number {kept}; at least 6 are needed"
        )


def test_enough_rounds_decide(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (records(), samples(10, 3, trial.replicate)))
    assert {(found[name].verdict, found[name].n) for name in ("t.ratio", "t.share")} == {("direction only", 6)}


def test_rounds_of_trials_with_other_settings_do_not_count(in_workplace: Callable[..., Path], tmp_path: Path) -> None:
    """One claim fixes a setting that runs in trials of its own: it rests on these alone."""
    text = SPEC % ", samples: latency" + "fixed: {}\n"
    text = text.replace("factors:\n  system", "factors:\n  threads: [1, 4]\n  system", 1)
    text = text.replace("numerator: {system: slow}, denominator: {system: fast}",
                        "numerator: {system: slow, threads: 1}, denominator: {system: fast, threads: 1}")  # fmt: skip
    design = make_design(load_experiment(in_workplace("t.yaml", text)))
    state = state_with_samples(
        design,
        lambda trial: (records(), {"latency": samples(10 if trial.arm["threads"] == 1 else 2, 9, trial.replicate)}),
        Store(tmp_path / "results"),
    )
    found = {j.claim.id: j for j in judge(state)}["t.ratio"]
    low, high = found.interval
    assert low < 10 < high and high / low < 1.03
    assert {name for name in found.trials} == {e.trial.id for e in state.states if e.trial.arm["threads"] == 1}


def test_arms_of_different_trials_have_no_rounds_in_common(in_workplace: Callable[..., Path], tmp_path: Path) -> None:
    text = SPEC % ", samples: latency"
    text = text.replace("factors:\n  system", "factors:\n  threads: [1, 4]\n  system", 1)
    text = text.replace("numerator: {system: slow}", "numerator: {system: slow, threads: 4}")
    text = text.replace("denominator: {system: fast}", "denominator: {system: fast, threads: 1}")
    design = make_design(load_experiment(in_workplace("t.yaml", text)))
    store = Store(tmp_path / "results")
    made = state_with_samples(design, lambda trial: (records(), {"latency": samples(10, 9, trial.replicate)}), store)
    found = {j.claim.id: j for j in judge(made)}["t.ratio"]
    assert found.verdict == "not comparable" and "did not run interleaved in one trial" in found.reason


def test_a_table_without_the_columns_of_rounds_is_not_run(judged: Callable[..., dict[str, Judgement]]) -> None:
    found = judged(lambda trial: (records(), pandas.DataFrame({"round": [0, 1], "arm": ["fast", "slow"]})))["t.ratio"]
    assert found.verdict == "not run" and "the samples 'latency' lack what the claim reads" in found.reason


def test_a_row_has_the_shape_that_others_rely_on(judged: Callable[..., dict[str, Judgement]]) -> None:
    row = judged(lambda trial: (records(), samples(10, 9, 0)))["t.ratio"].row()
    wanted = (
        "claim paper arxiv locator experiment profile fidelity form metric verdict effect ci_low ci_high n unit published "
        "margin mde trials"
    )
    assert set(wanted.split()) <= set(row)
    json.dumps(row, allow_nan=False)


def test_a_metric_that_no_trial_measured_is_not_run_and_one_that_diverged_is_lost() -> None:
    from synthetic import claim_yaml, judged

    claim = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"}, metric="hue")
    spec = {"factors": {"arm": ["a", "b"]}, "replicates": 3, "claims": [claim]}
    absent = judged(spec, lambda trial: {"value": 1.0})["c"]
    assert absent.verdict == "not run" and "do not measure 'hue' under this profile" in absent.reason
    lost = judged(spec, lambda trial: {"hue": float("nan")})["c"]
    assert lost.verdict == "inconclusive" and sum(arm.diverged for arm in lost.arms) == 6
