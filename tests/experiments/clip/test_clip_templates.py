"""Templates: files that users write, settings that name a set, and the class names that go with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import open_clip
import pytest
from pydantic import ValidationError

from experiments.clip.caption_settings import CaptionSettings
from experiments.clip.captions import DEFAULT_TEMPLATE, Templates, all_words, draw_templates, split
from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.template_files import checked_template, read_templates
from experiments.clip.templates import SPECIFIC, Subject, openai_templates, subject_of
from experiments.clip.words import COLOURS, DIGITS, NAMES, SHAPES
from experiments.data import Dataset, FactorInformation, Part
from harness.errors import UserError
from harness.execution.streams import Stream


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "templates.txt"


def refused(path: Path) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(UserError) as caught:
        read_templates(path)
    sentence = str(caught.value)
    assert str(path) in sentence and "\n" not in sentence and "Traceback" not in sentence
    return sentence


# Files


def test_one_template_a_line_without_comments_and_empty_lines(file: Path) -> None:
    file.write_text("# mine\na photo of a {}.\n\n   \n  {} in Öl, 画  \n#{}\n\t# {} {}\nthe {}", encoding="utf-8")
    assert read_templates(file) == ("a photo of a {}.", "{} in Öl, 画", "the {}")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_marks_and_line_endings(file: Path, ending: str, encoding: str) -> None:
    file.write_bytes(ending.join(["a {}", "# no", "", "the {}", ""]).encode(encoding))
    assert read_templates(file) == ("a {}", "the {}")
    file.write_bytes(ending.join(["# first", "a {}"]).encode(encoding))
    assert read_templates(file) == ("a {}",)


def test_a_template_that_comes_twice_is_kept_twice(file: Path) -> None:
    file.write_text("a {}\na {}\n")
    assert read_templates(file) == ("a {}", "a {}")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a photo", "has no placeholder"),
        ("a photo of a { }", "has no placeholder"),
        ("a photo of a {c}", "has no placeholder"),
        ("a {} and a {}", "has 2 placeholders"),
        ("{}{}{}", "has 3 placeholders"),
        ("a {} in a {box", "has a brace beside {}"),
        ("a {} in a box}", "has a brace beside {}"),
        ("a {{}}", "has a brace beside {}"),
    ],
)
def test_a_line_that_is_no_template_is_named(file: Path, line: str, why: str) -> None:
    file.write_text(f"# mine\n\na {{}}\n{line}\n")
    sentence = refused(file)
    assert f"{file}, line 4: the template '{line}' {why}" in sentence
    with pytest.raises(ValueError, match="the template"):
        checked_template(line)


@pytest.mark.parametrize("content", ["", "\n\n", "# only\n#comments {}\n", "\ufeff"])
def test_a_file_without_a_template(file: Path, content: str) -> None:
    file.write_text(content, encoding="utf-8")
    assert refused(file).startswith(f"{file}: has no template; write one a line")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_in_another_encoding_is_refused_with_its_line(file: Path, encoding: str) -> None:
    file.write_bytes("a {}\nthe {}\nein schönes {}\n".encode(encoding))
    sentence = refused(file)
    # UTF-16 begins with a mark that is no UTF-8.
    line, byte = (1, "0xff") if encoding == "utf-16" else (3, "0xf6")
    assert sentence.startswith(f"{file}, line {line}: is not in UTF-8 (byte {byte})") and "save the file" in sentence


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_without_a_mark_is_refused_too(file: Path, encoding: str) -> None:
    file.write_bytes("a {}\nthe {}\n".encode(encoding))
    assert f"{file}, line 1" in refused(file)


def test_the_line_after_a_byte_order_mark_is_counted_from_the_first(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfa {}\n\xff {}\n")
    assert refused(file).startswith(f"{file}, line 2: is not in UTF-8 (byte 0xff)")


def test_a_file_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.txt").endswith("cannot be read: No such file or directory")
    assert refused(tmp_path).endswith("cannot be read: Is a directory")


# Settings


def complaint(**given: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        PromptSettings(**given)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"templates": ()}, "'templates' is an empty list; give one template at least"),
        ({"templates": ("a {}", "a photo")}, "the template 'a photo' has no placeholder; write the place of the class"),
        ({"templates": ("{} {}",)}, "has 2 placeholders"),
        ({"templates": ("{} }",)}, "has a brace beside"),
        ({"templates": "bare", "subsets": 2}, "'subsets' needs 'count': how many templates one has"),
        ({"templates": "bare", "combine": "each", "weights": "validation"}, "'weights' weigh an average, and 'each'"),
        (
            {"templates": "bare", "combine": "each", "weights": "unsupervised"},
            "combine by 'embedding' or 'probability'",
        ),
        ({"templates": "bare", "count": 0}, "greater than or equal to 1"),
        ({"templates": "bare", "count": 1, "subsets": 0}, "greater than or equal to 1"),
        ({"templates": "bare", "combine": "median"}, "'embedding', 'probability' or 'each'"),
        ({"templates": "bare", "weights": "mine"}, "'uniform', 'validation' or 'unsupervised'"),
        ({"templates": "bare", "names": "all"}, "'label' or 'synonyms'"),
        ({"templates": "bare", "wieghts": "uniform"}, "Extra inputs are not permitted"),
        ({}, "Field required"),
    ],
)
def test_settings_that_cannot_be_used(given: dict[str, Any], words: str) -> None:
    assert words in complaint(**given)


def test_settings_as_a_spec_gives_them() -> None:
    asked = PromptSettings.model_validate_json('{"templates": ["a {}", "the {}"], "count": 1}', strict=True)
    assert asked.templates == ("a {}", "the {}") and asked.subsets == 1 and asked.combine == "embedding"
    assert PromptSettings.model_validate_json('{"templates": "openai-80"}', strict=True).templates == "openai-80"
    assert PromptSettings(templates="mine.txt").templates == "mine.txt"


# Sets of templates


def subject(source: str = "scenes", grammar: Templates | None = None, root: str | None = None) -> Subject:
    return Subject(source, (("cat", "tom"), ("dog",)), grammar, root)


def templates(name: str, own: Subject | None = None) -> tuple[str, ...]:
    return (own or subject()).templates(PromptSettings(templates=name))


def test_openais_templates_are_those_of_open_clip() -> None:
    every, few = templates("openai-80"), templates("openai-7")
    assert len(every) == len(set(every)) == 80 and len(few) == len(set(few)) == 7
    assert every[0] == "a bad photo of a {}." and few[0] == "itap of a {}."
    for found, theirs in (
        (every, open_clip.OPENAI_IMAGENET_TEMPLATES),
        (few, open_clip.SIMPLE_IMAGENET_TEMPLATES),
    ):
        assert [one.replace("{}", "tabby cat") for one in found] == [one("tabby cat") for one in theirs]
        assert all(checked_template(one) == one for one in found)
    assert set(few) <= set(every)
    assert openai_templates(80) == every and openai_templates(7) == few


def test_the_label_alone_and_the_papers_default() -> None:
    assert templates("bare") == ("{}",)
    assert templates("default") == ("a photo of a {}.",) == (DEFAULT_TEMPLATE,)


def test_a_list_is_taken_as_it_is() -> None:
    given = ("my {}", "a {}", "my {}")
    assert subject().templates(PromptSettings(templates=given)) == given


def test_templates_of_the_captions_grammar() -> None:
    drawn = draw_templates(CaptionSettings(), Stream("templates"))
    own = subject(grammar=drawn)
    assert templates("held-out", own) == drawn.held_out and templates("training", own) == drawn.training
    for name in ("held-out", "training"):
        with pytest.raises(
            UserError, match=f"templates '{name}' belong to captions that a small encoder is trained on"
        ):
            templates(name)


@pytest.mark.parametrize("source", list(NAMES))
def test_specific_templates_of_embedded_sources(source: str) -> None:
    found = templates("specific", subject(source))
    assert found == SPECIFIC[source] and len(set(found)) == len(found) > 1
    assert all(checked_template(one) == one for one in found)
    # A small encoder knows every word of them.
    assert {word for one in found for word in split(one)} <= set(all_words(source))


def test_templates_of_a_real_set() -> None:
    found = templates("set", subject("cifar10"))
    assert len(found) > 1 and all(checked_template(one) == one for one in found)
    assert templates("specific", subject("cifar10")) == found[:1]
    with pytest.raises(UserError, match="no class names and templates for a data set 'image-folder'"):
        templates("set", subject("image-folder"))


def test_a_file_is_found_below_the_root_or_where_its_whole_path_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("a {}\n")
    assert templates("mine.txt", subject(root=str(tmp_path))) == ("a {}",)
    assert templates(str(tmp_path / "mine.txt")) == ("a {}",)
    assert templates(str(tmp_path / "mine.txt"), subject(root="/elsewhere")) == ("a {}",)
    with pytest.raises(UserError, match="cannot be read"):
        templates("mine.txt", subject(root=str(tmp_path / "none")))
    monkeypatch.chdir(tmp_path)
    assert templates("mine.txt") == ("a {}",)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert templates("~/mine.txt", subject(root="/elsewhere")) == ("a {}",)
    assert templates("mine.txt", subject(root="~")) == ("a {}",)


# Class names


def test_labels_are_one_row_and_synonyms_as_many_as_the_most() -> None:
    own = Subject("some set", (("cat", "tom", "puss"), ("dog",), ("owl", "bird")))
    assert own.class_names("label") == (("cat", "dog", "owl"),)
    assert own.class_names("synonyms") == (("cat", "dog", "owl"), ("tom", "dog", "bird"), ("puss", "dog", "owl"))


def dataset(name: str, factors: dict[str, tuple[str, ...]], label: str, numbers: tuple[str, ...] = ()) -> Dataset:
    """Return a data set of one image a part with factors of classes, and others of numbers."""
    part = Part(
        numpy.zeros((1, 3, 4, 4), dtype=numpy.uint8),
        {**{factor: numpy.zeros(1, dtype=numpy.int64) for factor in factors}, **dict.fromkeys(numbers, numpy.zeros(1))},
    )
    known = {factor: FactorInformation("class", values) for factor, values in factors.items()}
    return Dataset(
        name, part, part, part, {**known, **dict.fromkeys(numbers, FactorInformation("number"))}, label, "key"
    )


def folder(*values: str) -> Dataset:
    return dataset("image-folder", {"label": values}, "label", ("width",))


def test_the_names_of_an_embedded_source_are_those_of_its_captions() -> None:
    data = dataset("coloured-digits", {"digit": ("zero", "one"), "colour": ("red", "blue")}, "digit")
    assert subject_of(data, "digit").names == (DIGITS["zero"], DIGITS["one"])
    found = subject_of(data, "colour", root="/there")
    assert found.names == (COLOURS["red"], COLOURS["blue"])
    assert (found.source, found.root, found.grammar) == ("coloured-digits", "/there", None)
    # In the order of the data set's numbers, not of the words.
    data = dataset("scenes", {"shape": ("heart", "circle")}, "shape")
    assert subject_of(data, "shape").class_names("label") == (("heart", "circle"),)
    assert subject_of(data, "shape").names[0] == SHAPES["heart"]


def test_the_names_of_a_folder_of_images_are_its_folders() -> None:
    found = subject_of(folder("tabby_cat", "dog", "sea  lion"), "label")
    assert found.names == (("tabby cat",), ("dog",), ("sea  lion",)) and found.source == "image-folder"


@pytest.mark.parametrize("empty", ["", "_", " ", "___"])
def test_an_empty_class_name_is_refused(empty: str) -> None:
    with pytest.raises(UserError, match="image-folder: the name of class 1 is empty; a prompt needs a word for it"):
        subject_of(folder("cat", empty), "label")


def test_a_factor_that_is_not_there_or_has_no_classes() -> None:
    for factor in ("shape", "width"):
        with pytest.raises(UserError, match=f"^image-folder: no classes '{factor}' \\(known: label\\)$"):
            subject_of(folder("cat"), factor)


def test_a_factor_that_captions_have_no_words_for() -> None:
    data = dataset("glyphs", {"class": ("A, hue 0-180",), "letter": ("A",), "font_1": ("DejaVuSans",)}, "class")
    assert subject_of(data, "letter").names == (("ay",),)
    for factor in ("class", "font_1"):
        with pytest.raises(UserError, match=f"glyphs: captions have no words for '{factor}' \\(known: letter\\)"):
            subject_of(data, factor)
    odd = dataset("coloured-digits", {"colour": ("red", "ultraviolet")}, "colour")
    with pytest.raises(UserError, match="captions have no words for 'colour'"):
        subject_of(odd, "colour")


def test_the_names_of_a_real_set_are_clip_benchmarks() -> None:
    data = dataset("mnist", {"label": tuple("0123456789")}, "label")
    assert subject_of(data, "label").class_names("label") == (tuple("0123456789"),)
    with pytest.raises(UserError, match="mnist has 9 classes here, but there are 10 names"):
        subject_of(dataset("mnist", {"label": tuple("012345678")}, "label"), "label")


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10", "food101", "sun397"])
def test_the_names_of_sets_that_have_them_in_their_files(name: str) -> None:
    data = dataset(name, {"label": ("airplane", "polar bear")}, "label")
    assert subject_of(data, "label").names == (("airplane",), ("polar bear",))


def test_a_source_without_captions_or_names_is_refused() -> None:
    data = dataset("digits", {"digit": ("zero", "one")}, "digit")
    with pytest.raises(UserError, match="no class names and templates for a data set 'digits'"):
        subject_of(data, "digit")
