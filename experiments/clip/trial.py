"""The trial behind ``clip-prompts``: one dual encoder, trained here or released, and many sets of prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from experiments.clip.caption_settings import CaptionSettings
from experiments.clip.data_settings import ImageSettings
from experiments.clip.model_settings import ModelSettings, SmallSettings
from experiments.clip.optimiser_settings import OptimiserSettings
from experiments.clip.prompt_settings import PromptSettings
from harness.spec.signature import Placement

if TYPE_CHECKING:
    from harness.execution.run import Run

DataRoot = Annotated[str | None, Placement()]
Download = Annotated[bool, Placement()]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Prompts = Annotated[Mapping[str, PromptSettings], Field(min_length=1)]
DEFAULT_CAPTIONS = CaptionSettings()
DEFAULT_OPTIMISER = OptimiserSettings()
HELD_OUT = PromptSettings(templates="held-out")
"""The ensemble over embeddings (section 3.1.4) of templates that no caption was written with."""


def classify_by_prompts(
    *,
    run: Run,
    prompts: Prompts,
    data: ImageSettings,
    model: ModelSettings,
    captions: CaptionSettings = DEFAULT_CAPTIONS,
    polysemy: Share | None = None,
    optimiser: OptimiserSettings = DEFAULT_OPTIMISER,
    steps: Count = 350,
    batch_size: Count = 128,
    attribute: str | None = None,
    data_root: DataRoot = None,
    download: Download = False,
) -> list[dict[str, Any]]:
    """Train a small dual encoder, or load a released one, and return a record for each set of prompts.

    ``accuracy`` (top-1, %) and ``nll`` (nats) are of the test part; ``templates`` is how many a classifier has. The
    outcome of every single item is kept as the table ``outcomes``, the accuracy of each template alone as ``singles``.
    Weights of templates come from the validation part. Where training diverged the scores are NaN.

    Args:
        polysemy: takes the place of the captions' own.
        steps, batch_size, optimiser, captions: of a small model's training; a released one ignores them.
        attribute: the factor whose classes are told apart; default: the data set's label.

    Raises:
        UserError: data, weights or templates are missing, or do not fit each other.
    """
    from experiments.clip.prompt_scores import score_prompts
    from experiments.clip.ready import prompts_are_there
    from experiments.clip.setup import Training, trained_or_loaded

    if isinstance(model, SmallSettings):
        # Before the training, not behind it; the engine's ``ready`` asks the same of released models.
        prompts_are_there(
            prompts=prompts,
            data=data,
            model=model,
            captions=captions,
            attribute=attribute,
            data_root=data_root,
            download=download,
        )
    if polysemy is not None:
        captions = captions.model_copy(update={"polysemy": polysemy})
    training = Training(captions, optimiser, steps, batch_size)
    ready = trained_or_loaded(run, data, model, training, data_root, download)
    return score_prompts(run, ready, prompts, attribute, data_root)
