"""One experiment under one profile as a part of the page: made once, and kept while nothing it rests on changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from harness.execution.display import duration
from harness.verdicts.judgement import Judgement
from harness.verdicts.observations import Observations
from harness.verdicts.saving import saved_by_looks
from harness.verdicts.variance import stream_shares
from reports.bundle import section_files
from reports.cells import Table
from reports.collect import Results
from reports.default_tables import table_declarations
from reports.explain import not_stated, tuning_table
from reports.machines import machine_text
from reports.manifest import asked_for, reported
from reports.overview import margin_text, overview_rows, published_source
from reports.parts import OverviewRow, Section
from reports.pictures.claims import draw_claim
from reports.pictures.declared import draw
from reports.pictures.forest import forest_rows
from reports.pictures.picture import Picture
from reports.places import interrupted, place_text, places
from reports.profiles.part import ProfilePart, profile_part
from reports.profiles.tables import profile_tables
from reports.protocol import protocol_of
from reports.rendering.html import table_html
from reports.rendering.text import clean
from reports.tables import build_table
from reports.templating import environment, moment


@dataclass(frozen=True)
class ClaimCard:
    """A claim with its row on the first screen, the picture that decides it, and where its figure stands."""

    judgement: Judgement
    row: OverviewRow
    picture: Picture | None
    source: str
    margin: str


def make_section(results: Results) -> Section:
    """Return everything that a report says of one experiment under one profile.

    Raises:
        OSError: an attempt was taken away meanwhile.
        UserError: a plot function that the spec names cannot be had.
    """
    declared = [build_table(table, results) for table in table_declarations(results)] if results.has_records else []
    profiled = profile_tables(results)
    tables = [*declared, *profiled.all]
    rows = overview_rows(results.judgements, results.key)
    machines = [machine_text(found) for found in results.environments]
    return Section(
        key=results.key,
        title=results.design.experiment.spec.title,
        html=clean(_html(results, rows, declared, profile_part(results, profiled), machines)),
        rows=tuple(rows),
        claims=tuple(judgement.row() for judgement in results.judgements),
        forest=tuple(forest_rows(results.judgements)),
        not_stated=tuple(not_stated(results.design.experiment)),
        tables=tuple(_without_trials(table) for table in tables),
        machines=tuple(machines),
        files=section_files(results, tables),
        reported=reported(results),
    )


def trial_links(results: Results) -> Callable[[Sequence[str]], tuple[str, str] | None]:
    """Return what gives a cell's link: to the experiment's trials, and which of its rows are meant (``ranges``)."""
    places_of = {entry.trial.id: number for number, entry in enumerate(results.counted)}

    def link(trials: Sequence[str]) -> tuple[str, str] | None:
        numbers = sorted({places_of[trial] for trial in trials if trial in places_of})
        return (f"#trials-{results.key}", ranges(numbers)) if numbers else None

    return link


def ranges(numbers: Sequence[int]) -> str:
    """Return rising numbers with evenly spaced runs of them drawn together: ``0-7,9,20-80/10``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and (len(runs[-1]) == 1 or number - runs[-1][-1] == runs[-1][1] - runs[-1][0]):
            runs[-1].append(number)
        elif runs and len(runs[-1]) == 2 and runs[-1][1] - runs[-1][0] > 1:
            # Two that stand apart are no run yet; the second may begin one.
            runs.append([runs[-1].pop(), number])
        else:
            runs.append([number])
    return ",".join(map(_run, runs))


def _run(run: Sequence[int]) -> str:
    if len(run) == 1:
        return str(run[0])
    step = run[1] - run[0]
    if len(run) == 2 and step > 1:
        return f"{run[0]},{run[1]}"
    return f"{run[0]}-{run[-1]}" + (f"/{step}" if step > 1 else "")


def _without_trials(table: Table) -> Table:
    return replace(table, rows=[[replace(cell, trials=()) for cell in row] for row in table.rows])


def _html(
    results: Results,
    rows: Sequence[OverviewRow],
    tables: Sequence[Table],
    profiled: ProfilePart,
    machines: Sequence[str],
) -> str:
    design, judgements = results.design, results.judgements
    asked = asked_for(design.experiment)
    pictures = [p for entry in results.declaration.pictures if results.has_records and (p := draw(entry, results))]
    link = trial_links(results)

    @cache
    def observed(reading: str | None) -> Observations:
        return Observations(results.state, reading)

    return environment().get_template("section.html").render(
        results=results,
        spec=design.experiment.spec,
        profile=design.profile,
        protocol=protocol_of(results),
        papers=list(dict.fromkeys(j.claim.paper for j in judgements)),
        cards=[
            ClaimCard(
                judgement=judgement,
                row=row,
                picture=draw_claim(judgement, results, observed(judgement.reading)),
                source=published_source(judgement.claim),
                margin=margin_text(judgement.claim),
            )
            for judgement, row in zip(judgements, rows, strict=True)
        ],
        tables=[(table, table_html(table, link)) for table in tables],
        profiled=profiled,
        pictures=pictures,
        link=link,
        failures=[
            (entry.trial.id, entry.counted.attempt.failure)
            for entry in results.state.states
            if entry.status == "failed" and entry.counted and entry.counted.attempt.failure
        ],
        machines=machines,
        places=places(results.counted),
        interrupted=interrupted(results.state.states),
        took=duration(sum(entry.counted.attempt.seconds for entry in results.counted if entry.counted)),
        counts={name: results.state.count(name) for name in ("done", "failed", "stale", "missing")},  # type: ignore[arg-type]
        planned=len(results.state.states),
        trials=[
            (entry.trial, entry.counted.attempt, place_text(entry.counted.attempt))
            for entry in results.counted
            if entry.counted
        ],
        diverged=[e.trial.id for e in results.counted if e.counted and e.counted.attempt.diverged],
        tuned=tuning_table(results.state),
        frozen=moment(results.state.selection.frozen) if results.state.selection else "",
        streams=stream_shares(results.state, tuple(dict.fromkeys(j.claim.metric for j in judgements))),
        saved=saved_by_looks(results.state, judgements),
        asked_for=asked,
        command=f"harness run {asked} --profile {design.profile_name}",
    )  # fmt: skip
