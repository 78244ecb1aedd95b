"""Text classification data from CSV, TSV and Parquet files, on small files in their true formats."""

from __future__ import annotations

import csv
import decimal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from experiments.data import text_settings as settings_module
from experiments.data.text_files import TextDataset, TextPart, load_text_files
from experiments.data.text_settings import TextFilesSettings
from harness.errors import UserError

Rows = Sequence[Sequence[Any]]
SENTENCES = [["it 's a charming film", 1], ["dull , dull , dull", 0], ["NA", 1], ["null", 0], ["None", 1], ["", 0]]


def write(path: Path, names: Sequence[str], rows: Rows) -> None:
    """Write rows in the format of the file's extension."""
    if path.suffix == ".parquet":
        columns = [pyarrow.array([row[index] for row in rows]) for index in range(len(names))]
        pyarrow.parquet.write_table(pyarrow.table(columns, names=list(names)), path)
    elif path.suffix == ".tsv":
        # As GLUE's own: no quoting, no escaping.
        path.write_text("".join("\t".join(map(str, row)) + "\n" for row in [names, *rows]), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([names, *rows])


def write_labels(path: Path, labels: Sequence[Any]) -> None:
    write(path, ["sentence", "label"], [[f"text {index}", label] for index, label in enumerate(labels)])


def load_pair(folder: Path, train: str = "train.csv", test: str = "test.csv", **others: Any) -> TextDataset:
    return load_text_files(TextFilesSettings(train=train, test=test, **others), str(folder))


def rows_of(*parts: TextPart) -> list[tuple[str, str, int]]:
    return sorted(
        (part.texts[index], "" if part.second is None else part.second[index], int(part.labels[index]))
        for part in parts
        for index in range(len(part))
    )


def refusal(folder: Path, *parts: str, **settings: Any) -> str:
    """Return the sentence with which loading is refused; it has all ``parts``, and is one line."""
    with pytest.raises(UserError) as caught:
        load_pair(folder, **settings)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    for part in parts:
        assert part in sentence, sentence
    return sentence


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder with train.csv and test.csv that can be used."""
    write_labels(tmp_path / "train.csv", [0, 1] * 10)
    write_labels(tmp_path / "test.csv", [1, 0, 1])
    return tmp_path


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".parquet"])
def test_texts_are_as_they_stand_in_the_file(tmp_path: Path, kind: str) -> None:
    write(tmp_path / f"train{kind}", ["idx", "sentence", "label"], [[i, *row] for i, row in enumerate(SENTENCES)])
    write(tmp_path / f"dev{kind}", ["label", "sentence"], [[1, "a"], [0, "b"]])
    found = load_pair(tmp_path, f"train{kind}", f"dev{kind}", validation=f"dev{kind}")
    assert found.name == "text-files" and found.classes == ("0", "1")
    assert [list(row) for row in zip(found.train.texts, found.train.labels, strict=True)] == SENTENCES
    assert found.train.second is None and found.train.labels.dtype == numpy.int64 and len(found.train) == 6
    assert found.test.texts == ("a", "b") and found.test.labels.tolist() == [1, 0]
    # An example may be in two files.
    assert rows_of(found.validation) == rows_of(found.test)


def test_the_same_examples_have_the_same_key_in_every_format(tmp_path: Path) -> None:
    keys = set()
    for kind in (".csv", ".tsv", ".parquet", ".TSV"):
        write(tmp_path / f"train{kind}", ["sentence", "label"], SENTENCES)
        if kind == ".TSV":
            write(tmp_path / "other.tsv", ["sentence", "label"], SENTENCES)
            (tmp_path / "other.tsv").rename(tmp_path / "train.TSV")
        keys.add(load_pair(tmp_path, f"train{kind}", f"train{kind}").key)
    assert len(keys) == 1


def test_pairs_and_the_names_of_columns(tmp_path: Path) -> None:
    write(tmp_path / "qnli.tsv", ["question", "sentence", "y"], [["who ?", "he", "entailment"], ["why ?", "it", "not"]])
    columns = {"text": "question", "second_text": "sentence", "label": "y"}
    found = load_pair(tmp_path, "qnli.tsv", "qnli.tsv", validation="qnli.tsv", **columns)
    assert found.train.texts == ("who ?", "why ?") and found.train.second == ("he", "it")
    assert found.classes == ("entailment", "not") and found.train.labels.tolist() == [0, 1]


def test_absolute_paths_need_no_root(good: Path) -> None:
    settings = TextFilesSettings(train=str(good / "train.csv"), test=str(good / "test.csv"))
    assert load_text_files(settings, None).key == load_pair(good).key
    with pytest.raises(UserError, match="text-files needs the folder where its files lie"):
        load_text_files(TextFilesSettings(train=str(good / "train.csv"), test="test.csv"), None)


def test_lone_quotes_in_tsv_and_quoted_fields_in_csv(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b'sentence\tlabel\r\n"lone\t1\r\nsays "no" ,\t0\r\n')
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfsentence,label\n"two\nlines, ""quoted""",1\n plain ,0\n')
    assert load_pair(tmp_path, "a.tsv", "a.tsv", validation="a.tsv").train.texts == ('"lone', 'says "no" ,')
    found = load_pair(tmp_path, "a.csv", "a.csv", validation="a.csv").train
    assert found.texts == ('two\nlines, "quoted"', " plain ") and found.labels.tolist() == [1, 0]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from(["no", "yes"])), min_size=1, max_size=6)


