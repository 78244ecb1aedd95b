"""Files of pytest-benchmark, read and kept: what is wrong with one is told in a sentence, what is right is kept once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benched import COMMIT, MACHINE, document, measured, write
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.store.store import Store
from reports.bench import runs
from reports.bench.accepted import accept, read_accepted
from reports.bench.files import bench_files
from reports.bench.kept import keep_run, latest_run
from reports.bench.measured import Scale
from reports.bench.runs import parse_document, read_document, run_of
from reports.bench_command import SOME_SLOWER, bench_command

LATER = "2026-11-02T12:00:00+00:00"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where no file of accepted ratios lies."""
    monkeypatch.chdir(tmp_path)


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(bench_command, list(map(str, arguments)), standalone_mode=False)


def refused(*arguments: str | Path) -> str:
    found = bench(*arguments)
    assert isinstance(found.exception, UserError), found
    return str(found.exception)


def test_a_run_is_read_as_it_was_measured() -> None:
    sides = [measured("one"), measured("two", 3.0)]
    run = run_of(document(sides), "a file")
    assert run.measured == tuple(sides)
    assert run.made == pytest.approx(1793534400.123456)
    assert (run.commit, run.changed, run.code) == (COMMIT, False, COMMIT[:10])
    assert run.machine == "Some Processor, CPUs 2, threads 1, Python 3.11.7, torch 2.15.0"
    assert "never shown" not in run.machine and run.accepted == {}


def test_a_machine_that_says_nothing_still_has_a_name() -> None:
    run = run_of(document([measured()], machine={}), "a file")
    assert run.machine and (run.commit, run.code) == (None, "no commit")
    changed = run_of(document([measured()], machine={"source": {"commit": COMMIT, "dirty": True}}), "a file")
    assert changed.code == COMMIT[:10] + "+"


def without(*keys: Any) -> Callable[[dict[str, Any]], None]:
    def drop(found: Any) -> None:
        for key in keys[:-1]:
            found = found[key]
        del found[keys[-1]]

    return drop


def set_to(value: Any, *keys: Any) -> Callable[[dict[str, Any]], None]:
    def put(found: Any) -> None:
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = value

    return put


