"""From settings to images, of embedded sources and of real sets alike."""

from __future__ import annotations

from experiments.clip.data_settings import ImageSettings
from experiments.data import Dataset, load
from experiments.data.torchvision_settings import TorchvisionSettings


def load_images(settings: ImageSettings, seed: int, root: str | None = None, download: bool = False) -> Dataset:
    """Return a data set; embedded ones are drawn from ``seed``, real ones are read below ``root``.

    Raises:
        UserError: files are missing or damaged.
    """
    if isinstance(settings, TorchvisionSettings):
        from experiments.data.torchvision_sets import load_torchvision

        return load_torchvision(settings, root, download)
    return load(settings, seed, root=root, download=download)
