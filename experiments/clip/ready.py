"""Are data, weights and templates there, and do they fit each other? Asked before a trial is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from experiments.clip.caption_settings import CaptionSettings
from experiments.clip.counting_trial import Reader as TaskReader
from experiments.clip.counting_trial import require_labelled, require_tasks
from experiments.clip.data_settings import ImageSettings
from experiments.clip.model_settings import ModelSettings, OpenClipSettings, SmallSettings
from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.shift_settings import ShiftSettings
from experiments.clip.task_settings import (
    AttributeSettings,
    PairsSettings,
    SupervisedSettings,
    TaskSettings,
    UnseenSettings,
)
from experiments.clip.transfer_trial import Reader as UnseenReader
from experiments.clip.transfer_trial import pair_factors, require_unseen
from experiments.clip.words import require_captions
from experiments.data.settings import EmbeddedSettings
from harness.errors import UserError

if TYPE_CHECKING:
    from experiments.data import Dataset


def prompts_are_there(
    *,
    prompts: Mapping[str, PromptSettings],
    data: ImageSettings,
    model: ModelSettings,
    captions: CaptionSettings,
    attribute: str | None,
    data_root: str | None,
    download: bool,
) -> None:
    """Look at what ``experiments.clip.trial`` needs; real data are opened once, and fetched where that is asked for.

    Raises:
        UserError: the sentence says what is missing or does not fit.
    """
    dataset = _opened(data, data_root, download)
    _require_encoder(dataset, model, data_root, download)
    _require_templates(dataset, attribute or dataset.label, list(prompts.values()), model, captions, data_root)


def shift_is_possible(
    *,
    test: Mapping[str, tuple[ShiftSettings, ...]],
    data: ImageSettings,
    model: SmallSettings,
    captions: CaptionSettings,
    attribute: str | None,
    prompts: PromptSettings,
    data_root: str | None,
    download: bool,
) -> None:
    """Look at what ``experiments.clip.shift_trial`` needs.

    Raises:
        UserError: the sentence says what is missing or does not fit.
    """
    for name, shifts in test.items():
        if len(set(shifts)) < len(shifts):
            raise UserError(f"'test' has one shift twice in the level '{name}'; leave one out")
    dataset = _opened(data, data_root, download)
    _require_encoder(dataset, model, data_root, download)
    _require_templates(dataset, attribute or dataset.label, [prompts], model, captions, data_root)


def tasks_are_there(
    *,
    task: Mapping[str, TaskSettings],
    reader: Mapping[str, TaskReader],
    data: ImageSettings,
    model: SmallSettings,
    captions: CaptionSettings,
    labelled: int,
    prompts: PromptSettings,
    data_root: str | None,
    download: bool,
) -> None:
    """Look at what ``experiments.clip.counting_trial`` needs.

    Raises:
        UserError: the sentence says what is missing or does not fit.
    """
    dataset = _opened(data, data_root, download)
    _require_encoder(dataset, model, data_root, download)
    require_tasks(dataset, task)
    for settings in task.values():
        _require_templates(dataset, settings.factor, [settings.prompts or prompts], model, captions, data_root)
    if isinstance(data, EmbeddedSettings) and "probe" in reader.values():
        require_labelled(labelled, data.train)


def unseen_is_there(
    *,
    task: Mapping[str, UnseenSettings],
    reader: Mapping[str, UnseenReader],
    data: ImageSettings,
    model: ModelSettings,
    captions: CaptionSettings,
    withheld: float,
    prompts: PromptSettings,
    supervised: SupervisedSettings | None,
    data_root: str | None,
    download: bool,
) -> None:
    """Look at what ``experiments.clip.transfer_trial`` needs.

    Raises:
        UserError: the sentence says what is missing or does not fit.
    """
    require_unseen(task, reader, model, captions, supervised)
    dataset = _opened(data, data_root, download)
    if "zero-shot" in reader.values():
        _require_encoder(dataset, model, data_root, download)
    _require_pairs(dataset, task, withheld)
    if "zero-shot" in reader.values():
        for settings in task.values():
            factor = settings.factor if isinstance(settings, AttributeSettings) else dataset.label
            _require_templates(dataset, factor, [settings.prompts or prompts], model, captions, data_root)
    if "supervised" in reader.values() and supervised is not None:
        from experiments.clip.supervised import require_supervised

        require_supervised(supervised, len(dataset.factors[dataset.label].values), data_root, download)


def shots_are_there(
    *,
    shots: Mapping[str, int],
    layer: Mapping[str, str],
    data: ImageSettings,
    model: ModelSettings,
    captions: CaptionSettings,
    attribute: str | None,
    prompts: PromptSettings,
    data_root: str | None,
    download: bool,
) -> None:
    """Look at what ``experiments.clip.few_shot_trial`` needs; of embedded data, whether there can be enough images.

    Raises:
        UserError: the sentence says what is missing or does not fit.
    """
    if isinstance(model, OpenClipSettings) and "penultimate" in layer.values():
        raise UserError(
            "'layer': 'penultimate' is known of small encoders alone; choose 'projected' for a released one"
        )
    dataset = _opened(data, data_root, download)
    factor = attribute or dataset.label
    _require_encoder(dataset, model, data_root, download)
    _require_templates(dataset, factor, [prompts], model, captions, data_root)
    classes, most = len(dataset.factors[factor].values), max(shots.values())
    if isinstance(data, EmbeddedSettings):
        least = data.train // classes
    else:
        import numpy

        labels = dataset.train.factors[factor]
        least = int(numpy.bincount(labels[labels >= 0], minlength=classes).min())
    if least < most:
        raise UserError(
            f"{dataset.name}: {most} shots need as many training images of each class, and one of them has {least} at "
            "most; ask for fewer"
        )


def _opened(data: ImageSettings, root: str | None, download: bool) -> Dataset:
    """Return real data, or an embedded source with an image a part: its factors are those of any number of them."""
    from experiments.clip.images import load_images

    if isinstance(data, EmbeddedSettings):
        data = data.model_copy(update={"train": 1, "validation": 1, "test": 1})
    return load_images(data, 0, root, download)


def _require_encoder(dataset: Dataset, model: ModelSettings, root: str | None, download: bool) -> None:
    """Refuse a released encoder that is not there, and a small one that the data cannot train.

    Raises:
        UserError: it is so.
    """
    if isinstance(model, OpenClipSettings):
        from experiments.clip.open_clip_weights import require_open_clip

        require_open_clip(model, root, download)
        return
    import torch

    from experiments.clip.model import image_tower

    require_captions(dataset.name)
    _, channels, side, _ = dataset.train.images.shape
    try:
        with torch.device("meta"):
            image_tower(model.image, channels, side, model.dimension)
    except ValueError as error:
        raise UserError(f"{dataset.name}: {error}") from None


def _require_templates(
    dataset: Dataset,
    factor: str,
    prompts: Sequence[PromptSettings],
    model: ModelSettings,
    captions: CaptionSettings,
    root: str | None,
) -> None:
    """Refuse templates that are not there, and subsets of more than there are.

    Raises:
        UserError: it is so, or the factor's classes have no names.
    """
    from experiments.clip.captions import draw_templates
    from experiments.clip.templates import subject_of
    from harness.execution.streams import Stream

    grammar = draw_templates(captions, Stream("ready")) if isinstance(model, SmallSettings) else None
    subject = subject_of(dataset, factor, grammar, root)
    for settings in prompts:
        try:
            there = len(subject.templates(settings))
        except ImportError as error:
            raise UserError(
                f"The templates '{settings.templates}' need a package ({error}): pip install open_clip_torch."
            ) from error
        if settings.count is not None and settings.count > there:
            raise UserError(f"'count' asks for {settings.count} of {there} templates; ask for fewer")


def _require_pairs(dataset: Dataset, task: Mapping[str, UnseenSettings], withheld: float) -> None:
    """Refuse factors that have no classes, and a share of pairs that cannot be withheld.

    Raises:
        UserError: it is so.
    """
    from experiments.clip.templates import subject_of
    from experiments.clip.withheld import withheld_pairs
    from harness.execution.streams import Stream

    factors = pair_factors(task)
    if factors is None:
        return
    first, second = (len(subject_of(dataset, factor).names) for factor in factors)
    found = withheld_pairs(first, second, withheld, Stream("ready"))
    asked = any(isinstance(one, PairsSettings) and one.kind == "unseen pairs" for one in task.values())
    if asked and not found.any():
        raise UserError("no pair is withheld, so 'unseen pairs' has no labels; choose a larger share 'withheld'")
