"""Captions: how often each option comes out, on which images, that they name what is there, and their grammar."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from experiments.clip.caption_settings import CaptionSettings
from experiments.clip.captions import (
    ADJECTIVES,
    DEFAULT_TEMPLATE,
    DISTRACTORS,
    FRAMES,
    GENERIC,
    MAIN,
    MEDIA,
    OTHER_SENSES,
    Templates,
    all_templates,
    all_words,
    draw_templates,
    split,
    with_articles,
    write_captions,
)
from experiments.clip.words import HUES, NAMES, SHAPES, label_of, plural
from experiments.data import Dataset, Part, load
from experiments.data.settings import ColouredDigitsSettings, DataSettings, GlyphsSettings, ScenesSettings
from harness.execution.streams import Stream

COUNT, FEW = 4000, 600
OTHERS: dict[str, Any] = {"size": 8, "train": COUNT, "validation": 1, "test": 1}
DATA: dict[str, DataSettings] = {
    "coloured-digits": ColouredDigitsSettings(**OTHERS),
    "grey ground": ColouredDigitsSettings(background="grey", **OTHERS),
    "scenes": ScenesSettings(count_maximum=4, **OTHERS),
    "scenes of one": ScenesSettings(**OTHERS),
    "glyphs": GlyphsSettings(letters=26, copies=1, **OTHERS),
}
KINDS = list(DATA)
MAIN_FACTOR = {
    "coloured-digits": "digit", "grey ground": "digit", "scenes": "shape", "scenes of one": "shape", "glyphs": "letter"
}  # fmt: skip
SHARES = ("plain", "synonyms", "omitted", "attributes_omitted", "distractors", "polysemy", "unknown")
NONE: dict[str, Any] = dict.fromkeys(SHARES, 0.0)
SENSE_WORDS = {"channel", "show", "song", "team", "chapter", "take", "street", "cafe", "club", "moment"}
LEAST = 1e-4
"""How improbable a count may be; the streams are fixed, so that a test passes always or never."""


every_template = cache(all_templates)
known_words = cache(lambda source: frozenset(all_words(source)))


@cache
def dataset(kind: str) -> Dataset:
    return load(DATA[kind], 0)


@cache
def templates(replicate: int = 0) -> Templates:
    return draw_templates(CaptionSettings(), Stream("captions", replicate, "templates"))


@cache
def _written(kind: str, replicate: int, count: int, given: tuple[tuple[str, Any], ...]) -> tuple[str, ...]:
    data, stream = dataset(kind), Stream("captions", replicate, "captions")
    asked, part = CaptionSettings(**{**NONE, **dict(given)}), some_rows(data.train, range(count))
    return write_captions(data.name, part, data.factors, asked, templates(replicate).training, stream)


def written(kind: str, replicate: int = 0, count: int = COUNT, **given: Any) -> tuple[str, ...]:
    """Write captions with all shares at nought but those that are given."""
    return _written(kind, replicate, count, tuple(sorted(given.items())))


def some_rows(part: Part, rows: Sequence[int]) -> Part:
    chosen = list(rows)
    return Part(part.images[chosen], {name: numpy.asarray(values)[chosen] for name, values in part.factors.items()})


def classes_of(kind: str, factor: str) -> list[str]:
    data = dataset(kind)
    return [data.factors[factor].values[number] for number in data.train.factors[factor]]


def hue_words(kind: str) -> list[str]:
    """Return the nearest of six hues, 60 degrees apart, written out."""
    names = {0: "red", 60: "yellow", 120: "green", 180: "cyan", 240: "blue", 300: "magenta"}
    return [
        min(names.items(), key=lambda item: abs((hue - item[0] + 180) % 360 - 180))[1]
        for hue in dataset(kind).train.factors["hue"]
    ]


def spoken_factors(kind: str) -> list[str]:
    """Return the factors with a word of their own in this kind's captions."""
    if kind == "glyphs":
        return ["letter", "hue"]
    names = NAMES[dataset(kind).name]
    return [factor for factor in names if factor != "count" or kind == "scenes"]


