"""How many floating-point operations a trial takes, counted before it runs: ``harness plan`` predicts hours by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from experiments.data.language_settings import ProceduralTextSettings
from experiments.data.settings import DigitsSettings
from experiments.rdrop.data_settings import ClassificationSettings
from experiments.rdrop.model_settings import HuggingFaceSettings, ModelSettings
from experiments.rdrop.trial import ONE_SEED, Alpha
from harness.errors import NotKnownYet, UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

BACKWARD = 2
"""A backward pass takes about twice the operations of a forward pass: one product each for inputs and weights."""
CLASSES = {"cifar10": 10, "cifar100": 100}
SIDE = 32
"""Of CIFAR's images."""


def of_training(
    *,
    alpha: Alpha,
    data: ClassificationSettings,
    model: ModelSettings,
    steps: int,
    batch_size: int = 32,
    passes: int = 2,
    every: int = 1,
    seed: Mapping[str, int] = ONE_SEED,
    download: bool = False,
) -> float:
    """Return the operations of training; evaluations take little beside it. Texts in files count at their longest.

    Raises:
        NotKnownYet: the model's configuration is not on this machine.
    """
    from torch import no_grad
    from torch.utils.flop_counter import FlopCounterMode

    from experiments.rdrop.setup import regime_of

    built, example = _on_meta(data, model, download)
    counter = FlopCounterMode(display=False)
    with counter, no_grad():
        built(example)
    regime = regime_of(alpha)
    made = steps * regime.steps
    shown = made * regime.passes if isinstance(alpha, str) else made + (passes - 1) * -(-made // every)
    examples = shown * batch_size * len(seed)
    return float(counter.get_total_flops()) * examples * (1 + BACKWARD)


def _on_meta(data: ClassificationSettings, model: ModelSettings, download: bool) -> tuple[nn.Module, Tensor]:
    """Return a model without weights and one example of its inputs."""
    import torch

    from experiments.rdrop.hugging_face import TextClassifier, build_hugging_face, longest_text
    from experiments.rdrop.models import build_small_model
    from harness.execution.streams import Stream

    stream = Stream("operations")
    images = not isinstance(data, ProceduralTextSettings) and data.source != "text-files"
    shape: tuple[int, ...]
    if isinstance(data, DigitsSettings):
        shape, classes = (1, data.size, data.size), data.classes
    elif isinstance(data, ProceduralTextSettings):
        shape, classes = (data.length,), data.classes
    else:
        shape, classes = (3, SIDE, SIDE), CLASSES.get(data.source, 2)
    vocabulary = data.vocabulary if isinstance(data, ProceduralTextSettings) else 0
    if not isinstance(model, HuggingFaceSettings):
        with torch.device("meta"):
            built = build_small_model(model, shape, vocabulary, classes, stream).eval()
            return built, torch.zeros(1, *shape, dtype=torch.float32 if images else torch.int64)
    try:
        found = build_hugging_face(
            model.model_copy(update={"from_scratch": True}), images, classes, None, stream, download
        )
    except UserError as error:
        raise NotKnownYet(str(error)) from None
    # Not on the meta device: how far a batch of texts is padded is read off its values.
    length = longest_text(model, found.model.config) if isinstance(found, TextClassifier) else 1
    tokens = torch.ones(1, 3, length, dtype=torch.int64)
    tokens[:, 2] = 0
    return found.eval(), torch.zeros(1, *shape) if images else tokens
