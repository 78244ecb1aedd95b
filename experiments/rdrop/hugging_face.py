"""Classifiers of the transformers library, by the name of a hub or a local folder, on one tensor of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.rdrop.hub import configuration_of, loaded, normalisation, require_weights, set_dropout, understood
from experiments.rdrop.model_settings import HuggingFaceSettings
from harness.errors import UserError
from harness.execution.streams import Stream

OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "longformer")
"""Families that number positions behind that of padding."""


class Tokenizer:
    """The tokenizer of a folder or hub name: texts to one tensor [count, 3, length] of int64.

    Rows are the numbers of the tokens, the attention mask and the token types (0 where the model has none). Texts are
    cut at ``maximum_length`` tokens, or at what the model has positions for where that is less.

    Raises:
        UserError: there is none, or it does not belong to the model.
    """

    def __init__(self, settings: HuggingFaceSettings, download: bool = False) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = loaded(settings.name, "tokenizer", AutoTokenizer.from_pretrained, download)
        self.vocabulary = len(self._tokenizer)
        if self.vocabulary <= len(set(self._tokenizer.all_special_ids)):
            # What the library makes up where the folder has none: every word would be unknown.
            raise UserError(f"The model {settings.name} has no tokenizer with words; save its own in the same folder.")
        configuration = configuration_of(settings, 2, download)
        embedded = getattr(configuration, "vocab_size", self.vocabulary)
        if self.vocabulary > embedded:
            raise UserError(
                f"The tokenizer of the model {settings.name} has {self.vocabulary} tokens, its embedding {embedded}; "
                "save the tokenizer that it was trained with."
            )
        self.maximum_length = longest_text(settings, configuration)

    def __call__(self, texts: Sequence[str], second: Sequence[str] | None = None) -> Tensor:
        found = self._tokenizer(
            list(texts),
            None if second is None else list(second),
            truncation=True,
            max_length=self.maximum_length,
            padding="longest",
            # Padding is cut off from the right.
            padding_side="right",
            return_tensors="pt",
            return_attention_mask=True,
        )
        ids = found["input_ids"]
        types = found["token_type_ids"] if "token_type_ids" in found else torch.zeros_like(ids)
        return torch.stack([ids, found["attention_mask"], types], 1)


def longest_text(settings: HuggingFaceSettings, configuration: Any) -> int:
    """Return how many tokens of a text are read: ``maximum_length``, or the model's positions where these are fewer."""
    positions = getattr(configuration, "max_position_embeddings", None) or settings.maximum_length
    if getattr(configuration, "model_type", "") in OFFSET_POSITIONS:
        # Their first positions are kept for padding.
        positions -= (configuration.pad_token_id or 0) + 1
    return int(min(settings.maximum_length, positions))


class TextClassifier(nn.Module):
    """Tokens [batch, 3, length] to logits [batch, classes]; padding that no text of the batch needs is cut off."""

    def __init__(self, model: nn.Module, with_types: bool) -> None:
        super().__init__()
        self.model = model
        self.with_types = with_types

    def forward(self, x: Tensor) -> Tensor:
        ids, mask, types = x[..., : int(x[:, 1].sum(-1).max())].unbind(1)
        more = {"token_type_ids": types} if self.with_types else {}
        return self.model(input_ids=ids, attention_mask=mask, **more).logits  # type: ignore[no-any-return]


class ImageClassifier(nn.Module):
    """Images [batch, channels, side, side] in [0, 1] to logits: resized to the model's side, and normalised."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, model: nn.Module, side: int, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.side = side
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        resized = functional.interpolate(x, (self.side, self.side), mode="bicubic", antialias=True).clamp(0.0, 1.0)
        return self.model(pixel_values=(resized - self.mean) / self.deviation).logits  # type: ignore[no-any-return]


def build_hugging_face(
    settings: HuggingFaceSettings,
    images: bool,
    classes: int,
    dropout: float | None,
    stream: Stream,
    download: bool = False,
) -> nn.Module:
    """Return a classifier with a head for so many classes; what has no weights yet is drawn from the stream.

    Args:
        dropout: the rate of every dropout layer, attention's included; None: as the configuration says.
        download: fetch from the hub what is not on this machine; else only folders and what was fetched before serve.

    Raises:
        UserError: there is no such model, its weights are another's, or it has no classifier for such inputs.
    """
    from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification

    name = settings.name
    configuration = configuration_of(settings, classes, download)
    if dropout is not None:
        set_dropout(configuration, dropout)
    kind: Any = AutoModelForImageClassification if images else AutoModelForSequenceClassification
    what = "classifier of " + ("images" if images else "texts")
    with stream.as_torch_default():
        if settings.from_scratch:
            model: Any = understood(name, what, lambda: kind.from_config(configuration))
        else:
            more = {"config": configuration, "ignore_mismatched_sizes": True, "output_loading_info": True}
            model, report = loaded(name, what, kind.from_pretrained, download, **more)
            require_weights(name, model, report)
    if not images:
        types = getattr(configuration, "type_vocab_size", 0) or 0
        return TextClassifier(model, with_types=types > 1)
    side = getattr(configuration, "image_size", None)
    if not isinstance(side, int):
        raise UserError(f"The model {name} does not say for which side of images it is ('image_size'); choose a ViT.")
    mean, deviation = normalisation(name, download)
    return ImageClassifier(model, side, mean, deviation)
