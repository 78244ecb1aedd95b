"""How many floating-point operations a trial takes, counted before it runs: ``harness plan`` predicts hours by it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from experiments.clip.data_settings import ImageSettings
from experiments.clip.model_settings import ModelSettings, OpenClipSettings, SmallSettings
from experiments.clip.shift_trial import LearnerName
from experiments.data.settings import DigitsSettings, EmbeddedSettings
from experiments.data.torchvision_settings import TorchvisionSettings
from harness.errors import NotKnownYet

BACKWARD = 2
"""A backward pass takes about twice the operations of a forward pass: one product each for inputs and weights."""
WORDS = 18
"""The longest text of most batches: about 16 words, with start and end."""
TEST_IMAGES = {
    "cifar10": 10_000,
    "cifar100": 10_000,
    "stl10": 8_000,
    "imagenet": 50_000,
    "food101": 25_250,
    "oxford-pets": 3_669,
    "dtd": 1_880,
    "eurosat": 5_400,
    "gtsrb": 12_630,
    "mnist": 10_000,
    "flowers102": 6_149,
    "fgvc-aircraft": 3_333,
    "svhn": 26_032,
    "pcam": 32_768,
    "country211": 21_100,
    "rendered-sst2": 1_821,
    "stanford-cars": 8_041,
    "fer2013": 7_178,
}
"""Official numbers of test images; Caltech 101 and SUN397 have no official test part in torchvision."""


def of_trial(*, data: ImageSettings, model: ModelSettings, steps: int = 350, batch_size: int = 128) -> float:
    """Return the operations of a small encoder's training, or of one pass of a released one over the test images.

    Evaluation takes little beside training. A released encoder's prompts, and a validation part where weights or probes
    need one, are not counted; what is in the cache is, though it will not be computed again.

    Raises:
        NotKnownYet: how many images there are, or what the model is made of, shows only once they are there.
    """
    if isinstance(model, OpenClipSettings):
        return _released_image(model) * _test_images(data)
    return _step(data, model, batch_size) * steps


def of_shift_trial(
    *,
    data: ImageSettings,
    model: SmallSettings,
    learner: Mapping[str, LearnerName],
    steps: int = 350,
    batch_size: int = 128,
) -> float:
    """Return the operations of training all learners; the supervised one has no text tower.

    Raises:
        NotKnownYet: see ``of_trial``.
    """
    kinds = set(learner.values())
    found = of_trial(data=data, model=model, steps=steps, batch_size=batch_size) if "zero-shot" in kinds else 0.0
    return found + (_step(data, model, batch_size, texts=False) * steps if "supervised" in kinds else 0.0)


def _step(data: ImageSettings, model: SmallSettings, batch_size: int, texts: bool = True) -> float:
    """Return the operations of a step of training, counted on a model without weights."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from experiments.clip.captions import all_words
    from experiments.clip.loss import contrastive_loss
    from experiments.clip.model import build_small_clip
    from experiments.clip.vocabulary import Vocabulary
    from experiments.clip.words import NAMES
    from harness.execution.streams import Stream

    if not isinstance(data, EmbeddedSettings) or data.source not in NAMES:
        raise NotKnownYet(f"{data.source} has no captions to train a small encoder on")
    channels = 1 if isinstance(data, DigitsSettings) else 3
    batch_size = min(batch_size, data.train)
    counter = FlopCounterMode(display=False)
    with torch.device("meta"):
        words = len(Vocabulary(all_words(data.source)))
        try:
            built = build_small_clip(model, words, channels, data.size, Stream("operations")).eval()
        except ValueError as error:
            raise NotKnownYet(str(error)) from None
        images = torch.zeros(batch_size, channels, data.size, data.size)
        tokens = torch.ones(batch_size, WORDS, dtype=torch.int64)
        with counter, torch.no_grad():
            if texts:
                seen, read = built(images, tokens)
                contrastive_loss(seen, read, built.scale)
            else:
                built.image(images)
    return float(counter.get_total_flops()) * (1 + BACKWARD)


def _test_images(data: ImageSettings) -> int:
    if isinstance(data, EmbeddedSettings):
        return data.test
    name = data.name if isinstance(data, TorchvisionSettings) else data.source
    if name not in TEST_IMAGES:
        raise NotKnownYet(f"how many test images {name} has is known only once they are there")
    return TEST_IMAGES[name]


def _released_image(model: OpenClipSettings) -> float:
    """Return the operations of one image, counted on a model without weights."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    try:
        import open_clip
    except ImportError as error:
        raise NotKnownYet(f"models of kind open-clip need a package ({error})") from None
    configuration = open_clip.get_model_config(model.name)
    if configuration is None:
        raise NotKnownYet(f"open_clip has no model '{model.name}'")
    if "hf_model_name" in configuration["text_cfg"]:
        raise NotKnownYet(f"the text tower of {model.name} is described in the Hugging Face hub")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # that weights are missing, which is what is wanted
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            built = open_clip.create_model(model.name, load_weights=False, device="meta").eval()
    except Exception as error:  # parts of other libraries that are not there raise many kinds
        raise NotKnownYet(f"{model.name} cannot be made on this machine: {error}") from None
    finally:
        logging.disable(before)
    size = built.visual.image_size
    height, width = (size, size) if isinstance(size, int) else size
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        built.encode_image(torch.zeros(1, 3, height, width, device="meta"))
    return float(counter.get_total_flops())
