"""The trial behind the R-Drop experiments: train with or without R-Drop, evaluated over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from experiments.rdrop.conventions import ConventionName
from experiments.rdrop.data_settings import ClassificationSettings
from experiments.rdrop.model_settings import ModelSettings
from experiments.rdrop.optimiser_settings import OptimiserSettings
from harness.spec.signature import Placement

if TYPE_CHECKING:
    from harness.execution.run import Run

Alpha = Annotated[float, Field(ge=0)] | Literal["plain", "twice"]
"""A weight of the divergence on a doubled batch; or plain training, for as many steps or for twice as many."""
DataRoot = Annotated[str | None, Placement()]
Download = Annotated[bool, Placement()]
Precision = Literal["float32", "bfloat16"]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Amount = Annotated[float, Field(ge=0)]
Seeds = Annotated[Mapping[str, int], Field(min_length=1)]
ONE_SEED: Mapping[str, int] = {"0": 0}


def train_and_evaluate(
    *,
    run: Run,
    alpha: Alpha,
    data: ClassificationSettings,
    model: ModelSettings,
    optimiser: OptimiserSettings,
    steps: Count,
    batch_size: Count = 32,
    dropout: Rate | None = 0.3,
    second_dropout: Rate | None = None,
    weight_decay: Amount | None = None,
    seed: Seeds = ONE_SEED,
    together: bool = False,
    passes: Count = 2,
    every: Count = 1,
    convention: ConventionName = "paper",
    label_smoothing: Share = 0.0,
    label_noise: Share = 0.0,
    input_noise: tuple[Amount, ...] = (),
    evaluations: Count = 10,
    precision: Precision = "float32",
    data_root: DataRoot = None,
    download: Download = False,
) -> list[dict[str, Any]]:
    """Train one model a seed and return a record for each: what it is worth at its best step and at its last.

    All seeds of a trial share data and noisy labels, and have weights, order and dropout masks of their own. Metrics
    are measured on the test part at the evaluation with the highest validation accuracy, and at the last step with
    ``_last`` behind the name: ``accuracy``, ``nll`` (nats), ``ece`` (%), ``inconsistency`` (KL between two dropout
    passes, nats), ``mean_divergence`` (KL of the mean over dropout passes from the model without dropout),
    ``mean_accuracy``. The whole course over steps is kept as the table ``course``. A loss that is not finite leaves
    NaN, in that seed's record alone.

    Args:
        alpha: weight of the divergence; 0 is cross-entropy on the doubled batch. ``plain`` is training without R-Drop
            for equal steps, ``twice`` for twice as many: the compute of R-Drop.
        steps: of R-Drop and of plain training.
        dropout: rate of every dropout layer; None: a transformers model's own.
        second_dropout: rate in the second pass, where it differs; needs one of the small models.
        weight_decay: takes the place of the optimiser's.
        seed: level to number: seeds that are trained in one trial.
        together: all seeds in one call through ``torch.func``; else one after the other. The same to rounding.
        passes: over every example of an R-Drop step (m).
        every: R-Drop only at every so manieth step (k); one pass at the others.
        label_noise: share of the training labels that are replaced by others.
        input_noise: amounts of noise on test inputs; each adds the metric ``accuracy_noise_<amount>``.
        evaluations: over ``steps``, at equal distances.

    Raises:
        UserError: data or model are missing or do not fit each other.
    """
    from experiments.rdrop.setup import Setup, train_setup

    setup = Setup(
        alpha=alpha,
        data=data,
        model=model,
        optimiser=optimiser if weight_decay is None else optimiser.decaying(weight_decay),
        steps=steps,
        batch_size=batch_size,
        dropout=dropout,
        second_dropout=second_dropout,
        seeds=tuple(seed.values()),
        together=together,
        passes=passes,
        every=every,
        convention=convention,
        label_smoothing=label_smoothing,
        label_noise=label_noise,
        input_noise=input_noise,
        evaluations=evaluations,
        precision=precision,
        data_root=data_root,
        download=download,
    )
    rows = train_setup(run, setup)
    return [{"seed": name, **row} for name, row in zip(seed, rows, strict=True)]
