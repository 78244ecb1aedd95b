"""A page for every state of a store: nothing, one trial, failures only, nothing comparable, nothing asked."""

from __future__ import annotations

import json
from typing import Any

import lxml.html
import pytest
from support import Workplace

SPEC = """
experiment: states
title: A small question
trial: small_trials:arms
{claims}
factors:
  arm: [a, b]
replicates: {replicates}
profiles:
  laptop: {{fidelity: proxy}}
{report}
"""
CLAIM = """
claims:
  - {{id: states.more, paper: Somebody et al., arxiv: 2101.00001v1, locator: Table 1, statement: B is more than a, form: difference, metric: value,
     treatment: {{arm: b}}, control: {{arm: a}}{more}}}
"""
GATE = ", gates: [{metric: value, value: 1000, reason: Table 6}]"
REPORT = """
report:
  tables: [{title: Values, rows: arm, columns: [{metric: value, label: value, digits: 3}]}]
  pictures: [{kind: beside-published, title: Values drawn, rows: arm, metrics: {value: measured}}]
"""


def spec(*, claims: str | None = "", replicates: int = 3, report: str = REPORT) -> str:
    claimed = "" if claims is None else CLAIM.format(more=claims)
    return SPEC.format(claims=claimed, replicates=replicates, report=report)


class Reported:
    """A page that was made: its parts as texts, and that it could be verified."""

    def __init__(self, workplace: Workplace, *specs: str) -> None:
        made = workplace.harness("report", *specs)
        assert made.status == 0 and "Traceback" not in made.err, made.err[-2000:]
        self.said = made.out
        source = (workplace.folder / "site" / "index.html").read_text()
        self.page = lxml.html.document_fromstring(source)
        self.text = " ".join(self.page.xpath("//body")[0].text_content().split())
        self.claims: list[dict[str, Any]] = json.loads((workplace.folder / "site" / "claims.json").read_text())
        for nonsense in ("None", "nan", "NaN", "inf ", "Undefined", "Traceback"):
            assert nonsense not in self.without_code(), nonsense
        found = workplace.harness("verify", "--store", "results")
        if (workplace.folder / "results").is_dir():
            assert found.status == 0, found.out + found.err

    def without_code(self) -> str:
        parts = self.page.xpath("//body//text()[not(ancestor::script or ancestor::pre or ancestor::code)]")
        return " ".join(str(part) for part in parts)

    def count(self, path: str) -> int:
        return len(self.page.xpath(path))


def run(workplace: Workplace, text: str, *options: str, status: int = 0) -> None:
    workplace.write("states.yaml", text)
    found = workplace.harness("run", "states.yaml", "--executor", "inline", *options)
    assert found.status == status, found.err[-2000:]


def test_an_empty_store(workplace: Workplace) -> None:
    found = Reported(workplace)
    assert found.claims == [] and "the store holds no results yet" in found.said
    assert "The store holds no results yet: run an experiment first" in found.text
    assert found.count("//table[@id='overview']") == 0 and found.count("//section") == 0


def test_an_empty_store_and_a_spec_that_is_named(workplace: Workplace) -> None:
    workplace.write("states.yaml", spec())
    found = Reported(workplace, "states.yaml")
    assert [row["verdict"] for row in found.claims] == ["not run"]
    assert "0 of 6 planned trials done, 6 missing" in found.text
    assert found.count("//tr[@class='claim']") == 1 and found.count("//article") == 1
    # What would have to be drawn is not drawn, and no number leads anywhere.
    assert found.count("//figure") == 0 and found.count("//a[@data-trials]") == 0


def test_only_not_run_beside_results(workplace: Workplace) -> None:
    run(workplace, spec())
    workplace.write("other.yaml", spec().replace("states", "other"))
    found = Reported(workplace, "states.yaml", "other.yaml")
    assert [row["verdict"] == "not run" for row in found.claims] == [False, True]
    assert "6 of 6 planned trials done" in found.text and "0 of 6 planned trials done" in found.text


ONE_ARM = """
claims:
  - {id: states.value, paper: Somebody et al., arxiv: 2101.00001v1, locator: Table 1, statement: A is more than nothing, form: value, metric: value,
     arm: {arm: a}, at_least: 0, bound_reason: they say so}
"""


