"""From prompt settings to templates and class names, for embedded sources and for real data sets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from experiments.clip.captions import ADJECTIVES, DEFAULT_TEMPLATE, Templates
from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.real_names import class_names, set_templates
from experiments.clip.template_files import read_templates
from experiments.clip.words import BACKGROUNDS, COLOURS, NAMES, Names
from experiments.data import Dataset
from harness.errors import UserError

BARE = "{}"
SPECIFIC = {
    "coloured-digits": tuple(f"a clean photo of a {{}} on a {ground} background." for ground in list(COLOURS)[:8]),
    "scenes": tuple(f"a clean photo of a {{}} on a {ground} background." for ground in BACKGROUNDS),
    "glyphs": tuple(f"a {adjective} photo of a clean {{}}." for adjective in ADJECTIVES if adjective != "clean"),
}
"""General prompts with one more detail, which some of the images have."""


@dataclass(frozen=True)
class Subject:
    """What is classified: a data set's classes of one factor, with their names.

    ``grammar`` holds the templates of the captions, where a small encoder was trained on some.
    """

    source: str
    names: tuple[Names, ...]
    grammar: Templates | None = None
    root: str | None = None

    def class_names(self, which: str) -> tuple[tuple[str, ...], ...]:
        """Return names in rows, each with one name a class: one row of labels, or all synonyms (fewer are repeated)."""
        if which == "label":
            return (tuple(names[0] for names in self.names),)
        most = max(len(names) for names in self.names)
        return tuple(tuple(names[row % len(names)] for names in self.names) for row in range(most))

    def templates(self, settings: PromptSettings) -> tuple[str, ...]:
        """Return the templates that are asked for.

        Raises:
            UserError: this subject has no such templates, or their file cannot be used.
        """
        asked = settings.templates
        if isinstance(asked, tuple):
            return asked
        if asked in ("held-out", "training"):
            if self.grammar is None:
                raise UserError(
                    f"templates '{asked}' belong to captions that a small encoder is trained on; {self.source} has none"
                )
            return self.grammar.held_out if asked == "held-out" else self.grammar.training
        if asked in ("bare", "default"):
            return (BARE,) if asked == "bare" else (DEFAULT_TEMPLATE,)
        if asked in ("openai-80", "openai-7"):
            return openai_templates(7 if asked == "openai-7" else 80)
        if asked == "specific" and self.source in SPECIFIC:
            return SPECIFIC[self.source]
        if asked in ("specific", "set"):
            found = set_templates(self.source)
            return found[:1] if asked == "specific" else found
        path = Path(asked).expanduser()
        return read_templates(path if path.is_absolute() or self.root is None else Path(self.root).expanduser() / path)


def subject_of(dataset: Dataset, factor: str, grammar: Templates | None = None, root: str | None = None) -> Subject:
    """Return what is classified by a factor of a data set, with its classes' names.

    Raises:
        UserError: there is no such factor of classes, or a class name is empty.
    """
    known = [name for name, found in dataset.factors.items() if found.kind == "class"]
    if factor not in known:
        raise UserError(f"{dataset.name}: no classes '{factor}' (known: {', '.join(known)})")
    values = dataset.factors[factor].values
    if dataset.name in NAMES:
        words = NAMES[dataset.name].get(factor)
        if words is None or any(value not in words for value in values):
            raise UserError(
                f"{dataset.name}: captions have no words for '{factor}' (known: {', '.join(NAMES[dataset.name])})"
            )
        return Subject(dataset.name, tuple(words[value] for value in values), grammar, root)
    own = tuple(value.replace("_", " ") for value in values)
    names = own if dataset.name == "image-folder" else class_names(dataset.name, own)
    for place, name in enumerate(names):
        if not name.strip():
            raise UserError(f"{dataset.name}: the name of class {place} is empty; a prompt needs a word for it")
    if len(names) != len(values):
        raise UserError(f"{dataset.name}: has {len(values)} classes, but there are names for {len(names)}")
    return Subject(dataset.name, tuple((name,) for name in names), grammar, root)


@cache
def openai_templates(count: int) -> tuple[str, ...]:
    """Return OpenAI's templates for ImageNet out of open_clip: all 80, or the 7 that their notebook selects."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

    chosen = SIMPLE_IMAGENET_TEMPLATES if count == 7 else OPENAI_IMAGENET_TEMPLATES
    return tuple(template(BARE) for template in chosen)
