"""Text from specs, papers and errors is shown as text, whatever it holds, and breaks nothing."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import lxml.html
import pytest
import yaml
from support import Workplace

from reports.rendering.text import clean

STRINGS = {
    "markup": "<b>bold</b> &amp; <img src=x onerror=alert(1)>",
    "script": "</script><script>alert('1')</script>",
    "style": "</style></title></textarea>--><!-- <![CDATA[",
    "quotes": '"double" \'single\' `back` onmouseover="alert(1)"',
    "template": "{{ 7 * 7 }} {% raw %} ${x} #{y} %s {0} \\1 \\u0041",
    "mathematics": "$x_1^2$ \\frac{1}{2} \\input{secret} ~ % & # _ ^",
    "mirrored": "before \u202eoverride \u2067isolate \u200fmark",
    "controls": "bell \x07 escape \x1b[31m null \x00 nel \x85 end",
    "spaces": "tab\tnew line\nreturn\rno-break\u00a0zero\u200bwidth\ufeffmark",
    "unicode": "Ünïcödé 漢字 עברית العربية 👩‍👩‍👧 e\u0301 \U0010ffff",
    "spreadsheet": '=HYPERLINK("http://example.org")',
    "long": "w" * 10_000,
    "long words": "many words " * 900,
}
TRIALS = """
import json
from pathlib import Path
from typing import Any

STRINGS = json.loads((Path(__file__).parent / "strings.json").read_text())


def say(*, run: Any, arm: str, level: str = "plain") -> dict[str, Any]:
    value = float(run.stream(arm).numpy.normal(len(arm), 0.1))
    return {"value": value, **{f"{name} {text[:200]}": value for name, text in STRINGS.items()}}


def break_in_half(*, run: Any) -> dict[str, Any]:
    raise ValueError("half \\ud83d of a pair")


def name_in_half(*, run: Any) -> dict[str, Any]:
    return {"half \\ud83d of a pair": 1.0}


def fail(*, run: Any, arm: str) -> dict[str, Any]:
    raise ValueError(STRINGS[arm])
