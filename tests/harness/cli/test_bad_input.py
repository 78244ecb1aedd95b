"""Every mistake of a user's gets one sentence that names file, line and key, exit status 2, and starts nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import SMALL_SPEC, Workplace

HEAD = SMALL_SPEC.lstrip()

MISTAKES = {
    "unknown key": (HEAD + "replicats: 3\n", "bad.yaml:10: replicats: unknown key; did you mean 'replicates'?"),
    "key of a profile": (
        HEAD.replace("{fidelity: proxy}", "{fidelity: proxy, replicate: 3}"),
        "bad.yaml:9: profiles.laptop.replicate: unknown key; did you mean 'replicates'?",
    ),
    "misspelt factor": (
        HEAD.replace("  alpha:", "  alhpa:"),
        "bad.yaml:6: factors.alhpa: small_trials:draw has no parameter 'alhpa'; did you mean 'alpha'?",
    ),
    "level of the wrong type": (
        HEAD.replace("[0, 1, 2]", "[0, one, 2]"),
        "bad.yaml:5: factors.index.1: input should be a valid integer, not 'one'",
    ),
    "a truth value is no number": (
        HEAD.replace("[0.5, 2]", "[0.5, true]"),
        "factors.alpha.1: input should be a valid number",
    ),
    "unknown function": (
        HEAD.replace("small_trials:draw", "small_trials:drew"),
        "bad.yaml:3: trial: trial function 'small_trials:drew': 'small_trials' has no such function; did you mean 'draw'?",
    ),
    "unknown module": (HEAD.replace("small_trials:draw", "smal_trials:draw"), "there is no module 'smal_trials'"),
    "duplicate key": (HEAD + "title: Again\n", "bad.yaml:10: the key 'title' stands twice (first on line 2)"),
    "empty factor": (
        HEAD.replace("[0, 1, 2]", "[]"),
        "bad.yaml:5: factors.index.levels: has no levels, so the grid is empty",
    ),
    "everything skipped": (HEAD + "skip:\n  - {index: [0, 1, 2]}\n", "bad.yaml:10: skip: leaves no combination to run"),
    "skip of a level that is not there": (
        HEAD + "skip:\n  - {index: 7}\n",
        "bad.yaml:11: skip.0.index: the factor 'index' has no level '7'",
    ),
    "same level twice": (HEAD.replace("[0, 1, 2]", "[0, 1, 1]"), "the level '1' stands twice"),
    "missing key": (HEAD.replace("title: A small experiment\n", ""), "the key 'title' is missing"),
    "no such fidelity": (
        HEAD.replace("proxy", "prxy"),
        "profiles.laptop.fidelity: input should be 'proxy', 'reduced' or 'paper'",
    ),
    "factor and fixed": (HEAD + "fixed: {index: 3}\n", "bad.yaml:10: fixed.index: is a factor already"),
    "required parameter": (
        HEAD.replace("draw", "slow").replace("  index: [0, 1, 2]\n", "").replace("  alpha:", "  seconds:"),
        "small_trials:slow needs 'index'",
    ),
    "blocked without a mapping": (
        HEAD.replace("index: [0, 1, 2]", "index: {levels: [0, 1], blocked: true}"),
        "factors.index: is blocked, so small_trials:draw must take 'index' as a mapping",
    ),
    "list at the top": ("- 1\n- 2\n", "must be a mapping of keys to values, not a list"),
    "claim without a registry": (HEAD + "claims: [no.such.claim]\n", "names registered claims, but there is no"),
}

CLAIM = """
claims:
  - id: small.effect
    paper: Nobody et al.
    arxiv: 2101.00001v1
    locator: Table 1
    statement: Two is more than one half.
    form: ratio
    metric: value
    numerator: {alpha: 2}
    denominator: {alpha: 0.5}
