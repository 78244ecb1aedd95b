"""The tutorial works as it stands: its files are written, its commands are run, and what it says came out does come out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support import Workplace

TUTORIAL = (Path(__file__).parent.parent / "docs" / "tutorial.md").read_text()
VERDICT = re.compile(r"^([a-z ]+?) {2,}(mixup\.[a-z.]+): (-?[\d.]+)", re.MULTILINE)


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", TUTORIAL, re.DOTALL)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, dict[str, str]]:
    """The folder after all commands, and what each command printed."""
    workplace = Workplace(tmp_path_factory.mktemp("mixup"))
    for text in blocks("python") + blocks("yaml"):
        name = re.match(r"# file: (\S+)\n", text)
        assert name, text[:80]
        (workplace.folder / name[1]).write_text(text)
    printed = {}
    for command in "".join(blocks("sh")).splitlines():
        program, *arguments = command.split()
        assert program == "harness"
        found = workplace.harness(*arguments)
        assert found.status == 0, (command, found)
        printed[command] = found.out
    return workplace, printed


def test_the_folder_has_the_files_that_the_tutorial_lists(done: tuple[Workplace, dict[str, str]]) -> None:
    listed = re.findall(r"^\| `(\S+)` \|", TUTORIAL, re.MULTILINE)
    written = [path.name for path in done[0].folder.iterdir() if path.is_file()]
    assert sorted(listed) == sorted(written)


def test_the_verdicts_are_those_that_the_tutorial_shows(done: tuple[Workplace, dict[str, str]]) -> None:
    workplace, printed = done
    said = {claim: (verdict, float(effect)) for verdict, claim, effect in VERDICT.findall(TUTORIAL)}
    claims = json.loads((workplace.folder / "site" / "claims.json").read_text())
    assert {claim["claim"] for claim in claims} == set(said) and len(said) == 3
    for claim in claims:
        verdict, effect = said[claim["claim"]]
        # Another machine's matrix products round otherwise, which training makes more of.
        assert claim["verdict"] == verdict and claim["effect"] == pytest.approx(effect, rel=0.2, abs=0.3)
        assert f"{claim['verdict']:<16}{claim['claim']}: " in printed["harness report mixup.yaml"]
    assert {claim["form"] for claim in claims} == {"ratio", "difference", "trend"}
    assert {claim["published"] for claim in claims} == {None}


def test_the_plan_says_what_the_tutorial_shows(done: tuple[Workplace, dict[str, str]]) -> None:
    plan = done[1]["harness plan mixup.yaml"]
    shown = re.findall(r"^(power: .*?) \(\.\.\.\)(.*)$", TUTORIAL, re.MULTILINE)
    assert len(shown) == 2
    for beginning, end in shown:
        assert any(beginning in line and line.endswith(end) for line in plan.splitlines()), plan


def test_the_page_has_what_the_tutorial_promises(done: tuple[Workplace, dict[str, str]]) -> None:
    workplace, printed = done
    page = (workplace.folder / "site" / "index.html").read_text()
    for text in (
        "What is memorised, and what it costs",
        "Accuracy by the share of wrong labels",
        "Google commands and UCI data sets (abstract)",
        "a perceptron with one hidden layer in place of ResNet-18",
    ):
        assert text in page, text
    assert page.count("<svg") >= 5, "a picture for each of three claims, and two declared ones"
    assert (workplace.folder / "site" / "tables.zip").is_file()
    assert printed["harness verify"].startswith("verified: 3 claims")
    table = printed["harness export mixup.yaml --tables --format markdown"]
    assert "| 0.4, plain training |" in table and "mixup.growth" in table
    assert len(printed["harness export mixup.yaml"].splitlines()) == 1 + 48


def test_a_change_of_the_picture_makes_no_trial_stale(done: tuple[Workplace, dict[str, str]]) -> None:
    folder = done[0].folder
    plots = folder / "plots.py"
    plots.write_text(plots.read_text().replace("markersize=8", "markersize=9"))
    assert json.loads(done[0].harness("plan", "mixup.yaml", "--json").out)["trials"]["done"] == 48
