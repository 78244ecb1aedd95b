"""What a trial function is given: random streams, device, checkpoint, progress, scalars and raw samples."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.execution.streams import Stream
from harness.spec.models import ALL_STREAMS

if TYPE_CHECKING:
    import pandas


class Checkpoint:
    """The state of a long trial, kept between attempts of the same trial made with the same code."""

    def __init__(self, folder: Path, after_save: Callable[[], None] = lambda: None) -> None:
        self.folder = folder
        self._path = folder / "state.pt"
        self._after_save = after_save

    def save(self, state: Any) -> None:
        """Keep ``state`` (anything that ``torch.save`` takes); the earlier one stays until the new one is whole."""
        import torch

        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".tmp-{uuid.uuid4().hex}"
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
        self._after_save()

    def load(self) -> Any | None:
        """Return the state that was saved last, or None."""
        if not self._path.exists():
            return None
        import torch

        return torch.load(self._path, map_location="cpu", weights_only=False)

    def within(self, name: str) -> Checkpoint:
        """Return the state of a part of the trial, kept beside the others' under a name of its own."""
        return Checkpoint(self.folder / name, self._after_save)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Run:
    """The ``run`` argument of a trial function.

    Outside the engine, in a notebook or a test, ``Run()`` gives one that keeps everything in memory and a temporary
    folder: ``time_systems(run=Run(replicate=1), ...)``.
    """

    def __init__(
        self,
        experiment: str = "notebook",
        replicate: int = 0,
        device: str = "cpu",
        threads: int | None = None,
        checkpoint_folder: Path | None = None,
        files: Path | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        varied_streams: str = ALL_STREAMS,
        after_checkpoint: Callable[[], None] = lambda: None,
    ) -> None:
        self.experiment = experiment
        self.replicate = replicate
        self.device = device
        self.threads = threads
        self.tables: dict[str, pandas.DataFrame] = {}
        self.scalars: list[dict[str, float | int | str]] = []
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._checkpoint_folder = checkpoint_folder
        self._files = files
        self._on_progress = on_progress
        self._reported = 0.0
        self.varied_streams = varied_streams
        self._after_checkpoint = after_checkpoint

    def stream(self, name: str) -> Stream:
        """Return the named random stream of this replicate (``init``, ``data_order``, ``augment``, ...).

        Where the spec varies streams one by one, all the others are those of replicate 0.
        """
        held = self.varied_streams not in (ALL_STREAMS, name)
        return Stream(self.experiment, 0 if held else self.replicate, name)

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self._checkpoint_folder or self._scratch() / "checkpoint", self._after_checkpoint)

    @property
    def files(self) -> Path:
        """A folder whose files are kept with the attempt, such as traces."""
        folder = self._files or self._scratch() / "files"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def progress(self, done: int, total: int) -> None:
        """Say how far the trial is; cheap enough to call at every step (passed on at most twice a second)."""
        now = time.monotonic()
        if self._on_progress is not None and (now - self._reported > 0.5 or done >= total):
            self._reported = now
            self._on_progress(done, total)

    def log(self, step: int, **values: float | str) -> None:
        """Keep scalars of a step (loss, probe accuracy); they are written with the attempt as ``scalars``.

        ``step`` is how many steps were made before. A text says whose they are, where a trial trains several models:
        the level of a blocked factor, under its name.
        """
        self.scalars.append({"step": step, **values})

    def log_rows(self, rows: Iterable[Mapping[str, float]], **labels: str) -> None:
        """Keep scalars that a training gathered, a row a step with its ``step``; texts as in ``log``."""
        self.scalars += [{**row, **labels} for row in rows]

    def samples(self, name: str, table: pandas.DataFrame | Mapping[str, Any]) -> None:
        """Keep a table of raw samples with the attempt, under ``name``; every summary must follow from it.

        Raises:
            ValueError: the name is taken, or is not a plain word.
        """
        import pandas

        if not name.isidentifier() or name == "scalars" or name in self.tables:
            raise ValueError(f"a table of samples needs a new, plain name, not '{name}'")
        self.tables[name] = table if isinstance(table, pandas.DataFrame) else pandas.DataFrame(dict(table))

    def all_tables(self) -> dict[str, pandas.DataFrame]:
        """Return the sample tables, and the scalars as one more."""
        if not self.scalars:
            return self.tables
        import pandas

        return {**self.tables, "scalars": pandas.DataFrame(self.scalars)}

    def _scratch(self) -> Path:
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="harness-run-")
        return Path(self._temporary.name)