BESIDE = ("benchmarks", 0, "extra_info", "beside")
HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no benchmarks": (without("benchmarks"), "no file of pytest-benchmark"),
    "benchmarks that are none": (set_to({}, "benchmarks"), "no file of pytest-benchmark"),
    "nothing ran": (set_to([], "benchmarks"), "no benchmark ran to its end"),
    "a foreign benchmark": (without(*BESIDE), "test_bench.py::0 compares nothing"),
    "a benchmark without more": (without("benchmarks", 0, "extra_info"), "test_bench.py::0 compares nothing"),
    "a benchmark that is a word": (set_to("x", "benchmarks", 0), "number 0"),
    "no time": (without("datetime"), "datetime: Field required"),
    "a time that is none": (set_to("yesterday", "datetime"), "datetime"),
    "before all time": (set_to("0001-01-01T00:00:00", "datetime"), "datetime"),
    "no machine": (without("machine_info"), "machine_info: Field required"),
    "a machine that is a word": (set_to("x", "machine_info"), "machine_info"),
    "a commit that is a path": (set_to("../../x", "machine_info", "source", "commit"), "commit"),
    "a machine with a long name": (set_to("x" * 10_000, "machine_info", "cpu", "model"), "model"),
    "another format": (set_to(2, *BESIDE, "format"), "format"),
    "no side": (without(*BESIDE, "rival"), "rival: Field required"),
    "a negative time": (set_to([-5] * 20, *BESIDE, "ours", "nanoseconds"), "greater than 0"),
    "a time of nothing": (set_to([0] * 20, *BESIDE, "ours", "nanoseconds"), "greater than 0"),
    "a time that is half": (set_to([0.5] * 20, *BESIDE, "ours", "nanoseconds"), "integer"),
    "a time beyond time": (set_to([10**40] * 20, *BESIDE, "ours", "nanoseconds"), "less than"),
    "rounds of one side": (set_to([5] * 3, *BESIDE, "ours", "nanoseconds"), "same number of rounds"),
    "no repetitions": (set_to(0, *BESIDE, "ours", "repetitions"), "greater than or equal to 1"),
    "a name of two lines": (set_to("a\nb", *BESIDE, "name"), "name"),
    "a name without end": (set_to("a" * 10_000, *BESIDE, "name"), "name"),
    "more than is known": (set_to(1, *BESIDE, "surprise"), "surprise"),
    "accepted ratios that are none": (set_to({"a": {"ratio": -1}}, "accepted"), "accepted"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_cannot_be_used_is_told_in_one_sentence_and_nothing_is_kept(tmp_path: Path, name: str) -> None:
    change, expected = HOSTILE[name]
    found = document([measured()])
    change(found)
    sentence = refused(write(tmp_path / "bench.json", found), "--store", tmp_path / "results")
    assert expected in sentence and str(tmp_path / "bench.json") in sentence and "\n" not in sentence
    assert len(sentence) < 600
    assert bench_files(Store(tmp_path / "results")).files == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not JSON"), ("[1, 2", "not JSON"), ("[]", "no file of pytest-benchmark"), ("null", "no file of"),
        ('{"benchmarks": [NaN]}', "NaN is not a number"), ('{"benchmarks": [-Infinity]}', "-Infinity is not a number"),
        ("[" * 100_000, "not JSON"), ('{"benchmarks": [' + "9" * 5000 + "]}", "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_told_in_one_sentence(tmp_path: Path, text: str, expected: str) -> None:
    sentence = refused(write(tmp_path / "bench.json", text), "--store", tmp_path / "results")
    assert expected in sentence and "\n" not in sentence


def test_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    assert "not JSON" in refused(tmp_path / "bytes.json", "--store", tmp_path)
    assert "cannot be read" in refused(tmp_path / "none.json", "--store", tmp_path)
    assert "cannot be read" in refused(tmp_path, "--store", tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "LARGEST_BYTES", 1000)
    with pytest.raises(UserError, match="is larger than"):
        read_document(write(tmp_path / "bench.json", document([measured()])))


def test_two_comparisons_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "bench.json", document([measured(), measured(ratio=2.0)]))
    assert "two benchmarks compare 'work beside theirs'" in refused(path, "--store", tmp_path)


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES = (
    (),
    ("machine_info",),
    ("benchmarks", 0),
    ("benchmarks", 0, "extra_info"),
    BESIDE,
    (*BESIDE, "ours"),
    (*BESIDE, "check"),
)


@given(place=st.sampled_from(PLACES), value=Json)
def test_whatever_stands_somewhere_is_read_or_refused(place: tuple[Any, ...], value: Any) -> None:
    found = document([measured(rounds=3)])
    if place:
        set_to(value, *place)(found)
    else:
        found = value
    try:
        run_of(parse_document(json.dumps(found).encode(), "a file"), "a file")
    except UserError as error:
        assert str(error).startswith("a file: ")


def test_a_run_is_kept_once_and_stays_as_it_was_judged(tmp_path: Path) -> None:
    path, store = write(tmp_path / "bench.json", document([measured()])), Store(tmp_path / "results")
    target, run = keep_run(path, store, {})
    assert target == store.root / "bench" / f"20261101T120000.123456-{COMMIT[:10]}.json"
    before = target.read_bytes()
    accept(tmp_path / "accepted.json", {one.measured.key: one for one in run.verdicts.comparisons}, run)
    again, same = keep_run(path, store, read_accepted(tmp_path / "accepted.json"))
    assert again == target and target.read_bytes() == before
    assert [one.outcome for one in same.verdicts.comparisons] == ["new"]
    assert latest_run(store).measured == run.measured


def test_another_run_of_the_same_moment_is_refused_and_not_lost(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    target, _ = keep_run(write(tmp_path / "bench.json", document([measured()])), store, {})
    before = target.read_bytes()
    with pytest.raises(UserError, match="another run of that time and commit"):
        keep_run(write(tmp_path / "bench.json", document([measured(ratio=2.0)])), store, {})
    assert target.read_bytes() == before


def test_a_kept_run_can_be_given_again(tmp_path: Path) -> None:
    """A kept file is pytest-benchmark's, and a little more: another store takes it, as it was judged."""
    store, other = Store(tmp_path / "results"), Store(tmp_path / "other")
    _, run = keep_run(write(tmp_path / "first.json", document([measured()])), store, {})
    accepted = {run.verdicts.comparisons[0].measured.key: _accepted(run)}
    later = write(tmp_path / "later.json", document([measured(ratio=3.0)], when=LATER))
    target, judged = keep_run(later, store, accepted)
    assert [one.outcome for one in judged.verdicts.comparisons] == ["slower than accepted"]
    copied, _ = keep_run(target, other, {})
    assert copied.read_bytes() == target.read_bytes()


def _accepted(run: Any) -> Any:
    from reports.bench.accepted import AcceptedRatio

    return AcceptedRatio.of(run.verdicts.comparisons[0], run)


def test_a_damaged_run_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    first, _ = keep_run(write(tmp_path / "a.json", document([measured()])), store, {})
    keep_run(write(tmp_path / "b.json", document([measured()], when=LATER)), store, {})
    first.write_text("{")
    files = bench_files(store)
    assert len(files.files) == 2 and len(files.runs) == 1
    (sentence,) = files.damaged
    assert sentence.startswith(f"bench/{first.name}: is not JSON")


def test_a_store_without_runs_says_how_to_make_one(tmp_path: Path) -> None:
    assert "make bench" in refused("--store", tmp_path)


def test_the_command_shows_keeps_accepts_and_flags(tmp_path: Path) -> None:
    place = ["--store", tmp_path / "results", "--accepted", tmp_path / "accepted.json"]
    scales = [Scale(what="plan", trials=trials, files="memory") for trials in (1000, 10_000)]
    plans = [
        measured(f"plan, {scale.trials:,} trials", milliseconds=scale.trials / 100, scale=scale) for scale in scales
    ]
    first = write(tmp_path / "a.json", document([measured("loss", 0.4), *plans]))
    assert bench(first, "--store", tmp_path / "results").return_value == 0
    accepted = bench(first, *place, "--accept")
    assert accepted.return_value == 0 and "accepted: 3 ratios" in accepted.output
    assert "New, so not judged: 3" in accepted.output
    assert "no worse than linearly" in accepted.output

    unchanged = bench(write(tmp_path / "b.json", document([measured("loss", 0.41)], when=LATER)), *place)
    assert unchanged.return_value == 0 and "SLOWER" not in unchanged.output
    assert "as accepted" in unchanged.output and "and not in this run: 2" in unchanged.output
    assert "Had ours become twice as slow, 1 of 1 would be flagged" in unchanged.output

    slow = document([measured("loss", 0.8), measured("new", 0.8)], when="2026-11-03T12:00:00+00:00")
    slow["machine_info"] = {**MACHINE, "cpu": {"model": "Another Processor"}}
    flagged = bench(write(tmp_path / "c.json", slow), *place)
    assert flagged.return_value == SOME_SLOWER
    assert re.search(
        r"SLOWER: loss beside theirs: 0\.[78]\d* \[.*\], and 0\.[34]\d* \[.*\] is accepted", flagged.output
    )
    assert "Accepted on another machine: Some Processor" in flagged.output
    shown = bench("--store", tmp_path / "results")
    assert shown.return_value == SOME_SLOWER and "SLOWER: loss beside theirs" in shown.output


def test_accepting_merges_into_the_file_and_names_where_ratios_come_from(tmp_path: Path) -> None:
    path = tmp_path / "accepted.json"
    place = ["--store", tmp_path / "results", "--accepted", path, "--accept"]
    bench(write(tmp_path / "a.json", document([measured("loss", 0.4), measured("kept", 2.0)])), *place)
    before = read_accepted(path)
    changed = document([measured("loss", 0.2)], when=LATER)
    changed["machine_info"]["source"] = {"commit": COMMIT, "dirty": True}
    bench(write(tmp_path / "b.json", changed), *place)
    after = read_accepted(path)
    assert after["kept beside theirs"] == before["kept beside theirs"]
    assert after["loss beside theirs"].ratio == pytest.approx(0.2, rel=0.1)
    assert after["loss beside theirs"].changed and not before["loss beside theirs"].changed
    assert after["loss beside theirs"].commit == COMMIT and "Some Processor" in after["loss beside theirs"].machine
    assert "never shown" not in path.read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not JSON"), ("[]", "cannot be read"), ('{"format": 2, "comparisons": {}}', "format"),
        ('{"format": 1, "comparisons": {"a": {"ratio": 1, "low": 2, "high": 3, "rounds": 20}}}', "does not lie in its interval"),
        ('{"format": 1, "comparisons": {"a": {"ratio": NaN, "low": NaN, "high": NaN, "rounds": 20}}}', "ratio"),
    ],
)  # fmt: skip
def test_a_file_of_accepted_ratios_that_cannot_be_used(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path / "accepted.json", text)
    run = write(tmp_path / "bench.json", document([measured()]))
    sentence = refused(run, "--store", tmp_path / "results", "--accepted", path)
    assert sentence.startswith(str(path)) and expected in sentence
    assert "no such file" in refused(run, "--store", tmp_path / "results", "--accepted", tmp_path / "none.json")


def test_the_committed_file_of_accepted_ratios_can_be_read() -> None:
    path = Path(__file__).parent.parent / "benchmarks" / "accepted.json"
    accepted = read_accepted(path)
    assert accepted
    for key, one in accepted.items():
        assert " beside " in key and one.commit and one.machine


@pytest.mark.slow
def test_what_pytest_benchmark_writes_is_read_and_true(tmp_path: Path) -> None:
    """A real benchmark in a process of its own: its JSON has as many rounds as ours, and no visit longer than its own."""
    benchmarks, path = Path(__file__).parent.parent / "benchmarks", tmp_path / "bench.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--benchmark-only"]
    command += [
        "--benchmark-quiet",
        f"--benchmark-json={path}",
        "-k",
        "agnostic and 36",
        f"{benchmarks}/test_bench_nms.py",
    ]
    # A worker of pytest-xdist says so in its environment, and pytest-benchmark then measures nothing.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    found = subprocess.run(
        command, cwd=benchmarks.parent.parent, env=alone, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    document = read_document(path)
    run = run_of(document, "a file")
    (one,) = run.measured
    times = document["benchmarks"][0]["stats"]["data"]
    assert len(times) == one.rounds == len(one.ours.nanoseconds) == len(one.rival.nanoseconds)
    for outer, inner in zip(times, one.ours.nanoseconds, strict=True):
        assert outer * 1e9 >= inner
    assert set(one.ours_first) == {True, False}
    assert one.ours.repetitions > 1 and "threads 1" in run.machine


def test_tables_are_written_between_the_markers_of_a_page(tmp_path: Path) -> None:
    run = write(tmp_path / "bench.json", document([measured("a | loss", 0.4)]))
    page = write(tmp_path / "speed.md", "# Speed\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nThe end.\n")
    assert bench(run, "--store", tmp_path / "results", "--docs", page).return_value == 0
    text = page.read_text()
    assert text.startswith("# Speed\n<!-- bench: begin -->\n") and text.endswith("<!-- bench: end -->\nThe end.\n")
    assert "| a \\| loss |" in text and "2026-11-01" in text and "Some Processor" in text and "old" not in text
    bench("--store", tmp_path / "results", "--docs", page)
    assert page.read_text() == text


@pytest.mark.parametrize("text", ["", "<!-- bench: begin -->", "<!-- bench: end --><!-- bench: begin -->"])
def test_a_page_without_the_markers_stays_as_it_is(tmp_path: Path, text: str) -> None:
    run, page = write(tmp_path / "bench.json", document([measured()])), write(tmp_path / "speed.md", text)
    assert "each once and in that order" in refused(run, "--store", tmp_path / "results", "--docs", page)
    assert page.read_text() == text
