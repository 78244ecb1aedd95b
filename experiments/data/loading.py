"""From settings to a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

from experiments.data.cache import made_once
from experiments.data.content import Content
from experiments.data.parts import Dataset
from experiments.data.settings import (
    Cifar10Settings,
    Cifar100Settings,
    DataSettings,
    ImageFolderSettings,
    ImageNetSettings,
    Stl10Settings,
)
from experiments.data.storage import read_dataset, write_content


@dataclass(frozen=True)
class _Generator:
    """Who draws an embedded source, which version of its code, and whose digits or fonts it uses.

    The version goes up with every change of the bytes it makes: entries of the cache carry it.
    """

    module: str
    function: str
    version: int
    library: str | None


GENERATORS = {
    "digits": _Generator("experiments.data.digits", "make", 1, "scikit-learn"),
    "coloured-digits": _Generator("experiments.data.digits", "make_coloured", 1, "scikit-learn"),
    "scenes": _Generator("experiments.data.scenes", "make", 1, None),
    "glyphs": _Generator("experiments.data.glyphs", "make", 1, "matplotlib"),
}


def load(settings: DataSettings, seed: int, *, root: str | None = None, download: bool = False) -> Dataset:
    """Return a data set, made at the first call and mapped from the cache afterwards.

    Embedded sources (digits, coloured-digits, scenes, glyphs) are drawn from ``seed``: the same settings and seed
    give the same bytes on every machine whose matplotlib and scikit-learn carry the same fonts and digits; ``root``
    and ``download`` do not matter. Real sources are read below ``root`` and do not depend on the seed; ``download``
    fetches CIFAR and STL-10 where they are missing.

    Raises:
        UserError: ``root`` is needed and None, files are missing or damaged, ``download`` is asked for what this
            program may not fetch or fails, or the cache cannot be written.
    """
    # Imported here because they import torch, and the command line reads settings without it.
    if isinstance(settings, Cifar10Settings | Cifar100Settings | Stl10Settings):
        from experiments.data import real_arrays

        return real_arrays.load(settings, root, download)
    if isinstance(settings, ImageNetSettings | ImageFolderSettings):
        from experiments.data import real_folders

        return real_folders.load(settings, root, download)
    generator = GENERATORS[settings.source]
    identity = {
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "version": generator.version,
        "library": generator.library and version(generator.library),
    }

    def make() -> Content:
        # By name, because a process that finds the entry made need not wait for scikit-learn's or matplotlib's import.
        function: Callable[[Any, int], Content] = getattr(import_module(generator.module), generator.function)
        return function(settings, seed)

    return read_dataset(settings.source, made_once(settings.source, identity, make, write_content))
