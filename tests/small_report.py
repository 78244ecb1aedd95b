"""A small store with something of everything that a report shows, made in seconds: for the tests of the page."""

from __future__ import annotations

import textwrap

from support import Workplace

TRIALS = '''
"""Trial functions of a small report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LEVELS = {"none": (60.0, 0.0), "linear": (58.0, 1.2), "nonlinear": (59.0, 1.6)}
STEPS = range(0, 100, 20)


def score(*, run: Any, head: str, dimension: int) -> dict[str, Any]:
    """A made-up accuracy that rises with the dimension, and its course over the steps."""
    start, slope = LEVELS[head]
    accuracy = start + slope * (math.log2(dimension) - 3) + float(run.stream(f"{head} {dimension}").numpy.normal(0, 0.2))
    run.samples("course", {"step": list(STEPS), "accuracy": [accuracy * (1 - math.exp(-step / 30)) for step in STEPS]})
    return {"accuracy": accuracy, "parameters": 1000 * dimension, "seconds": 0.5 + dimension / 100}


def time_systems(*, run: Any, system: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rounds of made-up times, with two stages."""
    noise, rows = run.stream("noise").numpy, []
    for number in range(12):
        drift = noise.lognormal(0, 0.1)
        for name, cost in system.items():
            whole = 1e6 * cost * drift * noise.lognormal(0, 0.02)
            rows += [
                (number, name, "request", stage, int(whole * share), True)
                for stage, share in (("", 1.0), ("eye", 0.8), ("mouth", 0.2))
            ]
    columns = ("round", "arm", "quantity", "stage", "nanoseconds", "kept")
    run.samples("latency", dict(zip(columns, map(list, zip(*rows)))))
    records = []
    for name in system:
        times = sorted(row[4] / 1e6 for row in rows if row[1] == name and not row[3])
        median = times[len(times) // 2]
        records.append(
            {"system": name, "latency_ms": median, "low_ms": times[1], "high_ms": times[-2], "stage_ms_eye": 0.8 * median,
             "stage_ms_mouth": 0.2 * median, "parameters": 10 * system[name]}
        )
    return records


def fragile(*, run: Any, arm: str, index: int) -> dict[str, Any]:
    """A number; one of the trials fails with a message that is no markup."""
    if index == 2 and arm == "b":
        raise ValueError("<script>alert('three')</script> is not {{ allowed }}")
    return {"value": {"a": 1.0, "b": 3.0}[arm] + float(run.stream(f"{arm} {index}").numpy.normal(0, 0.1))}
'''

HEADS = """
experiment: heads
title: Does a head help?
description: A made-up sweep over heads and dimensions.
trial: small_report_trials:score
claims: [heads.nonlinear, heads.linear, heads.same, heads.no_worse, heads.grows, heads.best, heads.order, heads.crossing, heads.accuracy, heads.wrong, heads.gated]
factors:
  head: {levels: [none, linear, nonlinear], description: what lies on the features}
  dimension: [8, 32, 128]
replicates: 3
profiles:
  laptop: {fidelity: reduced, deviations: [Made-up numbers stand for images., One machine.]}
report:
  labels: {none: no head, linear: a linear head, nonlinear: a nonlinear head}
  reading: Every replicate draws its own noise.
  pictures:
    - {kind: curves, title: Accuracy over dimensions, metric: accuracy, label: accuracy, unit: "%", along: dimension, by: head, logarithmic: true, crossing: heads.crossing,
       published: {locator: Figure 8, values: {nonlinear: {8: 59, 32: 62, 128: 66}}}}
    - {kind: bars, title: Accuracy by head and dimension, metric: accuracy, label: accuracy, unit: "%", along: dimension, by: head}
    - {kind: effects, title: What a head adds, metric: accuracy, label: difference, unit: points, along: dimension, treatment: {head: nonlinear}, control: {head: none}, logarithmic: true}
    - {kind: grid, title: All pairs, metric: accuracy, label: accuracy, unit: "%", rows: head, columns: dimension}
    - {kind: course, title: Over training, metrics: {accuracy: accuracy}, by: head}
  tables:
    - title: Accuracy by head
      rows: head
      columns:
        - {metric: accuracy, label: accuracy, unit: "%", digits: 2, statistic: mean, better: greater, published: {locator: Table 1, digits: 1, values: {none: 60, nonlinear: 63.5}}, difference: true}
        - {metric: seconds, label: time, unit: s, digits: 2, better: less}
    - title: Accuracy by head and dimension
      caption: Every combination.
      rows: [head, dimension]
      columns: [{metric: accuracy, label: accuracy, unit: "%", digits: 2}, {metric: parameters, label: parameters, digits: 0}]
"""

