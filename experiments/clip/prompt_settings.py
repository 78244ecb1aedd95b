"""Which prompts make a zero-shot classifier, and how they are combined. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from experiments.clip.template_files import PLACEHOLDER, checked_template

TemplateSet = Literal["bare", "default", "held-out", "training", "specific", "openai-80", "openai-7", "set"]


class PromptSettings(BaseModel):
    """Templates with one placeholder ``{}`` for the class, and what is done with several of them.

    ``templates``: ``bare`` is the label alone, ``default`` "a photo of a {}."; ``held-out`` and ``training`` are those
    of the captions' grammar, and need a small encoder; ``specific`` adds detail; ``openai-80`` and ``openai-7`` are
    OpenAI's for ImageNet; ``set`` those that clip_benchmark has for a data set; or a list of templates, or the path of
    a text file with one a line. ``names``: one label a class, or all its ``synonyms``.

    ``combine``: ``embedding`` averages unit vectors and makes the mean one again, ``probability`` averages the classes'
    probabilities, ``each`` classifies by every template alone and averages what comes out (the mean single template).
    ``weights`` of the average: ``uniform``; ``validation`` by the templates' accuracy on labelled validation images;
    ``unsupervised`` by how clearly unlabelled ones are matched (``experiments.clip.weights``). ``count``: random
    subsets of so many templates, ``subsets`` of them, whose outcomes are averaged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    templates: TemplateSet | tuple[str, ...] | str
    names: Literal["label", "synonyms"] = "label"
    combine: Literal["embedding", "probability", "each"] = "embedding"
    weights: Literal["uniform", "validation", "unsupervised"] = "uniform"
    count: Annotated[int, Field(ge=1)] | None = None
    subsets: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if isinstance(self.templates, tuple):
            if not self.templates:
                raise ValueError("'templates' is an empty list; give one template at least")
            for template in self.templates:
                checked_template(template)
        if isinstance(self.templates, str) and PLACEHOLDER in self.templates:
            raise ValueError(f"a single template is a list of one: ['{self.templates}']")
        if self.subsets > 1 and self.count is None:
            raise ValueError("'subsets' needs 'count': how many templates one has")
        if self.weights != "uniform" and self.combine == "each":
            raise ValueError("'weights' weigh an average, and 'each' has none; combine by 'embedding' or 'probability'")
        return self