@given(rows=PAIRS)
@hypothesis_settings(max_examples=30, deadline=None)
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]) -> None:
    folder = tmp_path_factory.mktemp("texts")
    whole = [*rows, ("first", "", "no"), ("last", "", "yes")]
    frame = pandas.DataFrame(whole, columns=["sentence", "other", "label"], dtype=object)
    frame.to_csv(folder / "written.csv", index=False)
    frame.to_parquet(folder / "written.parquet", index=False)
    write(folder / "plain.csv", list(frame.columns), whole)
    for name in ("written.csv", "plain.csv", "written.parquet"):  # lines end in LF, and in CR LF
        found = load_pair(folder, name, name, validation=name, second_text="other")
        assert found.train.second is not None
        words = [found.classes[label] for label in found.train.labels]
        assert list(zip(found.train.texts, found.train.second, words, strict=True)) == whole


LINES = TEXTS.map(lambda text: text.replace("\t", " ").replace("\n", " "))


@given(rows=st.lists(st.tuples(LINES, st.sampled_from(["no", "yes"])), max_size=6), end=st.sampled_from(["\n", "\r\n"]))
@hypothesis_settings(max_examples=30, deadline=None)
def test_any_line_comes_back_from_tsv(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str
) -> None:
    path = tmp_path_factory.mktemp("texts") / "plain.tsv"
    whole = [*rows, ("first", "no"), ("last", "yes")]
    lines = ["sentence\tlabel", *("\t".join(row) for row in whole)]
    path.write_bytes("".join(line + end for line in lines).encode())
    found = load_pair(path.parent, path.name, path.name, validation=path.name)
    assert found.train.texts == tuple(text for text, _ in whole)
    assert [found.classes[label] for label in found.train.labels] == [label for _, label in whole]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines(tmp_path: Path, end: str) -> None:
    for name, separator in (("a.csv", ","), ("a.tsv", "\t")):
        lines = [f"label{separator}sentence", f"1{separator}x y", f"0{separator}z"]
        (tmp_path / name).write_bytes(end.join(lines).encode())
        assert load_pair(tmp_path, name, name, validation=name).train.texts == ("x y", "z")


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_pandas_reads_the_same(tmp_path: Path, kind: str) -> None:
    rows = [[f'text {index}, "{index % 7}"', index % 3] for index in range(100)]
    write(tmp_path / f"train{kind}", ["sentence", "label"], rows)
    theirs = (
        pandas.read_csv(tmp_path / "train.csv") if kind == ".csv" else pandas.read_parquet(tmp_path / "train.parquet")
    )
    ours = load_pair(tmp_path, f"train{kind}", f"train{kind}").test
    assert list(ours.texts) == theirs["sentence"].tolist() and ours.labels.tolist() == theirs["label"].tolist()


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([10, 9, 2], ("2", "9", "10")),
        ([-2, 0, 3], ("-2", "0", "3")),
        (["1.0", "+0", " 2 "], ("0", "1", "2")),
        (["b", "a", "B"], ("B", "a", "b")),
        (["3D", "2D", "inf"], ("2D", "3D", "inf")),
        (["9" * 30, "x"], ("9" * 30, "x")),
    ],
)
def test_order_of_classes(tmp_path: Path, labels: list[Any], classes: tuple[str, ...]) -> None:
    write_labels(tmp_path / "train.csv", labels * 2)
    found = load_pair(tmp_path, test="train.csv")
    assert found.classes == classes
    names = [found.classes[label] for label in found.test.labels]
    assert names == 2 * ["1", "0", "2"] if "+0" in labels else names == 2 * [str(label) for label in labels]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (pyarrow.array([1, 0], pyarrow.int8()), ("0", "1")),
        (pyarrow.array([1.0, 0.0]), ("0", "1")),
        (pyarrow.array([True, False]), ("False", "True")),
        (pyarrow.array([decimal.Decimal("1.00"), decimal.Decimal("0.00")]), ("0", "1")),
        (pyarrow.array(["b", "a"]).dictionary_encode(), ("a", "b")),
        (pyarrow.array(["b", "a"], pyarrow.large_string()), ("a", "b")),
    ],
)
def test_types_of_parquet_labels(tmp_path: Path, labels: Any, classes: tuple[str, ...]) -> None:
    texts = pyarrow.array(["x", "y"]).dictionary_encode()
    pyarrow.parquet.write_table(pyarrow.table({"sentence": texts, "label": labels}), tmp_path / "a.parquet")
    found = load_pair(tmp_path, "a.parquet", "a.parquet", validation="a.parquet")
    assert found.classes == classes and found.train.labels.tolist() == [1, 0] and found.train.texts == ("x", "y")


