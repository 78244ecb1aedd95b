"""The fingerprint of code: what changes it and what does not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.plan.code import fingerprint

MODULE = '''
"""Says something."""
from numbers_here.helper import double  # a comment


def trial(*, run, index: int):
    """Doubles."""
    from numbers_here import late

    text = f"{index} and {late.VALUE!r}"
    return {"value": double(index), "text": text}
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "numbers_here"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "helper.py").write_text("import numpy\n\n\ndef double(x):\n    return 2 * x\n")
    (folder / "late.py").write_text("VALUE = 1\n")
    (folder / "unused.py").write_text("VALUE = 2\n")
    (folder / "main.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("numbers_here")]:
        del sys.modules[name]


def digest() -> str:
    return fingerprint("numbers_here.main:trial").digest


def test_it_follows_imports_into_functions_and_stays_out_of_packages(package: Path) -> None:
    found = fingerprint("numbers_here.main:trial").modules
    assert set(found) == {"numbers_here", "numbers_here.main", "numbers_here.helper", "numbers_here.late"}


@pytest.mark.parametrize(
    "text",
    [
        MODULE.replace("# a comment", "# another one").replace("Says something.", "Says more."),
        MODULE.replace('    """Doubles."""\n', ""),
        MODULE.replace("    text = f", "\n\n    # why\n    text = f"),
        MODULE.replace('"""Doubles."""', '"""Doubles.\n\n    At length.\n    """'),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(package: Path, text: str) -> None:
    before = digest()
    (package / "main.py").write_text(text)
    assert digest() == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("main.py", MODULE.replace("double(index)", "double(index) + 1")),
        ("main.py", MODULE.replace(" and {late", " or {late")),
        ("main.py", MODULE.replace("index: int", "index: float")),
        ("main.py", MODULE.replace("    return", "    if index:\n        return")),
        ("helper.py", "def double(x):\n    return 3 * x\n"),
        ("late.py", "VALUE = 3\n"),
        ("__init__.py", "SETTING = 1\n"),
    ],
)
def test_code_counts_wherever_it_stands(package: Path, name: str, text: str) -> None:
    before = digest()
    (package / name).write_text(text)
    assert digest() != before


def test_a_module_that_is_not_imported_does_not_count(package: Path) -> None:
    before = digest()
    (package / "unused.py").write_text("VALUE = 'other'\n")
    assert digest() == before


def test_the_digest_is_the_same_on_every_python(package: Path) -> None:
    """Golden: Python 3.11 reads an f-string as one token, later versions as several."""
    assert fingerprint("numbers_here.main:trial").modules["numbers_here.main"] == "e33f01ad9eabc9ce"
