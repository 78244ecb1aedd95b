"""The converter of alphas, and the table of what an alpha means in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from experiments.rdrop.conventions import CONVENTIONS, translated
from experiments.rdrop.convert import convert

PAGE = Path(__file__).parents[3] / "docs" / "rdrop.md"


def printed(*arguments: str) -> dict[str, float]:
    found = CliRunner().invoke(convert, list(arguments))
    assert found.exit_code == 0, found.output
    rows = [line.split() for line in found.output.splitlines()[1:]]
    return {row[1]: float(row[0]) for row in rows}


def test_every_convention_is_printed_and_the_batch_is_the_sources_own() -> None:
    found = printed("0.3", "official-vision-transformer")
    assert list(found) == list(CONVENTIONS)
    assert found["paper"] == pytest.approx(19.2) and found["official-vision-transformer"] == 0.3
    assert printed("0.5", "official-bert")["paper"] == pytest.approx(8)
    assert printed("5", "paper")["notes"] == 1.25


def test_a_batch_may_be_named() -> None:
    assert printed("5", "paper", "--batch", "16")["official-bert"] == pytest.approx(5 / 16)


@pytest.mark.parametrize(
    "arguments", [("-1", "paper"), ("5", "papr"), ("5", "paper", "--batch", "0"), ("five", "paper")]
)
def test_bad_input_is_refused_with_status_2(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(convert, ["--", *arguments] if arguments[0] == "-1" else list(arguments)).exit_code == 2


def test_the_docs_say_what_the_conventions_say() -> None:
    rows = {
        match[1]: (match[2], match[3])
        for match in re.finditer(r"^\| `([\w-]+)` \|.*\| (\S+, \S+) \| .* \| ([^|]+) \|$", PAGE.read_text(), re.M)
        if match[1] != "convention"
    }
    assert set(rows) == set(CONVENTIONS)
    for name, (_, unit) in rows.items():
        factor, _, over = unit.partition(" x ")
        for batch in (1, 7, 32):
            expected = batch if unit == "batch" else float(factor) * (batch if over == "batch" else 1)
            assert translated(1.0, name, "paper", batch) == pytest.approx(expected), name  # type: ignore[arg-type]
    text = PAGE.read_text()
    for name, form in CONVENTIONS.items():
        if form.alpha is not None:
            assert re.search(rf"`{name}`.*alpha {form.alpha:g}\b", text), name
