"""What a step costs: kept bytes by hand, and a timed trial with its raw samples."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn

from experiments.data.language_settings import ProceduralTextSettings
from experiments.rdrop import cost
from experiments.rdrop.cost import StepSettings, kept_bytes, time_steps
from experiments.rdrop.model_settings import TransformerSettings
from experiments.rdrop.models import build_small_model
from experiments.rdrop.optimiser_settings import OptimiserSettings
from experiments.rdrop.tasks import load_task
from harness.execution.run import Run
from harness.execution.streams import Stream
from harness.measure.settings import TimingSettings
from harness.measure.summaries import round_medians
from harness.spec.signature import resolve

SPEC = Path(__file__).parents[3] / "experiments" / "rdrop" / "rdrop-cost.yaml"
ADAMW = OptimiserSettings(learning_rate=0.001)
FLOAT, LONG = 4, 8


# Kept bytes


def test_a_linear_layer_keeps_its_input() -> None:
    layer, x = nn.Linear(5, 7), torch.randn(3, 5)
    assert kept_bytes(lambda: layer(x)) == 3 * 5 * FLOAT
    assert kept_bytes(lambda: layer(torch.cat([x, x]))) == 2 * 3 * 5 * FLOAT
    assert kept_bytes(lambda: layer(torch.cat([x, x])).sum().backward()) == 2 * 3 * 5 * FLOAT


def test_two_layers_keep_the_input_and_what_is_between() -> None:
    layers, x = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Embedding(1, 1)), torch.randn(3, 5)
    assert kept_bytes(lambda: layers[1](layers[0](x))) == (3 * 5 + 3 * 7) * FLOAT
    words = torch.zeros(6, dtype=torch.int64)
    assert kept_bytes(lambda: layers[2](words)) == 6 * LONG


def test_a_storage_counts_once_and_whole() -> None:
    x = torch.randn(10, requires_grad=True)
    double = 2 * x
    assert kept_bytes(lambda: double * double) == 10 * FLOAT
    assert kept_bytes(lambda: double[:3] ** 2 + double[5:8] ** 2) == 10 * FLOAT
    assert kept_bytes(lambda: x.sum()) == 0
    assert kept_bytes(lambda: torch.no_grad()(lambda: x.exp())()) == 0


def test_parameters_are_left_out() -> None:
    norm, x = nn.LayerNorm(8), torch.randn(2, 8)
    # The input, and a mean and a deviation a row.
    assert kept_bytes(lambda: norm(x)) == (2 * 8 + 2 + 2) * FLOAT


def test_parameters_are_left_out_where_they_are_turned_round() -> None:
    layer = nn.Linear(5, 7)
    x = torch.randn(3, 5, requires_grad=True)
    assert kept_bytes(lambda: layer(x)) == 3 * 5 * FLOAT


def step_of(
    passes: int, alpha: float, times: int = 1, *, width: int = 16, layers: int = 1, length: int = 6, batch: int = 8
) -> Callable[[], Tensor]:
    run = Run("small", threads=1)
    task = load_task(ProceduralTextSettings(length=length, train=100, validation=10, test=10), run.stream("data"))
    model = TransformerSettings(kind="transformer", width=width, layers=layers)
    wanted = StepSettings(passes=passes, alpha=alpha, times=times)
    return cost.build_step(run, wanted, task=task, model=model, batch_size=batch, dropout=0.3, settings=ADAMW)


def linear_weights(width: int, layers: int, length: int) -> int:
    model = TransformerSettings(kind="transformer", width=width, layers=layers)
    built = build_small_model(model, (length,), 400, 6, Stream("weights"))
    return FLOAT * sum(part.weight.numel() for part in built.modules() if isinstance(part, nn.Linear))


def test_every_copy_keeps_the_same() -> None:
    one, two, three = (kept_bytes(step_of(passes, 0.0)) for passes in (1, 2, 3))
    assert three - two == two - one > 0
    # All but a little of it is a copy's own.
    assert 1.5 < two / one <= 2
    assert kept_bytes(step_of(1, 0.0, batch=16)) > 1.5 * one
    assert kept_bytes(step_of(1, 0.0)) == one


def own_of_a_step(batch: int) -> int:
    """What is there once however often an example is passed: target, its weight, and how many count."""
    return batch * (LONG + FLOAT) + FLOAT


def test_a_doubled_batch_keeps_twice_what_a_plain_one_does_but_for_its_targets() -> None:
    plain, doubled = (kept_bytes(step_of(passes, 0.0)) for passes in (1, 2))
    # Weights are in both, see test_parameters_are_left_out_where_they_are_turned_round.
    assert 2 * plain - doubled - own_of_a_step(8) in (0, linear_weights(16, 1, 6))


def test_a_doubled_batch_keeps_twice_what_a_plain_one_does_and_no_weights() -> None:
    plain, doubled = (kept_bytes(step_of(passes, 0.0)) for passes in (1, 2))
    assert 2 * plain - doubled == own_of_a_step(8)


@cache
def laptop() -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load(SPEC.read_text())
    return spec


def test_r_drop_keeps_hardly_more_than_a_doubled_batch() -> None:
    fixed = laptop()["fixed"]
    assert (fixed["batch_size"], fixed["data"]["length"]) == (32, 32)
    assert (fixed["model"]["width"], fixed["model"]["layers"]) == (128, 2)
    size = {"width": 128, "layers": 2, "length": 32, "batch": 32}
    doubled, rdrop = (kept_bytes(step_of(2, alpha, **size)) for alpha in (0.0, 5.0))
    assert doubled < rdrop <= 1.05 * doubled
    # What the divergence keeps are a few tables of 32 examples by 6 classes.
    assert (rdrop - doubled) % (32 * 6 * FLOAT) == 0 and rdrop - doubled < 10 * 32 * 6 * FLOAT


def test_steps_move_the_model() -> None:
    step = step_of(2, 1.0)
    losses = [float(step()) for _ in range(30)]
    assert sum(losses[-5:]) < sum(losses[:5])


def test_steps_are_made_as_often_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.rdrop import training

    seen: list[tuple[int, ...]] = []
    original = training.make_step

    def spy(stack: Any, batch: Tensor, *rest: Any, **more: Any) -> Tensor:
        seen.append(tuple(batch.shape))
        return original(stack, batch, *rest, **more)

    monkeypatch.setattr(training, "make_step", spy)
    step_of(1, 0.0, times=3)()
    step_of(3, 5.0)()
    assert seen == [(1, 8, 6)] * 3 + [(1, 24, 6)]


# The trial

QUICK = TimingSettings(
    minimum_rounds=2, maximum_rounds=2, minimum_kept_rounds=1, minimum_seconds=0, target_half_width=None,
    visit_seconds=0.005, warmup_maximum_seconds=0.1, maximum_foreign_share=1.0, busy_fraction=1e-6,
)  # fmt: skip


def timed(names: tuple[str, ...], **changed: Any) -> tuple[Run, dict[str, dict[str, Any]]]:
    """Time some of the spec's own steps, as its smoke profile does but in a moment."""
    run = Run("small", threads=1)
    function = resolve("experiments.rdrop.cost:time_steps")
    smoke = laptop()["profiles"]["smoke"]["fixed"]
    levels = laptop()["factors"]["step"]["levels"]
    given = {"step": {name: levels[name] for name in names}, "data": smoke["data"], "model": smoke["model"], **changed}
    checked = {name: function.parameters[name].check(value) for name, value in given.items()}
    records = time_steps(run=run, timing=QUICK, **checked)
    return run, {record["step"]: record for record in records}


