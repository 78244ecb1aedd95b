"""One step of SimCLR's training for ``harness profile``, which says where its parts end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from experiments.data.settings import DataSettings
from experiments.simclr.augmentation_settings import AugmentationSettings
from experiments.simclr.encoder_settings import EncoderSettings, HeadName
from experiments.simclr.optimiser_settings import OptimiserSettings, Precision

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from experiments.simclr.setup import Setup
    from harness.execution.run import Run
    from harness.measure.profiling import Profiled
    from harness.measure.stages import Mark


def profiled(
    *,
    run: Run,
    data: DataSettings,
    encoder: EncoderSettings,
    optimiser: OptimiserSettings,
    augmentation: AugmentationSettings,
    epochs: float,
    batch_size: int,
    temperature: float,
    learning_rate: float | None = None,
    head: HeadName = "nonlinear",
    output_dimension: int = 128,
    hidden_dimension: int | None = None,
    hidden_batch_norm: bool = False,
    normalise: bool = True,
    view_size: int | None = None,
    precision: Precision = "float32",
    data_root: str | None = None,
    download: bool = False,
    loaders: int = 4,
) -> dict[str, Profiled]:
    """Build the trial's training, and return one step of it with its operations, which are counted while one is made.

    Stages: ``data``, ``augmentation``, ``forward``, ``loss``, ``backward``, ``optimiser``.
    """
    import torch

    from experiments.simclr.setup import Setup
    from harness.measure.flops import flops_by_stage
    from harness.measure.profiling import Profiled

    torch.set_num_threads(run.threads or torch.get_num_threads())
    setup = Setup(
        data=data,
        encoder=encoder,
        optimiser=optimiser,
        augmentation=augmentation,
        epochs=epochs,
        batch_size=batch_size,
        temperature=temperature,
        head=head,
        output_dimension=output_dimension,
        hidden_dimension=hidden_dimension,
        hidden_batch_norm=hidden_batch_norm,
        normalise=normalise,
        view_size=view_size,
        precision=precision,
        data_root=data_root,
        download=download,
        loaders=loaders,
    ).with_rate(learning_rate)
    step = _Step(run, setup, torch.device(run.device))
    return {"": Profiled(step, float(flops_by_stage(step).total), precision)}


class _Step:
    """Makes one step of a training after the other; after the last comes the first again."""

    def __init__(self, run: Run, setup: Setup, device: torch.device) -> None:
        import torch

        from experiments.simclr.optimisation import build_optimiser
        from experiments.simclr.setup import build_for, views_for

        dataset, model = build_for(run, setup)
        self.views, self.training = views_for(run, setup, dataset, device)
        self.model: Any = model.to(device).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = build_optimiser(self.model, setup.optimiser, setup.batch_size)
        self._steps = self._numbered()

    def __call__(self, mark: Mark) -> Tensor:
        import torch

        from experiments.simclr.optimisation import learning_rate_at
        from experiments.simclr.training import descend

        number, images = next(self._steps)
        mark("data")
        views = torch.cat(self.views.augmented(images, number)).contiguous(memory_format=torch.channels_last)
        mark("augmentation")
        training = self.training
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate_at(number, training.steps, training.optimiser, training.batch_size)
        loss, _, _ = descend(self.model, views, training, self.optimiser, _parts(mark), gather=False, kept=False)
        return loss

    def _numbered(self) -> Iterator[tuple[int, Any]]:
        while True:
            yield from enumerate(self.views.batches(0, self.training.steps))


def _parts(mark: Mark) -> Any:
    """Return a stopwatch that marks the parts of a step; the encoder's comes twice, forward and backward."""
    from experiments.simclr.training import Stopwatch

    class Marks(Stopwatch):
        def __init__(self) -> None:
            self._forward = True

        @contextmanager
        def part(self, name: str) -> Iterator[None]:
            yield
            if name == "encoder":
                name, self._forward = ("forward" if self._forward else "backward"), False
            mark(name)

    return Marks()
