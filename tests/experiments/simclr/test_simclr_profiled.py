"""The step of training that ``harness profile`` is given is the trial's own."""

from __future__ import annotations

from typing import Any

import pytest
from simclr_small import SMALL, called
from torch.utils.flop_counter import FlopCounterMode

from experiments.simclr.profiled import profiled
from harness.execution.run import Run
from harness.plan.code import fingerprint
from harness.plan.design import make_design
from harness.plan.hooks import profiled_hook
from harness.spec.find import find_experiment
from harness.spec.signature import resolve


@pytest.fixture
def step() -> Any:
    parameters = resolve("experiments.simclr.trial:train_and_evaluate").parameters
    given = {name: parameters[name].check(value) for name, value in SMALL.items() if name != "probe"}
    return profiled(run=Run("small", 3), **given)[""]


def test_steps_are_those_of_the_training_and_say_where_their_parts_end(step: Any) -> None:
    run = Run("small", 3)
    called("train_and_evaluate", run)
    losses = {row["step"]: row["loss"] for row in run.scalars if "loss" in row}
    assert list(losses)[:4] == [0, 1, 2, 3]
    marked: list[str] = []
    # The first step was made while operations were counted.
    assert [float(step.call(marked.append)) for _ in range(3)] == [losses[1], losses[2], losses[3]]
    assert marked == ["data", "augmentation", "forward", "loss", "backward", "optimiser"] * 3


def test_steps_go_on_behind_the_last_and_are_counted(step: Any) -> None:
    for _ in range(30):
        step.call(lambda part: None)
    counter = FlopCounterMode(display=False)
    with counter:
        step.call(lambda part: None)
    assert step.flops == counter.get_total_flops() and step.dtype == "float32"


def test_the_spec_names_it_and_no_stored_result_depends_on_it() -> None:
    experiment = find_experiment("simclr-head")
    assert profiled_hook(make_design(experiment, "smoke", device="cpu")) is not None
    assert "experiments.simclr.profiled" not in fingerprint(experiment.spec.trial).modules
