"""Random streams varied one by one, through the real worker: one differs between replicates, all others are held."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.execution.driver import run_sweep
from harness.execution.run import Run
from harness.plan.design import make_design
from harness.plan.state import PlanState, due, state_of
from harness.plan.trials import expand
from harness.spec.load import load_experiment
from harness.store.store import Store
from harness.verdicts.judge import judge
from harness.verdicts.variance import stream_shares

TRIAL = '''
"""A trial that draws from two streams, in an order of its own."""
from typing import Any


def streams(*, run: Any, size: float = 1.0) -> dict[str, Any]:
    order = float(run.stream("data_order").numpy.normal())
    init = float(run.stream("init").numpy.normal())
    child = float(run.stream("init").child("layer").numpy.normal())
    return {"init": init, "order": order, "child": child, "value": size * (3 * init + order)}
'''
SPEC: dict[str, Any] = {
    "experiment": "varied", "title": "T", "trial": "streaming_trials:streams",
    "factors": {"size": [1.0, 2.0], "varied_streams": ["all", "init", "data_order"]}, "replicates": 4,
    "profiles": {"laptop": {"fidelity": "paper"}},
    "claims": [{
        "id": "c", "paper": "P", "arxiv": "2101.00001v1", "locator": "T", "statement": "S.", "form": "ratio",
        "metric": "init", "numerator": {"size": 2}, "denominator": {"size": 1},
    }],
}  # fmt: skip


@pytest.fixture
def ran(in_workplace: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlanState:
    """Run the whole sweep inline and return its state."""
    (tmp_path / "streaming_trials.py").write_text(TRIAL)
    monkeypatch.delitem(sys.modules, "streaming_trials", raising=False)
    design = make_design(load_experiment(in_workplace("varied.yaml", yaml.safe_dump(SPEC))), device="cpu")
    store = Store(tmp_path / "results")
    store.require_writable()
    state = state_of(design, store)
    outcome = run_sweep(design, due(state, retry_failed=False, keep_stale=False), store, state.code, executor="inline")
    assert not outcome.store_error
    return state_of(design, store)


def column(state: PlanState, varied: str, metric: str, size: float = 1.0) -> list[float]:
    """Return a metric by replicate, where one stream (or all) varies."""
    found = {}
    for entry in state.states:
        if (entry.trial.arm["varied_streams"], entry.trial.arm["size"]) == (varied, size):
            assert entry.counted is not None and entry.status == "done"
            found[entry.trial.replicate] = entry.counted.attempt.records[0][metric]
    return [found[replicate] for replicate in sorted(found)]


def test_one_stream_varies_and_the_others_are_those_of_replicate_0(ran: PlanState) -> None:
    for metric, own, other in (
        ("init", "init", "data_order"),
        ("order", "data_order", "init"),
        ("child", "init", "data_order"),
    ):
        everything = column(ran, "all", metric)
        assert len(set(everything)) == 4
        assert column(ran, own, metric) == everything, "varied alone, a stream is what it is among all"
        assert column(ran, other, metric) == [everything[0]] * 4, "held at replicate 0"


def test_arms_share_their_streams_in_every_design(ran: PlanState) -> None:
    for varied in ("all", "init", "data_order"):
        for metric in ("init", "order"):
            assert column(ran, varied, metric, 1.0) == column(ran, varied, metric, 2.0)


def test_shares_come_out_of_the_stored_attempts(ran: PlanState) -> None:
    shares = {(one.arm, one.stream): one for one in stream_shares(ran, ("value",))}
    assert len(shares) == 6
    for arm in ("size 1", "size 2"):
        assert shares[arm, "all"].share == 1.0
        init, order = shares[arm, "init"], shares[arm, "data_order"]
        assert init.share is not None and order.share is not None and init.n == order.n == 4
    data = {stream: column(ran, stream, "value") for stream in ("all", "init")}
    variance = {stream: sum((x - sum(v) / 4) ** 2 for x in v) / 3 for stream, v in data.items()}
    assert shares["size 1", "init"].share == pytest.approx(variance["init"] / variance["all"], rel=1e-10)
    assert shares["size 2", "init"].sd == pytest.approx(2 * shares["size 1", "init"].sd, rel=1e-10)


def test_the_factor_is_none_of_the_trial_functions_parameters_and_all_is_its_default(ran: PlanState) -> None:
    plain = {**SPEC, "factors": {"size": [1.0, 2.0]}}
    path = ran.design.experiment.source.path.parent / "plain.yaml"
    path.write_text(yaml.safe_dump(plain))
    without = {trial.id for trial in expand(make_design(load_experiment(path), device="cpu"))}
    with_all = {entry.trial.id for entry in ran.states if entry.trial.arm["varied_streams"] == "all"}
    assert without == with_all, "results made before the streams were varied stay valid"


def test_claims_are_judged_where_all_streams_vary(ran: PlanState) -> None:
    found = judge(ran)[0]
    assert found.planned == 24 and len(found.trials) == 8


@pytest.mark.parametrize(
    ("varied", "name", "held"), [("all", "init", False), ("init", "init", False), ("data_order", "init", True)]
)
def test_a_run_outside_of_the_engine_holds_streams_alike(varied: str, name: str, held: bool) -> None:
    found = Run("notebook", 3, varied_streams=varied).stream(name).seed
    assert found == Run("notebook", 0 if held else 3).stream(name).seed
