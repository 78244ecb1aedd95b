"""The page of registered claims: each is named, with its verdicts by fidelity, or with the reason that there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from support import Workplace

from harness.errors import UserError
from harness.spec.load import load_claims
from reports.registry import registered, results_of_files
from reports.registry_command import claims_command
from reports.registry_page import cell, claim_cell, registry_page

ROOT = Path(__file__).parent.parent.parent
CLAIMS = r"""
common: {arxiv: 2101.00001v1, unit: points, metric: value}
claims:
  - {id: one.bigger, paper: One, locator: Table 1, statement: "More | is *better*, by <b>far</b>.", form: difference,
     treatment: {index: 2}, control: {index: 0},
     published: {value: 1.5, locator: Table 2, basis: secondary, dispersion: 0.25, runs: 5}, margin: {absolute: 3, reason: r}}
  - {id: one.nobody, paper: One, locator: section 3, statement: Nobody judges this., form: trend, along: index}
  - {id: two.steady, paper: Two & co, locator: Figure 4, statement: The second paper's sentence., form: value,
     arm: {index: 1}, at_least: -9, bound_reason: they say so}
"""
SPEC: dict[str, Any] = {
    "experiment": "first", "title": "T", "trial": "small_trials:draw", "factors": {"index": [0, 1, 2]}, "replicates": 3,
    "claims": ["one.bigger", "two.steady"],
    "profiles": {
        "smoke": {"fidelity": "proxy", "conclusive": False},
        "laptop": {"fidelity": "proxy"},
        "gpu": {"fidelity": "proxy", "device": "cuda"},
        "whole": {"fidelity": "paper", "fixed": {"alpha": 3.0}},
    },
}  # fmt: skip
SECOND = {**SPEC, "experiment": "second", "claims": ["one.bigger"], "profiles": {"middle": {"fidelity": "reduced"}}}
TUNED: dict[str, Any] = {
    **SPEC, "experiment": "tuned", "factors": {"index": [0, 2], "alpha": [0.5, 2.0]}, "claims": ["one.bigger"],
    "select": {"factors": ["alpha"], "metric": "value", "matched": {"alpha": 0.5}}, "profiles": {"laptop": {"fidelity": "paper"}},
}  # fmt: skip
NO_PROFILE = "not run (no experiment has such a profile)"


def row(**keys: Any) -> dict[str, Any]:
    """Return an entry of claims.json about the first claim."""
    published = {"value": 1.5, "scale": 1.0, "unit": "", "locator": "Table 2", "basis": "secondary"}
    base = {
        "claim": "one.bigger", "experiment": "first", "profile": "laptop", "fidelity": "proxy", "reading": None,
        "form": "difference", "metric": "value", "verdict": "direction only", "reason": "r", "effect": 2.0, "ci_low": 1.25,
        "ci_high": 2.75, "n": 3, "unit": "points", "trials": ["t"], "margin": {"absolute": 3.0, "reason": "r"},
        "published": {**published, "dispersion": 0.25, "runs": 5, "derived": ""},
    }  # fmt: skip
    return {**base, **keys}


@pytest.fixture
def place(in_workplace: Callable[..., Path], workplace: Workplace) -> Path:
    workplace.write("claims.yaml", CLAIMS)
    for spec in (SPEC, SECOND, TUNED):
        workplace.write(f"{spec['experiment']}.yaml", yaml.safe_dump(spec, sort_keys=False))
    return workplace.folder


def claims(*arguments: str) -> Result:
    return CliRunner().invoke(claims_command, list(arguments))


def page(*rows: dict[str, Any], specs: tuple[str, ...] = ("first.yaml", "second.yaml")) -> str:
    Path("claims.json").write_text(json.dumps(rows))
    found = claims(*specs, "--results", "claims.json")
    assert found.exit_code == 0, found
    return found.output


def cells(text: str, claim: str) -> list[str]:
    """Return the cells of a claim's row: claim, stands in, published, judged by, proxy, reduced, paper."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| `{claim}`")]
    return line.removeprefix("| ").removesuffix(" |").split(" | ")


def test_a_row_says_where_a_claim_stands_and_who_judges_it(place: Path) -> None:
    found = cells(page(), "one.bigger")
    assert found[:4] == [
        r"`one.bigger`<br>More \| is \*better\*, by &lt;b>far&lt;/b>.<br>difference of `value`",
        "2101.00001v1, Table 1",
        "1.5 points ± 0.25 (Table 2; read at second hand)",
        "first, second",
    ]
    assert len(found) == 7


