"""The part of a section that says where the time goes: what its template is filled in with."""

from __future__ import annotations

from dataclasses import dataclass

from reports.cells import Table
from reports.collect import Results
from reports.machines import machine_text
from reports.pictures.kinds import draw_kinds
from reports.pictures.picture import Picture
from reports.pictures.svg import to_svg
from reports.places import place_text
from reports.profiles.collect import ProfiledArm
from reports.profiles.tables import ProfileTables, arm_labels, times_table
from reports.templating import moment

PICTURE = "Where the time of a step goes, by kind of work"
CAPTION = (
    "Left: the time of one profiled step. Right: the same as shares of the step. Being profiled makes Python and "
    "launching slower: in a step that is not, they take less."
)
TRACES = "files/traces"
"""Where the traces lie in the folder of a profile."""


@dataclass(frozen=True)
class ArmPart:
    """One arm: what it is called, its sentences, its tables, and where and when it was profiled."""

    label: str
    sentences: tuple[str, ...]
    stale: bool
    tables: tuple[Table, ...]
    made: str
    place: str
    traces: str


@dataclass(frozen=True)
class ProfilePart:
    """Everything under "Where the time goes"; ``arms`` is empty where there are no profiles."""

    arms: tuple[ArmPart, ...] = ()
    picture: Picture | None = None
    beside: tuple[Table, ...] = ()
    machines: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def stale(self) -> list[str]:
        """What the arms are called that were profiled with other code than today's."""
        return [arm.label for arm in self.arms if arm.stale]


def profile_part(results: Results, tables: ProfileTables) -> ProfilePart:
    """Return what a section says of its profiles; ``tables`` are those of the same results."""
    profiles, labels = results.profiles, arm_labels(results)
    if not profiles.arms:
        return ProfilePart(damaged=profiles.damaged)
    figure = draw_kinds([arm.summary for arm in profiles.arms], labels)
    picture = None
    if figure is not None:
        svg = to_svg(figure, PICTURE, salt=f"{results.key} profiles")
        picture = Picture(PICTURE, CAPTION, svg, times_table(results, labels))
    return ProfilePart(
        arms=tuple(map(_arm_part, profiles.arms, labels, tables.by_arm)),
        picture=picture,
        beside=tables.beside,
        machines=tuple(dict.fromkeys(map(machine_text, profiles.environments))),
        damaged=profiles.damaged,
    )


def _arm_part(arm: ProfiledArm, label: str, tables: tuple[Table, ...]) -> ArmPart:
    attempt = arm.found.attempt
    return ArmPart(
        label=label,
        sentences=arm.summary.sentences,
        stale=arm.stale,
        tables=tables,
        made=moment(attempt.started),
        place=place_text(attempt),
        traces=f"{arm.name}/{TRACES}",
    )
