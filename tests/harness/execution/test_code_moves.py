"""Code that changes while trials run: what was computed with other code than was ordered is not written down."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Finished, Workplace

from harness.cli.main import main
from harness.execution import worker
from harness.plan.code import CodeFingerprint

MODULE = '''
"""A trial that can change its own source, and a module that it imports only when it is called."""

from pathlib import Path
from typing import Any


def moving(*, run: Any, index: int, changes: str = "", at: int = 1) -> dict[str, Any]:
    from changing import amount

    if changes and index == at:
        path = Path(__file__).parent / "changing.py"
        text = path.read_text()
        path.write_text(text + changes if changes.startswith("\\n") else text.replace("1.0", changes))
    with (Path(__file__).parent / "ran").open("a") as file:
        file.write(f"{index}\\n")
    return {"value": amount() + index}
'''
IMPORTED = '''
"""Imported within the trial."""


def amount() -> float:
    return 1.0
'''
SPEC = """
experiment: moving
title: Code that changes under a sweep
trial: moving_trials:moving
factors:
  index: [0, 1, 2, 3]
fixed: {{changes: "{changes}"}}
profiles:
  laptop: {{fidelity: proxy, device: cpu}}
"""
MOVED = "moving: the code changed while its trials waited; run the command again"


@pytest.fixture
def folder(workplace: Workplace) -> Path:
    workplace.write("moving_trials.py", MODULE)
    workplace.write("changing.py", IMPORTED)
    return workplace.folder


@pytest.fixture
def run(folder: Path, in_workplace: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Finished]:
    """Run a sweep in this process, with the code looked at after every trial."""
    monkeypatch.setattr(worker, "CODE_SECONDS", 0.0)
    monkeypatch.delenv("HARNESS_STORE", raising=False)

    def command(changes: str) -> Finished:
        # The module that a run imported is not the one that the next run's source would give.
        for name in ("moving_trials", "changing"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        in_workplace("moving.yaml", SPEC.format(changes=changes))
        monkeypatch.setattr(sys, "argv", ["harness", "run", "moving.yaml", "--executor", "inline"])
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        return Finished(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    return command


def stored(folder: Path) -> list[tuple[int, float, str]]:
    """Return index, value and code of every attempt, in order of their index."""
    found = [json.loads(path.read_text()) for path in folder.glob("results/moving/attempts/*/*/attempt.json")]
    return sorted((one["arm"]["index"], one["records"][0]["value"], one["code"]) for one in found)


def ran(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "ran").read_text().split()]


def test_a_trial_during_which_the_code_changed_is_not_written(run: Callable[[str], Finished], folder: Path) -> None:
    found = run("2.0")
    assert found.status == 3 and found.err.rstrip().endswith(MOVED), found.err
    assert ran(folder) == [0, 1], "no trial starts with code that was not ordered"
    [(index, value, _)] = stored(folder)
    assert (index, value) == (0, 1.0)
    assert not list((folder / "results").glob("moving/claims/*.json")), "the trial is given back"
    assert not list((folder / "results").rglob(".tmp-*"))


def test_the_same_command_then_computes_everything_with_the_new_code(
    run: Callable[[str], Finished], folder: Path
) -> None:
    run("2.0")
    old = stored(folder)
    (folder / "ran").unlink()
    # The source reads 2.0 from now on, and the trial finds no 1.0 to change.
    found = run("2.0")
    assert found.status == 0 and "4 of 4 trials done, 0 failed" in found.err and MOVED not in found.err, found.err
    assert ran(folder) == [0, 1, 2, 3]
    new = [one for one in stored(folder) if one not in old]
    assert [one[:2] for one in new] == [(0, 2.0), (1, 3.0), (2, 4.0), (3, 5.0)]
    assert len({one[2] for one in new} | {one[2] for one in old}) == 2


@pytest.mark.parametrize(
    "comment", [r"\n# a comment", r"\n\n\n", r"\n\n# several\n\n\n# comments\n"], ids=["comment", "lines", "both"]
)
def test_a_comment_that_comes_while_trials_run_changes_nothing(
    run: Callable[[str], Finished], folder: Path, comment: str
) -> None:
    found = run(comment)
    assert found.status == 0 and "4 of 4 trials done, 0 failed" in found.err, found.err
    assert [one[:2] for one in stored(folder)] == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]
    assert len({one[2] for one in stored(folder)}) == 1
    assert (folder / "changing.py").read_text() != IMPORTED.lstrip()


def test_the_docstring_of_an_imported_module_changes_nothing(run: Callable[[str], Finished], folder: Path) -> None:
    text = (folder / "changing.py").read_text()
    run("")
    (folder / "changing.py").write_text(text.replace("Imported within the trial.", "Written anew."))
    assert "nothing to run; 4 of 4 trials done" in run("").err


def test_a_failing_trial_during_which_the_code_changed_is_not_written_either(
    run: Callable[[str], Finished], folder: Path
) -> None:
    module = (folder / "moving_trials.py").read_text()
    failing = module.replace("    return {", "    if index == 1:\n        raise ValueError('half new')\n    return {")
    (folder / "moving_trials.py").write_text(failing)
    found = run("2.0")
    assert found.status == 3 and MOVED in found.err and "half new" not in found.err
    assert [one[0] for one in stored(folder)] == [0]


def test_code_that_breaks_ends_the_run_without_a_traceback(run: Callable[[str], Finished], folder: Path) -> None:
    """An editor saves a file that is half written now and then."""
    found = run("(")
    assert found.status == 3 and MOVED in found.err, found.err
    assert [one[0] for one in stored(folder)] == [0]


def test_the_code_is_looked_at_again_only_after_a_while(
    run: Callable[[str], Finished], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is loaded stays loaded, so a sweep of very short trials may end before the next look."""
    looks: list[str] = []
    fingerprint = worker.fingerprint

    def counted(name: str) -> CodeFingerprint:
        looks.append(name)
        return fingerprint(name)

    monkeypatch.setattr(worker, "CODE_SECONDS", 1e9)
    monkeypatch.setattr(worker, "fingerprint", counted)
    assert run("").status == 0 and len(stored(folder)) == 4
    assert len(looks) == 1


LOCAL = """
import sys
from harness.execution import worker

worker.CODE_SECONDS = 0.0
"""


def test_a_worker_of_its_own_stops_the_whole_run(workplace: Workplace, folder: Path) -> None:
    """As a user sees it: the driver learns from its worker that the code moved, and starts no other one."""
    # Python runs this in every process that finds it, the worker's among them.
    workplace.write("sitecustomize.py", LOCAL)
    workplace.write("moving.yaml", SPEC.format(changes="2.0"))
    found = workplace.harness("run", "moving.yaml", "--jobs", "1", environment={"PYTHONPATH": str(folder)})
    assert found.status == 3 and MOVED in found.err and "Traceback" not in found.err, found.err
    assert ran(folder) == [0, 1] and [one[0] for one in stored(folder)] == [0]


def test_no_trial_is_called_killed_because_the_code_broke_while_it_ran(workplace: Workplace, folder: Path) -> None:
    workplace.write("sitecustomize.py", LOCAL)
    workplace.write("moving.yaml", SPEC.format(changes="("))
    found = workplace.harness("run", "moving.yaml", "--jobs", "1", environment={"PYTHONPATH": str(folder)})
    kept = [json.loads(path.read_text()) for path in folder.glob("results/moving/attempts/*/*/attempt.json")]
    assert [one["failure"] for one in kept] == [None]
    assert "Traceback" not in found.err
