"""A classifier of torchvision that was trained on a data set's labels: the paper's ResNet-50 (section 3.1.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from experiments.clip.task_settings import TAGS, SupervisedSettings
from experiments.data import Dataset
from experiments.data.cache import made_once
from harness.errors import UserError, listed

CLASSES = "classes.npy"


def supervised_classes(
    dataset: Dataset, settings: SupervisedSettings, device: torch.device, root: str | None, download: bool
) -> Tensor:
    """Return the classes that a supervised classifier finds in the test part, int64 [items]; kept in the cache.

    Raises:
        UserError: its weights are missing or do not fit.
    """
    path = require_supervised(settings, len(dataset.factors[dataset.label].values), root, download)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    transform = _weights(settings).transforms()

    def make() -> numpy.ndarray:
        classifier = _classifier(settings, path).to(device).eval()
        found = []
        with ThreadPoolExecutor(torch.get_num_threads()) as pool, torch.no_grad():
            for first in range(0, len(dataset.test), settings.batch_size):
                places = range(first, min(first + settings.batch_size, len(dataset.test)))
                images = torch.stack(list(pool.map(lambda place: transform(dataset.test.image(place)), places)))
                found.append(classifier(images.to(device)).argmax(1).cpu())
        return torch.cat(found).numpy()

    identity = {"name": settings.name, "weights": digest, "transform": repr(transform), "data": dataset.key}
    made = made_once("clip-supervised", identity, make, lambda found, folder: numpy.save(folder / CLASSES, found))
    return torch.from_numpy(numpy.load(made / CLASSES))


def require_supervised(settings: SupervisedSettings, classes: int, root: str | None, download: bool) -> Path:
    """Return the file of a supervised classifier's weights; torchvision's are fetched where that is asked for.

    Raises:
        UserError: it is missing, is none of the classifier's, or tells another number of classes apart.
    """
    path = _file(settings, root, download)
    told = len(_state(settings, path)["fc.bias"])
    _classifier(settings, path)
    if told != classes:
        raise UserError(
            f"The weights in {path} tell {told} classes apart, but the data set has {classes}; give "
            "'supervised' weights that were trained on its classes."
        )
    return path


def _file(settings: SupervisedSettings, root: str | None, download: bool) -> Path:
    if settings.weights not in TAGS:
        path = Path(root or "").expanduser() / Path(settings.weights).expanduser()
        if not path.is_file():
            raise UserError(
                f"The checkpoint file {path} of the supervised {settings.name} is missing; put it there, or name "
                f"torchvision's weights ({listed(list(TAGS))})."
            )
        return path
    weights = _weights(settings)
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    if not download:
        raise UserError(
            f"torchvision's weights {settings.weights} of {settings.name} are not on this machine ({path}); "
            "--set download=true fetches them, or name a checkpoint file as 'weights'."
        )
    try:
        weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # urllib and the file system raise many kinds
        raise UserError(
            f"torchvision's weights {settings.weights} of {settings.name} could not be fetched ({error}); put "
            f"{weights.url} at {path} by hand."
        ) from error
    return path


def _weights(settings: SupervisedSettings) -> Any:
    """Return torchvision's entry of the tag; of the first one for a checkpoint, whose images are prepared like it.

    Raises:
        UserError: torchvision has no such weights of this model.
    """
    known = get_model_weights(settings.name)
    tag = settings.weights if settings.weights in TAGS else TAGS[0]
    if tag not in known.__members__:
        raise UserError(
            f"torchvision has no weights {tag} of {settings.name} (known: {listed([one.name for one in known])})"
        )
    return known[tag]


def _state(settings: SupervisedSettings, path: Path) -> Mapping[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        state: Mapping[str, Tensor] = found.get("model", found)
        if state["fc.bias"].ndim != 1:
            raise ValueError("its classifier has no list of biases")
        return state
    except Exception as error:  # pickle, zip and what a file may hold in place of tensors raise many kinds
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"The file {path} is no checkpoint of {settings.name} ({why}); give a state dict saved by torch.save."
        ) from error


def _classifier(settings: SupervisedSettings, path: Path) -> nn.Module:
    """Return the classifier with its weights.

    Raises:
        UserError: they are another model's.
    """
    state = _state(settings, path)
    with torch.random.fork_rng(devices=[]):
        built: nn.Module = get_model(settings.name, weights=None, num_classes=len(state["fc.bias"]))
    try:
        built.load_state_dict(dict(state))
    except RuntimeError as error:
        lacking = [name for name in built.state_dict() if name not in state]
        why = f"it lacks {lacking[0]}" if lacking else "its tensors have other shapes or names"
        raise UserError(
            f"The weights in {path} are not those of {settings.name} ({why}); set 'name' to theirs."
        ) from error
    return built
