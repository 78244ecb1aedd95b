"""A small experiment whose arms were timed and profiled, its commands without processes of their own, and its page."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import lxml.html
import pandas
import pytest
from click.testing import CliRunner
from drawn_profile import write_drawn_profile
from small_report import TRIALS
from support import Finished, Workplace

from harness.plan.code import fingerprint
from harness.plan.design import Design, make_design
from harness.spec.find import find_experiment
from harness.store.store import Store

SPEC = """
experiment: timed
title: Is the slow system slow?
trial: small_report_trials:time_systems
claims:
  - {id: timed.ratio, paper: Second et al., arxiv: 2102.00002v2, locator: Table 6, statement: Slow is slower., form: ratio, metric: latency_ms,
     unit: x, numerator: {system: slow}, denominator: {system: fast}}
factors:
  system: {blocked: true, levels: {fast: 1.0, middle: 1.5, slow: 10.0}}
replicates: 3
profiles:
  laptop: {fidelity: proxy}
report:
  labels: {fast: Fast one, middle: Middle one, slow: Slow one}
  tables: [{title: Time of a request, rows: system, columns: [{metric: latency_ms, label: time, unit: ms, digits: 3}]}]
"""
ARMS: Mapping[str, float] = {"fast": 1.0, "slow": 10.0}
STAGES: Mapping[str, float] = {"eye": 0.8, "mouth": 0.2}
TABLES = ("profile_steps", "profile_stages", "timed_stages", "profile_operators", "profile_kernels")


@dataclass(frozen=True)
class Place:
    """A folder with an experiment, called ``spec``, that is the current one."""

    workplace: Workplace
    spec: str = "timed.yaml"

    @property
    def folder(self) -> Path:
        return self.workplace.folder

    @property
    def store(self) -> Store:
        return Store(self.folder / "results")

    @property
    def design(self) -> Design:
        return make_design(find_experiment(self.spec))

    def profile(
        self,
        arms: Mapping[str, float] = ARMS,
        stages: Mapping[str, float] = STAGES,
        *,
        code: str = "",
        **options: object,
    ) -> Path:
        """Write a profile made with today's code, unless another is named; return its folder."""
        made_with = code or fingerprint(self.design.function.name).digest
        return write_drawn_profile(self.store, self.design, arms, stages, code=made_with, **options)  # type: ignore[arg-type]

    def call(self, *arguments: str) -> Finished:
        """Call ``report``, ``verify`` or ``export`` in this process."""
        from reports.command import report_command
        from reports.export_command import export_command
        from reports.verify_command import verify_command

        commands: dict[str, click.Command] = {
            "report": report_command,
            "verify": verify_command,
            "export": export_command,
        }
        found = CliRunner().invoke(commands[arguments[0]], list(arguments[1:]), standalone_mode=False)
        if found.exception is not None:
            raise found.exception
        return Finished(int(found.return_value or 0), found.stdout, found.stderr)

    def report(self, *arguments: str) -> lxml.html.HtmlElement:
        """Make the report and return its page."""
        self.call("report", *(arguments or (self.spec,)))
        return self.page()

    def page(self) -> lxml.html.HtmlElement:
        return lxml.html.document_fromstring((self.folder / "site" / "index.html").read_text())

    def verified(self, *arguments: str) -> list[str]:
        """Verify the report; return the differences, none where it is what the store gives."""
        found = self.call("verify", *arguments)
        lines = [line for line in found.out.splitlines() if not line.startswith("note: ")]
        assert (found.status == 0) == lines[-1].startswith("verified: ")
        return lines[:-1]


def make_place(folder: Path, spec: str = SPEC, *, run: bool = True) -> Workplace:
    """Write the experiment, and run it."""
    workplace = Workplace(folder)
    workplace.write("small_report_trials.py", TRIALS)
    workplace.write("timed.yaml", spec)
    if run:
        found = workplace.harness("run", "timed.yaml", "--executor", "inline")
        assert found.status == 0, found.err
    return workplace


def entered(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Make the experiment's folder the current one."""
    from reports import sections

    monkeypatch.chdir(workplace.folder)
    monkeypatch.syspath_prepend(str(workplace.folder))
    monkeypatch.delitem(sys.modules, "small_report_trials", raising=False)
    monkeypatch.setattr(sections, "available_cpus", lambda: 1)
    return Place(workplace)


def text_of(found: lxml.html.HtmlElement) -> str:
    return " ".join(found.text_content().split())


def part_of(page: lxml.html.HtmlElement) -> lxml.html.HtmlElement:
    """Return the part of the page that says where the time goes."""
    (part,) = page.xpath("//div[@class='profiles']")
    return part


def table_of(page: lxml.html.HtmlElement, title: str) -> tuple[str, list[list[str]]]:
    """Return a table's caption and its rows, the headings first."""
    (heading,) = (found for found in part_of(page).xpath(".//h4 | .//h5") if text_of(found) == title)
    (table,) = heading.getnext().xpath(".//table")
    rows = [[text_of(cell) for cell in row.xpath("./th|./td")] for row in table.xpath(".//tr")]
    return text_of(table.xpath("./caption")[0]), rows


def stored_tables(profile: Path) -> dict[str, pandas.DataFrame]:
    """Return the sample tables of a profile, read by pandas alone."""
    return {name: pandas.read_parquet(profile / f"{name}.parquet") for name in TABLES}
