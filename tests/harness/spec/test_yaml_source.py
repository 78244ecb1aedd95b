from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.spec.yaml_source import parse_yaml

WHERE = Path("spec.yaml")


def test_scalars_follow_the_core_schema_of_yaml_1_2() -> None:
    text = "a: 1e-3\nb: no\nc: 600x1000\nd: 12:30\ne: ~\nf: 017\ng: 0o17\nh: .5\ni: 'yes'\nj: 0x1F\nk: -.inf"
    data = parse_yaml(text, WHERE).data
    assert data == {
        "a": 0.001, "b": "no", "c": "600x1000", "d": "12:30", "e": None, "f": 17, "g": 15, "h": 0.5, "i": "yes",
        "j": 31, "k": float("-inf"),
    }  # fmt: skip


def test_lines_are_those_of_the_keys() -> None:
    source = parse_yaml("a: 1\nb:\n  c:\n    - x\n    - y\n", WHERE)
    assert source.line(("b", "c", 1)) == 5
    assert source.line(("b", "c", "missing")) == 3
    assert source.line(()) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3", "spec.yaml:3: the key 'a' stands twice (first on line 1)"),
        ("a: {b: 1, b: 2}", "spec.yaml:1: the key 'b' stands twice"),
        ("a: [1", "is not valid YAML"),
        ("", "is empty"),
        ("a: !!python/object/apply:os.system [ls]", "is not allowed; a spec is plain data"),
        ("a: !mine 3", "is not allowed; a spec is plain data"),
        ("a: !!int three", "cannot be read as int"),
        ("a: &x [*x]", "an alias contains itself"),
        ("<<: {a: 1}", "merge keys"),
        ("? [1, 2]\n: 3", "a key must be a word"),
        ("[" * 50_000, "spec.yaml"),
    ],
)
def test_unusable_text_gets_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        parse_yaml(text, WHERE)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bomb_of_aliases_is_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    with pytest.raises(UserError, match="expands to more than"):
        parse_yaml("\n".join(lines), WHERE)


def test_aliases_may_repeat_values() -> None:
    assert parse_yaml("a: &x [1, 2]\nb: *x", WHERE).data == {"a": [1, 2], "b": [1, 2]}


scalars = st.one_of(st.integers(-(10**9), 10**9), st.booleans(), st.none(), st.floats(allow_nan=False, width=32))
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=4),
)


@given(st.dictionaries(st.text("abcdef", min_size=1), documents, min_size=1, max_size=5))
def test_json_reads_as_itself(document: dict[str, object]) -> None:
    import json

    text = json.dumps(document).replace("Infinity", ".inf")
    assert parse_yaml(text, WHERE).data == document


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        parse_yaml(text, WHERE)
    except UserError as error:
        assert str(error).startswith("spec.yaml")