def test_every_step_of_the_spec_is_timed_against_the_others() -> None:
    names = tuple(laptop()["factors"]["step"]["levels"])
    run, records = timed(names)
    assert tuple(records) == names and len(names) == 5
    assert {"latency", "rounds", "probes", "warmup"} <= set(run.tables)
    assert set(run.tables["latency"]["arm"]) == set(names)
    for name, record in records.items():
        assert record["step_ms"] > 0 and record["rounds_kept"] == 2
        assert record["step_ms"] == pytest.approx(round_medians(run.tables["latency"], name).median() / 1e6)
    examples = {name: record["examples"] for name, record in records.items()}
    assert examples == {"plain": 32, "two-plain-steps": 64, "doubled-batch": 64, "r-drop": 64, "r-drop-three": 96}
    kept = {name: record["activation_mib"] for name, record in records.items()}
    # Two steps follow each other, so what is kept is one's.
    assert kept["two-plain-steps"] == kept["plain"] < kept["doubled-batch"] < kept["r-drop"] < kept["r-drop-three"]
    assert kept["r-drop"] < 1.05 * kept["doubled-batch"]
    assert json.loads((run.files / "timing.json").read_text())["settings"]["maximum_rounds"] == 2


def test_without_dropout_there_are_no_masks_to_keep() -> None:
    (_, dropped), (_, whole) = timed(("plain",)), timed(("plain",), dropout=0.0, batch_size=32)
    assert whole["plain"]["activation_mib"] < 0.9 * dropped["plain"]["activation_mib"]


@pytest.mark.parametrize("given", [{"passes": 0}, {"alpha": -1.0}, {"times": 0}, {"weight": 1}])
def test_steps_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StepSettings(**given)