def test_held_out_examples_are_the_same_share_of_every_class(tmp_path: Path) -> None:
    rows = [[f"text {index}", "rare" if index % 5 == 0 else "frequent"] for index in range(200)]
    write(tmp_path / "train.csv", ["sentence", "label"], rows)
    found, again = (load_pair(tmp_path, test="train.csv", validation=0.2) for _ in range(2))
    assert numpy.bincount(found.validation.labels).tolist() == [32, 8]
    assert numpy.bincount(found.train.labels).tolist() == [128, 32]
    assert rows_of(found.train, found.validation) == rows_of(found.test)
    assert found.validation.texts == again.validation.texts and found.key == again.key
    # In the order of the file, and not just its beginning.
    numbers = [int(text.split()[1]) for text in found.validation.texts]
    assert numbers == sorted(numbers) and numbers[-1] > 100
    assert load_pair(tmp_path, test="train.csv", validation=0.3).key != found.key


def test_pairs_are_held_out_together(tmp_path: Path) -> None:
    rows = [[f"a{index}", f"b{index}", index % 2] for index in range(40)]
    write(tmp_path / "train.csv", ["sentence", "other", "label"], rows)
    found = load_pair(tmp_path, test="train.csv", second_text="other")
    assert len(found.validation) == 4 and rows_of(found.train, found.validation) == rows_of(found.test)


def test_key_changes_with_the_content(good: Path) -> None:
    first = load_pair(good).key
    assert first == load_pair(good).key and len(first) == 64
    keys = {first}
    write_labels(good / "test.csv", [1, 0, 0])
    keys.add(load_pair(good).key)
    write_labels(good / "train.csv", [0, 1] * 10 + [1])
    keys.add(load_pair(good).key)
    write(good / "test.csv", ["sentence", "label"], [["another text", 1], ["text 1", 0], ["text 2", 0]])
    keys.add(load_pair(good).key)
    write_labels(good / "train.csv", ["no", "yes"] * 10)
    write_labels(good / "test.csv", ["yes", "no", "no"])
    keys.add(load_pair(good).key)
    keys.add(load_pair(good, validation="test.csv").key)
    for name in ("train.csv", "test.csv"):
        pandas.read_csv(good / name).assign(other="").to_csv(good / name, index=False)
    assert load_pair(good, validation="test.csv").key in keys  # a column that is not asked for
    keys.add(load_pair(good, validation="test.csv", second_text="other").key)
    assert len(keys) == 7


# What is refused.


def test_missing_file(good: Path) -> None:
    refusal(good, str(good / "trian.csv"), "'train'", "missing; did you mean 'train.csv'?", train="trian.csv")
    refusal(good, "'validation' names is missing", "known in that folder: test.csv, train.csv", validation="x.tsv")
    refusal(good, "'test' names is missing (known in that folder: none)", test="nowhere/test.csv")
    refusal(good, "is missing", test="~nobody-of-that-name/test.csv")


def test_folder_in_place_of_a_file(good: Path) -> None:
    (good / "folder.csv").mkdir()
    refusal(good, f"{good / 'folder.csv'} is a folder; 'test' needs", ".csv, .tsv, .parquet", test="folder.csv")


def test_unknown_extension(good: Path) -> None:
    for name, suggestion in (
        ("a.parq", "did you mean '.parquet'?"),
        ("a.txt", "extension '.txt'"),
        ("plain", "extension ''"),
    ):
        (good / name).write_text("sentence,label\n")
        refusal(good, str(good / name), "'train'", suggestion, "known: .csv, .tsv, .parquet", train=name)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet"])