HEADS_CLAIMS = """
common: {paper: First et al., arxiv: 2101.00001v1, locator: "Table 1, last column", metric: accuracy, unit: points}
protocol:
  - {label: data, text: "Ten thousand images (section 4)", basis: source}
  - {label: training, text: "A thousand epochs, batches of 4096 (appendix B)", basis: source}
not_stated: [How many seeds were drawn, The optimiser's epsilon]
claims:
  - {id: heads.nonlinear, form: difference, statement: A nonlinear head is better than none., treatment: {head: nonlinear}, control: {head: none},
     published: {value: 2.5, locator: "Table 1, row 3", basis: source, dispersion: 0.3, runs: 3}, margin: {absolute: 0.7, reason: half a point is noise}, beside: heads.linear}
  - {id: heads.linear, form: difference, statement: A linear head is better than none., treatment: {head: linear}, control: {head: none},
     published: {value: 6, locator: "Table 1, row 2", basis: secondary}, margin: {absolute: 1, reason: as printed}}
  - {id: heads.same, form: equivalence, statement: A linear and a nonlinear head are the same., treatment: {head: nonlinear}, control: {head: linear}, within: {absolute: 1, reason: a point}}
  - {id: heads.no_worse, form: non_inferiority, statement: A linear head is no worse than none., treatment: {head: linear}, control: {head: none}, tolerated: {absolute: 1, reason: a point}}
  - {id: heads.grows, form: trend, statement: More dimensions help a nonlinear head., along: dimension, arm: {head: nonlinear}}
  - {id: heads.best, form: optimum, statement: A nonlinear head is best at 128 dimensions., along: dimension, arm: {head: nonlinear}, claimed: [128], against: 8}
  - {id: heads.order, form: ordering, statement: Nonlinear before linear before none., order: [{head: nonlinear}, {head: linear}, {head: none}]}
  - {id: heads.crossing, form: crossing, statement: A linear head passes none at 32 dimensions., along: dimension, scale: log, unit: dimensions, first: {head: none}, second: {head: linear},
     published: {value: 32, locator: Figure 8, basis: source}, margin: {relative: 0.5, reason: read off a figure}}
  - {id: heads.accuracy, form: value, statement: A nonlinear head has 75 % accuracy., unit: "%", arm: {head: nonlinear}, published: {value: 75, locator: "Table 1", basis: source}, margin: {absolute: 1, reason: a point}}
  - {id: heads.wrong, form: difference, statement: None is better than a linear head., treatment: {head: none}, control: {head: linear}, family: exploratory}
  - {id: heads.gated, form: difference, statement: A nonlinear head of the paper's size helps., treatment: {head: nonlinear, dimension: 8}, control: {head: none, dimension: 8},
     gates: [{metric: parameters, value: 9999, reason: Table 6}]}
"""

