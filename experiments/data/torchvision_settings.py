"""Which of the classification sets that torchvision reads is asked for.

Read by the command line, so nothing here imports torch or numpy.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TorchvisionName = Literal[
    "food101",
    "oxford-pets",
    "dtd",
    "eurosat",
    "gtsrb",
    "mnist",
    "flowers102",
    "fgvc-aircraft",
    "caltech101",
    "svhn",
    "pcam",
    "country211",
    "rendered-sst2",
    "stanford-cars",
    "fer2013",
    "sun397",
]


class TorchvisionSettings(BaseModel):
    """A data set that torchvision reads, from its original files.

    ``validation`` is the fraction of each class's training images that becomes the validation part; dtd, flowers102,
    fgvc-aircraft, pcam, country211 and rendered-sst2 have an official one, which is taken in its place.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Literal["torchvision"] = "torchvision"
    name: TorchvisionName
    validation: float = Field(default=0.1, gt=0, lt=1)