def test_file_without_examples(good: Path, name: str) -> None:
    (good / name).write_bytes(b"")
    refusal(good, str(good / name), "empty" if name != "a.parquet" else "cannot be read", train=name)
    if name == "a.parquet":
        empty = {"sentence": pyarrow.array([], pyarrow.string()), "label": pyarrow.array([], pyarrow.int64())}
        pyarrow.parquet.write_table(pyarrow.table(empty), good / name)
    else:
        write(good / name, ["sentence", "label"], [])
    refusal(good, str(good / name), "no examples", "'validation'", validation=name)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"sentence,label\nna\xefve,1\n", "UTF-8"),
        ("a.tsv", "sentence\tlabel\nx\t1\n".encode("utf-16"), "UTF-8"),
        ("a.csv", b"sentence,label\nx\0y,1\n", "NUL"),
        ("a.csv", b"sentence,label\nx,1\ny,z,1\n", "line 3"),
        ("a.csv", b"sentence,label\nx,y,1\n", "line 2"),
        ("a.csv", b'sentence,label\n"x,1\n', "EOF inside string"),
        ("a.tsv", b'sentence\tlabel\n"x\ty"\t1\n', "quotes are characters like any other"),
        ("a.parquet", b"PAR1 is not enough", "whole Parquet file"),
    ],
)
def test_unreadable_file(good: Path, name: str, content: bytes, reason: str) -> None:
    (good / name).write_bytes(content)
    refusal(good, f"The file {good / name} cannot be read", reason, train=name)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_file_that_may_not_be_read(good: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(good / name, ["sentence", "label"], SENTENCES)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # Not by the file's mode: the superuser reads it all the same.
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    refusal(good, f"The file {good / name} cannot be read (Permission denied)", "you may read", train=name)


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".parquet"])
def test_missing_column(good: Path, kind: str) -> None:
    write(good / f"a{kind}", ["idx", "sentence1", "label"], [[0, "x", 1], [1, "y", 0]])
    known = "did you mean 'sentence1'? (known: idx, sentence1, label)"
    refusal(good, f"a{kind} has no column 'sentence' for 'text'", known, train=f"a{kind}")
    refusal(good, "no column 'other' for 'second_text'", train=f"a{kind}", text="sentence1", second_text="other")
    refusal(good, "no column 'gold' for 'label'", train=f"a{kind}", text="sentence1", label="gold")


def test_doubled_column(good: Path) -> None:
    for name in ("a.csv", "a.parquet"):
        write(good / name, ["sentence", "label", "label"], [["x", 1, 0], ["y", 0, 1]])
        refusal(good, f"{name} has 2 columns 'label'", train=name)


def test_missing_text(good: Path) -> None:
    write(good / "a.parquet", ["sentence", "label"], [["", 1], [None, 0]])
    refusal(good, "Row 2 of", "a.parquet has no text in column 'sentence'", "empty", train="a.parquet")
    write(good / "a.parquet", ["sentence", "label"], [[None, 1], [None, 0]])
    refusal(good, "Row 1 of", train="a.parquet")


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("a.csv", [["x", 1], ["y", ""], ["z", 0]]),
        ("a.csv", [["x", 1], ["y"], ["z", 0]]),
        ("a.tsv", [["x", 1], ["y", "  "], ["z", 0]]),
        ("a.parquet", [["x", 1], ["y", None], ["z", 0]]),
        ("a.parquet", [["x", 1.0], ["y", float("nan")], ["z", 0.0]]),
        ("a.parquet", [["x", "a"], ["y", None], ["z", "b"]]),
    ],
)
def test_missing_label(good: Path, name: str, rows: Rows) -> None:
    write(good / name, ["sentence", "label"], rows)
    refusal(good, f"Row 2 of {good / name} has no label in column 'label'", train=name)


def test_rows_are_counted_by_examples_and_not_by_lines(good: Path) -> None:
    write(good / "a.csv", ["sentence", "label"], [["three\nlines\nlong", 1], ["x", ""]])
    refusal(good, "Row 2 of", train="a.csv")


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".parquet"])
def test_hidden_labels(good: Path, kind: str) -> None:
    name = f"hidden{kind}"
    write_labels(good / name, [-1, -1, -1])
    start = f"The labels of {good / name} are hidden (-1) in column 'label', as in GLUE's test files"
    refusal(good, start, "name the validation file as 'test' and leave 'validation' a share", test=name)
    refusal(good, start, "name the labelled training file as 'train'", train=name)
    refusal(good, start, "leave it a share", validation=name)
    # Where classes are words too: GLUE's exports have -1 in the test file all the same.
    write_labels(good / "train.csv", ["yes", "no"] * 5)
    refusal(good, start, test=name)
    write_labels(good / name, [1, 0, -1])
    for setting in ("train", "test"):
        refusal(good, f"Row 3 of {good / name} has the label -1", "leave such examples out", **{setting: name})


