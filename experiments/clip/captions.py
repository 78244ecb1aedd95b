"""Captions of embedded images from a grammar: templates, synonyms, omissions, distractors, words with two senses.

caption      = [noise] (template(noun-phrase) | noun-phrase without article) [noise]  |  polysemous
noun-phrase  = article [colour] [texture] name [ground]  |  [count] [colour] [texture] names [ground]
noise        = distractor | polysemous
polysemous   = phrase(name of a class drawn at random)
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy

from experiments.clip.caption_settings import CaptionSettings
from experiments.clip.words import HUES, NAMES, Names, plural
from experiments.data import FactorInformation, Part
from harness.execution.streams import Stream

DEFAULT_TEMPLATE = "a photo of a {}."
"""The paper's (section 3.1.4). No caption is written with it."""
FRAMES = (
    "a {medium} of a {{}}.",
    "a {medium} of the {{}}.",
    "a {adjective} {medium} of a {{}}.",
    "a {adjective} {medium} of the {{}}.",
    "my {medium} of a {{}}.",
    "this {medium} shows a {{}}.",
    "there is a {{}} in this {medium}.",
    "a {{}} seen in a {medium}.",
    "a {medium} with a {{}} in it.",
    "the {medium} has a {adjective} {{}}.",
    "look at this {adjective} {{}}.",
    "here is a {{}} from a {adjective} {medium}.",
)
MEDIA = ("photo", "picture", "image", "drawing", "print", "scan", "snapshot", "sketch", "painting", "view")
ADJECTIVES = ("nice", "blurry", "clean", "bright", "old", "new", "good", "bad", "small", "large")
DISTRACTORS = (
    "on my desk",
    "from last summer",
    "for sale",
    "taken at home",
    "free download",
    "with love",
    "at the museum",
    "in high resolution",
    "as seen on television",
    "made by hand",
    "do not copy",
    "please share",
)
OTHER_SENSES = (
    "channel {}",
    "{} of the show",
    "the {} song",
    "team {}",
    "chapter {}",
    "take {}",
    "{} street",
    "cafe {}",
    "the {} club",
    "a {} moment",
)
CHOICES = ("plain", "template", "omitted", "distractor", "place", "polysemy", "alone", "sense")
"""What is chosen for a caption, by a stream each."""
GRAMMAR = "a an on background these are"
"""Words that stand in no template."""
GENERIC = "thing"
"""What a label that is left out is replaced by."""
MAIN = {"coloured-digits": "digit", "scenes": "shape", "glyphs": "letter"}
"""The factor whose name is the noun of a caption."""


@dataclass(frozen=True)
class Templates:
    """Templates with one placeholder ``{}`` each: those of the captions, and others that no caption is written with."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]


def all_templates() -> tuple[str, ...]:
    """Return every template of the grammar but the default one, in a fixed order, each once."""
    return tuple(template for frame in FRAMES for template in _of_frame(frame))


def draw_templates(settings: CaptionSettings, stream: Stream) -> Templates:
    """Draw a replicate's templates; no more of one frame than of another, so that each set has some of most."""
    draws = stream.numpy
    shuffled = [list(draws.permutation(_of_frame(frame))) for frame in FRAMES]
    in_turn = [t for group in itertools.zip_longest(*shuffled) for t in draws.permutation([t for t in group if t])]
    chosen = [str(template) for template in in_turn[: settings.templates + settings.held_out]]
    mixed = [chosen[index] for index in draws.permutation(len(chosen))]
    return Templates(tuple(mixed[: settings.templates]), tuple(mixed[settings.templates :]))


def _of_frame(frame: str) -> list[str]:
    made = (
        with_articles(frame.format(medium=medium, adjective=adjective)) for medium in MEDIA for adjective in ADJECTIVES
    )
    return [template for template in dict.fromkeys(made) if template != DEFAULT_TEMPLATE]


