"""What a claims file says that the paper did: read, sorted by experiment, and refused where it names what is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import TRIALS

from harness.errors import UserError
from harness.spec.find import all_experiments
from harness.spec.load import Experiment, load_experiment

CLAIM = {
    "form": "difference", "paper": "P", "arxiv": "2101.00001v1", "locator": "Table 1", "statement": "S.", "metric": "value",
    "treatment": {"arm": "a"}, "control": {"arm": "b"},
}  # fmt: skip
CLAIMS: list[dict[str, Any]] = [
    {"id": "one", **CLAIM},
    {"id": "many", "each": [{"id": "x"}, {"id": "y"}], **CLAIM},
]
ALL = {"label": "data", "text": "made up (section 1)", "basis": "source"}
Write = Callable[..., Path]


def load(folder: Path, protocol: list[Any], claims: list[str], name: str = "served") -> Experiment:
    (folder / "small_trials.py").write_text(TRIALS)
    (folder / "claims.yaml").write_text(yaml.safe_dump({"protocol": protocol, "claims": CLAIMS}, sort_keys=False))
    spec = {
        "experiment": name, "title": "T", "trial": "small_trials:arms", "claims": claims,
        "factors": {"arm": ["a", "b"]}, "profiles": {"laptop": {"fidelity": "paper"}},
    }  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return load_experiment(path)


def texts(experiment: Experiment) -> list[str]:
    return [entry.text for entry in experiment.protocol]


def test_an_entry_concerns_all_experiments_or_those_that_it_names(tmp_path: Path) -> None:
    protocol = [
        ALL,
        {**ALL, "text": "by experiment", "concerns": ["served"]},
        {**ALL, "text": "by claim", "concerns": ["one"]},
        {**ALL, "text": "by one of a series", "concerns": ["many.y"]},
        {**ALL, "text": "by series", "concerns": ["other", "many"]},
    ]
    (tmp_path / "other.yaml").write_text("experiment: other\ntitle: [not finished")
    served = load(tmp_path, protocol, ["one"])
    assert texts(served) == ["made up (section 1)", "by experiment", "by claim"]
    assert served.protocol[0].basis == "source" and served.protocol[0].label == "data"
    assert texts(load(tmp_path, protocol, ["many.x"], "second")) == ["made up (section 1)", "by series"]
    assert texts(load(tmp_path, protocol, ["many"], "third"))[-2:] == ["by one of a series", "by series"]


def test_a_spec_elsewhere_is_known_by_its_own_name_and_its_folder(tmp_path: Path) -> None:
    protocol = [{**ALL, "concerns": ["mine"]}, {**ALL, "text": "the other's", "concerns": ["beside"]}]
    (tmp_path / "beside.yaml").write_text("experiment: beside\n")
    load(tmp_path, [ALL], ["one"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump({"protocol": protocol, "claims": CLAIMS}))
    text = (tmp_path / "served.yaml").read_text().replace("experiment: served", "experiment: mine")
    (elsewhere / "mine.yaml").write_text(text + "claims_file: ../claims.yaml\n")
    assert texts(load_experiment(elsewhere / "mine.yaml")) == ["made up (section 1)"]


def test_without_registered_claims_there_is_no_protocol_but_what_names_the_experiment(tmp_path: Path) -> None:
    by_claim, own = ({**ALL, "text": name, "concerns": [name]} for name in ("one", "served"))
    found = load(tmp_path, [ALL, by_claim, own], [])
    assert not found.claims and texts(found) == ["served"]
    (tmp_path / "claims.yaml").unlink()
    assert load_experiment(tmp_path / "served.yaml").protocol == ()


@pytest.mark.parametrize(
    ("entry", "line", "words"),
    [
        ({"label": "data", "text": "t"}, 2, "protocol.0: the key 'basis' is missing"),
        ({**ALL, "concern": []}, 5, "protocol.0.concern: unknown key; did you mean 'concerns'?"),
        ({**ALL, "basis": "memory"}, 4, "protocol.0.basis: input should be 'source' or 'secondary'"),
        ({**ALL, "text": ""}, 3, "protocol.0.text: string should have at least 1 character"),
        ({**ALL, "concerns": ["one", "srved"]}, 7, "protocol.0.concerns.1: no experiment or claim 'srved'"),
        ("averaged", 2, "protocol.0: "),
    ],
)
def test_a_mistake_gets_one_sentence(tmp_path: Path, entry: Any, line: int, words: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, [entry], ["one"])
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'claims.yaml'}:{line}: ") and words in message, message
    assert "\n" not in message
    if "srved" in words:
        assert "did you mean 'served'?" in message and "known: many.x, many.y, one, served" in message


def test_what_is_registered_of_the_papers_says_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    experiments = all_experiments()
    assert experiments
    for experiment in experiments:
        assert experiment.protocol, f"{experiment.name}: claims.yaml says nothing of what the paper did"
        for entry in experiment.protocol:
            assert entry.basis == "secondary" or "(" in entry.text, f"{entry.text}: where does the paper say so?"
        said = [(entry.label, entry.text) for entry in experiment.protocol]
        assert len(set(said)) == len(said), experiment.name
