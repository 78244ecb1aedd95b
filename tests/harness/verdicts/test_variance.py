"""The share of variance of each random stream, where a design varies the streams one by one."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from synthetic import FAILED, Made, claim_yaml, design_of, judged, state_with, trials_folder

from harness.plan.trials import Trial
from harness.verdicts.variance import StreamShare, stream_shares

STREAMS = ["all", "init", "data_order"]
SPEC: dict[str, Any] = {"factors": {"arm": ["a", "b"], "varied_streams": STREAMS}, "replicates": 5}
SCALES = {"all": 2.0, "init": 1.0, "data_order": 0.5}
NOISE = numpy.random.default_rng(1).normal(size=5)


def made(trial: Trial) -> Made:
    size = 3.0 if trial.arm["arm"] == "b" else 1.0
    return {"value": float(size * SCALES[str(trial.arm["varied_streams"])] * NOISE[trial.replicate]), "other": 1.0}


def shares(spec: dict[str, Any] | None = None, make: Any = made, metric: str = "value") -> list[StreamShare]:
    return stream_shares(state_with(design_of(trials_folder(), {**SPEC, **(spec or {})}), make), (metric,))


def test_a_share_is_the_variance_of_one_stream_over_that_of_all() -> None:
    found = {(one.arm, one.stream): one for one in shares()}
    assert list(found) == [(arm, stream) for arm in ("arm a", "arm b") for stream in STREAMS]
    for arm, size in (("arm a", 1.0), ("arm b", 3.0)):
        for stream, scale in SCALES.items():
            one = found[arm, stream]
            assert one.sd == pytest.approx(size * scale * NOISE.std(ddof=1), rel=1e-10) and one.n == 5
            assert one.share == pytest.approx((scale / 2.0) ** 2, rel=1e-10)


def test_a_design_that_varies_no_stream_has_no_shares() -> None:
    spec = {"factors": {"arm": ["a", "b"]}, "replicates": 5}
    assert stream_shares(state_with(design_of(trials_folder(), spec), lambda t: {"value": 1.0}), ("value",)) == []


def test_a_profile_that_leaves_out_all_has_nothing_to_share() -> None:
    profile = {"profiles": {"laptop": {"fidelity": "paper", "factors": {"varied_streams": ["init"]}}}}
    assert shares(profile) == []


def test_a_metric_without_variation_has_no_share() -> None:
    assert {one.share for one in shares(metric="other")} == {None}


def test_one_value_has_no_variance() -> None:
    assert shares({"replicates": 1}) == []
    lost = lambda t: FAILED if t.arm["varied_streams"] == "init" and t.replicate else made(t)  # noqa: E731
    assert {one.stream for one in shares(make=lost)} == {"all", "data_order"}


def test_claims_rest_on_the_trials_in_which_all_streams_vary() -> None:
    claim = claim_yaml(form="difference", treatment={"arm": "b"}, control={"arm": "a"})
    found = judged({**SPEC, "claims": [claim]}, made)["c"]
    differences = 2.0 * 2.0 * NOISE
    assert found.n == 5 and found.effect == pytest.approx(differences.mean(), rel=1e-10)
    assert len(found.trials) == 10 and found.components == ()
