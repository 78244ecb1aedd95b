"""What a trial trains or loads: data, captions and a dual encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.clip.caption_settings import CaptionSettings
from experiments.clip.captions import Templates, all_words, draw_templates, write_captions
from experiments.clip.data_settings import ImageSettings
from experiments.clip.images import load_images
from experiments.clip.loss import contrastive_loss
from experiments.clip.model import SmallClip, build_small_clip
from experiments.clip.model_settings import ModelSettings, OpenClipSettings, SmallSettings
from experiments.clip.optimiser_settings import OptimiserSettings
from experiments.clip.stored import FreshVectors, StoredVectors, Vectors
from experiments.clip.training import Outcome, train
from experiments.clip.vocabulary import PADDING, Vocabulary
from experiments.clip.words import require_captions
from experiments.data import Dataset, Part
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.execution.run import Run

BATCH = 512


@dataclass(frozen=True)
class Training:
    """How a small dual encoder is trained, and on what captions."""

    captions: CaptionSettings
    optimiser: OptimiserSettings
    steps: int
    batch_size: int


class SmallEncoder:
    """A small dual encoder on a device, with its vocabulary: what ``DualEncoder`` asks for."""

    def __init__(self, model: SmallClip, vocabulary: Vocabulary, device: torch.device) -> None:
        self.model, self.vocabulary, self.device = model, vocabulary, device

    @property
    def key(self) -> str:
        digest = hashlib.sha256(" ".join(self.vocabulary.words).encode())
        for name, tensor in self.model.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def scale(self) -> float:
        return float(self.model.scale.detach())

    @torch.no_grad()
    def encode_images(self, part: Part) -> Tensor:
        return functional.normalize(torch.cat([self.model.image(x) for x in batches(part, self.device)]), dim=1).cpu()

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        tokens = self.vocabulary.tokens(texts).to(self.device)
        found = torch.cat([self.model.text(chunk) for chunk in tokens.split(BATCH)])
        return functional.normalize(found, dim=1).cpu()

    @torch.no_grad()
    def features(self, part: Part) -> Tensor:
        """Return what the image tower's projection reads, float32 [N, width]."""
        return torch.cat([self.model.image.features(x) for x in batches(part, self.device)]).cpu()


@dataclass(frozen=True)
class Trained:
    """A small encoder after training, and the templates of its captions and of its evaluation."""

    encoder: SmallEncoder
    templates: Templates
    outcome: Outcome


@dataclass(frozen=True)
class Ready:
    """An encoder's vectors with the data to classify; ``facts`` is what a record says of the encoder.

    ``templates`` are those of the captions' grammar and ``encoder`` the small one, where one was trained.
    """

    dataset: Dataset
    vectors: Vectors
    facts: Mapping[str, float]
    templates: Templates | None = None
    encoder: SmallEncoder | None = None
    diverged: bool = False


def batches(part: Part, device: torch.device) -> list[Tensor]:
    """Return a part's images in batches, float32 in [0, 1]."""
    return [as_float(part, slice(start, start + BATCH), device) for start in range(0, len(part), BATCH)]


def as_float(part: Part, chosen: slice | numpy.ndarray, device: torch.device) -> Tensor:
    """Return some of a part's images, float32 [count, channels, height, width] in [0, 1]."""
    return torch.from_numpy(numpy.array(part.images[chosen])).to(device).float().div_(255.0)


def trained_or_loaded(
    run: Run,
    data: ImageSettings,
    model: ModelSettings,
    training: Training,
    root: str | None = None,
    download: bool = False,
) -> Ready:
    """Return an encoder with its data: a small one trained on their captions, or a released one.

    Raises:
        UserError: data or weights are missing, or do not fit each other.
    """
    torch.set_num_threads(run.threads or torch.get_num_threads())
    dataset = load_images(data, run.stream("data").seed, root, download)
    if isinstance(model, OpenClipSettings):
        from experiments.clip.open_clip_model import load_open_clip

        encoder = load_open_clip(model, torch.device(run.device), root=root, download=download)
        return Ready(dataset, StoredVectors(encoder), {"parameters": encoder.parameters})
    return ready_of(dataset, train_small(run, dataset, model, training))


def ready_of(dataset: Dataset, trained: Trained) -> Ready:
    """Return a small encoder that was trained, with the data to classify."""
    facts, diverged = facts_of(trained.encoder.model, trained.outcome), trained.outcome.diverged_at is not None
    return Ready(dataset, FreshVectors(trained.encoder), facts, trained.templates, trained.encoder, diverged)


def facts_of(model: nn.Module, outcome: Outcome) -> dict[str, float]:
    """Return what a record says of a model that was trained: its parameters, and its last loss where there is one."""
    facts: dict[str, float] = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    return {**facts, "loss": outcome.logged[-1]["loss"]} if outcome.logged else facts


def train_small(
    run: Run, dataset: Dataset, settings: SmallSettings, training: Training, train_part: Part | None = None
) -> Trained:
    """Train on captions of an embedded source, with the streams ``templates``, ``captions``, ``init``, ``data_order``.

    Args:
        train_part: takes the place of the data set's training part.

    Raises:
        UserError: the source has no captions here, or its images do not fit the model.
    """
    require_captions(dataset.name)
    for name in training.captions.never:
        if name not in dataset.factors:
            known = ", ".join(dataset.factors)
            raise UserError(f"{dataset.name}: 'never' names '{name}', no factor of its images (known: {known})")
    device, part = torch.device(run.device), train_part or dataset.train
    templates = draw_templates(training.captions, run.stream("templates"))
    stream = run.stream("captions")
    captions = write_captions(dataset.name, part, dataset.factors, training.captions, templates.training, stream)
    vocabulary = Vocabulary(all_words(dataset.name))
    tokens = vocabulary.tokens(captions, unknown=training.captions.unknown, draws=stream.child("unknown").numpy)
    lengths = (tokens != PADDING).sum(1)
    _, channels, side, _ = part.images.shape
    try:
        model = build_small_clip(settings, len(vocabulary), channels, side, run.stream("init")).to(device)
    except ValueError as error:
        raise UserError(f"{dataset.name}: {error}") from None
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss_of(chosen: Tensor) -> Tensor:
        images = as_float(part, chosen.numpy(), device).contiguous(memory_format=torch.channels_last)
        longest = int(lengths[chosen].max())
        of_images, of_texts = model(images, tokens[chosen, :longest].to(device))
        return contrastive_loss(of_images, of_texts, model.scale)

    outcome = train(
        model,
        loss_of,
        len(part),
        training.optimiser,
        training.steps,
        training.batch_size,
        run.stream("data_order"),
        after_step=model.clip_scale,
        checkpoint=run.checkpoint,
        progress=run.progress,
    )
    run.log_rows(outcome.logged)
    return Trained(SmallEncoder(model, vocabulary, device), templates, outcome)
