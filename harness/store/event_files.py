"""Step tables of an attempt as event files, which TensorBoard reads.

A step table has a numeric column ``step``: the scalars of a training, or what was measured on its way. Its other
numbers are drawn over it; its texts say whose they are (levels of blocked factors), and each gets a run of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.attempt import read_samples, sample_names

if TYPE_CHECKING:
    import pandas

STEP = "step"
SCALARS = "scalars"
"""The table whose columns are drawn under their own names; those of another have its name before theirs."""
FILE_VERSION = "brain.Event:2"
"""What the first event of a file says, for those who read it."""

Labels = tuple[tuple[str, str], ...]
"""Columns of texts and what they say: whose numbers these are."""


@dataclass(frozen=True)
class Scalar:
    """A number of a step under the name that it is drawn by."""

    step: int
    tag: str
    value: float


def step_scalars(folder: Path) -> dict[Labels, list[Scalar]]:
    """Return what the step tables of a complete attempt hold, by labels, in the order of steps.

    What is not a number is left out: a table has such cells where a step has no value.

    Raises:
        DamagedAttempt: a table has other bytes than were written.
    """
    found: dict[Labels, list[Scalar]] = {}
    for name in sorted(sample_names(folder)):
        if _has_steps(folder / f"{name}.parquet"):
            for labels, scalars in scalars_of(read_samples(folder, name), "" if name == SCALARS else f"{name}/"):
                found.setdefault(labels, []).extend(scalars)
    return {labels: sorted(scalars, key=lambda scalar: scalar.step) for labels, scalars in found.items()}


def scalars_of(table: pandas.DataFrame, prefix: str = "") -> Iterator[tuple[Labels, list[Scalar]]]:
    """Give a step table's numbers by labels, in the order of its rows; ``prefix`` stands before each name."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    others = [name for name in table if name != STEP]
    numbers = [name for name in others if is_numeric_dtype(table[name]) and not is_bool_dtype(table[name])]
    rest = [name for name in others if name not in numbers]
    texts = [name for name in rest if all(isinstance(value, str) for value in table[name].dropna())]
    groups = table.groupby(texts, dropna=False, sort=False) if texts else [((), table)]
    for values, rows in groups:
        labels = tuple((name, value) for name, value in zip(texts, values, strict=True) if isinstance(value, str))
        own = rows[rows[STEP].abs() < float("inf")]
        scalars = [
            Scalar(int(step), f"{prefix}{name}", float(value))
            for step, *cells in own[[STEP, *numbers]].itertuples(index=False, name=None)
            for name, value in zip(numbers, cells, strict=True)
            if value == value
        ]
        if scalars:
            yield labels, scalars


def write_events(path: Path, scalars: Sequence[Scalar], wall_time: float) -> None:
    """Write an event file, with values as float32, as TensorBoard has them.

    All events have one time, since a step's own is not stored.
    """
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
    from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

    with path.open("wb") as file:
        records = RecordWriter(file)
        records.write(Event(wall_time=wall_time, file_version=FILE_VERSION).SerializeToString())
        for step, values in _by_step(scalars).items():
            records.write(_event(step, values, wall_time))


def _by_step(scalars: Sequence[Scalar]) -> Mapping[int, list[Scalar]]:
    found: dict[int, list[Scalar]] = {}
    for scalar in scalars:
        found.setdefault(scalar.step, []).append(scalar)
    return found


def _event(step: int, scalars: Sequence[Scalar], wall_time: float) -> bytes:
    import numpy
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

    with numpy.errstate(over="ignore"):
        values = [Summary.Value(tag=one.tag, simple_value=float(numpy.float32(one.value))) for one in scalars]
    data: bytes = Event(wall_time=wall_time, step=step, summary=Summary(value=values)).SerializeToString()
    return data


def _has_steps(path: Path) -> bool:
    """Say whether a table has a column of steps, from its head alone; bytes are checked when it is read."""
    import pyarrow
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
    except (OSError, pyarrow.ArrowInvalid):
        return False
    kind = schema.field(STEP).type if STEP in schema.names else None
    return kind is not None and (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind))