def test_verdicts_stand_under_their_fidelity_with_experiment_and_profile(place: Path) -> None:
    text = page(
        row(), row(experiment="second", profile="middle", fidelity="reduced", verdict="contradicted", effect=-1)
    )
    _, _, _, _, proxy, reduced, paper = cells(text, "one.bigger")
    assert proxy == "**direction only** 2 points [1.25, 2.75], n 3 (first `laptop`)<br>no result read (first has `gpu`)"
    assert reduced == "**contradicted** -1 points [1.25, 2.75], n 3 (second `middle`)"
    assert paper == "no result read (first has `whole`)"
    assert "| proxy (at most direction only) | reduced (at most direction only) | paper |" in text
    assert '`reduced` cap a verdict at "direction only"' in text


def test_what_has_no_verdict_has_a_reason(place: Path) -> None:
    text = page()
    assert cells(text, "two.steady")[4:] == [
        "no result read (first has `laptop`, `gpu`)",
        NO_PROFILE,
        "no result read (first has `whole`)",
    ]
    assert cells(text, "one.nobody")[3:] == ["no experiment", *["not run (no experiment judges it)"] * 3]
    told = cells(
        page(row(verdict="not run", effect=None, ci_low=None, ci_high=None, reason="a | b " * 40)), "one.bigger"
    )
    assert told[4].startswith(r"**not run**: a \| b a \| b") and "… (first `laptop`)" in told[4]
    assert len(told[4]) < 250


def test_both_readings_stand_there(place: Path) -> None:
    rows = [
        row(experiment="tuned", fidelity="paper", reading=reading, n=n) for reading, n in (("best", 7), ("matched", 8))
    ]
    text = page(*rows, specs=("tuned.yaml",))
    assert cells(text, "one.bigger")[6] == (
        "matched: **direction only** 2 points [1.25, 2.75], n 8 (tuned `laptop`)<br>"
        "best: **direction only** 2 points [1.25, 2.75], n 7 (tuned `laptop`)"
    )


def test_a_profile_that_only_shows_that_everything_runs_never_counts(place: Path) -> None:
    text = page(row(profile="smoke", verdict="inconclusive"))
    assert "smoke" not in text and "inconclusive" not in text


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        ({"ci_low": None}, "2 points [−∞, 2.75], n 3"),
        ({"ci_high": None, "unit": ""}, "2 [1.25, ∞], n 3"),
        ({"effect": 2, "ci_low": 2, "ci_high": 2}, "2 points, n 3"),
        ({"effect": None, "verdict": "inconclusive", "reason": "one replicate"}, "no effect: one replicate"),
        ({"margin": None}, "2 points [1.25, 2.75], n 3 (first `laptop`; judged as it was registered before)"),
        ({"metric": "loss"}, "judged as it was registered before"),
    ],
)
def test_effects_as_people_read_them(place: Path, keys: dict[str, Any], shown: str) -> None:
    assert shown in cells(page(row(**keys)), "one.bigger")[4]


def test_later_files_win(place: Path) -> None:
    for name, n in (("a.json", 4), ("b.json", 5), ("c.json", 6)):
        Path(name).write_text(json.dumps([row(n=n)]))
    assert ", n 5 (" in claims("first.yaml", "--results", "a.json", "--results", "b.json").output
    several = claims("first.yaml", "--results", "a.json", "b.json", "c.json").output
    assert ", n 6 (" in several and ", n 4 (" not in several


def test_the_counts_stand_on_top(place: Path) -> None:
    text = page(
        row(),
        row(profile="gpu", verdict="inconclusive"),
        row(profile="whole", fidelity="paper", verdict="reproduced"),
        row(claim="two.steady", verdict="not run", effect=None),
    )
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert lines == [
        "- **One**, 2 claims: verdicts, by profile and reading: 1 reproduced, 1 direction only, 1 inconclusive "
        "(2 at proxy, 1 at paper); 1 claim not run",
        "- **Two & co**, 1 claim: no verdict; 1 claim not run",
    ]
    assert text.index("**Two & co**") < text.index("## One (arXiv 2101.00001v1)") < text.index("## Two & co")


