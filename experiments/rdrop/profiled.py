"""The training steps of ``rdrop-cost`` for ``harness profile``, which say where their parts end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from experiments.data.language_settings import ProceduralTextSettings
from experiments.rdrop.cost import DEFAULT_OPTIMISER, StepSettings
from experiments.rdrop.model_settings import TransformerSettings
from experiments.rdrop.optimiser_settings import OptimiserSettings

if TYPE_CHECKING:
    from torch import Tensor

    from harness.execution.run import Run
    from harness.measure.profiling import Profiled
    from harness.measure.stages import Mark


class _Listener:
    """Whoever hears the marks of the step that is being made."""

    def __init__(self) -> None:
        self.mark: Mark = lambda name: None


def profiled(
    *,
    run: Run,
    step: Mapping[str, StepSettings],
    data: ProceduralTextSettings,
    model: TransformerSettings,
    batch_size: int = 32,
    dropout: float = 0.3,
    optimiser: OptimiserSettings = DEFAULT_OPTIMISER,
    threads: int | None = None,
) -> dict[str, Profiled]:
    """Build every kind of step, with its operations, which are counted while one is made.

    Stages: ``masks`` (dropout masks are drawn and laid), ``forward``, ``loss``, ``backward``, ``optimiser``.

    Args:
        step: name to what is done; one arm each.
        threads: torch's intra-operator threads; the trial's CPUs where it is None.
    """
    import torch

    from experiments.rdrop.cost import build_step
    from experiments.rdrop.tasks import load_task
    from harness.measure.flops import flops_by_stage
    from harness.measure.profiling import Profiled

    torch.set_num_threads(threads or run.threads or torch.get_num_threads())
    task = load_task(data, run.stream("data"))
    arms = {}
    for name, wanted in step.items():
        listener = _Listener()
        make = build_step(
            run, wanted, task=task, model=model, batch_size=batch_size, dropout=dropout, settings=optimiser,
            stack=partial(_marked_stack, listener),
        )  # fmt: skip
        call = partial(_heard, listener, make)
        arms[name] = Profiled(call, float(flops_by_stage(call).total))
    return arms


def _heard(listener: _Listener, make: Callable[[], Tensor], mark: Mark) -> Tensor:
    """Make a step whose marks go to ``mark``."""
    listener.mark = mark
    return make()


def _marked_stack(listener: _Listener, models: Sequence[Any], settings: OptimiserSettings, device: Any) -> Any:
    """Return a stack of one model that marks the parts of its step; what it computes is that of ``OneByOne``."""
    from experiments.rdrop.stacks import Laid, LossFunction, OneByOne

    class Marked(OneByOne):
        def step(self, inputs: Tensor, targets: Tensor, masks: Laid, loss: LossFunction, *rest: Any) -> Tensor:
            def marked(logits: Tensor, wanted: Tensor) -> Tensor:
                listener.mark("forward")
                value = loss(logits, wanted)
                listener.mark("loss")
                return value

            listener.mark("masks")
            return super().step(inputs, targets, masks, marked, *rest)

    stack = Marked(models, settings, device)
    for optimiser in stack.optimisers:
        optimiser.register_step_pre_hook(lambda *_: listener.mark("backward"))
        optimiser.register_step_post_hook(lambda *_: listener.mark("optimiser"))
    return stack
