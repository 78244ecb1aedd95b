"""How far a sweep is, out of the index: the same as the full state says, whatever happened to the attempts."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import design_of, state_with, trials_folder

from harness.plan.code import fingerprint
from harness.plan.design import Design
from harness.plan.selection import freeze
from harness.plan.state import PlanProgress, PlanState, decide, due, predicted_seconds, progress_of, state_of
from harness.plan.trials import Trial, expand
from harness.store import attempt as attempts_on_disk
from harness.store.atomic import COMPLETE
from harness.store.attempt import Attempt, Failure, write_attempt
from harness.store.endings import ENDINGS
from harness.store.index import AttemptSummary, IndexedAttempt, index_path
from harness.store.store import Store
from harness.store.table import long_table

SPEC: dict[str, Any] = {
    "factors": {"level": [1.0, 2.0]},
    "replicates": {"min": 1, "max": 3, "looks": [1, 2, 3]},
}
TUNED: dict[str, Any] = {
    "factors": {"arm": ["a", "b"], "level": [0.1, 0.2]},
    "replicates": 2,
    "select": {"factors": ["level"], "metric": "validation", "replicates": 1, "matched": {"level": 0.2}},
}
KINDS = sorted(ENDINGS)


class History:
    """A store that things happen to."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        self.folder = folder
        self.store = Store(folder / "results")
        self.design: Design = design_of(trials_folder(), spec)
        self.code = fingerprint(self.design.function.name).digest
        self.trials: Sequence[Trial] = expand(self.design)
        self._made = 0
        self._markers: dict[Path, bytes] = {}

    def attempt(self, trial: int, kind: str | None, current: bool, seconds: float = 1.0) -> Path:
        """Write an attempt: one that succeeds where ``kind`` is None, one that failed in that way otherwise."""
        wanted = self.trials[trial % len(self.trials)]
        self._made += 1
        failure = Failure(kind, "E", "message", "Traceback ...") if kind else None
        made = Attempt(
            f"a{self._made:04d}", wanted.id, self.design.name, wanted.identity, wanted.arm, wanted.replicate,
            () if kind else ({"value": 1.0},), failure, float(self._made), seconds, self.code if current else "older", "e",
        )  # fmt: skip
        folder = self.store.attempts_folder(self.design.name, wanted.id)
        folder.mkdir(parents=True, exist_ok=True)
        return write_attempt(folder, made, {}, None)

    def folders(self) -> list[Path]:
        return sorted((self.store.root / self.design.name / "attempts").glob("*/*"))

    def incomplete(self, trial: int, current: bool) -> None:
        marker = self.attempt(trial, None, current) / COMPLETE
        self._markers[marker] = marker.read_bytes()
        marker.unlink()

    def complete(self, which: int) -> None:
        """Give one of the incomplete attempts that still lie there its marker back."""
        waiting = [marker for marker in self._markers if marker.parent.is_dir()]
        if waiting:
            marker = waiting[which % len(waiting)]
            marker.write_bytes(self._markers.pop(marker))

    def damaged(self, trial: int, current: bool) -> None:
        (self.attempt(trial, None, current) / "attempt.json").write_text("{}")

    def remove(self, which: int) -> None:
        if folders := self.folders():
            shutil.rmtree(folders[which % len(folders)])

    def remove_trial(self, which: int) -> None:
        if folders := self.folders():
            shutil.rmtree(folders[which % len(folders)].parent)

    def spoil_index(self, cut: int) -> None:
        path = index_path(self.store, self.design.name)
        if path.exists():
            path.write_bytes(path.read_bytes()[:-cut])

    def remove_index(self) -> None:
        index_path(self.store, self.design.name).unlink(missing_ok=True)


def facts(state: PlanProgress) -> list[tuple[Any, ...]]:
    return [
        (entry.trial.id, entry.status, entry.counted.attempt.id if entry.counted else None, entry.retried_by_itself)
        for entry in state.states
    ]


def agree(full: PlanState, quick: PlanProgress) -> None:
    """Check that both say the same of everything that both can say."""
    assert facts(quick) == facts(full)
    assert (quick.code, quick.selection, quick.looks_made()) == (full.code, full.selection, full.looks_made())
    for retry_failed in (False, True):
        for keep_stale in (False, True):
            for replicates in (None, 1):
                wanted = [
                    due(state, retry_failed=retry_failed, keep_stale=keep_stale, replicates=replicates)
                    for state in (full, quick)
                ]
                assert [entry.trial.id for entry in wanted[0]] == [entry.trial.id for entry in wanted[1]]
                assert predicted_seconds(full, wanted[0], 2) == predicted_seconds(quick, wanted[1], 2)


