"""Parts of a model of the transformers library, from its folder or the hub, with a sentence where one cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.rdrop.model_settings import HuggingFaceSettings
from harness.errors import UserError


def configuration_of(settings: HuggingFaceSettings, classes: int, download: bool) -> Any:
    """Return a model's configuration, with a head for so many classes.

    Raises:
        UserError: there is none.
    """
    from transformers import AutoConfig

    return loaded(settings.name, "configuration", AutoConfig.from_pretrained, download, num_labels=classes)


def set_dropout(configuration: Any, rate: float) -> None:
    """Set every dropout rate of a configuration, whatever its family calls them; not rates of whole layers."""
    for key in configuration.to_dict():
        value = getattr(configuration, key)
        named = ("dropout" in key and "layer" not in key) or key.endswith("_pdrop")
        if named and isinstance(value, float | int) and not isinstance(value, bool):
            setattr(configuration, key, rate)


def require_weights(name: str, model: Any, report: dict[str, Any]) -> None:
    """Refuse weights that are not those of the model's body, which the library draws at random in their place.

    A head may be another's or missing, since it is trained here; so may a pooler, which masked language models lack.

    Raises:
        UserError: part of the body has no weights.
    """
    prefix = f"{model.base_model_prefix}."
    mismatched = [key[0] if isinstance(key, tuple) else key for key in report["mismatched_keys"]]
    lacking = sorted(key for key in {*report["missing_keys"], *mismatched} if key.startswith(prefix))
    lacking = [key for key in lacking if ".pooler." not in key]
    if lacking:
        raise UserError(
            f"The model {name} has weights that are not those of its configuration ({len(lacking)} tensors are missing "
            f"or of another size, among them {lacking[0]}); put the weights and the config.json of one model there."
        )


def normalisation(name: str, download: bool) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and standard deviation by channel of a folder's image processor; ViT's halves where it has none.

    Raises:
        UserError: the processor's file cannot be read.
    """
    from transformers import AutoImageProcessor

    if Path(name).is_dir() and not (Path(name) / "preprocessor_config.json").exists():
        return (0.5,) * 3, (0.5,) * 3
    processor: Any = loaded(name, "image processor", AutoImageProcessor.from_pretrained, download)
    return processor.image_mean, processor.image_std


def loaded(name: str, what: str, load: Callable[..., Any], download: bool, **more: Any) -> Any:
    """Load a part of a model from its folder, from what was fetched before, or with ``download`` from the hub.

    Raises:
        UserError: it cannot be had.
    """
    from huggingface_hub import constants

    # The hub's library asks the network on its own account even where all files are local.
    before = constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = before or not download
    try:
        return understood(name, what, lambda: load(name, local_files_only=not download, **more), download)
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = before


def understood(name: str, what: str, make: Callable[[], Any], download: bool = True) -> Any:
    """Return what ``make`` returns; what the library raises becomes one sentence, and what it prints is not shown.

    Raises:
        UserError: the part cannot be had.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return make()
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        if Path(name).is_dir():
            hint = "the folder lacks it, or holds another kind of model, or a damaged file"
        elif download:
            hint = "it is no folder, and the hub did not give it"
        else:
            hint = "it is no folder, and was not fetched before; --set download=true asks the hub for it"
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"The model {name} has no {what} here: {hint} ({first})") from None
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