"""

CLAIM_MISTAKES = {
    "arm that does not exist": (
        CLAIM.replace("{alpha: 2}", "{alpha: 3}"),
        "claims.0.numerator.alpha: claim 'small.effect': the factor 'alpha' of small has no level '3'",
    ),
    "factor that does not exist": (
        CLAIM.replace("{alpha: 2}", "{alpah: 2}"),
        "no factor 'alpah' in small; did you mean 'alpha'?",
    ),
    "unknown form": (
        CLAIM.replace("form: ratio", "form: rato"),
        "claims.0.form: unknown form 'rato'; did you mean 'ratio'?",
    ),
    "unknown key": (
        CLAIM + "    numerater: {alpha: 2}\n",
        "claims.0.numerater: unknown key; did you mean 'numerator'?",
    ),
    "published without a margin": (
        CLAIM + "    published: {value: 2, locator: Table 1, basis: source}\n",
        "a published figure needs 'margin'",
    ),
    "a lead is not published": (
        CLAIM + "    published: {value: 2, locator: Table 1, basis: unverified}\n",
        "published.basis: input should be 'source' or 'secondary'",
    ),
    "arXiv id without a version": (CLAIM.replace("00001v1", "00001"), "claims.0.arxiv"),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_mistake_in_a_spec(workplace: Workplace, name: str) -> None:
    text, sentence = MISTAKES[name]
    workplace.write("bad.yaml", text)
    found = workplace.harness("run", "bad.yaml")
    assert found.status == 2, found
    assert sentence in found.err
    assert found.err.startswith("harness: ") and found.err.count("\n") == 1, found.err
    assert not (workplace.folder / "results").exists()


@pytest.mark.parametrize("name", list(CLAIM_MISTAKES))
def test_a_mistake_in_a_claim(workplace: Workplace, name: str) -> None:
    claim, sentence = CLAIM_MISTAKES[name]
    workplace.write("bad.yaml", HEAD + claim.lstrip("\n"))
    found = workplace.harness("check", "bad.yaml")
    assert (found.status, found.err.count("\n")) == (2, 1), found
    assert sentence in found.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "nothing.yaml"), "nothing.yaml: cannot be read: No such file or directory"),
        (("run", "smal"), "no experiment 'smal'"),
        (("rnu", "small.yaml"), "no command 'rnu'; did you mean 'run'?"),
        (("run", "small.yaml", "--profile", "lptop"), "no profile 'lptop'; did you mean 'laptop'?"),
        (
            ("run", "small.yaml", "--set", "alhpa=3"),
            "--set alhpa: small_trials:draw has no parameter 'alhpa'; did you mean",
        ),
        (("run", "small.yaml", "--set", "label=3"), "--set label: input should be a valid string, not 3"),
        (("run", "small.yaml", "--set", "label"), "--set label: must read KEY=VALUE"),
        (("run", "small.yaml", "--set", "index=[1"), "is not valid YAML"),
        (("run", "small.yaml", "--executor", "cloud"), "'cloud' is not one of 'inline', 'local'"),
        (("run", "small.yaml", "--jobs", "0"), "0 is not in the range"),
        (("run", "small.yaml", "--bogus"), "bogus"),
        (("run",), "SPEC"),
        (("export", "small.yaml", "--format", "parquet"), "name a file with --output"),
        (("export", "small.yaml", "--output", "no/such/folder/x.csv"), "there is no folder"),
        (("run", "small_trials.py"), "no experiment"),
    ],
)
def test_a_mistake_on_the_command_line(
    workplace: Workplace, small_spec: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    found = workplace.harness(*arguments)
    assert found.status == 2, found
    assert sentence in found.err
    assert "Traceback" not in found.err
    assert not (workplace.folder / "results").exists()


def test_no_gpu_gets_one_sentence(workplace: Workplace, small_spec: Path) -> None:
    if any(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")
    found = workplace.harness("run", "small.yaml", "--device", "cuda")
    assert (found.status, found.err) == (
        2,
        "harness: --device cuda: torch finds no CUDA GPU on this machine; use --device cpu, or auto\n",
    )


def test_a_store_that_cannot_be_written(workplace: Workplace, small_spec: Path) -> None:
    (workplace.folder / "taken").write_text("a file, not a folder")
    found = workplace.harness("run", "small.yaml", "--store", "taken/results")
    assert found.status == 2
    assert "cannot be written" in found.err and "Traceback" not in found.err
    if os.geteuid() != 0:
        closed = workplace.folder / "closed"
        closed.mkdir(mode=0o500)
        assert workplace.harness("run", "small.yaml", "--store", "closed").status == 2