def test_label_unknown_to_the_training_file(good: Path) -> None:
    write_labels(good / "test.csv", [1, 0, 2, 2])
    refusal(good, f"Row 3 of {good / 'test.csv'} has the label '2' in column 'label'", "(known: 0, 1)")
    write_labels(good / "train.csv", ["entailment", "neutral"] * 5)
    write_labels(good / "test.csv", ["neutral"])
    write_labels(good / "dev.csv", ["neutral", "entailed"])
    refusal(good, "Row 2 of", "did you mean 'entailment'? (known: entailment, neutral)", validation="dev.csv")
    write_labels(good / "dev.csv", ["y" * 1000])
    assert len(refusal(good, validation="dev.csv")) < 400


def test_fewer_than_two_classes(good: Path) -> None:
    write_labels(good / "train.csv", [1, 1, 1])
    refusal(good, f"column 'label' of {good / 'train.csv'} has '1' in every row", "two classes at least")


@pytest.mark.parametrize("name", ["sts.tsv", "sts.parquet"])
def test_regression(good: Path, name: str) -> None:
    write_labels(good / name, [5.0, 4.75, 0.000001])
    refusal(good, f"Row 2 of {good / name} has the label '4.75'", "regression task such as STS-B", train=name)
    refusal(good, "regression task such as STS-B", test=name)
    write_labels(good / name, [1.0, 1e-6])
    if name.endswith("parquet"):
        refusal(good, "Row 2 of", "'0.000001'", train=name)


def test_numbers_and_words_mixed(good: Path) -> None:
    write_labels(good / "train.csv", [0, 1, "nan", 1])
    refusal(good, "column 'label'", "whole numbers (0 in row 1) and words ('nan' in row 3)", "all of one kind")
    write_labels(good / "a.parquet", [0.0, 1.0, float("inf")])
    refusal(good, "'inf' in row 3", train="a.parquet")


def test_columns_of_a_wrong_type(good: Path) -> None:
    write(good / "a.parquet", ["sentence", "label"], [[1, 1], [2, 0]])
    refusal(good, "column 'sentence' of", "type int64; 'text' needs text", train="a.parquet")
    write(good / "a.parquet", ["sentence", "label"], [["x", [1]], ["y", [0]]])
    refusal(good, "column 'label' of", "'label' needs whole numbers or words", train="a.parquet")


def test_nothing_to_hold_out(good: Path) -> None:
    write_labels(good / "train.csv", [0, 1])
    refusal(good, str(good / "train.csv"), "no class with two examples", "name a file as 'validation'")
    assert len(load_pair(good, validation="test.csv").train) == 2


# The settings.


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"validation": 0.0}, "validation is 0; it is the name of a file, or a share"),
        ({"validation": 1}, "validation is 1"),
        ({"validation": float("nan")}, "validation is nan"),
        ({"validation": ""}, "validation is empty"),
        ({"label": "sentence"}, "name the columns sentence, sentence"),
        ({"second_text": "sentence"}, "name the columns sentence, sentence, label"),
        ({"text": ""}, "at least 1 character"),
        ({"texts": "x"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        TextFilesSettings.model_validate({"train": "a.csv", "test": "b.csv", **wrong})


def test_settings_keep_what_they_are_given() -> None:
    settings = TextFilesSettings.model_validate({"train": "a.csv", "test": "b.csv", "validation": "c.csv"})
    assert settings.validation == "c.csv" and settings.source == "text-files"
    assert TextFilesSettings(train="a.csv", test="b.csv").validation == 0.1
    with pytest.raises(ValidationError):
        settings.train = "other.csv"  # type: ignore[misc]


def test_the_settings_import_nothing_heavy() -> None:
    heavy = ("torch", "pandas", "pyarrow", "sklearn", "scipy")
    code = f"import sys, experiments.data.text_settings; assert not [m for m in {heavy} if m in sys.modules]"
    subprocess.run([sys.executable, "-c", code], check=True)
    # By its path, because the package experiments.data imports numpy for itself.
    alone = (
        "import sys, runpy; "
        f"runpy.run_path({str(settings_module.__file__)!r}); "
        f"assert not [m for m in {(*heavy, 'numpy', 'experiments', 'harness')} if m in sys.modules]"
    )
    subprocess.run([sys.executable, "-c", alone], check=True)