def write_captions(
    source: str,
    part: Part,
    information: Mapping[str, FactorInformation],
    settings: CaptionSettings,
    templates: Sequence[str],
    stream: Stream,
) -> tuple[str, ...]:
    """Return a caption for every image; each kind of choice has a stream of its own, so that shares do not move others.

    Args:
        source: ``coloured-digits``, ``scenes`` or ``glyphs``.
        templates: those that captions may be written with.
    """
    count = len(part)
    words = {
        factor: [names.get(value, (value,)) for value in information[factor].values]
        for factor, names in NAMES[source].items()
        if factor in information
    }
    chance = {name: stream.child(name).numpy.random(count) for name in (*CHOICES, "which", "of what")}
    mention = {name: stream.child(f"mention {name}").numpy.random((count, 3)) for name in (*words, "hue")}
    counts = part.factors["count"] if "count" in words else None
    other = [names[0] for factor in words if factor != "background" for names in words[factor]]
    found = []
    for row in range(count):
        drawn = {name: float(values[row]) for name, values in chance.items()}
        sense = OTHER_SENSES[int(drawn["sense"] * len(OTHER_SENSES))].format(other[int(drawn["of what"] * len(other))])
        polysemous = drawn["polysemy"] < settings.polysemy
        if polysemous and drawn["alone"] < settings.polysemy_alone:
            found.append(with_articles(sense))
            continue
        said = {name: _said(name, words, part, mention, row, settings) for name in words}
        if "hue" in part.factors and source == "glyphs":
            hue = HUES[int(((float(part.factors["hue"][row]) + 30) % 360) // 60)]
            omit = "hue" in settings.never or mention["hue"][row, 0] < settings.attributes_omitted
            said["colour"] = "" if omit else hue
        if len(words.get("count", ())) < 2:
            said.pop("count", None)
        many = counts is not None and information["count"].values[int(counts[row])] != "one"
        phrase, article = _noun_phrase(source, said, drawn["omitted"] < settings.omitted, many)
        text = phrase
        if drawn["plain"] >= settings.plain:
            text = _filled(
                templates[int(drawn["template"] * len(templates))], phrase, said.get("count", ""), article, many
            )
        noise = []
        if drawn["distractor"] < settings.distractors:
            noise.append(DISTRACTORS[int(drawn["which"] * len(DISTRACTORS))])
        if polysemous:
            noise.append(sense)
        for piece in noise:
            text = f"{piece} {text}" if drawn["place"] < 0.5 else f"{text} {piece}"
        found.append(with_articles(text))
    return tuple(found)


def _said(
    name: str,
    words: Mapping[str, Sequence[Names]],
    part: Part,
    mention: Mapping[str, numpy.ndarray],
    row: int,
    settings: CaptionSettings,
) -> str:
    """Return the word for an image's class of a factor; empty where it is left out."""
    omit, synonym, which = mention[name][row]
    if name in settings.never or (name not in MAIN.values() and omit < settings.attributes_omitted):
        return ""
    names = words[name][int(part.factors[name][row])]
    return names[1 + int(which * (len(names) - 1))] if synonym < settings.synonyms and len(names) > 1 else names[0]


def _noun_phrase(source: str, said: Mapping[str, str], omitted: bool, many: bool) -> tuple[str, bool]:
    """Return a noun phrase without its article, and whether it takes one: "two stars", "one star", "stars" do not."""
    noun = said.get(MAIN[source], "")
    noun = GENERIC if omitted or not noun else noun
    count, texture = said.get("count", ""), said.get("texture", "")
    words = [count, said.get("colour", ""), "" if texture == "plain" else texture, plural(noun) if many else noun]
    ground = said.get("background", "")
    phrase = " ".join(word for word in words if word)
    return (f"{phrase} on a {ground} background" if ground else phrase), not many and count != "one"


def _filled(template: str, phrase: str, count: str, article: bool, many: bool) -> str:
    """Return a template with a noun phrase in it, with the article, the verb and the order of words that go with it."""
    if not article:
        adjective = re.search(r"\b(a|this) (\w+) \{\}", template)
        if adjective:
            # "These two nice red stars": the number stands before the template's adjective.
            before = "" if adjective[1] == "a" else "these" if many else "this"
            words = [before, count, adjective[2], phrase.removeprefix(f"{count} " if count else "")]
            template, phrase = template.replace(adjective[0], "{}"), " ".join(word for word in words if word)
        template = template.replace("a {}", "{}")
    if many:
        template = re.sub(r"\b(here|there) is ", r"\1 are ", template)
    return template.replace("{}", phrase)


def with_articles(text: str) -> str:
    """Return a text whose "a" is "an" where the next word asks for it, and the other way round."""
    return re.sub(r"\ban? (?=(\w+))", lambda found: "an " if _takes_an(found[1]) else "a ", text)


def _takes_an(word: str) -> bool:
    return word[0] in "aeiou" and word not in ("one", "uniform")


def all_words(source: str) -> tuple[str, ...]:
    """Return every word, sorted, that captions of a source or the grammar's own templates can hold."""
    texts = [*all_templates(), DEFAULT_TEMPLATE, *DISTRACTORS, *OTHER_SENSES, *HUES, GENERIC, plural(GENERIC), GRAMMAR]
    for names in NAMES[source].values():
        texts += [word for words in names.values() for name in words for word in (name, plural(name))]
    return tuple(sorted({word for text in texts for word in split(text)}))


def split(text: str) -> list[str]:
    """Return a text's words: lower case, without punctuation and placeholders."""
    return "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
