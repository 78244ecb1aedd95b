"""What is known of an array stands in the store, whole, and what two write at once is written by the first."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slurm_fakes import EXPERIMENT, a_submission, an_order

from harness.execution.orders import EventReader
from harness.execution.slurm.submission import Submission, new_token, open_submissions, submissions
from harness.execution.slurm.task import main as run_task
from harness.execution.slurm.task import own_share_first
from harness.store.store import Store


def test_a_submission_is_read_as_it_was_written(store: Store) -> None:
    written = a_submission(store, tasks=3, job=None, changes={"expected_seconds": 1.5}, one_each=True)
    found = Submission.read(written.folder)
    assert found == written
    assert found.order == an_order(store, one_each=True)
    assert list(found.trials) == ["trial0", "trial1", "trial2", "trial3"]
    assert found.trials["trial2"] == written.order.trials[2]


def test_its_folder_stands_in_no_file_so_that_a_store_can_be_moved(store: Store, tmp_path: Path) -> None:
    written = a_submission(store, job=None)
    moved = tmp_path / "elsewhere"
    written.folder.rename(moved)
    assert Submission.read(moved) == dataclasses.replace(written, folder=moved)
    assert str(store.root) not in (moved / "submission.json").read_text()


def test_the_same_array_is_not_announced_twice(store: Store) -> None:
    written = a_submission(store)
    with pytest.raises(FileExistsError):
        written.announce(an_order(store))


def test_a_number_is_known_once_somebody_has_written_it_down(store: Store) -> None:
    submission = a_submission(store, job=None)
    assert submission.job is None
    submission.set_job(7)
    assert submission.job == Submission.read(submission.folder).job == 7


def test_the_first_number_stays(store: Store) -> None:
    submission = a_submission(store, job=7)
    submission.set_job(8)
    assert submission.job == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"job": "seven"}',
        "{}",
        "[7]",
    ],
)
def test_a_damaged_number_is_not_known(store: Store, text: str) -> None:
    submission = a_submission(store, job=None)
    (submission.folder / "job.json").write_text(text)
    assert submission.job is None


def test_a_submission_is_open_until_it_is_closed(store: Store) -> None:
    first, second = a_submission(store, token="a" * 12), a_submission(store, token="b" * 12)
    assert open_submissions(store, EXPERIMENT) == [first, second]
    first.close({0: "finished", 1: "killed"}, "that is how")
    assert open_submissions(store, EXPERIMENT) == [second]
    assert first.closed == {"ends": {"0": "finished", "1": "killed"}, "message": "that is how"}
    assert second.closed is None


def test_the_first_end_stays(store: Store) -> None:
    submission = a_submission(store)
    submission.close({0: "finished"})
    before = (submission.folder / "closed.json").read_bytes()
    submission.close({0: "killed"}, "later")
    assert (submission.folder / "closed.json").read_bytes() == before


def test_of_many_that_close_at_once_one_is_right_and_its_word_is_whole(store: Store) -> None:
    submission = a_submission(store)
    start = threading.Barrier(8)

    def close(number: int) -> None:
        start.wait(timeout=30)
        submission.set_job(number)
        submission.close({0: f"by {number}"}, "x" * 10_000)

    threads = [threading.Thread(target=close, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    closed = submission.closed
    assert closed is not None and closed["ends"]["0"].startswith("by ") and len(closed["message"]) == 10_000
    assert not list(submission.folder.glob(".tmp-*"))


@pytest.mark.parametrize("mark", ["revoked", "dismissed", "cancelled"])
def test_a_mark_is_seen_by_everybody_and_is_no_other(store: Store, mark: str) -> None:
    submission = a_submission(store)
    assert not submission.marked(mark)  # type: ignore[arg-type]
    submission.mark(mark)  # type: ignore[arg-type]
    submission.mark(mark)  # type: ignore[arg-type]
    found = Submission.read(submission.folder)
    assert [name for name in ("revoked", "dismissed", "cancelled") if found.marked(name)] == [mark]  # type: ignore[arg-type]


def test_events_of_every_task_have_a_file_of_their_own(store: Store) -> None:
    submission = a_submission(store)
    assert submission.events_path(3) == submission.folder / "events-3.jsonl"


def test_a_store_without_submissions_has_none(store: Store) -> None:
    assert list(submissions(store, EXPERIMENT)) == []
    assert open_submissions(store, EXPERIMENT) == []


def test_submissions_of_earlier_runs_come_first(store: Store) -> None:
    later = a_submission(store, run="20240102T000000-aaaaaa", token="a" * 12)
    earlier = a_submission(store, run="20240101T000000-ffffff", token="f" * 12)
    assert list(submissions(store, EXPERIMENT)) == [earlier, later]


def test_submissions_of_one_run_come_oldest_first(store: Store) -> None:
    first = a_submission(store, token="f" * 12, created=1.0)
    second = a_submission(store, token="a" * 12, created=2.0)
    assert list(submissions(store, EXPERIMENT)) == [first, second]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"driver": {}}', '{"driver": {"host": "x"}, "token": "x"}'])
def test_a_submission_that_cannot_be_read_is_passed_over(store: Store, text: str) -> None:
    damaged, whole = a_submission(store, token="a" * 12), a_submission(store, token="b" * 12)
    (damaged.folder / "submission.json").write_text(text)
    assert list(submissions(store, EXPERIMENT)) == [whole]


def test_a_submission_of_another_shape_is_passed_over(store: Store) -> None:
    damaged, whole = a_submission(store, token="a" * 12), a_submission(store, token="b" * 12)
    (damaged.folder / "submission.json").write_text(json.dumps({"token": "x"}))
    assert list(submissions(store, EXPERIMENT)) == [whole]


def test_tokens_do_not_come_again() -> None:
    assert len({new_token() for _ in range(1000)}) == 1000


@given(st.integers(1, 40), st.integers(1, 40))
def test_shares_of_tasks_make_up_the_whole_and_every_task_goes_on_with_the_rest(trials: int, tasks: int) -> None:
    tasks = min(tasks, trials)
    order = an_order(Store(Path("results")), trials)
    seen = [own_share_first(order, index, tasks).trials for index in range(tasks)]
    assert all(sorted(found, key=lambda trial: trial.replicate) == list(order.trials) for found in seen)
    # The first trial of each is where its own share begins: no two begin with the same one.
    assert len({found[0].id for found in seen}) == tasks


@given(st.integers(1, 40))
def test_a_task_of_trials_that_need_a_fresh_process_has_one_of_its_own(trials: int) -> None:
    order = an_order(Store(Path("results")), trials, one_each=True)
    seen = [own_share_first(order, index, trials).trials for index in range(trials)]
    assert seen == [(trial,) for trial in order.trials]


@pytest.mark.parametrize("mark", ["revoked", "dismissed", "cancelled"])
def test_a_task_of_a_marked_array_ends_without_work_and_tells_its_number(
    store: Store, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    submission = a_submission(store, job=None)
    submission.mark(mark)  # type: ignore[arg-type]
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "99")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "101")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert run_task(str(submission.folder)) == 0
    begin, end = EventReader(submission.events_path(1)).read()
    assert (begin["event"], begin["job"], begin["restart"], end["event"]) == ("begin", "99_1", 2, "end")
    assert submission.job == 99
    assert not store.trial_ids(EXPERIMENT)
