"""Levers and the trial that compares the best of either side: what is admitted, what is chosen, what is reported."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy
import pandas
import pytest
import torch
from pydantic import ValidationError

from experiments.vilt import fairness, lever_arms
from experiments.vilt.checks import Checked
from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.fairness import time_levers
from experiments.vilt.levers import Lever, NotApplicable
from harness.execution.run import Run
from harness.measure import equality
from harness.measure.settings import TimingSettings
from harness.measure.summaries import log_ratios_by_round

SYSTEMS = {
    "vilt": SystemConfiguration(model="vilt-b32", image_size="64x64", text_tokens=6),
    "grid": SystemConfiguration(model="pixel-bert-r50", image_size="64x64", text_tokens=6),
}
LEVERS = {
    "naive": Lever(),
    "optimised": Lever(implementation="optimised"),
    "without-onednn": Lever(implementation="optimised", onednn=False),
    "onednn-linear": Lever(implementation="optimised", linear_library="onednn"),
    "bfloat16": Lever(implementation="optimised", dtype="bfloat16"),
    "graphs": Lever(implementation="optimised", graphs=True),
    "static": Lever(implementation="optimised", quantise="static-int8"),
    "best": Lever(choose="all"),
    "best-float32": Lever(choose="float32"),
}
QUICK = TimingSettings(
    minimum_rounds=2, maximum_rounds=2, minimum_kept_rounds=1, minimum_seconds=0, target_half_width=None,
    visit_seconds=0.005, warmup_maximum_seconds=0.02, maximum_foreign_share=1.0, busy_fraction=1e-6,
    probe_matmul_size=64, probe_copy_bytes=4096, probe_seconds=0.001,
)  # fmt: skip
Records = dict[tuple[str, str], dict[str, Any]]


def timed(levers: dict[str, Lever], run: Run | None = None) -> Records:
    found = time_levers(run=run or Run(), system=SYSTEMS, lever=levers, choosing=QUICK, reporting=QUICK, threads=1)
    assert [(record["system"], record["lever"]) for record in found if record["lever"] not in ("best", "best-float32")]
    return {(record["system"], record["lever"]): record for record in found}


@pytest.fixture(scope="module")
def whole() -> tuple[Run, Records]:
    """One run with all levers, on shallow models: what most tests here look at."""
    from functools import partial

    from transformers import BertConfig, ViltConfig

    from baselines.backbone import BODIES, Body

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BODIES, "resnet50", Body((1, 1, 1, 1)))
        two = {"num_hidden_layers": 2, "vocab_size": 1000}
        patch.setattr("experiments.vilt.systems.VOCABULARY", 1000)
        patch.setattr("baselines.fusion.BertConfig", partial(BertConfig, **two))
        patch.setattr("experiments.vilt.model.ViltConfig", partial(ViltConfig, **two))
        run = Run()
        return run, timed(LEVERS, run)


@pytest.mark.slow
def test_there_is_a_record_for_each_system_and_lever(whole: tuple[Run, Records]) -> None:
    assert set(whole[1]) == {(system, lever) for system in SYSTEMS for lever in LEVERS}


@pytest.mark.slow
def test_what_was_admitted_was_timed_and_the_rest_says_why(whole: tuple[Run, Records]) -> None:
    for (system, lever), record in whole[1].items():
        if record.get("latency_ms") is None:
            assert record["reason"].endswith(".") and "\n" not in record["reason"], (system, lever)
        else:
            assert record["outputs_agree"] is True and "reason" not in record and record["gate_structure"]
            # What is allowed stands with the lever that was chosen; the naive implementation differs from itself by nothing.
            allowed = whole[1][system, record.get("chosen", lever)].get("output_tolerance", 0.0)
            assert record["output_difference"] <= allowed, (system, lever)
    assert "Graphs are CUDA's" in whole[1]["vilt", "graphs"]["reason"]
    assert "no network of convolutions" in whole[1]["vilt", "static"]["reason"]
    assert {key for key, record in whole[1].items() if "reason" in record} >= {("vilt", "graphs"), ("grid", "graphs")}


@pytest.mark.slow
def test_records_follow_from_the_raw_samples(whole: tuple[Run, Records]) -> None:
    run, records = whole
    samples = run.tables["latency"]
    requests = samples[(samples["stage"] == "") & (samples["quantity"] == "request") & samples["kept"]]
    for (system, lever), record in records.items():
        own = requests[requests["arm"] == f"{system},{lever}"]
        if record.get("latency_ms") is None:
            assert own.empty
            continue
        chooses = LEVERS[lever].choose is not None
        assert set(own["phase"]) == {"reporting" if chooses else "choosing"}
        assert record["latency_ms"] == pytest.approx(own.groupby("round")["nanoseconds"].median().median() / 1e6)
        if not chooses:
            ratios = log_ratios_by_round(samples, f"{system},naive", f"{system},{lever}")
            assert record["speed_up"] == pytest.approx(math.exp(ratios.mean()))
        if system != "vilt" and records["vilt", lever].get("latency_ms") is not None:
            ratios = log_ratios_by_round(samples, f"{system},{lever}", f"vilt,{lever}")
            assert record["times_vilt"] == pytest.approx(math.exp(ratios.mean()))
    assert "times_vilt" not in records["vilt", "naive"] and records["vilt", "naive"]["speed_up"] == 1.0


@pytest.mark.slow
def test_the_rounds_that_choose_are_not_the_rounds_that_report(whole: tuple[Run, Records]) -> None:
    tables = whole[0].tables
    for name in ("latency", "rounds", "probes"):
        by_phase = tables[name].groupby("phase")["round"].unique()
        assert set(by_phase["choosing"]).isdisjoint(by_phase["reporting"]), name
    document = json.loads((whole[0].files / "timing.json").read_text())
    assert set(document) == {"choosing", "reporting", "torch"} and document["torch"]["threads"] == 1


@pytest.mark.slow
def test_the_fastest_of_the_first_rounds_is_chosen_among_those_allowed(whole: tuple[Run, Records]) -> None:
    records = whole[1]
    for system in SYSTEMS:
        first = {lever: records[system, lever]["latency_ms"] for lever in LEVERS
                 if LEVERS[lever].choose is None and records[system, lever].get("latency_ms") is not None}  # fmt: skip
        assert records[system, "best"]["chosen"] == min(first, key=first.__getitem__)
        exact = {lever: value for lever, value in first.items() if lever not in ("bfloat16", "static")}
        assert records[system, "best-float32"]["chosen"] == min(exact, key=exact.__getitem__)


def test_switches_share_weights_and_differ_all_the_same(monkeypatch: pytest.MonkeyPatch, shallow: None) -> None:
    run = Run()
    from harness.measure.devices import HostDevice

    levers = {name: LEVERS[name] for name in ("naive", "optimised", "without-onednn")}
    arms = {arm.lever: arm for arm in lever_arms.prepare_arms(run, {"vilt": SYSTEMS["vilt"]}, levers, HostDevice())}
    systems = {name: arm.system for name, arm in arms.items() if arm.system is not None}
    assert set(systems) == set(levers)
    assert systems["without-onednn"].model is systems["optimised"].model is not systems["naive"].model
    assert not systems["without-onednn"].configuration.onednn and systems["optimised"].configuration.onednn
    assert arms["naive"].plain and not arms["optimised"].plain


@pytest.mark.slow
def test_an_arm_with_other_outputs_is_not_timed_while_the_others_are(
    monkeypatch: pytest.MonkeyPatch, shallow: None
) -> None:
    monkeypatch.setitem(equality.TOLERANCES, torch.bfloat16, 1e-9)  # type: ignore[misc]
    records = timed({name: LEVERS[name] for name in ("naive", "bfloat16", "best")})
    for system in SYSTEMS:
        record = records[system, "bfloat16"]
        assert record["outputs_agree"] is False and record["output_difference"] > 1e-4
        assert "differs by" in record["reason"] and "latency_ms" not in record
        assert not any(key.startswith("gate_") for key in record), "a lever that fails spoils no claim"
        assert records[system, "best"]["chosen"] == "naive" and records[system, "best"]["latency_ms"] > 0


def test_an_arm_whose_first_request_takes_far_longer_is_given_up_and_says_so() -> None:
    def first(seconds: float) -> Checked:
        return Checked({"first_pass_seconds": seconds}, None)

    plain, compiled = SystemConfiguration(model="vilt-b32"), SystemConfiguration(model="vilt-b32", compile=True)
    assert lever_arms._hopeless(plain, first(6.1), first(2.0)) == (
        "its first request took 6.1 s, 3.0 times the naive one's; it was not timed further."
    )
    assert lever_arms._hopeless(plain, first(5.9), first(2.0)) == "", "a cold first request says no more than that"
    assert lever_arms._hopeless(plain, first(0.9), first(0.1)) == "", "where little is saved every arm is timed"
    assert lever_arms._hopeless(compiled, first(60.0), first(2.0)) == "", "its first request compiles"


@pytest.mark.slow
def test_an_arm_that_cannot_be_built_is_not_timed_while_the_others_are(
    monkeypatch: pytest.MonkeyPatch, shallow: None
) -> None:
    from experiments.vilt import systems

    monkeypatch.setattr(systems, "COMPILER", "no such compiler")
    records = timed({"naive": Lever(), "compiled": Lever(compile=True), "best": Lever(choose="all")})
    for system in SYSTEMS:
        assert "compiled" in records[system, "compiled"]["reason"] and "\n" not in records[system, "compiled"]["reason"]
        assert records[system, "naive"]["latency_ms"] > 0


def test_a_reference_that_fails_its_checks_leaves_nothing_to_compare(
    monkeypatch: pytest.MonkeyPatch, shallow: None
) -> None:
    from dataclasses import replace

    counted = lever_arms.count_all(SYSTEMS)
    wrong = {**counted, "grid": replace(counted["grid"], parameters={"backbone": 1})}
    monkeypatch.setattr(lever_arms, "count_all", lambda systems: wrong)
    run = Run()
    records = timed({name: LEVERS[name] for name in ("naive", "optimised", "best")}, run)
    assert all("latency_ms" not in record for record in records.values()) and not run.tables
    assert records["grid", "best"]["gate_parameters"] is False and records["grid", "naive"]["gate_parameters"] is False
    assert records["vilt", "best"]["gate_parameters"] is True


def test_where_the_machine_was_busy_in_every_round_the_choice_goes_by_all_of_them() -> None:
    samples = pandas.DataFrame({
        "round": [0, 0, 1, 1], "arm": ["a", "b", "a", "b"], "quantity": "request", "stage": "",
        "nanoseconds": [5, 3, 7, 4], "kept": False,
    })  # fmt: skip
    assert fairness._median(samples, "b") == 3.5 < fairness._median(samples, "a") == 6.0
    samples["kept"] = numpy.array([True, True, False, False])
    assert fairness._median(samples, "a") == 5.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"choose": "all", "compile": True}, "a lever that chooses changes nothing itself, but this one sets compile"),
        ({"choose": "fastest"}, "Input should be 'all' or 'float32'"),
        ({"image_size": "64x64"}, "Extra inputs"),
        ({"dtype": "int8"}, "Input should be"),
    ],
)
def test_levers_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Lever(**settings)


def test_a_lever_lies_over_a_system_and_leaves_the_rest() -> None:
    region = SystemConfiguration(model="uniter-base", image_size="600x1000", proposals=300)
    assert Lever().over(region) == region
    over = Lever(dtype="bfloat16", nms="per-class-vectorised").over(region)
    assert (over.dtype, over.suppression, over.proposals, over.image_size) == (
        "bfloat16", "per-class-vectorised", 300, "600x1000",
    )  # fmt: skip
    with pytest.raises(NotApplicable, match=r"^ViLT-B/32 has no regions, so nms cannot be set for it\.$"):
        Lever(nms="per-class-vectorised").over(SYSTEMS["vilt"])
