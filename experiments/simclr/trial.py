"""The trials behind the SimCLR experiments: train contrastively, then ask what the representation knows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from experiments.data.settings import DataSettings
from experiments.simclr.augmentation_settings import AugmentationSettings, Transformation
from experiments.simclr.encoder_settings import EncoderSettings, HeadName
from experiments.simclr.optimiser_settings import OptimiserSettings, Precision
from experiments.simclr.probe_settings import LinearEvaluationSettings, ProbeSettings
from harness.spec.signature import Placement

if TYPE_CHECKING:
    from experiments.simclr.setup import Setup, Trained
    from harness.execution.run import Run

Layer = Literal["h", "z", "untrained"]
DataRoot = Annotated[str | None, Placement()]
Download = Annotated[bool, Placement()]
Count = Annotated[int, Placement()]
DEFAULT_PROBE = ProbeSettings()


def train_and_evaluate(
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
    first: Transformation | None = None,
    second: Transformation | None = None,
    view_size: int | None = None,
    precision: Precision = "float32",
    probe: ProbeSettings = DEFAULT_PROBE,
    linear_evaluation: LinearEvaluationSettings | None = None,
    data_root: DataRoot = None,
    download: Download = False,
    loaders: Count = 4,
    processes: Count = 1,
    probes_on_the_way: Count = 0,
) -> dict[str, Any]:
    """Train one model and return one record: what a linear classifier reads from h, and what stands beside it.

    ``accuracy`` is measured on the test part, ``validation_accuracy`` on the validation part (for tuning alone). Probes
    of single generating factors are called ``factor_<name>``. A loss that is not finite leaves every score NaN.

    Args:
        epochs: passes over the training part, with what is left of a batch dropped; may be a fraction.
        learning_rate: takes the place of the optimiser's.
        output_dimension: width of z; without a head it is that of h.
        first, second: with either, only these transformations of ``augmentation`` are left on (Figure 5).
        probe: classifiers on stored features; images that lie in files need ``linear_evaluation``.
        linear_evaluation: the paper's protocol (appendix B.6) in place of ``probe``.
        probes_on_the_way: how often ``probe`` is fitted during the training too, for the scalars alone: each takes as
            long as the one at the end.

    Raises:
        UserError: the data are missing or do not fit, or probes on the way are asked for where none can be made.
    """
    from experiments.simclr.setup import Setup, train_setup
    from harness.errors import UserError

    if probes_on_the_way and linear_evaluation is not None:
        raise UserError("'probes_on_the_way' fit 'probe', which 'linear_evaluation' takes the place of; leave one out")

    chosen = augmentation if first is None and second is None else augmentation.only(first or "none", second or "none")
    setup = Setup(
        data=data,
        encoder=encoder,
        optimiser=optimiser,
        augmentation=chosen,
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
        processes=processes,
        probes_on_the_way=probes_on_the_way,
    ).with_rate(learning_rate)
    trained = train_setup(run, setup, lambda seen: _validation(run, seen, probe))
    scores = _scores(run, trained, setup, probe, linear_evaluation)
    run.log(trained.outcome.steps, validation_accuracy=scores["validation_accuracy"])
    return {**scores, **trained.facts()}


def _validation(run: Run, seen: Trained, probe: ProbeSettings) -> dict[str, float]:
    """Return the accuracy on the validation part of a probe on a model that is still being trained."""
    from experiments.simclr.evaluation import labelled_images, validation_accuracy

    labelled = labelled_images(seen.dataset, probe.labelled, run.stream("probe"))
    return {"validation_accuracy": validation_accuracy(seen, labelled, probe)}


def _scores(
    run: Run, trained: Trained, setup: Setup, probe: ProbeSettings, linear: LinearEvaluationSettings | None
) -> dict[str, Any]:
    """Return the scores of a trained model; NaN where training diverged."""
    from experiments.simclr import evaluation

    if trained.outcome.diverged_at is not None:
        return {"validation_accuracy": math.nan, "accuracy": math.nan}
    last = {name: trained.outcome.logged[-1][name] for name in ("loss", "contrastive_accuracy", "entropy")}
    stream = run.stream("probe")
    if linear is not None:
        return {**evaluation.linear_scores(trained, linear, stream, setup.view_size, setup.loaders), **last}
    labelled = evaluation.labelled_images(trained.dataset, probe.labelled, stream)
    return {**evaluation.probe_scores(trained.model.encoder, trained.dataset, labelled, probe, trained.device), **last}


def compare_layers(
    *,
    run: Run,
    layer: Mapping[str, Layer],
    data: DataSettings,
    encoder: EncoderSettings,
    optimiser: OptimiserSettings,
    augmentation: AugmentationSettings,
    epochs: float,
    batch_size: int,
    temperature: float,
    output_dimension: int = 128,
    hidden_dimension: int | None = None,
    hidden_batch_norm: bool = False,
    probe: ProbeSettings = DEFAULT_PROBE,
    data_root: DataRoot = None,
    download: Download = False,
) -> list[dict[str, Any]]:
    """Train one model with a nonlinear head and return one record a layer: what h knows, and what z does.

    ``h`` is the encoder's output, ``z`` the trained head's, ``untrained`` that of a head with fresh weights on the same
    trained encoder: what is lost to any such head, trained or not. Each record has the accuracy on the class, a score
    ``factor_<name>`` for every generating factor, and ``transformation_<name>`` for each transformation of Table 3.
    """
    from functools import partial

    from torch import nn

    from experiments.simclr import evaluation
    from experiments.simclr.heads import untrained_like
    from experiments.simclr.probes import features_of
    from experiments.simclr.setup import Setup, train_setup
    from experiments.simclr.transformation_probes import transformation_scores

    setup = Setup(
        data=data,
        encoder=encoder,
        optimiser=optimiser,
        augmentation=augmentation,
        epochs=epochs,
        batch_size=batch_size,
        temperature=temperature,
        output_dimension=output_dimension,
        hidden_dimension=hidden_dimension,
        hidden_batch_norm=hidden_batch_norm,
        data_root=data_root,
        download=download,
    )
    trained = train_setup(run, setup)
    if trained.outcome.diverged_at is not None:
        return [{"layer": name, "accuracy": math.nan, **trained.facts()} for name in layer]
    dataset, device, model = trained.dataset, trained.device, trained.model
    fresh = untrained_like(model.head, run.stream("init").child("untrained head")).to(device)
    modules = {"h": model.encoder, "z": model, "untrained": nn.Sequential(model.encoder, fresh)}
    labelled = evaluation.labelled_images(dataset, probe.labelled, run.stream("probe"))
    transformations = transformation_scores(
        {name: partial(features_of, modules[kind], device=device) for name, kind in layer.items()},
        labelled.images,
        dataset.test.images,
        run.stream("transformations").numpy,
        run.stream("probe").seed,
    )
    return [
        {
            "layer": name,
            **evaluation.probe_scores(modules[kind], dataset, labelled, probe, device),
            **{f"transformation_{which}": score for (of, which), score in transformations.items() if of == name},
            **trained.facts(),
        }
        for name, kind in layer.items()
    ]