"""


def spec_of_everything() -> dict[str, Any]:
    """Return a spec in which every text that people may write is one of the strings, each string in every place."""
    names = list(STRINGS)
    claims = [
        {
            "id": f"text.{place}",
            "paper": f"Paper {text}",
            "arxiv": "2101.00001v1",
            "locator": f"Locator {text}",
            "statement": f"Statement {text}",
            "quote": f"Quote {text}",
            "metric": f"{name} {text[:200]}",
            "unit": f"Unit {text[:40]}",
            "form": "difference",
            "treatment": {"arm": names[place]},
            "control": {"arm": names[place - 1]},
            "at_least": 0.01,
            "bound_reason": f"Bound {text}",
            "published": {"value": 1, "locator": f"Figure {text}", "basis": "source", "derived": f"Derived {text}"},
            "margin": {"absolute": 0.5, "reason": f"Reason {text}"},
        }
        for place, (name, text) in enumerate(STRINGS.items())
    ]
    tables = [
        {
            "title": f"Table {text}",
            "caption": f"Caption {text}",
            "rows": "arm",
            "columns": [{"metric": f"{name} {text[:200]}", "label": f"Column {text}", "unit": f"Unit {text[:40]}"}],
        }
        for name, text in STRINGS.items()
    ]
    pictures = [
        {"kind": "bars", "title": f"Picture {text}", "caption": f"Saying {text}", "metric": "value", "label": text[:200], "along": "arm", "by": "level"}
        for text in STRINGS.values()
    ]  # fmt: skip
    return {
        "experiment": "everything",
        "title": f"Title {STRINGS['markup']}",
        "description": " ".join(STRINGS.values()),
        "trial": "text_trials:say",
        "claims": claims,
        "factors": {"arm": {"levels": names}, "level": {"levels": [STRINGS["markup"], STRINGS["mirrored"]]}},
        "replicates": 2,
        "profiles": {
            "laptop": {"fidelity": "proxy", "description": STRINGS["script"], "deviations": list(STRINGS.values())}
        },
        "report": {
            "labels": {name: f"Label {text}" for name, text in STRINGS.items()},
            "reading": STRINGS["quotes"],
            "tables": tables,
            "pictures": pictures,
        },
    }


def spec_of_failures() -> dict[str, Any]:
    return {
        "experiment": "failing",
        "title": "All of it fails",
        "trial": "text_trials:fail",
        "factors": {"arm": list(STRINGS)},
        "profiles": {"laptop": {"fidelity": "proxy"}},
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    workplace = Workplace(tmp_path_factory.mktemp("text"))
    workplace.write("text_trials.py", TRIALS)
    workplace.write("strings.json", json.dumps(STRINGS))
    for spec, status in ((spec_of_everything(), 0), (spec_of_failures(), 3)):
        workplace.write(f"{spec['experiment']}.yaml", yaml.safe_dump(spec, width=10**6))
        found = workplace.harness("run", f"{spec['experiment']}.yaml", "--executor", "inline")
        assert found.status == status, found.err[-2000:]
    found = workplace.harness("report", "everything.yaml", "failing.yaml")
    assert found.status == 0, found.err[-2000:]
    return workplace


@pytest.fixture(scope="module")
def source(place: Workplace) -> str:
    return (place.folder / "site" / "index.html").read_bytes().decode("utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> lxml.html.HtmlElement:
    return lxml.html.document_fromstring(source, parser=lxml.html.HTMLParser(encoding="utf-8", huge_tree=True))


def words(text: str) -> str:
    """Return text as a reader sees it: what cannot be shown is one sign, white space is one space."""
    return " ".join(clean(text).replace("\ufffd", "?").split())


@functools.cache
def seen(page: lxml.html.HtmlElement, path: str) -> list[str]:
    return [words(found.text_content()) for found in page.xpath(path)]


class Balance(HTMLParser):
    """Checks that every tag is closed, and notes the names of tags and attributes."""

    VOID = frozenset(("meta", "br", "input", "img", "link", "hr", "wbr"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"a comment at {self.getpos()}")


def test_no_text_becomes_markup(source: str) -> None:
    found = Balance()
    found.feed(source)
    found.close()
    assert not found.wrong and not found.open
    assert not found.names & {"b", "i", "img", "textarea", "iframe", "object", "link"}
    assert not [name for name in found.attributes if name.startswith("on")]
    assert source.count("<script") == source.count("</script") == 1


def test_the_page_has_no_character_that_html_forbids(source: str) -> None:
    assert clean(source) == source


@pytest.mark.parametrize("name", STRINGS)
@pytest.mark.parametrize(
    ("before", "path"),
    [
        ("Statement", "//table[@id='overview']//tr[@class='claim']/th"),
        ("Locator", "//table[@id='overview']//tr[@class='claim']/th/small"),
        ("Paper", "//table[@id='overview']//tr[@class='paper']/th"),
        ("Paper", "//form//option"),
        ("Statement", "//article/h4"),
        ("Quote", "//article//dd"),
        ("Reason", "//article//dd"),
        ("Derived", "//article//dd"),
        ("Bound", "//article/p"),
        ("Table", "//section//h4"),
        ("Caption", "//caption"),
        ("Column", "//thead//th"),
        ("Label", "//section//table/tbody/tr/th"),
        ("Picture", "//figure/h4"),
        ("Saying", "//figcaption"),
        ("", "//details[contains(@class, 'protocol')]//li"),
    ],
)
def test_text_of_a_spec_is_shown_whole(page: lxml.html.HtmlElement, name: str, before: str, path: str) -> None:
    wanted = words(f"{before} {STRINGS[name]}")
    assert any(wanted in found for found in seen(page, path))


@pytest.mark.parametrize("name", STRINGS)
def test_a_label_names_a_level_wherever_it_stands(page: lxml.html.HtmlElement, name: str) -> None:
    shown = seen(page, "//section[@id='everything-laptop']//table//th")
    assert words(f"Label {STRINGS[name]}") in shown


@pytest.mark.parametrize("name", STRINGS)
def test_the_message_of_a_failure_is_shown(page: lxml.html.HtmlElement, name: str) -> None:
    # A message is its first line, and not the whole of a very long one; the traceback under it has the rest.
    text = f"ValueError: {STRINGS[name]}"
    path = "//section[@id='failing-laptop']//details"
    assert any(words(text.splitlines()[0][:500]) in found for found in seen(page, f"{path}/summary"))
    assert any(words(text) in found for found in seen(page, f"{path}/pre"))


@pytest.mark.parametrize("function", ["break_in_half", "name_in_half"])
def test_half_a_pair_of_characters_breaks_nothing(place: Workplace, function: str) -> None:
    """Python's strings and JSON may hold one half of a surrogate pair; no file in UTF-8 can."""
    spec = {"experiment": "half", "title": "T", "trial": f"text_trials:{function}", "profiles": {"laptop": {"fidelity": "proxy"}}}  # fmt: skip
    place.write("half.yaml", yaml.safe_dump(spec))
    ran = place.harness("run", "half.yaml", "--executor", "inline", "--store", function)
    assert ran.status in (0, 3), ran.err[-2000:]
    found = place.harness("report", "half.yaml", "--store", function, "--out", f"{function}-site")
    assert found.status == 0, found.err[-2000:]
    if ran.status == 3:
        text = (place.folder / f"{function}-site" / "index.html").read_text()
        assert "half ? of a pair" in text.replace("\ufffd", "?")