def truth(kind: str, factor: str) -> list[str]:
    return hue_words(kind) if factor == "hue" else classes_of(kind, factor)


def names_of(kind: str, factor: str) -> Mapping[str, tuple[str, ...]]:
    return {hue: (hue,) for hue in HUES} if factor == "hue" else NAMES[dataset(kind).name][factor]


@cache
def forms(kind: str) -> dict[str, list[tuple[str, str, str]]]:
    """Return what each word says: factor, class and the very name; a shape's name in the plural too."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for factor in spoken_factors(kind):
        for value, names in names_of(kind, factor).items():
            for name in names:
                for form in {name, *([f"{name}s", f"{name}es"] if factor == "shape" else [])}:
                    found.setdefault(form, []).append((factor, value, name))
    return found


def found_in(kind: str, caption: str) -> dict[str, tuple[str, str]]:
    """Return for each factor that a caption mentions the class and the very name; one that mentions two fails."""
    words, ground = split(caption), ""
    if "background" in words:
        end = words.index("background")
        assert words[end - 3] == "on" and words[end - 2] in ("a", "an"), caption
        words, ground = words[: end - 3] + words[end + 1 :], words[end - 1]
    said = [one for word in words for one in forms(kind).get(word, ()) if one[0] != "background"]
    said += [one for one in forms(kind).get(ground, ()) if one[0] == "background"]
    found = {factor: (value, name) for factor, value, name in said}
    assert len(found) == len(said) and ("background" in found) == bool(ground), caption
    return found


def an(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def phrases(kind: str) -> list[tuple[str, str]]:
    """Return every image's noun phrase with nothing left out, without its article, and as it stands for "a {}"."""
    found = []
    truths = {factor: truth(kind, factor) for factor in spoken_factors(kind)}
    for row in range(COUNT):
        own = {factor: names_of(kind, factor)[values[row]][0] for factor, values in truths.items()}
        count = own.get("count", "")
        texture = "" if own.get("texture") == "plain" else own.get("texture", "")
        noun = own[MAIN_FACTOR[kind]]
        if count and count != "one":
            noun += "es" if noun == "cross" else "s"
        colour = own["hue"] if kind == "glyphs" else own["colour"]
        phrase = " ".join(word for word in (count, colour, texture, noun) if word)
        if "background" in own:
            phrase += f" on {an(own['background'])} background"
        found.append((phrase, phrase if count else an(phrase)))
    return found


def test_no_word_of_a_label_is_in_the_rest_of_a_caption() -> None:
    rest = {word for text in (*all_templates(), *DISTRACTORS, *OTHER_SENSES, GENERIC) for word in split(text)}
    for source, factors in NAMES.items():
        for factor, names in factors.items():
            own = {form for forms in names.values() for name in forms for form in (name, plural(name))}
            assert not own & rest, (source, factor)
    assert not {*HUES} & rest
    # What these tests take options by.
    assert not SENSE_WORDS & {w for text in (*all_templates(), *DISTRACTORS) for w in split(text)}
    assert all({*split(text)} & SENSE_WORDS for text in OTHER_SENSES)
    assert all({*split(text)} & {*MEDIA, *ADJECTIVES} for text in all_templates())
    assert not {*MEDIA, *ADJECTIVES} & {w for text in (*OTHER_SENSES, *DISTRACTORS) for w in split(text)}


def test_no_two_classes_of_a_factor_share_a_name() -> None:
    for factors in NAMES.values():
        for names in factors.values():
            every = [name for own in names.values() for name in own]
            assert len(every) == len(set(every))
            assert all(name and split(name) == [name] for name in every)
    shapes = [form for names in SHAPES.values() for name in names for form in (name, plural(name))]
    assert len(shapes) == len(set(shapes))


