"""CUDA graphs: work of fixed shape, recorded once and replayed with one launch instead of hundreds.

A small model on a fast GPU waits for its host, which launches kernel after kernel. A graph is launched whole. It reads
and writes at fixed addresses: inputs are copied to where they were when it was recorded, and outputs stand where they
stood then. How a function is recorded is a parameter, ``Capture``, so that a machine without a GPU exercises all of
this but the recording itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

__all__ = ["Capture", "Graphs", "capture_on_cuda"]

Replay = Callable[[], None]
Work = Callable[[], Any]
Capture = Callable[[Work], tuple[Any, Replay]]
"""Runs the work, and returns its outputs with a function that does the work again on the same addresses."""

WARM_UP = 3
"""Runs before recording: libraries choose their kernels and allocate workspaces in the first ones (torch's notes on
CUDA graphs run three)."""


def capture_on_cuda(work: Work) -> tuple[Any, Replay]:
    """Record ``work`` as a CUDA graph on the current device, after a warm-up on a stream of its own.

    What it does must neither wait for the device nor depend on values: no ``.item()``, no non-maximum suppression.
    Raises ``RuntimeError`` (torch's) where it does.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = work()
    return outputs, graph.replay


class _Recording:
    """One function at one set of shapes: where its inputs lie, its outputs, and how to do it again.

    ``own`` says for each input whether it is a buffer of ours, filled before each replay; the others are outputs of
    earlier recordings, which lie where they lay.
    """

    def __init__(self, buffers: list[torch.Tensor], own: list[bool], outputs: Any, replay: Replay) -> None:
        self.buffers, self.own, self.outputs, self.replay = buffers, own, outputs, replay

    def fits(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Say whether inputs that are not copied are the very ones that were recorded."""
        return all(own or given is buffer for given, buffer, own in zip(tensors, self.buffers, self.own, strict=True))

    def run(self, tensors: Sequence[torch.Tensor]) -> Any:
        for given, buffer, own in zip(tensors, self.buffers, self.own, strict=True):
            if own:
                buffer.copy_(given)
        self.replay()
        return self.outputs


class Graphs:
    """Recordings that feed each other. Outputs belong to their recording: **the next call of the same function at the
    same shapes overwrites them**, so whoever keeps one clones it, and nothing may be called twice for one result.
    """

    def __init__(self, capture: Capture = capture_on_cuda) -> None:
        self._capture = capture
        self._standing: dict[int, torch.Tensor] = {}

    def graphed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function`` recorded at its first call for each set of shapes, dtypes and plain arguments.

        Arguments and results are tensors in any nesting of lists, tuples and mappings; other arguments must be
        hashable and are part of what is recorded.
        """
        recordings: dict[Any, list[_Recording]] = {}

        def call(*arguments: Any, **named: Any) -> Any:
            tensors: Sequence[torch.Tensor] = arguments
            if not named and all(isinstance(one, torch.Tensor) for one in arguments):
                # The short way to the same: a request of a millisecond would notice the long one.
                key: tuple[Any, ...] = tuple(map(_kind, arguments))
            else:
                leaves, structure = pytree.tree_flatten((arguments, named))
                tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
                key = (str(structure), *map(_kind, leaves))
            known = recordings.setdefault(key, [])
            recording = next((one for one in known if one.fits(tensors)), None)
            if recording is None:
                recording = self._record(function, arguments, named)
                known.append(recording)
            return recording.run(tensors)

        return call

    def _record(self, function: Callable[..., Any], arguments: Any, named: Any) -> _Recording:
        """Record a call; its inputs are cloned unless they are outputs of an earlier recording."""
        buffers: list[torch.Tensor] = []
        own: list[bool] = []

        def settled(tensor: torch.Tensor) -> torch.Tensor:
            own.append(self._standing.get(id(tensor)) is not tensor)
            buffers.append(tensor.clone() if own[-1] else tensor)
            return buffers[-1]

        arguments, named = pytree.tree_map_only(torch.Tensor, settled, (arguments, named))
        outputs, replay = self._capture(lambda: function(*arguments, **named))
        # Kept alive here, so that no other tensor is ever known by the same id.
        self._standing |= {id(one): one for one in pytree.tree_leaves(outputs) if isinstance(one, torch.Tensor)}
        return _Recording(buffers, own, outputs, replay)


def _kind(leaf: Any) -> Any:
    """Return what a recording depends on of one argument."""
    if isinstance(leaf, torch.Tensor):
        return tuple(leaf.shape), leaf.stride(), leaf.dtype, leaf.device
    return leaf
