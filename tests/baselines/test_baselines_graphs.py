"""Graphs: replayed work is the work, at fixed addresses, whatever it is recorded with."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from graphs_on_host import HostCapture
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from baselines.graphs import Graphs, capture_on_cuda


class Pair(NamedTuple):
    total: torch.Tensor
    parts: list[torch.Tensor]


def mixture(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.tanh(left @ right) + left.mean()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 1000))
def test_replays_are_the_function_at_every_shape(rows: list[int], seed: int) -> None:
    capture = HostCapture()
    graphed = Graphs(capture).graphed(mixture)
    generator = torch.Generator().manual_seed(seed)
    for count in rows:
        left, right = torch.randn(count, 3, generator=generator), torch.randn(3, 2, generator=generator)
        assert torch.equal(graphed(left, right), mixture(left, right))
    assert capture.captured == len(set(rows)), "a shape that comes again is not recorded again"


def test_outputs_stand_where_they_stood_and_the_next_call_overwrites_them() -> None:
    graphed = Graphs(HostCapture()).graphed(mixture)
    one, other, right = torch.ones(2, 3), torch.full((2, 3), 5.0), torch.ones(3, 2)
    first = graphed(one, right)
    kept = first.clone()
    second = graphed(other, right)
    assert second is first and second.data_ptr() == first.data_ptr(), "nothing is allocated for a request"
    assert torch.equal(first, mixture(other, right)) and not torch.equal(first, kept)
    assert torch.equal(kept, mixture(one, right)), "whoever keeps a result clones it"


def test_the_callers_tensors_are_left_alone() -> None:
    graphed = Graphs(HostCapture()).graphed(mixture)
    one, right = torch.ones(2, 3), torch.ones(3, 2)
    graphed(one, right)
    graphed(torch.zeros(2, 3), right)
    assert torch.equal(one, torch.ones(2, 3))
    one.fill_(7.0)
    assert torch.equal(graphed(one, right), mixture(one, right)), "what is written into an input later is seen"


def test_what_one_recording_gives_the_next_is_not_copied() -> None:
    seen: list[int] = []

    def second(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(hidden.data_ptr())
        return functional.gelu(hidden)

    graphs = Graphs(HostCapture())
    begin, end = graphs.graphed(mixture), graphs.graphed(second)
    for value in (1.0, 2.0):
        inputs = torch.full((2, 3), value), torch.ones(3, 2)
        hidden = begin(*inputs)
        assert torch.equal(end(hidden), functional.gelu(mixture(*inputs)))
        assert set(seen) == {hidden.data_ptr()}
    # The same values from elsewhere are another case, and are copied.
    assert torch.equal(end(hidden.clone()), functional.gelu(hidden))
    assert len(set(seen)) == 2


def test_nested_arguments_and_results_and_plain_values() -> None:
    def work(tensors: list[torch.Tensor], *, power: int) -> Pair:
        return Pair(sum(tensors, torch.zeros(())) ** power, [tensor + 1 for tensor in tensors])

    capture = HostCapture()
    graphed = Graphs(capture).graphed(work)
    for power in (1, 2, 1):
        for shift in (0.0, 3.0):
            given_tensors = [torch.arange(4.0) + shift, torch.ones(4)]
            found, expected = graphed(given_tensors, power=power), work(given_tensors, power=power)
            assert isinstance(found, Pair) and torch.equal(found.total, expected.total)
            assert all(map(torch.equal, found.parts, expected.parts))
    assert capture.captured == 2, "a plain value is part of what is recorded"


def test_other_types_and_layouts_are_recorded_anew() -> None:
    capture = HostCapture()
    graphed = Graphs(capture).graphed(lambda tensor: tensor * 2)
    image = torch.rand(1, 3, 4, 4)
    for tensor in (image, image.double(), image.to(memory_format=torch.channels_last), image):
        found = graphed(tensor)
        assert torch.equal(found, tensor * 2) and found.dtype == tensor.dtype and found.stride() == tensor.stride()
    assert capture.captured == 3


def test_work_that_fails_while_recorded_is_recorded_the_next_time() -> None:
    calls: list[int] = []

    def work(tensor: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("operation not permitted when stream is capturing")
        return tensor + 1

    graphed = Graphs(HostCapture()).graphed(work)
    with pytest.raises(RuntimeError, match="not permitted"):
        graphed(torch.ones(2))
    assert torch.equal(graphed(torch.ones(2)), torch.full((2,), 2.0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records a CUDA graph")
def test_cuda_records_and_replays() -> None:
    graphed = Graphs(capture_on_cuda).graphed(mixture)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        left, right = (torch.randn(4, 4, generator=generator).cuda() for _ in range(2))
        torch.testing.assert_close(graphed(left, right), mixture(left, right))
