"""From an encoder to the records and tables of a trial on prompts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy
import pandas

from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.scoring import Scorer, encoded
from experiments.clip.setup import Ready
from experiments.clip.templates import subject_of

if TYPE_CHECKING:
    from harness.execution.run import Run


def score_prompts(
    run: Run, ready: Ready, prompts: Mapping[str, PromptSettings], attribute: str | None, root: str | None
) -> list[dict[str, Any]]:
    """Return a record for each set of prompts, and keep what came out for each item and each template.

    Raises:
        UserError: the data have no such templates or classes.
    """
    factor = attribute or ready.dataset.label
    subject = subject_of(ready.dataset, factor, ready.templates, root)
    if ready.diverged:
        return [{"prompts": name, "accuracy": math.nan, "nll": math.nan, **ready.facts} for name in prompts]
    test, validation = (encoded(ready.vectors, ready.dataset, part, factor) for part in ("test", "validation"))
    scorer = Scorer(ready.vectors, subject, test, validation)
    scorer.prepare(prompts)
    records, tables = [], []
    items = numpy.arange(len(test.labels))
    classes = [subject.names[label][0] for label in test.labels.tolist()]
    for name, settings in prompts.items():
        outcomes = scorer.score(settings, run.stream("subsets").child(name))
        records.append(
            {
                "prompts": name,
                "accuracy": outcomes.accuracy,
                "nll": float(outcomes.nll.double().mean()),
                "templates": settings.count or len(subject.templates(settings)),
                "scale": ready.vectors.scale,
                **ready.facts,
            }
        )
        correct = outcomes.correct.numpy()
        tables.append(pandas.DataFrame({"item": items, "class": classes, "prompts": name, "accuracy": correct}))
    run.samples("outcomes", pandas.concat(tables, ignore_index=True))
    different = list(dict.fromkeys(t for settings in prompts.values() for t in subject.templates(settings)))
    run.samples("singles", {"template": different, "accuracy": scorer.singles(different)})
    return records
