"""Marks as annotations in a trace, and marks that stay harmless wherever they come."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from harness.measure.devices import Device
from harness.measure.stages import Arm, Mark, ignore_marks
from harness.measure.trace_files import REQUEST_RANGE

Annotation = Callable[[str], AbstractContextManager[Any]]


class StageRanges:
    """Annotates requests and their stages for a profiler, which torch also draws over the kernels of each.

    A mark says what has just ended, so a stage's name is not known when its annotation begins. Annotations are numbered
    therefore, and ``names`` has by the name of each that of its stage; '' where no mark followed.
    """

    def __init__(self, annotation: Annotation) -> None:
        """``annotation`` is ``torch.profiler.record_function``."""
        self.names: dict[str, str] = {}
        self._annotation = annotation
        self._open: AbstractContextManager[Any] | None = None
        self._label = ""

    def run(self, arm: Arm, device: Device) -> None:
        """Make one annotated request, the device synchronised before it and at its end."""
        device.synchronize()
        with self._annotation(REQUEST_RANGE):
            self._begin()
            try:
                output = arm(self.mark)
            finally:
                self._end()
            device.synchronize()
        del output

    def mark(self, name: str) -> None:
        """Note that stage ``name`` ends now, before anything else is done."""
        self._end()
        self.names[self._label] = name
        self._begin()

    def _begin(self) -> None:
        self._label = f"#stage {len(self.names)}"
        self.names[self._label] = ""
        self._open = self._annotation(self._label)
        self._open.__enter__()

    def _end(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None


class Relay:
    """Passes an arm's marks on to whoever listens, but for those that nobody can hear.

    Within a region that ``torch.compile`` traces, and while a CUDA graph is captured, nothing runs yet: a mark there
    would break the graph, or stand in it for ever. It is left out, and its stage counts to the next that is marked.
    The arm is always given the same function, since a compiled region is compiled anew for another one.
    """

    def __init__(self, arm: Arm, device: Device) -> None:
        import torch

        self._arm = arm
        self._capturing = torch.cuda.is_current_stream_capturing if device.has_stream else lambda: False
        self._listener: Mark = ignore_marks
        self._mark = self.mark

    def __call__(self, mark: Mark) -> Any:
        """Make one request; ``mark`` hears its marks."""
        self._listener = mark
        return self._arm(self._mark)

    def mark(self, name: str) -> None:
        import torch

        # Named in full, since a compiler knows this function by its name, and takes it for a constant.
        if torch.compiler.is_compiling() or self._capturing():
            return
        self._listener(name)
