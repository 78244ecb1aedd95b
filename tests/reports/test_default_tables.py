"""A spec without declared tables has one: levels by metrics, as its records have them."""

from __future__ import annotations

import csv
import io

import pytest
from support import Workplace

SPEC = """
experiment: plain
title: Nothing declared
trial: small_trials:draw
factors:
  index: [0, 1]
  alpha: [0.5, 2]
  label: [only]
replicates: 4
profiles:
  laptop: {{fidelity: proxy}}
{more}
"""
CLAIM = """
claims:
  - {id: p.alpha, paper: P, arxiv: 2101.00001v1, locator: Table 1, statement: More is more, form: difference,
     metric: value, treatment: {index: 1, alpha: 2}, control: {index: 1, alpha: 0.5}}
"""
DECLARED = """
report:
  tables:
    - {title: Ours, rows: alpha, columns: [{metric: value, label: the value}]}
"""


@pytest.mark.parametrize("more", ["", CLAIM])
def test_means_by_level_are_shown_where_no_table_is_declared(workplace: Workplace, more: str) -> None:
    workplace.write("plain.yaml", SPEC.format(more=more))
    assert workplace.harness("run", "plain.yaml", "--executor", "inline").status == 0
    found = workplace.harness("export", "plain.yaml", "--table", "Means by level")
    assert found.status == 0, found.err
    rows = list(csv.reader(io.StringIO(found.out)))
    assert len(rows) == 1 + 4 and "value" in rows[0][1]
    records = list(csv.DictReader(io.StringIO(workplace.harness("export", "plain.yaml").out)))
    for label, mean, *_ in rows[1:]:
        levels = [float(level) for level in label.split(", ")]
        values = [float(row["value"]) for row in records if [float(row["index"]), float(row["alpha"])] == levels]
        assert len(values) == 4 and float(mean) == pytest.approx(sum(values) / 4, rel=1e-12)
    assert workplace.harness("report", "plain.yaml").status == 0
    assert "Means by level" in (workplace.folder / "site" / "index.html").read_text()


def test_a_declared_table_stands_alone(workplace: Workplace) -> None:
    workplace.write("plain.yaml", SPEC.format(more=DECLARED))
    assert workplace.harness("run", "plain.yaml", "--executor", "inline").status == 0
    found = workplace.harness("export", "plain.yaml", "--table", "Means by level")
    assert found.status == 2 and "1 'Ours'" in found.err