TIMED = """
experiment: timed
title: Is the slow system slow?
trial: small_report_trials:time_systems
claims:
  - {id: timed.ratio, paper: Second et al., arxiv: 2102.00002v2, locator: Table 6, statement: The slow system takes ten times as long as the fast one.,
     form: ratio, metric: latency_ms, unit: x, samples: latency, numerator: {system: slow}, denominator: {system: fast}, at_least: 5, bound_reason: they say so,
     published: {ratio_of: [100, 9], locator: Table 6, basis: source, derived: 100 over 9}, margin: {relative: 0.2, reason: rounding}}
  - {id: timed.middle, paper: Second et al., arxiv: 2102.00002v2, locator: Table 6, statement: The middle system takes twice as long as the fast one.,
     form: ratio, metric: latency_ms, unit: x, samples: latency, numerator: {system: middle}, denominator: {system: fast}, at_least: 2, bound_reason: they say twice}
factors:
  system: {blocked: true, levels: {fast: 1.0, middle: 1.5, slow: 10.0}}
replicates: 3
profiles:
  laptop: {fidelity: proxy}
report:
  labels: {fast: Fast one, middle: Middle one, slow: Slow one}
  pictures:
    - {kind: stages, title: Where the time goes, rows: system, total: latency_ms}
    - {kind: round-ratios, title: Ratio of every round}
    - {kind: latency, title: How long requests take, rows: system}
    - {kind: beside-published, title: Beside the paper, rows: system, unit: ms, metrics: {latency_ms: measured}, logarithmic: true, published: {locator: Table 6, values: {fast: 9, slow: 100}}}
    - {kind: scatter, title: Time against parameters, rows: system, x: {metric: parameters, label: parameters, unit: millions}, y: {metric: latency_ms, label: time, unit: ms, logarithmic: true}}
  tables:
    - title: Time of a request
      rows: system
      columns:
        - {metric: latency_ms, label: time, unit: ms, digits: 3, low: low_ms, high: high_ms, better: less, published: {locator: Table 6, digits: 1, values: {fast: 9, slow: 100.25}}, difference: true}
        - {metric: latency_ms, label: ratio, unit: x, digits: 2, ratio_to: fast}
"""

FRAGILE = """
experiment: fragile
title: A sweep with a <b>failed</b> trial & "quotes"
description: "<script>document.title = 'hacked'</script>"
trial: small_report_trials:fragile
claims:
  - {id: fragile.more, paper: "Third <i>et al.</i>", arxiv: 2103.00003v1, locator: "Section \u202e<3>", statement: "B is more than a <img src=x onerror=alert(1)>", form: difference, metric: value,
     treatment: {arm: b}, control: {arm: a}}
  - {id: fragile.never, paper: "Third <i>et al.</i>", arxiv: 2103.00003v1, locator: Section 4, statement: Something that was never measured., form: value, metric: absent, arm: {arm: a}, at_least: 1, bound_reason: they say so}
factors:
  arm: [a, b]
  index: [0, 1, 2]
replicates: 2
profiles:
  laptop: {fidelity: proxy}
report:
  labels: {a: "A & <u>a</u>", b: "B \\"b\\" <img src=x onerror=alert(1)>"}
  tables: [{title: "Values <em>of</em> arms", rows: arm, columns: [{metric: value, label: "value </th><script>", unit: "<s>", digits: 3}, {metric: absent, label: absent}]}]
"""

SPECS = ("heads.yaml", "timed.yaml", "fragile.yaml")


def write_small_report(workplace: Workplace) -> None:
    """Write the specs, the claims and the trial functions."""
    files = {"small_report_trials.py": TRIALS, "heads.yaml": HEADS, "claims.yaml": HEADS_CLAIMS}
    for name, text in {**files, "timed.yaml": TIMED, "fragile.yaml": FRAGILE}.items():
        workplace.write(name, textwrap.dedent(text))


def run_small_report(workplace: Workplace) -> None:
    """Run all three sweeps; one trial of the third fails in each replicate."""
    for name, status in zip(SPECS, (0, 0, 3), strict=True):
        found = workplace.harness("run", name, "--executor", "inline")
        assert found.status == status, (name, found)


def make_small_report(workplace: Workplace) -> None:
    """Write the specs, run them, and make the page in ``site``."""
    write_small_report(workplace)
    run_small_report(workplace)
    found = workplace.harness("report", *SPECS)
    assert found.status == 0, found
