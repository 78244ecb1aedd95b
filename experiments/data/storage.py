"""An entry of the cache: every array in a file of its own, to be mapped into memory, and a description.

``<part>/images.npy``, ``<part>/factors/<factor>.npy``, ``<part>/captions.json``, ``description.json``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy

from experiments.data.cache import content_hash
from experiments.data.content import PARTS, Content
from experiments.data.parts import Dataset, FactorInformation, Part


def write_content(content: Content, folder: Path) -> None:
    """Write content into an empty folder."""
    for name, part in content.parts.items():
        (folder / name / "factors").mkdir(parents=True)
        numpy.save(folder / name / "images.npy", numpy.ascontiguousarray(part.images))
        for factor in content.factors:
            numpy.save(folder / name / "factors" / f"{factor}.npy", part.factors[factor])
        (folder / name / "captions.json").write_text(json.dumps(part.captions))
    description = {"factors": {name: asdict(found) for name, found in content.factors.items()}, "label": content.label}
    (folder / "description.json").write_text(json.dumps(description))


def read_dataset(name: str, folder: Path) -> Dataset:
    """Return the data set of a whole entry; its arrays are read-only memory maps."""
    description = json.loads((folder / "description.json").read_text())
    factors = {
        factor: FactorInformation(found["kind"], tuple(found["values"]), found["unit"])
        for factor, found in description["factors"].items()
    }
    parts = {part: _read_part(folder / part, list(factors)) for part in PARTS}
    return Dataset(name, **parts, factors=factors, label=description["label"], key=content_hash(folder))


def _read_part(folder: Path, factors: list[str]) -> Part:
    captions: Any = json.loads((folder / "captions.json").read_text())
    return Part(
        numpy.load(folder / "images.npy", mmap_mode="r"),
        {name: numpy.load(folder / "factors" / f"{name}.npy", mmap_mode="r") for name in factors},
        None if captions is None else tuple(captions),
    )