@pytest.fixture(scope="module")
def unflushed() -> Iterator[None]:
    """Nobody pulls the plug here, and hundreds of attempts are written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


number = st.integers(0, 20)
step = st.one_of(
    st.tuples(
        st.just("attempt"), number, st.none() | st.sampled_from(KINDS), st.booleans(), st.sampled_from([1.0, 2.5])
    ),
    st.tuples(st.just("attempt"), number, st.none(), st.booleans()),
    st.tuples(st.just("incomplete"), number, st.booleans()),
    st.tuples(st.just("complete"), number),
    st.tuples(st.just("damaged"), number, st.booleans()),
    st.tuples(st.just("remove"), number),
    st.tuples(st.just("remove_trial"), number),
    st.tuples(st.just("spoil_index"), st.integers(1, 300)),
    st.tuples(st.just("remove_index")),
)


@given(steps=st.lists(st.tuples(step, st.booleans()), max_size=25))
def test_quick_and_full_agree_on_every_trial_after_every_step(unflushed: None, steps: list[Any]) -> None:
    """After some steps nobody looks, so that the index meets several changes at once."""
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder), SPEC)
        for (name, *arguments), looked in [*steps, (("remove", 1), True)]:
            getattr(history, name)(*arguments)
            if looked:
                agree(state_of(history.design, history.store), progress_of(history.design, history.store))


def plainly(attempts: Sequence[IndexedAttempt], code: str) -> tuple[str, IndexedAttempt | None]:
    """The rule as it is documented: by filters, one after another."""
    current = [a for a in attempts if a.attempt.succeeded and a.attempt.code == code]
    failures = [a for a in attempts if not a.attempt.succeeded and a.attempt.code == code]
    others = [a for a in attempts if a.attempt.succeeded]
    if current:
        return "done", current[0]
    if failures:
        return "failed", failures[-1]
    return ("stale", others[-1]) if others else ("missing", None)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8))
def test_one_rule_decides(made: list[tuple[bool, bool]]) -> None:
    failure = Failure("raised", "E", "m")
    attempts = [
        IndexedAttempt(
            AttemptSummary(f"a{n}", "t", "now" if now else "old", None if good else failure, 0.0, 1.0, 0, "", "")
        )
        for n, (now, good) in enumerate(made)
    ]
    assert decide(attempts, "now") == plainly(attempts, "now")


@pytest.fixture
def make(tmp_path: Path) -> Callable[[dict[str, Any]], History]:
    return lambda spec: History(tmp_path, spec)


Make = Callable[[dict[str, Any]], History]


def test_each_status_is_told(make: Make) -> None:
    history = make(SPEC)
    history.attempt(0, None, True)
    history.attempt(1, "raised", True)
    history.attempt(2, None, False)
    history.attempt(3, "killed", False)
    history.attempt(4, "killed", True)
    quick = progress_of(history.design, history.store)
    assert [entry.status for entry in quick.states] == ["done", "failed", "stale", "missing", "failed", "missing"]
    assert [quick.count(status) for status in ("done", "failed", "stale", "missing")] == [1, 2, 1, 2]  # type: ignore[arg-type]
    assert [entry.retried_by_itself for entry in quick.states] == [False] * 4 + [True, False]
    assert quick.looks_made() == (1,)


def test_the_second_look_opens_no_attempt(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    history = make(SPEC)
    for trial in range(len(history.trials)):
        history.attempt(trial, None, True)
    first = facts(progress_of(history.design, history.store))
    monkeypatch.setattr(attempts_on_disk, "_bytes", lambda path: pytest.fail(f"{path} was opened"))
    assert facts(progress_of(history.design, history.store)) == first
    assert {status for _, status, *_ in first} == {"done"}


def test_bytes_are_checked_by_the_full_state_alone(make: Make) -> None:
    """What the index knows is not read again, so damage done later is for ``run``, ``report`` and ``verify`` to find."""
    history = make(SPEC)
    folder = history.attempt(0, None, True)
    progress_of(history.design, history.store)
    (folder / "attempt.json").write_text("{}")
    full = state_of(history.design, history.store)
    assert full.states[0].status == "missing" and len(full.damaged) == 1
    assert progress_of(history.design, history.store).states[0].status == "done"


def test_records_cannot_be_reached_by_mistake(make: Make) -> None:
    history = make(SPEC)
    history.attempt(0, None, True)
    quick = progress_of(history.design, history.store)
    assert not isinstance(quick, PlanState) and not hasattr(quick, "damaged")
    counted: Any = quick.states[0].counted
    assert not hasattr(counted.attempt, "records") and not hasattr(counted, "folder")
    with pytest.raises(AttributeError, match="records"):
        long_table(history.design.name, "laptop", ["level"], quick.states)


def test_a_spec_that_tunes_is_told_before_and_after_its_levels_are_frozen(make: Make) -> None:
    history = make(TUNED)
    assert len(history.trials) == 4
    for trial in range(4):
        history.attempt(trial, None, True)
    before = progress_of(history.design, history.store)
    agree(state_of(history.design, history.store), before)
    assert before.selection is None and before.looks_made() == () and before.count("done") == 4
    tuned = state_with(history.design, lambda trial: {"validation": -float(str(trial.arm["level"]))})
    freeze(history.store, history.design, history.code, tuned.states)
    after = progress_of(history.design, history.store)
    agree(state_of(history.design, history.store), after)
    assert after.selection is not None and after.count("done") == 4 and after.count("missing") == 8
