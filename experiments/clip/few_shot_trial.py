"""The trial behind ``clip-few-shot``: zero-shot against linear probes on few labelled images (section 3.1.5)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from experiments.clip.caption_settings import CaptionSettings
from experiments.clip.data_settings import ImageSettings
from experiments.clip.model_settings import ModelSettings
from experiments.clip.optimiser_settings import OptimiserSettings
from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.trial import DEFAULT_CAPTIONS, DEFAULT_OPTIMISER, HELD_OUT, Count, DataRoot, Download, Share

if TYPE_CHECKING:
    from torch import Tensor

    from experiments.clip.setup import Ready
    from harness.execution.run import Run

Shots = Annotated[Mapping[str, Annotated[int, Field(ge=0)]], Field(min_length=1)]
Layer = Literal["penultimate", "projected"]


def compare_with_probes(
    *,
    run: Run,
    shots: Shots,
    layer: Mapping[str, Layer],
    data: ImageSettings,
    model: ModelSettings,
    captions: CaptionSettings = DEFAULT_CAPTIONS,
    omitted: Share | None = None,
    optimiser: OptimiserSettings = DEFAULT_OPTIMISER,
    steps: Count = 400,
    batch_size: Count = 128,
    attribute: str | None = None,
    prompts: PromptSettings = HELD_OUT,
    draws: Count = 5,
    data_root: DataRoot = None,
    download: Download = False,
) -> list[dict[str, Any]]:
    """Return a record for each number of labelled images a class and each layer; none of them is zero-shot.

    ``accuracy`` (%) is of the test part: of a zero-shot classifier, or the mean over ``draws`` of a logistic regression
    on so many images of each class, whose strength is chosen on the validation part (appendix A.3). ``spread`` is the
    standard deviation over these draws (points).

    Args:
        layer: what a probe reads: what the image tower's projection reads (as the paper does), or the space shared
            with texts.
        omitted: takes the place of the captions' own: the share that do not name the class.

    Raises:
        UserError: data or weights are missing, or a class has fewer images than the most shots.
    """
    from experiments.clip.scoring import Scorer, encoded
    from experiments.clip.setup import Training, trained_or_loaded
    from experiments.clip.templates import subject_of

    if omitted is not None:
        captions = captions.model_copy(update={"omitted": omitted})
    ready = trained_or_loaded(run, data, model, Training(captions, optimiser, steps, batch_size), data_root, download)
    names = [(one, other) for one in shots for other in layer]
    if ready.diverged:
        return [{"shots": one, "layer": other, "accuracy": math.nan, **ready.facts} for one, other in names]
    factor = attribute or ready.dataset.label
    test, validation = (encoded(ready.vectors, ready.dataset, part, factor) for part in ("test", "validation"))
    scorer = Scorer(ready.vectors, subject_of(ready.dataset, factor, ready.templates, data_root), test, validation)
    zero_shot = scorer.score(prompts, run.stream("subsets")).accuracy
    records = []
    for name, kind in layer.items():
        parts = _features(ready, kind)
        for level, count in shots.items():
            found = [zero_shot] if count == 0 else _probes(run, ready, parts, factor, count, draws)
            mean = sum(found) / len(found)
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            records.append({"shots": level, "layer": name, "accuracy": mean, "spread": spread, **ready.facts})
    return records


def _features(ready: Ready, layer: Layer) -> dict[str, Tensor]:
    """Return what a probe reads, [items, width], by part.

    Raises:
        UserError: a released model is asked for what its projection reads.
    """
    from harness.errors import UserError

    names = ("train", "validation", "test")
    if layer == "projected":
        return {name: ready.vectors.images(ready.dataset, name) for name in names}
    if ready.encoder is None:
        raise UserError(
            "'layer': 'penultimate' is known of small encoders alone; choose 'projected' for a released one"
        )
    return {name: ready.encoder.features(getattr(ready.dataset, name)) for name in names}


def _probes(run: Run, ready: Ready, parts: Mapping[str, Tensor], factor: str, count: int, draws: int) -> list[float]:
    """Return the accuracies (%) on the test part of probes on several draws of ``count`` images a class.

    A draw of more images holds those of fewer.

    Raises:
        UserError: a class has fewer training images.
    """
    import numpy

    from experiments.clip.probes import fit_probe
    from harness.errors import UserError

    train, validation, test = (
        numpy.asarray(getattr(ready.dataset, name).factors[factor]) for name in ("train", "validation", "test")
    )
    found = []
    for draw in range(draws):
        order = run.stream("shots").child(draw).numpy.permutation(len(train))
        chosen = numpy.concatenate([order[train[order] == value][:count] for value in numpy.unique(train)])
        if len(chosen) < count * len(numpy.unique(train)):
            raise UserError(
                f"{ready.dataset.name}: a class has fewer than {count} training images; ask for fewer shots"
            )
        probe = fit_probe(parts["train"][chosen], train[chosen], parts["validation"], validation)
        found.append(probe.accuracy(parts["test"], test))
    return found