def test_one_trial(workplace: Workplace) -> None:
    text = SPEC.format(claims=ONE_ARM, replicates=1, report=REPORT).replace("[a, b]", "[a]")
    run(workplace, text, "--underpowered")
    found = Reported(workplace, "states.yaml")
    (row,) = found.claims
    assert row["verdict"] == "inconclusive" and row["effect"] is None
    assert "1 of 1 planned trials done" in found.text and "a local run: 1 trial" in found.text
    assert "Run although the plan could hardly decide states.value" in found.text
    # One value has no interval: none is drawn and none is written.
    assert row["ci_low"] is None and row["ci_high"] is None
    assert found.count("//table[@id='overview']//*[@class='interval']") == 0


def test_one_replicate_of_two_arms(workplace: Workplace) -> None:
    run(workplace, spec(replicates=1), "--underpowered")
    found = Reported(workplace, "states.yaml")
    (row,) = found.claims
    assert row["verdict"] == "inconclusive" and row["reason"] in found.text
    assert found.count("//figure") >= 1


def test_all_trials_failed(workplace: Workplace) -> None:
    source = workplace.folder / "small_trials.py"
    source.write_text(
        source.read_text()
        + "\n\ndef never(*, run: Any, arm: str = 'a') -> dict[str, Any]:\n    raise ValueError('never')\n"
    )
    run(workplace, spec().replace("small_trials:arms", "small_trials:never"), status=3)
    found = Reported(workplace, "states.yaml")
    (row,) = found.claims
    assert row["verdict"] == "not run" and "6 of 6 trials failed" in row["reason"]
    assert "0 of 6 planned trials done, 6 failed" in found.text
    assert found.text.count("(raised): ValueError: never") == 6
    assert found.count("//details[starts-with(@id, 'trials-')]") == 0


def test_a_gate_that_failed(workplace: Workplace) -> None:
    run(workplace, spec(claims=GATE))
    found = Reported(workplace, "states.yaml")
    (row,) = found.claims
    assert row["verdict"] == "not comparable" and row["effect"] is None
    assert "and should be 1000 (Table 6)" in row["reason"] and row["reason"] in found.text
    assert found.count("//input[@value='not comparable']") == 1


def test_a_spec_without_claims(workplace: Workplace) -> None:
    run(workplace, spec(claims=None))
    found = Reported(workplace, "states.yaml")
    assert found.claims == []
    assert found.count("//article") == 0 and found.count("//figure") == 1
    assert found.count("//table[caption='Values']") == 1
    assert "A small question" in found.text


@pytest.mark.parametrize("claims", ["", None], ids=["with claims", "without claims"])
def test_a_spec_without_a_report(workplace: Workplace, claims: str | None) -> None:
    run(workplace, spec(claims=claims, report=""))
    found = Reported(workplace, "states.yaml")
    assert len(found.claims) == (claims is not None)
    assert "6 of 6 planned trials done" in found.text
    # A claim has its picture without anybody asking for one.
    assert found.count("//article//figure") == (claims is not None)
    assert found.count("//details[starts-with(@id, 'trials-')]//tbody/tr") == 6


def test_numbers_that_are_not_finite(workplace: Workplace) -> None:
    source = workplace.folder / "small_trials.py"
    source.write_text(
        source.read_text()
        + "\n\ndef wild(*, run: Any, arm: str = 'a') -> dict[str, Any]:\n    return {'value': {'a': float('nan'), 'b': float('inf')}[arm]}\n"
    )
    run(workplace, spec().replace("small_trials:arms", "small_trials:wild"))
    found = Reported(workplace, "states.yaml")
    (row,) = found.claims
    assert row["effect"] is None and row["verdict"] == "inconclusive"
    assert "Not every metric is a finite number in 6 trials" in found.text


def test_another_store_without_anything(workplace: Workplace) -> None:
    run(workplace, spec())
    (workplace.folder / "there").mkdir()
    found = workplace.harness("report", "states.yaml", "--compare", "there")
    assert found.status == 0 and "Traceback" not in found.err, found.err[-2000:]
    found = workplace.harness("verify", "--compare", "there")
    assert found.status == 0, found.out + found.err
