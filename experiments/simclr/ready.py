"""Are the data there? Asked before a trial is started."""

from __future__ import annotations

from experiments.data.settings import DataSettings, EmbeddedSettings


def data_are_there(*, data: DataSettings, data_root: str | None, download: bool) -> None:
    """Open a real data set once, fetching it where that is asked for; embedded ones are always there.

    Raises:
        UserError: files are missing or damaged; the sentence says which go where.
    """
    if not isinstance(data, EmbeddedSettings):
        from experiments.data import load

        load(data, 0, root=data_root, download=download)
