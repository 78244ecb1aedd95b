"""The example in docs/experiments.md works as it stands: its files are written, its commands are run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support import Workplace

DOCS = Path(__file__).parent.parent / "docs"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (DOCS / "experiments.md").read_text(), re.DOTALL)


@pytest.fixture
def example(workplace: Workplace) -> Workplace:
    for text in blocks("python") + blocks("yaml"):
        name = re.match(r"# file: (\S+)\n", text)
        assert name, text[:80]
        (workplace.folder / name[1]).write_text(text)
    return workplace


@pytest.mark.slow
def test_the_example_runs_up_to_a_verdict(example: Workplace) -> None:
    (commands,) = blocks("sh")
    for command in commands.strip().splitlines():
        program, *arguments = command.split()
        assert program == "harness"
        found = example.harness(*arguments)
        assert found.status == 0, (command, found)
    (claim,) = json.loads((example.folder / "site" / "claims.json").read_text())
    assert claim["claim"] == "sums.numpy" and claim["verdict"] != "not run"


def test_every_file_that_a_page_links_to_is_there() -> None:
    for page in [DOCS.parent / "README.md", *DOCS.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_page_of_claims_has_every_registered_claim_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new or reworded claim fails here until ``make claims`` has written the page anew."""
    from reports.registry import registered
    from reports.registry_page import claim_cell

    monkeypatch.chdir(DOCS.parent)
    path = DOCS / "claims.md"
    assert path.is_file(), "docs/claims.md is missing; 'make claims' writes it"
    rows = {line.split(" | ")[0].removeprefix("| ") for line in path.read_text().splitlines()}
    missing = [entry.claim.id for entry in registered(())[0] if claim_cell(entry.claim) not in rows]
    assert not missing, f"docs/claims.md lacks these as they are registered now; 'make claims' writes it: {missing}"
