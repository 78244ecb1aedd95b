"""What the paper did beside what is done here, under the same labels: theirs as registered, ours from the design."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.plan.design import Design, Factor, Level
from harness.spec.models import level_name
from reports.collect import Results
from reports.pictures.words import spoken

Entries = tuple[tuple[str, str], ...]
"""Texts by label; a label stands once."""

LONGEST = 400
"""Characters of one fixed parameter or one factor; what is longer is cut."""

# The usual names of parameters, by the part of a protocol that they belong to. Any other name is a label of its own.
PARTS: dict[str, tuple[str, ...]] = {
    "data": ("data", "dataset", "images"),
    "model": ("model", "encoder", "width", "widths", "layers", "feed_forward", "hidden_batch_norm"),
    "training": (
        "optimiser", "optimizer", "learning_rate", "weight_decay", "momentum",
        "steps", "epochs", "batch_size", "precision", "together",
    ),
    "evaluation": ("evaluation", "evaluations", "linear_evaluation", "probe", "beams"),
    "timing": ("timing",),
}  # fmt: skip
PART_OF = {name: part for part, names in PARTS.items() for name in names}
DEVICES = {"cpu": "on the CPU", "cuda": "on a GPU"}
COMPARED = "compared"
SEPARATOR = " · "
"""Between levels, whose labels may have commas."""


@dataclass(frozen=True)
class Protocol:
    """What the paper did, what is done here, and the sentences of the profile that say what differs."""

    paper: Entries
    here: Entries
    differs: tuple[str, ...]

    def beside(self) -> list[tuple[str, str, str]]:
        """Return label, the paper's text and ours, a row a label; a side that says nothing of it is empty."""
        theirs, ours = dict(self.paper), dict(self.here)
        return [(label, theirs.get(label, ""), ours.get(label, "")) for label in _in_order([*ours, *theirs])]


def protocol_of(results: Results) -> Protocol:
    """Return both protocols of an experiment under a profile."""
    design = results.design
    paper = [(entry.label, _read(entry.text, entry.basis)) for entry in design.experiment.protocol]
    labels = {label for label, _ in paper}
    here = [*_fixed(design), *_factors(results, labels), *_plan(design, len(results.state.states))]
    return Protocol(_joined(paper), _joined(here), tuple(design.profile.deviations))


def _read(text: str, basis: str) -> str:
    return text if basis == "source" else f"{text}, read at second hand"


def _joined(entries: Iterable[tuple[str, str]]) -> Entries:
    """Join what stands under one label."""
    found: dict[str, list[str]] = {}
    for label, text in entries:
        found.setdefault(label, []).append(text)
    return tuple((label, "; ".join(found[label])) for label in _in_order(found))


def _in_order(labels: Iterable[str]) -> list[str]:
    """Put the usual parts of a protocol first; the other labels keep their order. Each stands once."""
    found = dict.fromkeys(labels)
    return [label for label in dict.fromkeys([*PARTS, *found]) if label in found]


def _fixed(design: Design) -> Iterator[tuple[str, str]]:
    """Return the parameters that the profile fixes; where something lies is no part of a protocol."""
    for name, level in design.fixed.items():
        known = design.function.parameters.get(name)
        if known is None or not known.placement:
            label = _label(name)
            text = ", ".join(flattened(level.given))
            yield label, _cut(text if spoken(name) == label else f"{spoken(name)} {text}")


def _factors(results: Results, labels: set[str]) -> Iterator[tuple[str, str]]:
    """Return the factors with their levels: under the paper's label, where it has one for them, or as compared."""
    for factor in results.design.factors:
        label = _label(factor.name)
        if factor.name not in PART_OF and label not in labels:
            label = COMPARED
        name = "" if label == spoken(factor.name) else f"{spoken(factor.name)}: "
        together = " (interleaved in every trial)" if factor.blocked else ""
        levels = SEPARATOR.join(_level(results, factor, one) for one in factor.levels)
        yield label, _cut(name + levels) + together


def _level(results: Results, factor: Factor, level: Level) -> str:
    """Return a level as the report writes it; where that is a bare name, with its value if this is a short one."""
    shown = results.label(level.name, factor.name)
    plain = shown == level.name and not isinstance(level.given, Mapping | list | tuple)
    value = f" ({level_name(level.given)})" if plain and level_name(level.given) != level.name else ""
    unit = f" {factor.unit}" if factor.unit else ""
    return f"{shown}{unit}{value}"


def _plan(design: Design, trials: int) -> Iterator[tuple[str, str]]:
    """Return how often, with what tuning, and on what."""
    if design.select is not None:
        select = design.select
        tried = " and ".join(spoken(name) for name in select.factors)
        matched = ", ".join(flattened(select.matched))
        only = f", at {', '.join(flattened(select.at))} only" if select.at else ""
        yield (
            "tuning",
            f"every arm tries the same grid of {tried} on {_number(select.replicates, 'replicate')} of its own{only}, "
            f"by {spoken(select.metric)}; reported at its best and, matched, at {matched}",
        )
    if len(design.looks) > 1:
        *earlier, last = design.looks
        looks = ", ".join(str(look) for look in earlier)
        yield "repetitions", f"up to {last} replicates, judged after {looks} and {last}"
    else:
        yield "repetitions", _number(design.replicates, "replicate")
    if design.experiment.spec.profiles[design.profile_name].items is not None:
        yield "repetitions", "judged over test items"
    yield "hardware", _hardware(design)
    yield "trials", f"{trials} planned"


def _hardware(design: Design) -> str:
    """Return the device and what a trial is given."""
    needs = design.resources
    parts = [_number(needs.cpus, "CPU core")]
    if needs.gpus:
        parts.append(_number(needs.gpus, "GPU"))
    parts.append(f"{needs.memory_gib:g} GiB")
    alone = [
        text
        for text, wanted in (("a process of its own", needs.fresh_process), ("nothing beside it", needs.exclusive))
        if wanted
    ]
    ends = f", {' and '.join(alone)}" if alone else ""
    device = DEVICES.get(design.device, design.device)
    return f"{device}; for a trial {', '.join(parts)}, at most {needs.minutes:g} minutes{ends}"


def flattened(value: Any, name: str = "") -> list[str]:
    """Return a value of a spec as short texts: ``{"crop": {"scale": [0.2, 1]}}`` is ``["crop scale (0.2, 1)"]``."""
    if isinstance(value, Mapping) and value:
        return [text for key, inner in value.items() for text in flattened(inner, f"{name} {spoken(str(key))}".strip())]
    return [f"{name} {_text(value)}".strip()]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({', '.join(flattened(value))})" if value else "none"
    if isinstance(value, list | tuple):
        return f"({', '.join(_text(item) for item in value)})"
    return level_name(value)


def _label(name: str) -> str:
    return PART_OF.get(name, spoken(name))


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0].rstrip(",;") + " …"
