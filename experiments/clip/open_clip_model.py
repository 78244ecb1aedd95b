"""A released model of open_clip: its vectors as open_clip computes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from experiments.clip.model_settings import OpenClipSettings
from experiments.clip.open_clip_weights import (
    check_released,
    digest_of,
    fetched,
    library_of_models,
    load_weights,
    located,
    made,
    offline,
    require_open_clip,
)
from experiments.clip.short_texts import TextSide
from experiments.data import Part


class OpenClipEncoder:
    """A DualEncoder of one model of open_clip; ``parameters`` is their number, both towers together."""

    def __init__(
        self,
        model: Any,
        preprocess: Callable[[Any], Tensor],
        tokenizer: Callable[[list[str]], Tensor],
        settings: OpenClipSettings,
        device: torch.device,
        key: str,
    ) -> None:
        self._model = model.to(device).eval().requires_grad_(False)
        self._texts = TextSide(self._model)
        self._preprocess = preprocess
        self._tokenizer = tokenizer
        self._settings = settings
        self._device = device
        self._dimension = int(library_of_models().get_model_config(settings.name)["embed_dim"])
        self.key = key
        self.scale = float(model.logit_scale.detach().exp())
        self.parameters = sum(parameter.numel() for parameter in model.parameters())

    def encode_images(self, part: Part) -> Tensor:
        """Return unit vectors [images, dimension]; threads prepare the next batch while the model has one.

        Raises:
            UserError: an image cannot be decoded.
        """
        size, found = self._settings.batch_size, []
        # As many threads as this process computes on, so that trials side by side do not take each other's cores.
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:

            def begun(first: int) -> list[Future[Tensor]]:
                indices = range(first, min(first + size, len(part)))
                return [pool.submit(lambda index: self._preprocess(part.image(index)), index) for index in indices]

            ahead = begun(0)
            for first in range(0, len(part), size):
                batch, ahead = ahead, begun(first + size)
                images = torch.stack([image.result() for image in batch])
                found.append(self._unit_vectors(self._model.encode_image, images))
        return torch.cat(found) if found else torch.empty(0, self._dimension)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors [texts, dimension]; what is longer than the model reads is cut as open_clip cuts it."""
        if not texts:
            return torch.empty(0, self._dimension)
        return self._unit_vectors(self._texts.vectors, self._tokenizer(list(texts)))

    def _unit_vectors(self, encode: Callable[..., Tensor], inputs: Tensor) -> Tensor:
        lower = self._settings.precision == "bfloat16"
        with torch.no_grad(), torch.autocast(self._device.type, torch.bfloat16, enabled=lower):
            vectors = encode(inputs.to(self._device))
        # Normalised in float32, since a vector of bfloat16 numbers is a unit vector to two digits only.
        return functional.normalize(vectors.float(), dim=-1).cpu()


def load_open_clip(
    settings: OpenClipSettings, device: torch.device, *, root: str | None = None, download: bool = False
) -> OpenClipEncoder:
    """Return an encoder with the weights of a tag or a checkpoint file.

    Args:
        root: the folder that a relative path of a checkpoint file is below; None: the current folder.
        download: fetch what is not on this machine.

    Raises:
        UserError: there is no such model, tag or file, or the weights are another model's.
    """
    require_open_clip(settings, root, download)
    library = library_of_models()
    entry, path = located(settings, root)
    path = path or fetched(settings, entry)
    digest = digest_of(path)
    official = check_released(settings, path, entry, digest)
    with offline(download), torch.random.fork_rng(devices=[]):
        more = {"load_weights": False, "pretrained_text": False, "force_preprocess_cfg": dict(entry)}
        model = made(settings, "model", lambda: library.create_model(settings.name, **more))
        load_weights(model, settings, path, entry, official)
        tokenizer = made(settings, "tokenizer", lambda: library.get_tokenizer(settings.name))
        preprocessing = library.get_model_preprocess_cfg(model)
        from open_clip.transform import PreprocessCfg, image_transform_v2

        transform = image_transform_v2(PreprocessCfg(**preprocessing), is_train=False)
    configuration = library.get_model_config(settings.name)
    identity = [settings.name, configuration, digest, settings.precision, preprocessing, library.__version__]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return OpenClipEncoder(model, transform, tokenizer, settings, device, key)
