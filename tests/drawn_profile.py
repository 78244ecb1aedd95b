"""Profiles of made-up numbers, written to a store in their true format: for the tests of what is read from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pandas

from harness.plan.design import Design
from harness.plan.trials import Trial, expand
from harness.store.attempt import Attempt, write_attempt
from harness.store.store import Store, attempt_id

STEPS, ITERATIONS = 6, 9
STARTED = 1.7e9
AFTER_MARKS = 1.01
"""A request over the sum of its stages: a little of it comes after the last mark."""
OPERATORS = (
    ("aten::mm", "matrix product"), ("aten::addmm", "matrix product"), ("aten::convolution", "convolution"),
    ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"), ("aten::native_layer_norm", "normalisation"),
    ("aten::copy_", "copy"), ("aten::gelu", "everything else"), ("aten::add", "everything else"),
    ("aten::relu_", "everything else"), ("aten::nonzero", "everything else"), ("aten::softmax", "everything else"),
    ("aten::index", "everything else"), ("aten::topk", "everything else"), ("aten::sigmoid", "everything else"),
)  # fmt: skip
"""More than a table shows of them."""
SHAPES = ("[[1, 240, 768], [768, 768]]", "[[1, 64]]")


def write_drawn_profile(
    store: Store,
    design: Design,
    arms: Mapping[str, float],
    stages: Mapping[str, float],
    *,
    code: str,
    number: int = 0,
    trial: Trial | None = None,
    slower: Mapping[str, float] | None = None,
    device: str = "cpu",
    environment: str = "",
    files: Path | None = None,
) -> Path:
    """Write one profile and return its folder.

    Args:
        arms: milliseconds of a request, by level of the blocked factor (``""`` where there is none).
        stages: shares of a request that was not profiled, by stage.
        code: fingerprint of the code that it was made with.
        number: the later one of two profiles has the larger number; numbers are drawn by it.
        trial: whose it is; default: the plan's first.
        slower: by stage, how many times longer it takes when it is profiled; default: as the whole step.
        device: on ``cuda`` kernels run side by side, so that their times add up to more than the step.
        files: a folder with the traces, which is moved.
    """
    trial = trial or expand(design)[0]
    factor = next((factor.name for factor in design.blocked_factors), "")
    random = numpy.random.default_rng(number)
    made = [_arm(name, cost, stages, slower or {}, device, random) for name, cost in arms.items()]
    tables = {name: pandas.concat([tables[name] for _, tables in made]) for name in made[0][1]}
    records = tuple(
        {**({factor: name} if factor else {}), **record} for name, (record, _) in zip(arms, made, strict=True)
    )
    started = STARTED + 3600 * number
    attempt = Attempt(
        id=attempt_id(started, f"{number:08d}"),
        trial=trial.id,
        experiment=design.name,
        identity=trial.identity,
        arm=trial.arm,
        replicate=trial.replicate,
        records=records,
        failure=None,
        started=started,
        seconds=12.5,
        code=code,
        environment=environment,
        place={"host": "drawn"},
    )
    return write_attempt(store.profiles_folder(design.name, trial.id), attempt, tables, files)


def _arm(
    name: str,
    cost: float,
    stages: Mapping[str, float],
    slower: Mapping[str, float],
    device: str,
    random: numpy.random.Generator,
) -> tuple[dict[str, Any], dict[str, pandas.DataFrame]]:
    """Return the record and the tables of one arm whose request takes ``cost`` milliseconds."""
    timed = [
        (name, iteration, stage, 1e3 * cost * share * random.lognormal(0, 0.01))
        for iteration in range(ITERATIONS)
        for stage, share in stages.items()
    ]
    profiled = [
        (name, step, stage, 1.2e3 * cost * share * slower.get(stage, 1.0) * random.lognormal(0, 0.01))
        for step in range(STEPS)
        for stage, share in stages.items()
    ]
    tables = {
        "timed_stages": _frame(timed, "arm iteration stage us"),
        "profile_stages": _frame(profiled, "arm step stage us"),
    }
    wholes = AFTER_MARKS * tables["timed_stages"].groupby("iteration")["us"].sum()
    rows = [(name, iteration, "", us) for iteration, us in wholes.items()]
    tables["timed_stages"] = pandas.concat([tables["timed_stages"], _frame(rows, "arm iteration stage us")])
    steps = AFTER_MARKS * tables["profile_stages"].groupby("step")["us"].sum()
    tables["profile_steps"] = _frame([(name, step, us) for step, us in steps.items()], "arm step us")
    step, timed_us = float(steps.median()), float(wholes.median())
    weights = random.dirichlet(numpy.ones(len(OPERATORS) * len(SHAPES) * len(stages)))
    places = [(operator, kind, shape, stage) for operator, kind in OPERATORS for shape in SHAPES for stage in stages]
    operators = [
        (name, operator, shape, stage, kind, device, float(random.integers(1, 40)), 0.9 * step * weight, 4096.0)
        for (operator, kind, shape, stage), weight in zip(places, weights, strict=True)
    ]
    tables["profile_operators"] = _frame(operators, "arm operator shapes stage kind device calls us memory_bytes")
    kernels = tables["profile_operators"].groupby(["arm", "operator", "kind"], as_index=False)[["calls", "us"]].sum()
    if device == "cuda":
        kernels["us"] *= 1.3
    tables["profile_kernels"] = kernels.rename(columns={"operator": "kernel"})
    record = {
        "step_us": step, "timed_us": timed_us, "overhead": step / timed_us, "steps": STEPS,
        "device": device, "dtype": "float32", "gflop": 0.05 * cost, "ceiling_gflops": 80.0, "ceiling_gbs": 12.0,
        "threads": 2, "busy_us": 0.9 * step, "plugin_step_us": step, "plugin_operators": len(OPERATORS),
        "plugin_problem": "",
    }  # fmt: skip
    return record, tables


def _frame(rows: Sequence[tuple[Any, ...]], columns: str) -> pandas.DataFrame:
    return pandas.DataFrame(rows, columns=columns.split())
