"""``harness run`` with looks and tuning, plans that cannot decide, and what ``plan`` and ``check`` say of them."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import Finished

from harness.cli.main import main

TRIAL = '''
"""Arms of a known effect; each is best at another rate."""
from typing import Any


def measured(
    *, run: Any, arm: str = "a", rate: float = 1.0, effect: float = 5.0, sd: float = 0.01, fails: str = ""
) -> dict[str, Any]:
    if fails and fails in f"{arm} at {rate:g} in {run.replicate}":
        raise ValueError("made to fail")
    noise = sd * float(run.stream(f"noise_{arm}").numpy.normal())
    best = {"a": 2.0, "b": 1.0}[arm]
    return {"value": (effect if arm == "a" else 0.0) + noise, "validation": noise - (rate - best) ** 2}
'''
CLAIM: dict[str, Any] = {
    "id": "c", "paper": "P", "arxiv": "2101.00001v1", "locator": "T", "statement": "S.", "form": "difference",
    "metric": "value", "treatment": {"arm": "a"}, "control": {"arm": "b"},
}  # fmt: skip
SPEC: dict[str, Any] = {
    "experiment": "looking", "title": "T", "trial": "measured_trials:measured", "factors": {"arm": ["a", "b"]},
    "replicates": {"min": 3, "max": 8, "looks": [3, 5, 8]}, "claims": [CLAIM],
    "profiles": {"laptop": {"fidelity": "paper", "device": "cpu"}},
}  # fmt: skip
TUNED: dict[str, Any] = {
    **SPEC, "factors": {"arm": ["a", "b"], "rate": [1.0, 2.0, 3.0]}, "replicates": 3,
    "select": {"factors": ["rate"], "metric": "validation", "replicates": 2, "matched": {"rate": 1.0}},
}  # fmt: skip
Call = Callable[..., Finished]


@pytest.fixture
def call(in_workplace: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Write a spec with some keys changed, and call the command line on it in this process."""
    (tmp_path / "measured_trials.py").write_text(TRIAL)
    monkeypatch.delitem(sys.modules, "measured_trials", raising=False)
    monkeypatch.delenv("HARNESS_STORE", raising=False)

    def command(spec: dict[str, Any] | None, *arguments: str) -> Finished:
        if spec is not None:
            in_workplace("looking.yaml", yaml.safe_dump(spec, sort_keys=False))
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        return Finished(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    return command


def run(call: Call, spec: dict[str, Any] | None = None, *arguments: str) -> Finished:
    return call(spec, "run", "looking.yaml", "--executor", "inline", *arguments)


def plan(call: Call, spec: dict[str, Any] | None = None, *arguments: str) -> dict[str, Any]:
    found = call(spec, "plan", "looking.yaml", "--json", *arguments)
    assert found.status == 0, found.err
    return dict(json.loads(found.out))


def tried(folder: Path) -> list[str]:
    """Return the ids of the trials that have an attempt."""
    return sorted(path.name for path in (folder / "results").glob("looking/attempts/*"))


def test_a_sweep_stops_at_the_first_look_that_decides_and_says_what_that_saved(call: Call, tmp_path: Path) -> None:
    found = run(call, SPEC)
    assert found.status == 0, found.err
    assert "up to look 1 of 3 at 3 replicates" in found.err and "look 2" not in found.err
    saved = "every confirmatory claim is decided at 3 of at most 8 replicates; 10 of 16 trials were not needed"
    assert saved in found.err
    assert len(tried(tmp_path)) == 6
    again = run(call)
    assert again.status == 0 and "nothing to run; 6 of 16 trials done" in again.err and saved in again.err
    assert len(tried(tmp_path)) == 6


def test_a_sweep_that_decides_nothing_goes_through_all_looks(call: Call, tmp_path: Path) -> None:
    found = run(call, {**SPEC, "fixed": {"effect": 0.0, "sd": 1.0}})
    for number, look in enumerate((3, 5, 8)):
        assert f"up to look {number + 1} of 3 at {look} replicates" in found.err
    assert len(tried(tmp_path)) == 16 and "not needed" not in found.err and found.status == 0


def test_a_profile_that_concludes_nothing_does_not_stop_early(call: Call, tmp_path: Path) -> None:
    run(call, {**SPEC, "profiles": {"laptop": {"fidelity": "paper", "conclusive": False}}})
    assert len(tried(tmp_path)) == 16


def test_a_failed_trial_is_tried_once_and_its_look_is_made(call: Call, tmp_path: Path) -> None:
    found = run(call, {**SPEC, "fixed": {"fails": "a at 1 in 1"}})
    assert found.status == 3 and "1 failed" in found.err
    assert len([path for path in (tmp_path / "results").glob("looking/attempts/*r1-*/*")]) == 2


def test_a_sweep_that_tunes_freezes_before_it_reports(call: Call, tmp_path: Path) -> None:
    before = plan(call, TUNED)
    assert before["select"] == {"tuning_trials": 12, "frozen": None, "reported_trials_at_most": 12}
    found = run(call)
    assert found.status == 0, found.err
    frozen = found.err.index("every arm is tuned; its levels are frozen")
    assert found.err.index("12 of 12 trials to run, tuning") < frozen < found.err.index("9 of 21 trials to run")
    after = plan(call)
    assert after["select"]["frozen"] == {'{"arm":"a"}': {"rate": "2"}, '{"arm":"b"}': {"rate": "1"}}
    # Arm b is at its best at the matched rate, so that its three trials serve both readings.
    reported = [name for name in tried(tmp_path) if "tuning" not in name]
    assert len(reported) == 9 and len(tried(tmp_path)) == 12 + 9
    assert "nothing to run; 21 of 21 trials done" in run(call).err


def test_an_arm_that_cannot_be_tuned_stops_the_sweep_with_one_sentence(call: Call, tmp_path: Path) -> None:
    found = run(call, {**TUNED, "fixed": {"fails": "b at"}})
    assert found.status == 3
    assert (
        'no combination of rate finished its tuning replicates with a finite \'validation\' in the arm {"arm":"b"}'
        in found.err
    )
    assert all("tuning" in name for name in tried(tmp_path))
    again = run(call)
    assert again.status == 2 and again.err.count("\n") == 1, again.err


UNDERPOWERED = {**SPEC, "replicates": 3, "claims": [{**CLAIM, "planning": {"sd": 1.0, "effect": 0.5, "reason": "r"}}]}


def test_a_plan_that_can_hardly_decide_is_refused(call: Call, tmp_path: Path) -> None:
    found = run(call, UNDERPOWERED)
    assert (found.status, found.err.count("\n")) == (2, 1), found.err
    assert found.err.startswith("harness: looking: the plan can hardly decide the claim 'c': it decides in ")
    assert "34 replicates would in 80 %" in found.err and "--underpowered" in found.err
    assert not (tmp_path / "results").exists(), "nothing is started"


def test_a_plan_that_can_hardly_decide_runs_if_asked_for_and_the_lock_says_so(call: Call, tmp_path: Path) -> None:
    found = run(call, UNDERPOWERED, "--underpowered")
    assert found.status == 0 and len(tried(tmp_path)) == 6
    [path] = (tmp_path / "results").glob("looking/locks/*/*.json")
    assert json.loads(path.read_text())["underpowered"] == ["c"]
    assert run(call).status == 0, "what is finished is not refused"


def test_a_plan_that_was_accepted_goes_on_whatever_its_own_trials_say_of_the_spread(call: Call, tmp_path: Path) -> None:
    planning = {"sd": 0.01, "effect": 0.5, "reason": "too hopeful"}
    spec = {**UNDERPOWERED, "fixed": {"sd": 2.0, "effect": 0.5}, "claims": [{**CLAIM, "planning": planning}]}
    assert run(call, spec).status == 0
    shutil.rmtree(max((tmp_path / "results" / "looking" / "attempts").iterdir()))
    again = run(call)
    assert again.status == 0 and len(tried(tmp_path)) == 6, again.err
    refused = run(call, {**spec, "replicates": 4})
    assert refused.status == 2 and "can hardly decide" in refused.err, "another plan is asked anew"


def test_exploratory_claims_are_never_refused(call: Call, tmp_path: Path) -> None:
    claims = [{**UNDERPOWERED["claims"][0], "family": "exploratory"}]
    assert run(call, {**UNDERPOWERED, "claims": claims}).status == 0
    assert len(tried(tmp_path)) == 6


def test_one_replicate_is_refused_for_a_claim(call: Call, tmp_path: Path) -> None:
    found = run(call, {**SPEC, "replicates": 1})
    assert found.status == 2 and "one replicate has no interval" in found.err
    assert not (tmp_path / "results").exists()
    assert run(call, {**SPEC, "replicates": 1, "claims": []}).status == 0


def test_a_plan_is_locked_before_the_first_trial_and_a_change_is_named(call: Call, tmp_path: Path) -> None:
    margin = {"published": {"value": 5, "locator": "T", "basis": "source"}, "margin": {"absolute": 1, "reason": "r"}}
    spec = {**SPEC, "claims": [{**CLAIM, **margin}]}
    run(call, spec)
    [path] = (tmp_path / "results").glob("looking/locks/*/*.json")
    document = json.loads(path.read_text())
    assert document["moment"]["finished_before"] == 0 and len(document["trials"]) == 16
    assert "deviation" not in call(None, "plan", "looking.yaml").out
    wider = {**SPEC, "claims": [{**CLAIM, **margin, "margin": {"absolute": 9, "reason": "r"}}]}
    sentence = "deviation: claim c: margin.absolute was 1.0 when the plan was locked, and is 9.0"
    assert sentence in call(wider, "plan", "looking.yaml").out


def test_the_plan_as_json_has_the_power_of_each_claim(call: Call) -> None:
    claims = [
        {**CLAIM, "planning": {"sd": 1.0, "effect": 1.0, "reason": "r"}},
        {**CLAIM, "id": "count", "exact": True},
        {**CLAIM, "id": "unknown", "family": "exploratory"},
    ]
    found = plan(call, {**SPEC, "claims": claims})
    assert list(found) == ["experiment", "profile", "trials", "predicted_seconds", "power", "looks"]
    assert found["looks"] == [3, 5, 8] and found["trials"]["planned"] == 16
    assert list(found["power"]) == ["c", "count", "unknown"]
    assert found["power"]["count"] is None and found["power"]["unknown"]["power"] is None
    known = found["power"]["c"]
    assert (known["units"], known["level"], known["sd"], known["sd_from"]) == (8, 0.05, 1.0, "declared: r")
    assert 0.5 < known["power"] < 0.75 and known["decides"] is False and known["needed"] == 10
    assert 3 < known["expected_units"] <= 8 and known["mde"] > 1


def test_the_plan_in_words_and_with_a_pilot(call: Call) -> None:
    smoke = {"fidelity": "proxy", "replicates": 4, "device": "cpu", "fixed": {"sd": 0.02}}
    claims = [{**CLAIM, "planning": {"effect": 5.0, "reason": "r"}}]
    spec = {**SPEC, "replicates": 6, "profiles": {**SPEC["profiles"], "smoke": smoke}, "claims": claims}
    unknown = "power: c: not known: no earlier attempts, no pilot, no declared spread"
    assert unknown in call(spec, "plan", "looking.yaml").out
    assert run(call, None, "--profile", "smoke").status == 0
    assert plan(call)["power"]["c"]["sd"] is None
    found = plan(call, None, "--pilot", "smoke")["power"]["c"]
    assert found["sd_from"] == "the pilot (4 units)" and found["power"] > 0.99 and found["units"] == 6
    words = call(None, "plan", "looking.yaml", "--pilot", "smoke").out
    assert "decides in 100% if the effect is 5 (declared)" in words


def test_a_command_line_that_asks_for_more_replicates_has_no_looks(call: Call, tmp_path: Path) -> None:
    found = run(call, SPEC, "--replicates", "4")
    assert found.status == 0 and len(tried(tmp_path)) == 8 and "look" not in found.err.replace("looking", "")


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "looks that do not rise": (
        {**SPEC, "replicates": {"min": 3, "max": 8, "looks": [5, 3, 8]}},
        "looking.yaml:8: replicates",
    ),
    "a factor that is not there": (
        {**TUNED, "select": {**TUNED["select"], "factors": ["rat"], "matched": {"rat": 1.0}}},
        "select.factors: no factor 'rat'; did you mean 'rate'?",
    ),
    "an arm that is not there": (
        {**SPEC, "claims": [{**CLAIM, "treatment": {"arm": "z"}}]},
        "claims.0.treatment.arm: claim 'c': the factor 'arm' of looking has no level 'z'",
    ),
}


@pytest.mark.parametrize("name", list(MISTAKES))
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_mistake_gets_one_sentence_and_starts_nothing(call: Call, tmp_path: Path, name: str, command: str) -> None:
    spec, sentence = MISTAKES[name]
    found = call(spec, command, "looking.yaml")
    assert (found.status, found.err.count("\n"), found.out) == (2, 1, ""), found
    assert found.err.startswith("harness: ") and sentence in found.err, found.err
    assert not (tmp_path / "results").exists()


def test_right_specs_with_looks_and_tuning_are_right(call: Call) -> None:
    assert "looking: right; 1 claims; trials: laptop 16" in call(SPEC, "check", "looking.yaml").out
    assert "looking: right; 1 claims; trials: laptop 12" in call(TUNED, "check", "looking.yaml").out
