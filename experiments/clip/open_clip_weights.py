"""Weights of a released model of open_clip: found, checked and loaded, without the network unless it is asked for.

Weights of a tag are looked up in the caches that open_clip fills (the Hugging Face hub's, ``~/.cache/clip``), and
whatever else a model reads there is read offline. No weights are loaded in a way that could run code.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments.clip.model_settings import OpenClipSettings
from harness.errors import UserError, listed, nearest

ENDINGS = (".pt", ".pth", ".bin", ".safetensors")
SCHEMAS = ("hf-hub:", "local-dir:")
RESHAPED = ("logit_scale", "logit_bias")
"""What open_clip itself brings into shape: a number may be kept as a vector of one."""


def require_open_clip(settings: OpenClipSettings, root: str | None, download: bool) -> None:
    """Refuse what ``load_open_clip`` would, as far as it shows without a model being built.

    Raises:
        UserError: see there.
    """
    library = library_of_models()
    name = settings.name
    for text in (name, settings.pretrained):
        if text.startswith(SCHEMAS):
            raise UserError(
                f"'{text}' names a model by 'hf-hub:' or 'local-dir:', which is not supported; give a name of "
                "open_clip.list_models() and a checkpoint file as 'pretrained'."
            )
    if library.get_model_config(name) is None:
        raise UserError(
            f"open_clip {library.__version__} has no model '{name}'{nearest(name, library.list_models())}; "
            "open_clip.list_models() lists its names."
        )
    entry, path = located(settings, root)
    check_activation(settings, entry, f"The weights '{settings.pretrained}'")
    if path is not None:
        shapes_of(path)
    elif not download:
        raise UserError(
            f"The weights '{settings.pretrained}' of the model {name} are not on this machine (neither in the hub's "
            "cache nor in ~/.cache/clip); --set download=true fetches them, or name a checkpoint file as 'pretrained'."
        )
    if not download:
        with offline(download):
            made(settings, "tokenizer", lambda: library.get_tokenizer(name))


def library_of_models() -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise UserError(f"Models of kind open-clip need a package ({error}): pip install open_clip_torch.") from error
    return open_clip


@contextlib.contextmanager
def offline(download: bool) -> Iterator[None]:
    """Keep open_clip's and the hub's libraries from the network, and open_clip from setting up the log and writing."""
    from huggingface_hub import constants

    offline, disabled, handlers = constants.HF_HUB_OFFLINE, logging.root.manager.disable, logging.root.handlers[:]
    # All of transformers and huggingface_hub ask this at every request; the variable of the environment comes too late.
    constants.HF_HUB_OFFLINE = offline or not download
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.disable(disabled)
        logging.root.handlers[:] = handlers


def located(settings: OpenClipSettings, root: str | None) -> tuple[Mapping[str, Any], Path | None]:
    """Return what open_clip's table says of a tag (nothing of a file), and the file of weights if it is here.

    Raises:
        UserError: the model has no such tag, or the checkpoint file is missing.
    """
    library, name, pretrained = library_of_models(), settings.name, settings.pretrained
    if pretrained.endswith(ENDINGS) or "/" in pretrained:
        path = Path(root or "").expanduser() / Path(pretrained).expanduser()
        if not path.is_file():
            raise UserError(
                f"The checkpoint file {path} of the model {name} is missing; put it there, or name one of open_clip's "
                f"tags as 'pretrained' ({listed(library.list_pretrained_tags_by_model(name))})."
            )
        return {}, path
    entry = library.get_pretrained_cfg(name, pretrained)
    if not entry:
        tags = library.list_pretrained_tags_by_model(name)
        elsewhere = library.list_pretrained_models_by_tag(pretrained)
        hint = f"the tag belongs to {listed(elsewhere)}, and " if elsewhere else ""
        raise UserError(
            f"The model {name} has no weights '{pretrained}'{nearest(pretrained, tags)}; {hint}its own tags are: "
            f"{listed(tags)}; a checkpoint file is named by a path that ends in {', '.join(ENDINGS)}."
        )
    return entry, _cached(entry)


def _cached(entry: Mapping[str, Any]) -> Path | None:
    """Return the file of a tag in the caches: what open_clip's download_pretrained returns, without the network."""
    from huggingface_hub import try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    repository, file = os.path.split(entry.get("hf_hub", ""))
    # open_clip prefers the safetensors beside a file of pickles.
    files = (f"{file[:-4]}.safetensors", file) if file else (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
    for wanted in files if repository else ():
        found = try_to_load_from_cache(repository, wanted)
        if isinstance(found, str):
            return Path(found)
    by_address = Path("~/.cache/clip").expanduser() / os.path.basename(entry.get("url", ""))
    return by_address if by_address.is_file() else None


def fetched(settings: OpenClipSettings, entry: Mapping[str, Any]) -> Path:
    try:
        return Path(library_of_models().download_pretrained(dict(entry)))
    except Exception as error:  # the hub's library, urllib and open_clip raise many kinds
        raise UserError(
            f"The weights '{settings.pretrained}' of the model {settings.name} could not be fetched "
            f"({_first_line(error)}); fetch them by hand and name the file as 'pretrained'."
        ) from error


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_released(settings: OpenClipSettings, path: Path, entry: Mapping[str, Any], digest: str) -> bool:
    """Return whether a file is a released one, by the hash in the address that open_clip's table has for it.

    Raises:
        UserError: a file of ``~/.cache/clip`` is not the one it is called, or its weights need another activation.
    """
    library, name = library_of_models(), settings.name
    if path.name == os.path.basename(entry.get("url", "")) and not digest.startswith(_known_hash(entry)):
        raise UserError(
            f"The file {path} is damaged (its SHA-256 is not {_known_hash(entry)}); remove it, and --set download=true "
            "fetches it again."
        )
    rows = {tag: library.get_pretrained_cfg(name, tag) for tag in library.list_pretrained_tags_by_model(name)}
    for tag, row in rows.items():
        if _known_hash(row) and digest.startswith(_known_hash(row)):
            check_activation(settings, row, f"The file {path}, the released weights '{tag}',")
            return True
    return False


def _known_hash(entry: Mapping[str, Any]) -> str:
    """Return the SHA-256, or how it begins, from a tag's address, as open_clip reads it there."""
    url = entry.get("url", "")
    if "openaipublic" in url:
        return str(url.split("/")[-2])
    return Path(url).stem.split("-")[-1] if "mlfoundations" in url else ""


def check_activation(settings: OpenClipSettings, entry: Mapping[str, Any], what: str) -> None:
    """Refuse weights trained with quick GELU in a model without, of which open_clip 3 only warns, openai's included.

    ViT-B-32 loses 2.7 points on ImageNet so: 60.24 % in place of 62.93 % for laion400m_e32 in open_clip's own results.
    """
    library, right = library_of_models(), f"{settings.name}-quickgelu"
    has = library.get_model_config(settings.name).get("quick_gelu", False)
    if entry.get("quick_gelu", False) and not has and right in library.list_models():
        raise UserError(
            f"{what} were trained with the activation quick GELU, which the model {settings.name} has not; set 'name' "
            f"to {right}."
        )


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a checkpoint's tensors by name, without reading these where the format allows it.

    Raises:
        UserError: the file is no checkpoint.
    """
    if _is_script(path):
        return {}  # whether it may be read at all is for load_weights to say
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        else:
            state: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
            state = state.get("state_dict", state)
            found = {name: tuple(value.shape) for name, value in state.items() if isinstance(value, Tensor)}
        if not found:
            raise ValueError("it holds no tensors by name")
    except Exception as error:  # pickle, zip and safetensors raise many kinds
        raise UserError(
            f"The file {path} is no checkpoint of open_clip ({_first_line(error)}); give one of tensors by name, saved "
            "by torch.save or as safetensors."
        ) from error
    # As open_clip.factory.load_state_dict takes off what distributed training puts before every name.
    wrapped = next(iter(found)).startswith("module")
    return {name[7:] if wrapped else name: shape for name, shape in found.items()}


def _is_script(path: Path) -> bool:
    """Return whether a file is a TorchScript archive, in which OpenAI handed its models out."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def made(settings: OpenClipSettings, what: str, make: Callable[[], Any]) -> Any:
    """Return a part of a model; whatever other libraries lack for it becomes one sentence."""
    try:
        return make()
    except Exception as error:  # transformers, timm and the hub's library raise many kinds
        raise UserError(
            f"The {what} of {settings.name} cannot be made on this machine ({_first_line(error)}); --set download=true "
            "fetches what it needs of the hub, and models whose texts are not read by transformers need nothing."
        ) from error


def load_weights(
    model: nn.Module, settings: OpenClipSettings, path: Path, entry: Mapping[str, Any], official: bool
) -> None:
    """Load weights into a model, never anything that a pickle could run.

    Raises:
        UserError: the tensors are not the model's, or an archive of code is not the one that was released.
    """
    if _is_script(path) and not official:
        raise UserError(
            f"The file {path} is a TorchScript archive, which holds code, and not the one released as {settings.name}; "
            "save the state_dict of the model in it with torch.save and give that file."
        )
    there = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    given = shapes_of(path)
    # open_clip would stretch the positions of another size of images; a tag's conversions are its own business.
    for name in there if not entry else ():
        if name in given and there[name] != given[name] and name not in RESHAPED:
            raise UserError(_unfit(settings, path, f"{name} is {given[name]} there, {there[name]} in the model"))
    try:
        if _is_script(path):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that such archives are deprecated
                state = torch.jit.load(str(path), map_location="cpu").state_dict()
            model.load_state_dict({name: value for name, value in state.items() if name in there})
        else:
            library_of_models().load_checkpoint(model, str(path), strict=True, weights_only=True)
    except (RuntimeError, KeyError, AttributeError, TypeError) as error:
        lacking, more = [n for n in there if n not in given], [n for n in given if n not in there]
        why = f"it lacks {lacking[0]}" if lacking else f"it has {more[0]} too" if more else _first_line(error)
        raise UserError(_unfit(settings, path, why)) from error


def _unfit(settings: OpenClipSettings, path: Path, why: str) -> str:
    return (
        f"The weights in {path} are not those of the model {settings.name} ({why}); set 'name' to the model that they "
        "were saved from."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
