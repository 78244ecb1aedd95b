"""A profile may say that its claims are judged over test items: which claims these are, and which mistakes are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import TRIALS
from test_claim_forms import BASE, RIGHT, SPEC

from harness.cli.main import cli
from harness.errors import UserError
from harness.plan.design import Design, make_design
from harness.spec.claims import FORMS
from harness.spec.load import Experiment, load_experiment

ITEMS = {"table": "outcomes", "item": "arm", "cluster": "arm", "scale": 100}
PROFILES: dict[str, Any] = {
    "laptop": {"fidelity": "proxy"},
    "released": {"fidelity": "paper", "replicates": 1, "items": ITEMS},
}
JUDGED_OVER_ITEMS = ("difference", "non_inferiority", "equivalence", "value")


def experiment(folder: Path, *claims: dict[str, Any], **profile: Any) -> Experiment:
    (folder / "small_trials.py").write_text(TRIALS)
    profiles = {**PROFILES, "released": {**PROFILES["released"], **profile}}
    path = folder / "formed.yaml"
    path.write_text(yaml.safe_dump({**SPEC, "profiles": profiles, "claims": list(claims)}, sort_keys=False))
    return load_experiment(path)


def design(folder: Path, *claims: dict[str, Any], profile: str = "released", **keys: Any) -> Design:
    return make_design(experiment(folder, *claims, **keys), profile, device="cpu")


def claim(form: str, **keys: Any) -> dict[str, Any]:
    return {**BASE, "form": form, **RIGHT[form], **keys}


@pytest.fixture
def folder(in_workplace: Callable[..., Path], tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("form", list(FORMS))
def test_claims_of_a_form_that_has_items_are_judged_with_them(folder: Path, form: str) -> None:
    (found,) = design(folder, claim(form)).experiment.claims
    (elsewhere,) = design(folder, claim(form), profile="laptop").experiment.claims
    items = getattr(found.claim, "items", None)
    if form in JUDGED_OVER_ITEMS:
        assert items is not None and items.model_dump() == ITEMS
        assert found.claim == elsewhere.claim.model_copy(update={"items": items})
    else:
        assert items is None and found.claim == elsewhere.claim
    assert getattr(elsewhere.claim, "items", None) is None, "the other profile trains replicates"


def test_a_claim_keeps_items_of_its_own(folder: Path) -> None:
    (found,) = design(folder, claim("difference", items={"table": "answers"})).experiment.claims
    assert found.claim.items is not None and found.claim.items.table == "answers"


@pytest.mark.parametrize(
    "keys", [{"exact": True}, {"samples": "latency", "stages": ["eye"]}], ids=["a count", "timings"]
)
def test_counts_and_timings_stay_as_they_are(folder: Path, keys: dict[str, Any]) -> None:
    (found,) = design(folder, claim("value", **keys)).experiment.claims
    assert found.claim.items is None  # type: ignore[union-attr]


def test_the_experiment_itself_and_its_registry_stay_as_they_are(folder: Path) -> None:
    (folder / "claims.yaml").write_text(yaml.safe_dump({"claims": [claim("difference")]}))
    (folder / "formed.yaml").write_text(yaml.safe_dump({**SPEC, "profiles": PROFILES, "claims": ["c"]}))
    (folder / "small_trials.py").write_text(TRIALS)
    whole = load_experiment(folder / "formed.yaml")
    found = make_design(whole, "released", device="cpu").experiment
    assert found.claims[0].claim.items is not None  # type: ignore[union-attr]
    assert whole.claims[0].claim.items is None and found.registry == whole.registry  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"pairing": "unpaired"}, "items pair by themselves: 'pairing' cannot be 'unpaired' beside 'items'"),
        (
            {"pool": {"rule": "all"}},
            "items of all settings are averaged: 'pool' cannot have the rule 'all' beside 'items'",
        ),
    ],
)
def test_a_claim_that_cannot_be_judged_over_items(folder: Path, keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError) as found:
        design(folder, claim("difference", **keys))
    lines = (folder / "formed.yaml").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.strip() == "items:")
    assert str(found.value) == (
        f"{folder}/formed.yaml:{line}: profiles.released.items: the claim 'c' cannot be judged over items: {problem}"
    )
    design(folder, claim("difference", **keys), profile="laptop")
    with pytest.raises(UserError, match=problem.split(":")[0]):
        experiment(folder, claim("difference", items={"table": "t"}, **keys))


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ({"item": "item"}, "profiles.released.items: the key 'table' is missing"),
        ({"table": "t", "clutser": "class"}, "profiles.released.items.clutser: unknown key; did you mean 'cluster'?"),
        ({"table": "t", "scale": 0}, "profiles.released.items.scale: input should be greater than 0"),
        ("outcomes", "profiles.released.items: "),
    ],
)
def test_a_mistake_in_the_key(folder: Path, items: Any, sentence: str) -> None:
    with pytest.raises(UserError) as found:
        experiment(folder, claim("difference"), items=items)
    assert sentence in str(found.value) and "\n" not in str(found.value)


def test_the_schema_for_editors_has_the_key(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["check", "--schema"], standalone_mode=False)
    schema = json.loads(capsys.readouterr().out)
    assert "items" in schema["$defs"]["JudgedProfile"]["properties"]