def test_what_is_typed_by_nobody_is_not_cut(page: lxml.html.HtmlElement) -> None:
    assert seen(page, "//section[@id='everything-laptop']/h2") == [words(f"Title {STRINGS['markup']}")]
    assert words(" ".join(STRINGS.values())) in seen(page, "//section[@id='everything-laptop']/p")


def values(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for value in document.values():
            yield from values(value)
    elif isinstance(document, list):
        for value in document:
            yield from values(value)


def test_claims_json_has_the_texts_as_they_are(place: Workplace) -> None:
    found = set(values(json.loads((place.folder / "site" / "claims.json").read_text())))
    assert {f"Paper {text}" for text in STRINGS.values()} <= found


def test_the_page_verifies(place: Workplace) -> None:
    found = place.harness("verify")
    assert found.status == 0, found.out[:2000] + found.err[-2000:]


@pytest.mark.slow
def test_nothing_breaks_where_the_terminal_knows_only_ascii(place: Workplace) -> None:
    found = place.harness("report", "everything.yaml", "failing.yaml", "--out", "again", environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})  # fmt: skip
    assert found.status == 0 and "Traceback" not in found.err, found.err[-2000:]


def test_half_a_pair_in_a_spec_is_a_mistake_in_one_sentence(place: Workplace) -> None:
    spec = {**spec_of_failures(), "experiment": "half", "title": "half \ud83d of a pair"}
    place.write("half.yaml", json.dumps(spec))
    found = place.harness("report", "half.yaml", "--out", "half")
    assert "Traceback" not in found.err
    assert found.status == 2 and found.err.count("\n") == 1
    assert "half.yaml:1: is not valid YAML" in found.err


def test_a_name_of_a_folder_is_no_markup_either(place: Workplace, tmp_path: Path) -> None:
    folder = place.folder / "<i>a & b"
    folder.mkdir(exist_ok=True)
    (folder / "text_trials.py").write_text(TRIALS)
    (folder / "strings.json").write_text(json.dumps(STRINGS))
    (folder / "failing.yaml").write_text(yaml.safe_dump(spec_of_failures()))
    found = place.harness("report", str(folder / "failing.yaml"), "--out", str(tmp_path / "site"))
    assert found.status == 0, found.err[-2000:]
    assert "<i>" not in (tmp_path / "site" / "index.html").read_text()
