"""Classifiers of the transformers library, by the name of a hub or a local folder, on one tensor of inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.rdrop.model_settings import HuggingFaceSettings
from harness.errors import UserError
from harness.execution.streams import Stream


class Tokenizer:
    """The tokenizer of a folder or hub name: texts to one tensor [count, 3, length] of int64.

    Rows are the numbers of the tokens, the attention mask and the token types (0 where the model has none).

    Raises:
        UserError: there is none.
    """

    def __init__(self, settings: HuggingFaceSettings, download: bool = False) -> None:
        from transformers import AutoTokenizer

        self.maximum_length = settings.maximum_length
        self._tokenizer: Any = _loaded(settings.name, "tokenizer", AutoTokenizer.from_pretrained, download)
        self.vocabulary = len(self._tokenizer)

    def __call__(self, texts: Sequence[str], second: Sequence[str] | None = None) -> Tensor:
        found = self._tokenizer(
            list(texts),
            None if second is None else list(second),
            truncation=True,
            max_length=self.maximum_length,
            padding="longest",
            return_tensors="pt",
            return_attention_mask=True,
        )
        ids = found["input_ids"]
        types = found["token_type_ids"] if "token_type_ids" in found else torch.zeros_like(ids)
        return torch.stack([ids, found["attention_mask"], types], 1)


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
        UserError: there is no such model, or it has no classifier for such inputs.
    """
    from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

    name = settings.name
    configuration = _loaded(name, "configuration", AutoConfig.from_pretrained, download, num_labels=classes)
    if dropout is not None:
        _set_dropout(configuration, dropout)
    kind: Any = AutoModelForImageClassification if images else AutoModelForSequenceClassification
    what = "classifier of " + ("images" if images else "texts")
    with stream.as_torch_default():
        if settings.from_scratch:
            model: Any = _understood(name, what, lambda: kind.from_config(configuration))
        else:
            more = {"config": configuration, "ignore_mismatched_sizes": True}
            model = _loaded(name, what, kind.from_pretrained, download, **more)
    if not images:
        types = getattr(configuration, "type_vocab_size", 0) or 0
        return TextClassifier(model, with_types=types > 1)
    mean, deviation = _normalisation(name, download)
    return ImageClassifier(model, int(configuration.image_size), mean, deviation)


def _set_dropout(configuration: Any, rate: float) -> None:
    """Set every dropout rate of a configuration, whatever its family calls them; not rates of whole layers."""
    keys = [key for key in configuration.to_dict() if "dropout" in key and "layer" not in key]
    for key in keys:
        if isinstance(getattr(configuration, key), float | int) and not isinstance(getattr(configuration, key), bool):
            setattr(configuration, key, rate)


def _normalisation(name: str, download: bool) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and standard deviation by channel of the folder's image processor; ViT's halves without one."""
    from transformers import AutoImageProcessor

    try:
        processor: Any = AutoImageProcessor.from_pretrained(name, local_files_only=not download)
    except (OSError, ValueError):
        return (0.5,) * 3, (0.5,) * 3
    return processor.image_mean, processor.image_std


def _loaded(name: str, what: str, load: Callable[..., Any], download: bool, **more: Any) -> Any:
    """Load a part of a model from its folder, from what was fetched before, or with ``download`` from the hub."""
    return _understood(name, what, lambda: load(name, local_files_only=not download, **more), download)


def _understood(name: str, what: str, make: Callable[[], Any], download: bool = True) -> Any:
    """Return what ``make`` returns; what the library raises becomes one sentence."""
    try:
        return make()
    except (OSError, ValueError, KeyError) as error:
        if Path(name).is_dir():
            hint = "the folder lacks it, or holds another kind of model"
        elif download:
            hint = "it is no folder, and the hub did not give it"
        else:
            hint = "it is no folder, and was not fetched before; --set download=true asks the hub for it"
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"The model {name} has no {what} here: {hint} ({first})") from None
