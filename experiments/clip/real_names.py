"""Class names and prompt templates of real data sets, as clip_benchmark and open_clip have them.

clip_benchmark keeps OpenAI's, in two JSON files of its package; those are read where they lie, without importing the
package, whose dependencies need not be there. Names come in the order of the data set's labels as torchvision counts
them. That order was checked set by set:

- mnist, svhn: the digits. eurosat, caltech101: folders sorted by name, and clip_benchmark's reader of Caltech 101 has a
  class of backgrounds before all others that torchvision's leaves out. gtsrb: the official numbers of the signs.
  flowers102: the list in torchvision's code. oxford-pets: breeds by the alphabet. country211: folders sorted by ISO
  3166 code. pcam: tumour no, yes. rendered-sst2: torchvision's two, in its code.
- fer2013: torchvision counts emotions as the original CSV does (sad, surprise, neutral last), clip_benchmark as folders
  sorted by name (neutral, sad, surprise); brought into torchvision's order here.
- imagenet: WordNet numbers sorted, which is the order of open_clip's list.
- The others: clip_benchmark takes torchvision's names, which are read from the set's files (see ``class_names``).
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError, nearest

NAMED_HERE = {
    "mnist": "mnist",
    "svhn": "svhn",
    "gtsrb": "gtsrb",
    "eurosat": "eurosat",
    "flowers102": "flowers",
    "country211": "country211",
    "pcam": "pcam",
    "caltech101": "caltech101",
    "fer2013": "fer2013",
    "oxford-pets": "pets",
}
"""Sets whose class names clip_benchmark keeps, with its own names for them."""

NAMED_BY_FILES = {
    "food101": "food101",
    "dtd": "dtd",
    "sun397": "sun397",
    "stanford-cars": "cars",
    "fgvc-aircraft": "fgvc_aircraft",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "stl10": "stl10",
}
"""Sets whose class names clip_benchmark takes from torchvision, which reads them from the set's files."""

SENTIMENTS = {"rendered-sst2": "renderedsst2"}
TEMPLATES = {**NAMED_HERE, **NAMED_BY_FILES, **SENTIMENTS}
FER2013_ORDER = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")


def class_names(set_name: str, own: Sequence[str] = ()) -> tuple[str, ...]:
    """Return a class's name for every label, in the order of the labels.

    Args:
        own: the names that the loaded data set itself has, such as ``dataset.factors["label"].values``: the answer for
            the sets of ``NAMED_BY_FILES``, for the others only compared in number.

    Raises:
        UserError: the set is unknown, clip_benchmark is not installed, the set's names are in its files and ``own`` is
            empty, or there are not as many names as the data set has classes.
    """
    _known(set_name)
    if set_name in NAMED_BY_FILES:
        if not own:
            raise UserError(
                f"The class names of {set_name} are in its own files, not in clip_benchmark; load the data set and "
                "take the names of its labels."
            )
        # clip_benchmark separates the words of a place ("apartment_building/outdoor"), and only those.
        return tuple(name.replace("/", " ") if set_name == "sun397" else name for name in own)
    names = _names(set_name)
    if own and len(own) != len(names):
        raise UserError(
            f"The data set {set_name} has {len(own)} classes here, but there are {len(names)} names for them; put all "
            "of its original files there."
        )
    return names


def set_templates(set_name: str) -> tuple[str, ...]:
    """Return the prompt templates of a data set, each with one ``{}`` where the class name goes.

    Raises:
        UserError: the set is unknown, or clip_benchmark is not installed.
    """
    _known(set_name)
    if set_name == "imagenet":
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
    found = _read("en_zeroshot_classification_templates.json", TEMPLATES[set_name])
    return tuple(template.replace("{c}", "{}") for template in found)


def _names(set_name: str) -> tuple[str, ...]:
    if set_name == "imagenet":
        from open_clip import IMAGENET_CLASSNAMES

        return tuple(IMAGENET_CLASSNAMES)
    if set_name in SENTIMENTS:
        return ("negative", "positive")
    names = tuple(_read("en_classnames.json", NAMED_HERE[set_name]))
    if set_name == "caltech101":
        return tuple(name for name in names if name != "background")
    if set_name == "fer2013":
        return tuple(sorted(names, key=FER2013_ORDER.index))
    return names


def _known(set_name: str) -> None:
    known = sorted([*TEMPLATES, "imagenet"])
    if set_name not in known:
        raise UserError(
            f"There are no class names and templates for a data set '{set_name}'{nearest(set_name, known)}; known are: "
            f"{', '.join(known)}."
        )


def _read(file: str, key: str) -> list[str]:
    """Return one list of clip_benchmark's JSON files."""
    package = importlib.util.find_spec("clip_benchmark")
    if package is None or not package.submodule_search_locations:
        raise UserError(
            "Class names and templates of real data sets are read from the package clip_benchmark, which is not "
            "installed: pip install --no-deps clip_benchmark."
        )
    path = Path(package.submodule_search_locations[0]) / "datasets" / file
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return list(content[key])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"The file {path} of clip_benchmark cannot be used ({type(error).__name__}: {error}); install version "
            "1.6.2 of it again: pip install --no-deps clip_benchmark."
        ) from error
