"""What a trial function is given: streams that pair, checkpoints, samples, records that are checked."""

from __future__ import annotations

import math
from pathlib import Path

import numpy
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.execution.records import RecordError, checked_records
from harness.execution.run import Run
from harness.execution.streams import Stream


def test_streams_do_not_depend_on_each_other_or_on_order() -> None:
    first, second = Run("e", 3), Run("e", 3)
    first.stream("augment").numpy.random(1000)
    a = first.stream("init").numpy.random(5)
    b = second.stream("init").numpy.random(5)
    assert (a == b).all()
    assert not numpy.allclose(a, second.stream("data_order").numpy.random(5))


def test_streams_differ_by_experiment_replicate_and_name() -> None:
    seeds = {Run(e, r).stream(n).seed for e in ("a", "b") for r in range(20) for n in ("init", "eval", "dropout")}
    assert len(seeds) == 2 * 20 * 3


def test_streams_are_those_of_earlier_versions() -> None:
    """Golden: a stream that changes makes old and new replicates of one arm incomparable."""
    stream = Run("vilt-speed", 1).stream("init")
    assert stream.seed == 4806416754201970062
    assert stream.numpy.integers(0, 1000, 3).tolist() == [702, 337, 111]


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=3), st.integers(0, 99))
def test_children_are_streams_of_their_own(names: list[str], number: int) -> None:
    stream = Stream("e", *names)
    assert stream.child(number).seed != stream.seed
    assert stream.child(number).seed == Stream("e", *names, number).seed


def test_torch_generators_start_at_the_stream_and_the_global_one_is_restored() -> None:
    stream = Stream("e", 0, "dropout")
    assert torch.equal(torch.rand(3, generator=stream.torch()), torch.rand(3, generator=stream.torch()))
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with stream.as_torch_default():
        inside = torch.rand(3)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(inside, torch.rand(3, generator=stream.torch()))


def test_a_checkpoint_survives_and_is_replaced(tmp_path: Path) -> None:
    run = Run(checkpoint_folder=tmp_path / "c")
    assert run.checkpoint.load() is None
    run.checkpoint.save({"step": 1, "weights": torch.ones(2)})
    run.checkpoint.save({"step": 2, "weights": torch.zeros(2)})
    state = Run(checkpoint_folder=tmp_path / "c").checkpoint.load()
    assert state["step"] == 2 and torch.equal(state["weights"], torch.zeros(2))
    run.checkpoint.clear()
    assert run.checkpoint.load() is None


def test_samples_and_scalars_become_tables() -> None:
    run = Run()
    run.log(1, loss=0.5)
    run.log(2, loss=0.25, accuracy=0.9)
    run.samples("latency", {"round": [0, 1]})
    with pytest.raises(ValueError, match="a new, plain name"):
        run.samples("latency", {"round": [0]})
    with pytest.raises(ValueError, match="a new, plain name"):
        run.samples("../x", {"round": [0]})
    tables = run.all_tables()
    assert isinstance(tables["latency"], pandas.DataFrame)
    assert tables["scalars"]["loss"].tolist() == [0.5, 0.25]


def test_records_become_plain_values() -> None:
    returned = {"a": numpy.float32(0.5), "b": torch.tensor(3), "c": numpy.int64(2), "d": True, "e": None, "f": "x"}
    record = checked_records(returned, {})[0]
    assert record == {"a": 0.5, "b": 3, "c": 2, "d": True, "e": None, "f": "x"}
    assert {type(value) for value in record.values()} == {float, int, bool, type(None), str}
    assert math.isnan(checked_records({"a": math.nan}, {})[0]["a"])


@pytest.mark.parametrize(
    ("returned", "blocked", "sentence"),
    [
        (None, {}, "returns a mapping"),
        ([], {}, "at least one record"),
        ([{"a": 1}, {"a": 2}], {}, "returns one record, not 2"),
        ({"a": [1, 2]}, {}, "the metric 'a' is a list"),
        ({"a": torch.zeros(2)}, {}, "the metric 'a' is a Tensor"),
        ([{"a": 1}], {"system": ["x"]}, "lacks the blocked factor 'system'"),
        ([{"system": "x"}], {"system": ["x", "y"]}, "but the trial ran"),
        ([{"system": "x"}, {"system": "x"}], {"system": ["x", "y"]}, "but the trial ran"),
    ],
)
def test_other_returns_are_refused(returned: object, blocked: dict[str, list[str]], sentence: str) -> None:
    with pytest.raises(RecordError, match=sentence):
        checked_records(returned, blocked)
