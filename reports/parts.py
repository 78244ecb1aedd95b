"""What a section of the report is made of, as plain data.

Nothing here takes long to load, so that a report which has not changed is told at once.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from reports.cells import Table


class Part(BaseModel):
    """Data that is written once and never changed; numbers that are not finite are kept, bytes are written as text."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants"
    )


class Beside(Part):
    """A claim that another is to be read with: where it stands on the page, its id, its verdict."""

    anchor: str
    claim: str
    verdict: str
    disagrees: bool


class OverviewRow(Part):
    """One claim under one profile and reading, as the first screen shows it. Texts are as people read them.

    ``section`` is the anchor of its experiment's section; ``order`` the place of its verdict among all, the strongest
    first; ``number``, ``low`` and ``high`` the effect and its interval, None where not finite; ``strip`` is SVG, empty
    where there is nothing to draw; ``words`` are what a reader may look for.
    """

    anchor: str
    section: str
    claim: str
    statement: str
    paper: str
    arxiv: str
    locator: str
    experiment: str
    profile: str
    fidelity: str
    reading: str
    exploratory: bool
    verdict: str
    order: int
    reason: str
    effect: str
    number: float | None
    low: float | None
    high: float | None
    unit: str
    strip: str
    n: int
    published: str
    words: str
    beside: tuple[Beside, ...]

    @property
    def label(self) -> str:
        """The claim's id, and its reading where the spec tunes."""
        return f"{self.claim} ({self.reading})" if self.reading else self.claim


class ForestRow(Part):
    """One claim in units of the published effect: 0 is no effect and 1 the paper's figure.

    ``from_nothing`` is false where a claim has no "no effect": a plain value, or a place on an axis, is set in units of
    the paper's. ``value`` is None where there is nothing to draw, and ``left_out`` says why. An end of the interval
    that is None is open.
    """

    label: str
    paper: str
    anchor: str
    verdict: str
    fidelity: str
    profile: str
    value: float | None
    low: float | None
    high: float | None
    from_nothing: bool = True
    left_out: str = ""


class NotStated(Part):
    """What one paper leaves out: of its protocol, and of single figures."""

    paper: str
    protocol: tuple[str, ...]
    figures: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.protocol) + len(self.figures)


class CountedAttempt(Part):
    """The attempt that counted for a trial; ``complete`` is the SHA-256 of its marker."""

    attempt: str
    status: Literal["done", "failed"]
    complete: str


class ReportedResults(Part):
    """One experiment under one profile: what to ask for to get it again, and the attempts that it rested on.

    ``spec`` is a name or a path, ``sources`` the SHA-256 of the spec and claims files. Paths are relative to the folder
    in which the report was made, where they lie under it; files of the project have the same name anywhere.
    ``profiles`` are those that are shown: the SHA-256 of their markers by their folders, relative to the store.
    ``other_code`` is the fingerprint of the code that the trials were made with; empty where it is the present one.
    """

    spec: str
    experiment: str
    profile: str
    device: str
    sources: dict[str, str]
    trials: dict[str, CountedAttempt]
    profiles: dict[str, str] = {}
    other_code: str = ""


class Section(Part):
    """What the page, ``claims.json``, the zip and the manifest say of one experiment under one profile.

    ``html`` is its part of the page, and has the links from each cell to its trials; ``tables`` are the same without.
    """

    key: str
    title: str
    html: str
    rows: tuple[OverviewRow, ...]
    claims: tuple[dict[str, Any], ...]
    forest: tuple[ForestRow, ...]
    not_stated: tuple[NotStated, ...]
    tables: tuple[Table, ...]
    machines: tuple[str, ...]
    files: dict[str, bytes]
    reported: ReportedResults
