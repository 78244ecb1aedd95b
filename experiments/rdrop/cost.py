"""The trial behind ``rdrop-cost``: a training step with R-Drop timed against plain ones and a doubled batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from experiments.data.language_settings import ProceduralTextSettings
from experiments.rdrop.model_settings import TransformerSettings
from experiments.rdrop.optimiser_settings import OptimiserSettings
from harness.measure.settings import TimingSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from experiments.rdrop.stacks import OneByOne
    from experiments.rdrop.tasks import Task
    from harness.execution.run import Run

MEBIBYTE = 2**20
Count = Annotated[int, Field(ge=1)]
DEFAULT_TIMING = TimingSettings()
DEFAULT_OPTIMISER = OptimiserSettings(learning_rate=0.001)


class StepSettings(BaseModel):
    """A step: so many passes over its examples, with a divergence of that weight between them, made ``times`` times."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    passes: Count = 1
    alpha: float = Field(default=0.0, ge=0)
    times: Count = 1


def time_steps(
    *,
    run: Run,
    step: Mapping[str, StepSettings],
    data: ProceduralTextSettings,
    model: TransformerSettings,
    batch_size: int = 32,
    dropout: float = 0.3,
    optimiser: OptimiserSettings = DEFAULT_OPTIMISER,
    timing: TimingSettings = DEFAULT_TIMING,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """Time every kind of step against the others, interleaved in randomised rounds, and return one record a kind.

    A step draws its dropout masks, passes forward over all copies at once, computes the loss, passes backward and
    moves the optimiser. ``step_ms`` is its median time; ``activation_mib`` the memory of what the forward pass keeps
    for the backward one, counted by storage: of a single step, since only one's is there at a time. Raw samples go
    into the tables ``latency``, ``rounds``, ``probes`` and ``warmup``.

    Args:
        step: name to what is done; one arm each.
        threads: torch's intra-operator threads; the trial's CPUs where it is None.
    """
    import torch

    from experiments.rdrop.tasks import load_task
    from harness.measure.devices import device_named
    from harness.measure.gpu import gpu_sampler_for
    from harness.measure.rounds import time_arms
    from harness.measure.summaries import summarize_arm

    torch.set_num_threads(threads or run.threads or torch.get_num_threads())
    device = device_named(run.device)
    task = load_task(data, run.stream("data"))
    build = partial(build_step, run, task=task, model=model, batch_size=batch_size, dropout=dropout, settings=optimiser)
    steps = {name: build(wanted) for name, wanted in step.items()}
    kept = {name: kept_bytes(build(wanted.model_copy(update={"times": 1}))) for name, wanted in step.items()}
    result = time_arms(
        {name: partial(_unmarked, make) for name, make in steps.items()},
        timing,
        run.stream("order").numpy,
        device=device,
        gpu=gpu_sampler_for(device.name),
        progress=run.progress,
    )
    for name, table in result.tables().items():
        run.samples(name, table)
    (run.files / "timing.json").write_text(json.dumps(result.record(), indent=1))
    records = []
    for name, wanted in step.items():
        summary = summarize_arm(result.samples, name)
        records.append(
            {
                "step": name,
                "step_ms": summary.median_nanoseconds / 1e6,
                "step_low_ms": summary.median.low / 1e6 if summary.median else None,
                "step_high_ms": summary.median.high / 1e6 if summary.median else None,
                "rounds_kept": summary.rounds_kept,
                "rounds_dropped": summary.rounds_dropped,
                "enough_rounds": result.enough,
                "activation_mib": kept[name] / MEBIBYTE,
                "examples": batch_size * wanted.passes * wanted.times,
            }
        )
    return records


def _unmarked(make: Callable[[], Tensor], mark: Callable[[str], None]) -> Tensor:
    """Make a step whose parts are not timed by themselves."""
    return make()


def build_step(
    run: Run,
    wanted: StepSettings,
    *,
    task: Task,
    model: TransformerSettings,
    batch_size: int,
    dropout: float,
    settings: OptimiserSettings,
    stack: Callable[..., OneByOne] | None = None,
) -> Callable[[], Tensor]:
    """Return a call that makes one training step, or ``times`` of them, always on the first batch.

    Args:
        stack: makes the stack in place of ``OneByOne``, such as one that says where the parts of its step end.
    """
    import torch

    from experiments.rdrop.dropout import MaskDrawer, sites_of
    from experiments.rdrop.models import build_small_model
    from experiments.rdrop.stacks import OneByOne
    from experiments.rdrop.training import Training, laid_masks, make_step

    device = torch.device(run.device)
    length = tuple(task.train.inputs.shape[1:])
    built = build_small_model(model, length, task.vocabulary, task.classes, run.stream("init"))
    trained = (stack or OneByOne)([built], settings, device)
    drawer = MaskDrawer(run.stream("dropout"), sites_of(built), [dropout] * wanted.passes)
    training = Training(1, batch_size, wanted.passes, wanted.alpha, settings)
    inputs = task.train.inputs[:batch_size].to(device)[None]
    targets = task.train.targets[:batch_size].to(device)[None]
    batch = torch.cat([inputs] * wanted.passes, 1)

    def make() -> Tensor:
        for _ in range(wanted.times):
            masks = laid_masks([drawer], batch_size, wanted.passes, device) if dropout > 0 else None
            losses = make_step(trained, batch, targets, masks, training, 0)
        return losses

    return make


def kept_bytes(call: Callable[[], Any]) -> int:
    """Return the bytes of what one step keeps for its backward pass: every storage once, parameters left out."""
    import torch

    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        # A linear layer keeps its weights turned round: a view of the parameter.
        owner = tensor if tensor._base is None else tensor._base
        if not isinstance(owner, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        call()
    return sum(storages.values())