def test_the_label_is_the_first_name() -> None:
    assert label_of("scenes", "shape", "cross") == "cross" and label_of("glyphs", "letter", "H") == "aitch"
    with pytest.raises(KeyError):
        label_of("scenes", "shape", "teapot")
    assert [plural(name) for name in ("star", "cross", "box", "disc")] == ["stars", "crosses", "boxes", "discs"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_of_the_data_has_a_name(kind: str) -> None:
    data = dataset(kind)
    for factor, names in NAMES[data.name].items():
        if factor in data.factors:
            assert set(data.factors[factor].values) <= set(names), factor


# Templates


def test_templates_are_all_different_and_have_one_placeholder() -> None:
    every = all_templates()
    assert len(every) == len(set(every)) == 4 * 100 + 8 * 10 - 1
    assert all(template.count("{}") == 1 for template in every) and DEFAULT_TEMPLATE not in every


@settings(max_examples=30)
@given(count=st.integers(1, 120), held=st.integers(1, 80), replicate=st.integers(0, 10**6))
def test_held_out_templates_are_not_those_of_captions(count: int, held: int, replicate: int) -> None:
    drawn = draw_templates(CaptionSettings(templates=count, held_out=held), Stream("t", replicate))
    assert (len(drawn.training), len(drawn.held_out)) == (count, held)
    every = [*drawn.training, *drawn.held_out]
    assert len(set(every)) == count + held and set(every) <= set(all_templates())


@settings(max_examples=30)
@given(count=st.integers(1, 60), held=st.integers(1, 45), replicate=st.integers(0, 10**6))
def test_drawn_templates_are_spread_over_the_frames(count: int, held: int, replicate: int) -> None:
    drawn = draw_templates(CaptionSettings(templates=count, held_out=held), Stream("t", replicate))
    of_frame = {
        with_articles(frame.format(medium=medium, adjective=adjective)): frame
        for frame, medium, adjective in itertools.product(FRAMES, MEDIA, ADJECTIVES)
    }
    counts = Counter(of_frame[template] for template in (*drawn.training, *drawn.held_out))
    # A frame has 9 templates at least, which 105 over 12 frames do not use up.
    sizes = [counts[frame] for frame in FRAMES]
    assert max(sizes) - min(sizes) <= 1


def test_templates_are_the_same_again_and_others_in_another_replicate() -> None:
    asked = CaptionSettings()
    again = draw_templates(asked, Stream("captions", 0, "templates"))
    assert again == templates(0) and again != templates(1)
    assert len(set(templates(0).training) & set(templates(1).training)) < 12


def test_each_of_the_templates_is_taken_as_often() -> None:
    captions, own = written("glyphs"), phrases("glyphs")
    counts = Counter(template_of(caption, *one) for caption, one in zip(captions, own, strict=True))
    assert set(counts) == set(templates().training)
    assert chisquare(list(counts.values())).pvalue > LEAST


def template_of(caption: str, phrase: str, with_article: str) -> str:
    """Return the one template that makes a caption of a noun phrase."""
    every = {*every_template(), DEFAULT_TEMPLATE}
    number, _, rest = phrase.partition(" ")
    made = {caption.replace(with_article, "a {}"), caption.replace(phrase, "{}"), caption.replace(phrase, "a {}")}
    # "These two nice red stars", where the template says "this nice {}".
    made |= {re.sub(rf"(?:these|this) {number} (\w+) {re.escape(rest)}", r"this \1 {}", caption)}
    made |= {re.sub(rf"{number} (\w+) {re.escape(rest)}", r"a \1 {}", caption)}
    made = {with_articles(re.sub(r"^(here|there) are ", r"\1 is ", one)) for one in made} & every
    assert len(made) == 1, caption
    return made.pop()


@pytest.mark.parametrize("kind", KINDS)
def test_no_caption_is_written_with_a_held_out_template(kind: str) -> None:
    drawn, word = templates(), f"(?:{'|'.join(forms(kind))})"
    phrase = rf"(?:{word} )*{word}(?: on an? {word} background)?"

    def made_with(chosen: Sequence[str]) -> re.Pattern[str]:
        several = [re.sub(r"^(here|there)\\ is", r"\1\\ (?:is|are)", re.escape(t)) for t in chosen]
        number = "(?:(?:one|two|three|four|twin|double|treble|triple|quadruple|fourfold) )?"
        several = [re.sub(r"\bthis\\ (?=\w+\\ \\\{)", f"(?:this|these) {number}", t) for t in several]
        several = [re.sub(r"\ban?\\ (\w+)\\ (?=\\\{)", rf"(?:an?\\ |{number})\1\\ ", t) for t in several]
        filled = [t.replace(r"a\ \{\}", r"(?:an? )?\{\}").replace(r"\{\}", phrase) for t in several]
        return re.compile("|".join(filled))

    held, training = made_with((*drawn.held_out, DEFAULT_TEMPLATE)), made_with(drawn.training)
    for caption in written(kind, count=FEW):
        assert training.fullmatch(caption) and not held.fullmatch(caption), caption


# What captions say


@pytest.mark.parametrize("kind", KINDS)
def test_with_all_shares_at_nought_a_caption_is_a_template_with_everything_in_it(kind: str) -> None:
    allowed = set(templates().training)
    for caption, own in zip(written(kind, count=FEW), phrases(kind), strict=False):
        assert template_of(caption, *own) in allowed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("omitted", [0.0, 0.4])
def test_captions_name_the_classes_of_their_image(kind: str, omitted: float) -> None:
    factors = spoken_factors(kind)
    truths = {factor: truth(kind, factor) for factor in factors}
    seen: Counter[str] = Counter()
    captions = written(kind, count=COUNT if omitted else FEW, attributes_omitted=omitted, distractors=0.5, plain=0.3)
    for row, caption in enumerate(captions):
        found = found_in(kind, caption)
        for factor, (value, name) in found.items():
            seen[factor] += 1
            assert value == truths[factor][row] and name == names_of(kind, factor)[value][0], caption
        assert MAIN_FACTOR[kind] in found
    for factor in factors:
        # A texture that is plain goes without saying.
        values = truths[factor][: len(captions)]
        there = sum(value != "plain" for value in values) if factor == "texture" else len(captions)
        expected = 1.0 if factor == MAIN_FACTOR[kind] else 1 - omitted
        if expected == 1:
            assert seen[factor] == there
        else:
            assert binomtest(seen[factor], there, expected).pvalue > LEAST, factor


@pytest.mark.parametrize("kind", KINDS)
def test_synonyms_are_the_classs_own(kind: str) -> None:
    truths = {factor: truth(kind, factor) for factor in spoken_factors(kind)}
    used: dict[tuple[str, str], Counter[str]] = {}
    for row, caption in enumerate(written(kind, count=2000, synonyms=1.0)):
        for factor, (value, name) in found_in(kind, caption).items():
            assert value == truths[factor][row], caption
            own = names_of(kind, factor)[value]
            assert name in (own[1:] or own)
            used.setdefault((factor, value), Counter())[name] += 1
    for (factor, value), counts in used.items():
        own = names_of(kind, factor)[value]
        assert set(counts) == set(own[1:] or own)
        if len(counts) > 1:
            assert chisquare(list(counts.values())).pvalue > LEAST, (factor, value)


@pytest.mark.parametrize("kind", KINDS)
def test_without_synonyms_none_is_said(kind: str) -> None:
    for caption in written(kind, count=FEW, attributes_omitted=0.3):
        for factor, (value, name) in found_in(kind, caption).items():
            assert name == names_of(kind, factor)[value][0]


@pytest.mark.parametrize("kind", KINDS)
def test_factors_that_are_never_named(kind: str) -> None:
    named = [factor for factor in spoken_factors(kind) if factor != "hue"]
    for never in [(factor,) for factor in named] + [tuple(named)]:
        for caption in written(kind, count=200, never=never, synonyms=0.3):
            found = found_in(kind, caption)
            assert not set(found) & set(never), caption
            assert (GENERIC in {word.removesuffix("s") for word in split(caption)}) == (MAIN_FACTOR[kind] in never)


@pytest.mark.parametrize("never", ["hue"])
def test_a_hue_that_is_never_named(never: str) -> None:
    assert not any("hue" in found_in("glyphs", caption) for caption in written("glyphs", count=FEW, never=(never,)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["train", "test"])
def test_captions_belong_to_the_part_that_is_given(kind: str, part: str) -> None:
    data = dataset(kind)
    own = getattr(data, part)
    asked = CaptionSettings(**NONE)
    found = write_captions(data.name, own, data.factors, asked, templates().training, Stream("part"))
    assert len(found) == len(own)
    main = MAIN_FACTOR[kind]
    for caption, number in zip(found[:50], own.factors[main], strict=False):
        assert found_in(kind, caption)[main][0] == data.factors[main].values[number]


# Shares

ONE_BY_ONE = {
    "plain": {},
    "synonyms": {"attributes_omitted": 1.0},
    "omitted": {},
    "distractors": {},
    "polysemy": {},
    "polysemy_alone": {"polysemy": 1.0},
}
"""Each share with what makes it one choice a caption."""


@pytest.mark.parametrize("name", list(ONE_BY_ONE))
@pytest.mark.parametrize("kind", ["coloured-digits", "scenes", "glyphs"])
def test_each_share_is_the_share_of_captions_that_it_changes(kind: str, name: str) -> None:
    if name == "synonyms" and kind == "glyphs":
        pytest.skip("letters have one name each")
    never, always = (numpy.array(written(kind, **ONE_BY_ONE[name], **{name: value})) for value in (0.0, 1.0))
    assert (never != always).all()
    before = numpy.zeros(COUNT, dtype=bool)
    for share in (0.15, 0.6):
        some = numpy.array(written(kind, **ONE_BY_ONE[name], **{name: share}))
        changed = some == always
        assert (some[~changed] == never[~changed]).all()
        assert binomtest(int(changed.sum()), COUNT, share).pvalue > LEAST
        # A larger share changes the same captions and more.
        assert (changed >= before).all()
        before = changed


def options_of(kind: str, caption: str) -> dict[str, bool]:
    """Return by its words which options a caption has."""
    words = set(split(caption))
    return {
        "plain": words.isdisjoint({*MEDIA, *ADJECTIVES}),
        "omitted": not words.isdisjoint({GENERIC, f"{GENERIC}s"}),
        "distractors": any(phrase in caption for phrase in DISTRACTORS),
        "polysemy": not words.isdisjoint(SENSE_WORDS),
        "synonyms": not words.isdisjoint(main_synonyms(kind)),
        "background": "background" in words,
    }


@cache
def main_synonyms(kind: str) -> frozenset[str]:
    own = [name for names in names_of(kind, MAIN_FACTOR[kind]).values() for name in names[1:]]
    return frozenset(own) | frozenset(plural(name) for name in own)


@cache
def _options(kind: str, given: tuple[tuple[str, Any], ...]) -> dict[str, numpy.ndarray]:
    found = [options_of(kind, caption) for caption in written(kind, **dict(given))]
    return {name: numpy.array([own[name] for own in found]) for name in found[0]}


def options(kind: str, **given: Any) -> dict[str, numpy.ndarray]:
    """Return which captions have each option."""
    return _options(kind, tuple(sorted(given.items())))


MIXED = {"plain": 0.3, "synonyms": 0.3, "omitted": 0.2, "attributes_omitted": 0.4, "distractors": 0.4, "polysemy": 0.3, "polysemy_alone": 0.0}  # fmt: skip


@pytest.mark.parametrize("kind", ["coloured-digits", "scenes"])
def test_options_seen_in_captions_have_their_shares_and_are_independent(kind: str) -> None:
    columns = options(kind, **MIXED)
    for name in ("plain", "omitted", "distractors", "polysemy"):
        assert binomtest(int(columns[name].sum()), COUNT, MIXED[name]).pvalue > LEAST, name
    assert binomtest(int(columns["background"].sum()), COUNT, 1 - MIXED["attributes_omitted"]).pvalue > LEAST
    named = ~columns["omitted"]
    assert binomtest(int(columns["synonyms"][named].sum()), int(named.sum()), MIXED["synonyms"]).pvalue > LEAST
    for one, two in itertools.combinations(columns, 2):
        if {one, two} != {"omitted", "synonyms"}:
            assert abs(numpy.corrcoef(columns[one], columns[two])[0, 1]) < 4 / COUNT**0.5, (one, two)


@pytest.mark.parametrize("name", ["plain", "synonyms", "omitted", "attributes_omitted", "distractors", "polysemy"])
@pytest.mark.parametrize("kind", ["coloured-digits", "scenes"])
def test_one_share_does_not_move_the_others(kind: str, name: str) -> None:
    first, second = options(kind, **MIXED), options(kind, **{**MIXED, name: 0.75})
    moved = {"attributes_omitted": "background"}.get(name, name)
    for option, before in first.items():
        same = before == second[option]
        if option == moved:
            assert not same.all()
        elif {name, option} == {"omitted", "synonyms"}:  # a name that is left out is no synonym
            assert same[~second["omitted"]].all()
        else:
            assert same.all(), option


def test_an_added_phrase_leaves_the_others_words_as_they_are() -> None:
    before = written("scenes", distractors=0.4)
    beside = written("scenes", distractors=0.4, polysemy=0.5, polysemy_alone=0.0)
    for one, two in zip(before, beside, strict=True):
        assert one == two or not Counter(split(one)) - Counter(split(two))
    alone = written("scenes", distractors=0.4, polysemy=0.5, polysemy_alone=1.0)
    for one, two in zip(before, alone, strict=True):
        assert one == two or SENSE_WORDS & {*split(two)}


@pytest.mark.parametrize("kind", ["coloured-digits", "scenes", "glyphs"])
def test_attributes_are_left_out_each_by_itself(kind: str) -> None:
    factors = [factor for factor in spoken_factors(kind) if factor not in (MAIN_FACTOR[kind], "texture")]
    found = [found_in(kind, caption) for caption in written(kind, attributes_omitted=0.3)]
    columns = {factor: numpy.array([factor in own for own in found]) for factor in factors}
    for factor, said in columns.items():
        assert binomtest(int(said.sum()), COUNT, 0.7).pvalue > LEAST, factor
    for one, two in itertools.combinations(columns.values(), 2):
        assert abs(numpy.corrcoef(one, two)[0, 1]) < 4 / COUNT**0.5
    nothing = written(kind, count=FEW, attributes_omitted=1.0)
    assert all(set(found_in(kind, caption)) == {MAIN_FACTOR[kind]} for caption in nothing)


@pytest.mark.parametrize("kind", KINDS)
def test_a_caption_that_is_plain_is_a_noun_phrase_without_article(kind: str) -> None:
    assert list(written(kind, count=FEW, plain=1.0)) == [phrase for phrase, _ in phrases(kind)[:FEW]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_distractor_stands_before_or_behind(kind: str) -> None:
    before = 0
    for own, caption in zip(written(kind, count=FEW), written(kind, count=FEW, distractors=1.0), strict=True):
        piece = caption.replace(own, "").strip()
        assert piece in DISTRACTORS and caption in (f"{piece} {own}", f"{own} {piece}")
        before += caption.startswith(piece)
    assert binomtest(before, FEW, 0.5).pvalue > LEAST


@pytest.mark.parametrize("kind", ["coloured-digits", "scenes", "glyphs"])
def test_another_sense_is_of_a_class_drawn_at_random(kind: str) -> None:
    captions = written(kind, polysemy=1.0, polysemy_alone=1.0)
    texts = [re.escape(sense).replace(r"a\ \{\}", r"an?\ \{\}") for sense in OTHER_SENSES]
    patterns = [re.compile(text.replace(r"\{\}", r"(\w+)")) for text in texts]
    named: Counter[str] = Counter()
    senses: Counter[str] = Counter()
    own = 0
    truths = [names_of(kind, MAIN_FACTOR[kind])[value][0] for value in truth(kind, MAIN_FACTOR[kind])]
    for caption, right in zip(captions, truths, strict=True):
        (match,) = [m for m in (pattern.fullmatch(caption) for pattern in patterns) if m]
        named[match[1]] += 1
        senses[match.re.pattern] += 1
        own += match[1] == right
    data = dataset(kind)
    labels = [
        names[value][0]
        for factor, names in NAMES[data.name].items()
        if factor != "background"
        for value in data.factors[factor].values
    ]
    assert set(named) == set(labels) and len(labels) == len(set(labels))
    assert chisquare([named[label] for label in labels]).pvalue > LEAST
    assert len(senses) == len(OTHER_SENSES) and chisquare(list(senses.values())).pvalue > LEAST
    # It tells nothing of the image.
    assert binomtest(own, COUNT, 1 / len(labels)).pvalue > LEAST


# The same again


@pytest.mark.parametrize("kind", ["coloured-digits", "scenes", "glyphs"])
def test_captions_are_the_same_again_and_others_in_another_replicate(kind: str) -> None:
    asked: dict[str, Any] = {"count": FEW, "synonyms": 0.3, "distractors": 0.4, "plain": 0.2}
    first = written(kind, **asked)
    _written.cache_clear()
    assert written(kind, **asked) == first
    other = written(kind, 1, **asked)
    assert sum(one == two for one, two in zip(first, other, strict=True)) < FEW / 20


def test_a_shorter_part_has_the_same_beginning() -> None:
    whole = dataset("scenes").train
    short = some_rows(whole, range(100))
    asked = CaptionSettings(**MIXED)
    found = [
        write_captions("scenes", part, dataset("scenes").factors, asked, templates().training, Stream("short"))
        for part in (whole, short)
    ]
    assert found[0][:100] == found[1]


# Words and grammar


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_of_a_caption_is_known(kind: str) -> None:
    known = set(all_words(dataset(kind).name))
    found = {
        word
        for given in (MIXED, {"polysemy": 1.0, "polysemy_alone": 1.0}, {"omitted": 1.0}, {"synonyms": 1.0})
        for caption in written(kind, count=1500, **given)
        for word in split(caption)
    }
    assert found - known == set()


def test_every_word_of_the_grammars_templates_is_known() -> None:
    for source in MAIN:
        known = all_words(source)
        assert list(known) == sorted(set(known))
        assert {word for text in (*all_templates(), DEFAULT_TEMPLATE) for word in split(text)} <= set(known)


@settings(max_examples=30)
@given(
    shares=st.fixed_dictionaries({name: st.sampled_from([0.0, 0.3, 1.0]) for name in (*SHARES, "polysemy_alone")}),
    kind=st.sampled_from(KINDS),
    replicate=st.integers(0, 10**6),
    start=st.integers(0, COUNT - 40),
)
def test_any_settings_write_captions_of_known_words(
    shares: dict[str, float], kind: str, replicate: int, start: int
) -> None:
    data, asked = dataset(kind), CaptionSettings(**shares)
    part = some_rows(data.train, range(start, start + 40))
    drawn = draw_templates(asked, Stream("any", replicate, "templates"))
    found = write_captions(data.name, part, data.factors, asked, drawn.training, Stream("any", replicate))
    assert len(found) == 40
    for caption in found:
        assert caption == caption.strip() and "  " not in caption and not {*caption} & {*"{}"}
        assert set(split(caption)) - {"things"} <= known_words(data.name)


def said(kind: str, pattern: str, template: str | None = None, **given: Any) -> set[str]:
    """Return what of captions, with any of the grammar's templates or one of them, matches a pattern."""
    data, asked = dataset(kind), CaptionSettings(**{**NONE, **given})
    part = some_rows(data.train, range(1500))
    chosen = every_template() if template is None else (template,)
    captions = write_captions(data.name, part, data.factors, asked, chosen, Stream("said"))
    return {match for caption in captions for match in re.findall(pattern, caption)}


def test_articles_of_colours_and_names() -> None:
    given = {"attributes_omitted": 0.4, "synonyms": 0.3}
    found = said("coloured-digits", r"\b(an? [a-z]+) (?:\w+ )?(?:three|eight|octet)\b", **given)
    assert {"an orange", "a red"} <= found and not {"a orange", "an red"} & found
    assert "an eight" in said("coloured-digits", r"\b(an? eight)\b", attributes_omitted=1.0)
    assert {"an aitch", "a bee"} <= said("glyphs", r"\b(an? (?:aitch|bee))\b", attributes_omitted=1.0)
    names = {name for factors in NAMES.values() for own in factors.values() for names in own.values() for name in names}
    vowels = "|".join(name for name in names if name[0] in "aeiou" and name not in ("one", "uniform"))
    assert not any(said(kind, rf"\ba (?:{vowels})\b", attributes_omitted=0.7, synonyms=0.3) for kind in KINDS)


@pytest.mark.parametrize("synonyms", [0.0, 1.0])
def test_several_shapes_are_in_the_plural_and_one_is_not(synonyms: float) -> None:
    counts, shapes = truth("scenes", "count"), truth("scenes", "shape")
    with_number = written("scenes", count=FEW, synonyms=synonyms)
    without = written("scenes", count=FEW, synonyms=synonyms, never=("count",))
    for count, shape, *captions in zip(counts, shapes, with_number, without, strict=False):
        nouns = SHAPES[shape][1:] if synonyms else SHAPES[shape][:1]
        if count != "one":
            nouns = tuple(f"{noun}es" if noun[-1] in "sx" else f"{noun}s" for noun in nouns)
        for caption in captions:
            assert len(set(split(caption)) & set(nouns)) == 1, caption
        number = "|".join(NAMES["scenes"]["count"][count][1:] if synonyms else [count])
        assert re.search(rf"\b(?:{number}) (?:\w+ ){{1,3}}(?:{'|'.join(nouns)})\b", captions[0]), captions[0]


def test_a_number_takes_no_article_of_its_own() -> None:
    assert not said("scenes", r"\ban? (?:one|two|three|four|twin|double|triple|treble|fourfold) ")
    numbers = said("scenes", r"^my scan of (\w+) ", "my scan of a {}.")
    assert numbers == {"one", "two", "three", "four"}
    # Where the number is left out, one has an article and several have none.
    never = ("count", "colour", "texture", "background")
    nouns = said("scenes", r"^this scan shows (.*)\.$", "this scan shows a {}.", never=never)
    assert nouns == {form for name in SHAPES for form in (an(name), plural(name))}


def test_what_a_label_is_replaced_by_has_its_plural() -> None:
    for caption, count in zip(written("scenes", count=FEW, omitted=1.0), truth("scenes", "count"), strict=False):
        assert set(split(caption)) & {"thing", "things"} == {"thing" if count == "one" else "things"}


def test_a_set_whose_images_all_have_one_object_says_no_number() -> None:
    assert not any(
        {"one", "two", "three", "four"} & {*split(caption)} for caption in written("scenes of one", count=FEW)
    )


def test_a_set_whose_images_all_have_two_objects_has_plurals() -> None:
    data = load(ScenesSettings(count_minimum=2, count_maximum=2, size=8, train=20, validation=1, test=1), 0)
    captions = write_captions(
        "scenes", data.train, data.factors, CaptionSettings(**NONE), every_template(), Stream("two")
    )
    plurals = {plural(name) for names in SHAPES.values() for name in names}
    assert all(plurals & set(split(caption)) for caption in captions)


GRAMMAR: dict[str, tuple[str, str, dict[str, Any]]] = {
    "templates have 'a old photo' and 'a image'": ("coloured-digits", r"\ba (?:old|image)\b", {}),
    "with_article says 'an one'": ("coloured-digits", r"\ban one\b", {"attributes_omitted": 1.0}),
    "with_article says 'an uniform'": ("scenes", r"\ban uniform\b", {"synonyms": 1.0}),
    "another sense says 'a arrow moment'": ("scenes", r"\ba (?!one|uniform)[aeiou]\w+ moment\b", {"polysemy": 1.0}),
    "'has a nice {}' is filled with numbers and plurals: 'has a nice two red stars'": (
        "scenes", r"\bhas a \w+ (?:one|two|three|four) ", {}
    ),
    "'look at this nice {}' is filled with numbers and plurals: 'look at this nice two red stars'": (
        "scenes", r"\bthis \w+ (?:one|two|three|four) ", {}
    ),
    "'here is' and 'there is' are said of several: 'here is two red stars'": (
        "scenes", r"\bis (?:two|three|four) ", {}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAMMAR)
def test_captions_are_grammatical(name: str) -> None:
    kind, pattern, given = GRAMMAR[name]
    assert said(kind, pattern, **given) == set()