def test_results_that_fit_nothing_are_listed(place: Path) -> None:
    odd = [row(claim="one.gone"), row(profile="tpu"), row(fidelity="paper"), row(experiment="elsewhere")]
    text = page(*odd)
    listed = text[text.index("## Results that fit no registered claim") :].splitlines()
    assert listed[-3:] == [
        "- `one.gone` (first, `laptop`, at proxy fidelity): direction only",
        "- `one.bigger` (first, `tpu`, at proxy fidelity): direction only",
        "- `one.bigger` (first, `laptop`, at paper fidelity): direction only",
    ], "those of experiments that were not asked for are not listed"
    assert "fit no registered claim" not in page(row())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\x00", "is not JSON"),
        (b"{}", "is no claims.json of 'harness report': it holds no list"),
        (b"[1]", "is no claims.json of 'harness report': entry 1: "),
        (b'[{"claim": "x"}]', "entry 1: experiment: field required"),
        (json.dumps([row(), row(verdict="true")]).encode(), "entry 2: verdict: input should be 'reproduced'"),
        (json.dumps([row(effect="much")]).encode(), "entry 1: effect: input should be a valid number"),
    ],
)
def test_files_that_no_report_wrote(place: Path, data: bytes | None, sentence: str) -> None:
    if data is not None:
        Path("odd.json").write_bytes(data)
    found = claims("first.yaml", "--results", "odd.json")
    assert isinstance(found.exception, UserError) and sentence in str(found.exception)
    assert str(found.exception).startswith("--results odd.json: ") and "\n" not in str(found.exception)


def test_what_makes_no_sense_beside_results(place: Path) -> None:
    Path("claims.json").write_text("[]")
    found = claims("first.yaml", "--results", "claims.json", "--store", "results")
    assert isinstance(found.exception, UserError) and "--store" in str(found.exception)
    taken = claims("first.yaml", "--results", "claims.json", "--out", "claims.json/page.md")
    assert isinstance(taken.exception, UserError) and "cannot be written" in str(taken.exception)


def test_from_the_store_as_a_user_does_it(place: Path, workplace: Workplace) -> None:
    for profile in ("smoke", "laptop"):
        assert workplace.harness("run", "first.yaml", "--profile", profile, "--executor", "inline").status == 0
    found = workplace.harness("claims", "first.yaml", "second.yaml", "--out", "docs/claims.md")
    assert (found.status, found.out) == (0, "claims: docs/claims.md\n"), found
    text = (place / "docs" / "claims.md").read_text()
    assert workplace.harness("claims", "first.yaml", "second.yaml").out == text, "the same again, printed"
    _, _, _, _, proxy, reduced, paper = cells(text, "one.bigger")
    assert proxy.startswith("**") and "(first `laptop`)" in proxy and proxy.endswith("not run (first has `gpu`)")
    assert (reduced, paper) == ("not run (second has `middle`)", "not run (first has `whole`)")
    assert workplace.harness("report", "first.yaml").status == 0
    read = workplace.harness("claims", "first.yaml", "--results", "site/claims.json")
    assert cells(read.out, "one.bigger")[4].split("<br>")[0] == proxy.split("<br>")[0]
    bad = workplace.harness("claims", "nowhere.yaml")
    assert bad.status == 2 and bad.err.count("\n") == 1


def test_every_claim_of_the_real_registry_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    entries, experiments = registered(())
    text = registry_page(entries, results_of_files(entries, experiments, [], narrowed=False))
    files = sorted((ROOT / "experiments").glob("*/claims.yaml"))
    known = [one.claim for path in files for one in load_claims(path).claims.values()]
    inline = [one.claim for experiment in experiments for one in experiment.claims]
    assert len(files) >= 3 and len(known) >= 89
    for claim in (*known, *inline):
        assert cells(text, claim.id)[0] == claim_cell(claim)
    order = [text.index(f"| `{claim.id}`") for claim in known]
    assert order == sorted(order), "in the order of the files"
    for line in text.splitlines():
        assert not line.startswith("|") or line.replace("\\|", "").count("|") == 8, line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a  b\n c", "a b c"),
        ("a_b*c`d`|e[f](g)<h>", r"a\_b\*c\`d\`\|e\[f](g)&lt;h>"),
        ("\\|", "\\\\\\|"),
        ("x" * 30, "x" * 19 + "…"),
    ],
)
def test_text_stays_text(text: str, shown: str) -> None:
    assert cell(text, 20 if text.startswith("x") else None) == shown
