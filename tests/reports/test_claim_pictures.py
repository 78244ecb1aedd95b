"""The picture of a claim by its form: the numbers drawn are the judgement's and the stored ones, and nothing raises."""

from __future__ import annotations

import csv
import io
import math
import zlib
from pathlib import Path
from typing import Any

import lxml.etree
import numpy
import pandas
import pytest
import yaml
from pictured import DECIDES, INTERVAL, column, drawn, results_of, results_with_samples, row_of, values
from support import Workplace
from synthetic import FAILED, Made, claim_yaml, published_yaml

from harness.measure.stages import WHOLE
from harness.plan.trials import Trial
from harness.spec.claims import FORMS
from harness.spec.load import load_experiment
from harness.store.store import Store
from reports.collect import Results, collect
from reports.pictures import claim_forms
from reports.pictures.claims import draw_claim
from reports.pictures.picture import Picture

A, B, C = ({"arm": name} for name in "abc")
PAIRED = {"treatment": A, "control": B}
LEVELS = [1, 2, 4, 8]
TWO: dict[str, Any] = {"factors": {"arm": ["a", "b"]}, "replicates": 5}
CURVE: dict[str, Any] = {"factors": {"level": LEVELS}, "replicates": 5}
BASES = {"a": 60.0, "b": 57.0, "c": 52.0}
RISE = {1: 0.0, 2: 4.0, 4: 5.0, 8: 3.0}


def generator(trial: Trial) -> numpy.random.Generator:
    return numpy.random.default_rng(zlib.crc32(trial.id.encode()))


def noise(trial: Trial) -> float:
    return float(generator(trial).normal())


def made(trial: Trial) -> dict[str, float]:
    base = BASES[str(trial.arm.get("arm", "a"))] + RISE.get(trial.arm.get("level"), 0.0)  # type: ignore[arg-type]
    return {"value": base + noise(trial)}


def of(spec: dict[str, Any], make: Any = made, **claim: Any) -> Results:
    return results_of({**spec, "claims": [claim_yaml(**claim)]}, make)


def stored(results: Results, **levels: Any) -> dict[int, float]:
    """Return a metric by replicate, out of the table that ``harness export`` writes."""
    table = results.table
    for name, level in levels.items():
        table = table[table[name].astype(str) == str(level)]
    return dict(zip(table["replicate"].astype(int), table["value"].astype(float), strict=True))


def check_effect(picture: Picture, results: Results, index: int = 0) -> None:
    """Check that the effect's row has the judgement's own numbers."""
    judgement = results.judgements[index]
    shown = row_of(picture, INTERVAL)
    assert (shown.value, shown.low, shown.high) == (judgement.effect, *judgement.interval)
    if judgement.claim.published is not None:
        paper = row_of(picture, "the paper")
        assert paper.published and paper.value == judgement.claim.published.value


@pytest.mark.parametrize(
    "claim",
    [
        {"form": "difference", **published_yaml(2.5, 1.0)},
        {"form": "difference", "at_least": 2.0, "bound_reason": "b"},
        {"form": "non_inferiority", "tolerated": {"absolute": 1.0, "reason": "r"}},
        {"form": "equivalence", "within": {"absolute": 1.0, "reason": "r"}, **published_yaml(0.1, 1.0)},
    ],
)
def test_two_arms_show_every_replicate_and_its_difference(claim: dict[str, Any]) -> None:
    results = of({**TWO, "report": {"labels": {"a": "with", "b": "without"}}}, unit="points", **PAIRED, **claim)
    picture = drawn(results)
    first, second = stored(results, arm="a"), stored(results, arm="b")
    assert values(picture, "with") == first and values(picture, "without") == second
    assert values(picture, "effect") == {number: first[number] - second[number] for number in first}
    assert picture.numbers.headings[-1].unit == "points"
    check_effect(picture, results)


def test_the_interval_that_decides_stands_beside_the_one_shown_where_claims_share_their_error_rate() -> None:
    claims = [claim_yaml(id=name, form="difference", **PAIRED) for name in ("c", "d")]
    results = results_of({**TWO, "claims": claims}, made)
    deciding = [row_of(drawn(results, index), DECIDES) for index in (0, 1)]
    for cell, judgement in zip(deciding, results.judgements, strict=True):
        assert (cell.low, cell.high) == judgement.adjusted
    assert "the thin one" in drawn(results).caption


def test_a_failed_replicate_is_left_out_of_both_arms_and_the_worst_case_shown() -> None:
    def make(trial: Trial) -> Made:
        if trial.replicate == 1 and trial.arm["arm"] == "a":
            return FAILED
        return {"value": math.nan} if trial.replicate == 3 and trial.arm["arm"] == "b" else made(trial)

    results = of(TWO, make, form="difference", **PAIRED)
    picture = drawn(results)
    assert set(values(picture, "a")) == set(values(picture, "b")) == set(values(picture, "effect")) == {0, 2, 4}
    worst = row_of(picture, "if what was lost")
    assert (worst.low, worst.high) == results.judgements[0].bounds and "dashed" in picture.caption
    check_effect(picture, results)


def test_arms_that_do_not_pair_keep_their_own_replicates() -> None:
    make = lambda trial: FAILED if trial.replicate == 1 and trial.arm["arm"] == "a" else made(trial)  # noqa: E731
    results = of(TWO, make, form="difference", pairing="unpaired", **PAIRED)
    picture = drawn(results)
    assert set(values(picture, "a")) == {0, 2, 3, 4} and set(values(picture, "b")) == {0, 1, 2, 3, 4}
    assert not values(picture, "effect")
    check_effect(picture, results)


def test_one_replicate_is_a_dot_without_an_interval() -> None:
    results = of({**TWO, "replicates": 1}, form="difference", **PAIRED, **published_yaml(3.0, 1.0))
    picture = drawn(results)
    assert "There is no interval: value: one replicate" in picture.caption
    assert len(values(picture, "effect")) == 1
    assert not any(INTERVAL in row for row in column(picture, "effect"))


def test_a_ratio_is_drawn_as_a_ratio() -> None:
    results = of(TWO, unit="x", form="ratio", numerator=A, denominator=B, **published_yaml(1.05, 0.02))
    picture = drawn(results)
    first, second = stored(results, arm="a"), stored(results, arm="b")
    assert values(picture, "effect") == pytest.approx({n: first[n] / second[n] for n in first}, rel=1e-12)
    check_effect(picture, results)


def test_a_ratio_of_something_negative_has_no_ratios_to_draw() -> None:
    results = of(TWO, lambda t: {"value": -1.0}, form="ratio", numerator=A, denominator=B)
    picture = drawn(results)
    assert results.judgements[0].estimate is None
    assert set(values(picture, "a").values()) == {-1.0} and "no interval" in picture.caption


def test_a_value_has_its_replicates() -> None:
    results = of(TWO, form="value", arm=B, **published_yaml(57.0, 2.0))
    picture = drawn(results)
    assert values(picture, "effect") == stored(results, arm="b")
    check_effect(picture, results)


@pytest.mark.parametrize(
    "claim",
    [
        {"form": "value", "arm": A, **published_yaml(154.0, 2.0)},
        {"form": "difference", **PAIRED, "at_least": 10.0, "bound_reason": "b"},
        {"form": "ratio", "numerator": A, "denominator": B},
        {"form": "ordering", "order": [A, B]},
    ],
)
def test_a_count_is_one_mark(claim: dict[str, Any]) -> None:
    count = lambda trial: {"value": 154.7 if trial.arm["arm"] == "a" else 100.0}  # noqa: E731
    results = of(TWO, count, exact=True, **claim)
    picture = drawn(results)
    assert results.judgements[0].exact and "the same in every trial" in picture.caption
    found = [cell for row, cell in column(picture, "effect").items() if "paper" not in row and "bound" not in row]
    assert [cell.value for cell in found] == [results.judgements[0].effect]


@pytest.mark.parametrize("scale", ["rank", "log", "linear"])
def test_a_trend_shows_levels_and_every_replicates_change(scale: str) -> None:
    results = of(CURVE, form="trend", along="level", scale=scale, **published_yaml(3.0, 1.0))
    picture = drawn(results)
    for level in LEVELS:
        assert values(picture, f"level {level}") == stored(results, level=level)
    for part, level in zip(results.judgements[0].components, LEVELS, strict=True):
        mean = column(picture, f"level {level}")["mean"]
        assert (mean.value, mean.low, mean.high) == (part.effect, part.low, part.high)
    changes = values(picture, "effect")
    assert numpy.mean(list(changes.values())) == pytest.approx(results.judgements[0].effect, rel=1e-12)
    check_effect(picture, results)


def test_a_trend_of_effects_shows_the_effect_at_each_level() -> None:
    spec = {"factors": {"arm": ["a", "b"], "level": LEVELS}, "replicates": 4}
    results = of(spec, form="trend", along="level", arm=A, minus=B)
    picture = drawn(results)
    first, second = stored(results, arm="a", level=2), stored(results, arm="b", level=2)
    assert values(picture, "level 2") == {number: first[number] - second[number] for number in first}
    assert picture.title == "a − b along level"


def test_an_optimum_shows_how_often_each_level_is_best() -> None:
    results = of(CURVE, form="optimum", along="level", claimed=[2, 4], against=1, **published_yaml(4.0, 1.0))
    picture = drawn(results)
    shares = [column(picture, f"level {level}")["share of draws in which it is best"].value for level in LEVELS]
    assert shares == [100 * (part.share or 0.0) for part in results.judgements[0].components]
    at = {level: stored(results, level=level) for level in LEVELS}
    wanted = {n: (at[2][n] + at[4][n]) / 2 - at[1][n] for n in at[1]}
    assert values(picture, "effect") == pytest.approx(wanted, rel=1e-12)
    assert "shaded the claimed levels" in picture.caption and "level 1" in picture.caption
    check_effect(picture, results)


CROSSES: dict[str, Any] = {"form": "crossing", "along": "level", "first": A, "second": B, "scale": "log"}
CURVES: dict[str, Any] = {"factors": {"arm": ["a", "b"], "level": LEVELS}, "replicates": 5}


def crossing(rise: float) -> Results:
    def make(trial: Trial) -> dict[str, float]:
        place = LEVELS.index(int(trial.arm["level"]))  # type: ignore[arg-type]
        return {"value": 60.0 + 0.3 * noise(trial) + (rise * place - 4.0 if trial.arm["arm"] == "b" else 0.0)}

    return of(CURVES, make, unit="shots", **CROSSES, **published_yaml(4.0, 1.0))


def test_a_crossing_shows_both_curves_and_where_they_meet() -> None:
    results = crossing(rise=3.0)
    picture = drawn(results)
    assert values(picture, "b, level 4") == stored(results, arm="b", level=4)
    check_effect(picture, results)


def test_a_crossing_that_is_not_met_is_said_in_words() -> None:
    results = crossing(rise=0.0)
    assert results.judgements[0].effect == math.inf
    assert row_of(drawn(results), INTERVAL).text.startswith("beyond the last level")
    down = crossing(rise=3.0)
    assert down.judgements[0].interval[0] > 1


def test_an_ordering_shows_every_step() -> None:
    spec = {"factors": {"arm": ["a", "b", "c"]}, "replicates": 5}
    results = of(spec, form="ordering", order=[A, B, C])
    picture = drawn(results)
    arms = {name: stored(results, arm=name) for name in "abc"}
    for first, second in ("ab", "bc"):
        wanted = {n: arms[first][n] - arms[second][n] for n in arms[first]}
        assert values(picture, f"{first} − {second}") == wanted
    part = results.judgements[0].components[1]
    mean = column(picture, "b − c")["mean"]
    assert (mean.value, mean.low, mean.high) == (part.effect, part.low, part.high)
    check_effect(picture, results)


@pytest.mark.parametrize("rule", ["mean", "all", "interquartile mean"])
@pytest.mark.parametrize("count", [3, 12])
def test_pooled_settings_stand_above_the_effect(rule: str, count: int) -> None:
    settings = [f"s{number}" for number in range(count)]
    spec = {"factors": {"arm": ["a", "b"], "setting": settings}, "replicates": 3}
    results = of(spec, form="difference", **PAIRED, pool={"rule": rule})
    picture = drawn(results)
    parts = results.judgements[0].components
    if count == 12:
        found = column(picture, "setting")
        assert [cell.value for cell in found.values()] == [part.effect for part in parts]
    else:
        for part in parts:
            own = column(picture, part.label if rule != "mean" else "effect")[part.label]
            assert (own.value, own.low, own.high) == (part.effect, part.low, part.high)
    if rule == "mean":
        table = results.table.pivot_table(index="replicate", columns="arm", values="value")
        assert values(picture, "effect") == pytest.approx(dict(table["a"] - table["b"]), rel=1e-9)
    elif count == 3:
        first, second = (stored(results, arm=arm, setting="s1") for arm in "ab")
        assert values(picture, "setting s1") == {n: first[n] - second[n] for n in first}
    check_effect(picture, results)


def test_many_replicates_are_a_histogram_that_counts_all() -> None:
    results = of({**TWO, "replicates": 80}, form="value", arm=A, **published_yaml(60.0, 1.0))
    picture = drawn(results)
    counted = column(picture, "each replicate: how many")
    assert sum(cell.value or 0.0 for cell in counted.values()) == 80 and "histogram" in picture.caption


def timed(replicate: int) -> pandas.DataFrame:
    """Nine rounds of two systems, of which the third was not kept, with a stage that takes most of the time."""
    draw = numpy.random.default_rng(replicate)
    rows = [
        {"arm": arm, "quantity": "request", "stage": stage, "round": number, "kept": number != 2, "nanoseconds": share * cost}
        for number in range(9)
        for arm, cost in (("slow", 6e8 * draw.lognormal(0, 0.1)), ("fast", 1e7 * draw.lognormal(0, 0.1)))
        for stage, share in ((WHOLE, 1.0), ("backbone", draw.uniform(0.8, 0.9)))
    ]  # fmt: skip
    return pandas.DataFrame(rows)


def timings(trial: Trial) -> tuple[Made, dict[str, pandas.DataFrame]]:
    records = [{"system": "slow", "value": 1.0}, {"system": "fast", "value": 1.0}]
    return records, {"timings": timed(trial.replicate)}


SYSTEMS: dict[str, Any] = {
    "trial": "small_trials:pair", "factors": {"system": {"blocked": True, "levels": {"fast": 1.0, "slow": 2.0}}},
}  # fmt: skip


def by_round(replicate: int, stage: str = WHOLE) -> pandas.DataFrame:
    rows = timed(replicate)
    return rows[rows["kept"] & (rows["stage"] == stage)].pivot(index="round", columns="arm", values="nanoseconds")


def round_ratios(replicate: int) -> list[float]:
    times = by_round(replicate)
    return list(times["slow"] / times["fast"])


@pytest.mark.parametrize("processes", [1, 3, 8])
def test_rounds_are_dots_by_process_and_of_many_processes_the_means(tmp_path: Path, processes: int) -> None:
    ratio = {"form": "ratio", "numerator": {"system": "slow"}, "denominator": {"system": "fast"}, "samples": "timings"}
    spec = {**SYSTEMS, "replicates": processes, "claims": [claim_yaml(unit="x", **ratio, **published_yaml(60.0, 10.0))]}
    results = results_with_samples(spec, timings, tmp_path)
    picture = drawn(results)
    check_effect(picture, results)
    found = column(picture, "effect")
    if processes == 8:
        for process in range(8):
            mean = math.exp(numpy.mean(numpy.log(round_ratios(process))))
            assert found[f"process {process}"].value == pytest.approx(mean, rel=1e-9)
    else:
        for process in range(processes):
            own = [cell.value for row, cell in found.items() if row.startswith(f"process {process}, round")]
            assert own == pytest.approx(round_ratios(process), rel=1e-9) and len(own) == 8


def test_shares_of_stages_are_dots_by_round(tmp_path: Path) -> None:
    share = {"form": "value", "arm": {"system": "slow"}, "samples": "timings", "stages": ["backbone"]}
    claim = claim_yaml(unit="%", **share, at_least=50, bound_reason="b")
    results = results_with_samples({**SYSTEMS, "claims": [claim]}, timings, tmp_path)
    picture = drawn(results)
    own = [cell.value for row, cell in column(picture, "effect").items() if "round" in row]
    assert own == pytest.approx(list(100 * by_round(0, "backbone")["slow"] / by_round(0)["slow"]), rel=1e-9)
    check_effect(picture, results)


def answers(trial: Trial) -> tuple[Made, dict[str, pandas.DataFrame]]:
    right = generator(trial).random(120) < (0.8 if trial.arm["arm"] == "a" else 0.5)
    table = {"item": numpy.arange(120), "class": numpy.arange(120) % 12, "value": right.astype(float)}
    return {"value": 0.0}, {"answers": pandas.DataFrame(table)}


def test_items_are_shown_by_class(tmp_path: Path) -> None:
    claim = claim_yaml(form="difference", **PAIRED, items={"table": "answers", "scale": 100}, **published_yaml(30, 5))
    results = results_with_samples({**TWO, "replicates": 1, "claims": [claim]}, answers, tmp_path)
    picture = drawn(results)
    check_effect(picture, results)
    tables = [answers(entry.trial)[1]["answers"] for entry in results.counted]
    wanted = 100 * (tables[0].groupby("class")["value"].mean() - tables[1].groupby("class")["value"].mean())
    found = column(picture, "effect")
    assert [found[str(name)].value for name in range(12)] == pytest.approx(list(wanted))


def test_a_rate_over_items_has_its_interval_alone(tmp_path: Path) -> None:
    claim = claim_yaml(form="value", arm=A, items={"table": "answers"}, **published_yaml(0.8, 0.1))
    results = results_with_samples({**TWO, "replicates": 1, "claims": [claim]}, answers, tmp_path)
    picture = drawn(results)
    check_effect(picture, results)
    assert len(picture.numbers.rows) == 2 and "over 120 items" in picture.caption


@pytest.mark.parametrize(
    "make",
    [lambda trial: None, lambda trial: FAILED, lambda trial: {"value": math.nan}, lambda trial: {"other": 1.0}],
)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_nothing_measured_gives_no_picture(form: str, make: Any) -> None:
    results = of(CURVES, make, **EVERY_FORM[form])
    assert draw_claim(results.judgements[0], results) is None


EVERY_FORM: dict[str, dict[str, Any]] = {
    "difference": {"form": "difference", **PAIRED},
    "non_inferiority": {"form": "non_inferiority", **PAIRED, "tolerated": {"absolute": 1.0, "reason": "r"}},
    "equivalence": {"form": "equivalence", **PAIRED, "within": {"absolute": 1.0, "reason": "r"}},
    "ratio": {"form": "ratio", "numerator": A, "denominator": B},
    "value": {"form": "value", "arm": A, "at_least": 1.0, "bound_reason": "b"},
    "trend": {"form": "trend", "along": "level"},
    "optimum": {"form": "optimum", "along": "level", "claimed": [2]},
    "ordering": {"form": "ordering", "order": [A, B]},
    "crossing": {**CROSSES, **published_yaml(4.0, 1.0)},
}


def test_every_form_has_a_sketch() -> None:
    assert set(claim_forms._FORMS) == set(FORMS.values()) and set(EVERY_FORM) == set(FORMS)


HOSTILE = [
    "<script>alert(1)</script> & \"'",
    "$x_2$ \\frac{1}{2} $",
    "\u202eright to left\u202c \u200f",
    "lines\nof\r\ntext\t",
    "\U0001f600 \U0001f468\u200d\U0001f469",
    "x" * 10_000,
    "two words " * 1_000,
    "\u0007\u0000",
    "",
]


@pytest.mark.parametrize("turn", range(0, len(HOSTILE), 4))
@pytest.mark.parametrize("form", sorted(FORMS))
def test_hostile_text_is_text_and_breaks_nothing(form: str, turn: int) -> None:
    texts = [*HOSTILE[turn:], *HOSTILE[:turn]]
    labels = dict(zip(("a", "b", "value", "1", "2", "4", "8"), texts, strict=False))
    spec = {**CURVES, "replicates": 2, "report": {"labels": labels}}
    claim = {**EVERY_FORM[form], "unit": texts[7]}
    picture = drawn(of(spec, **claim))
    tree = lxml.etree.fromstring(picture.svg.encode())
    assert not [element for element in tree.iter() if str(element.tag).endswith("script")]
    assert len(picture.title) < 200 and len(picture.caption) < 2_500 and "\n" not in picture.title
    assert all(len(heading.label) < 200 for heading in picture.numbers.headings)
    assert all(len(row[0].text) < 200 for row in picture.numbers.rows)


def test_arms_with_one_name_are_told_apart() -> None:
    results = of({**TWO, "report": {"labels": {"a": "same", "b": "same"}}}, form="difference", **PAIRED)
    picture = drawn(results)
    assert picture.title == "same (treatment) − same (control)"
    assert values(picture, "same (treatment)") == stored(results, arm="a")


def test_pictures_are_the_same_bytes_and_share_no_names_on_a_page() -> None:
    claims = [claim_yaml(id=name, form="difference", **PAIRED) for name in ("c", "d")]
    results = results_of({**TWO, "claims": claims}, made)
    first, second = drawn(results, 0), drawn(results, 1)
    assert first.svg == drawn(results, 0).svg
    names = [set(lxml.etree.fromstring(p.svg.encode()).xpath("//@id")) for p in (first, second)]
    assert names[0] and not names[0] & names[1]
    assert len(first.svg) < 40_000


SCORED = """
from typing import Any


def scored(*, run: Any, head: str, alpha: float) -> dict[str, Any]:
    return {"value": float(run.stream(f"{head} {alpha}").numpy.normal()) + alpha}
"""


def test_the_dots_are_what_export_writes(tmp_path: Path) -> None:
    """As a user runs it, where the spec tunes: a picture has the replicates of its own reading."""
    claims = [claim_yaml(form="difference", treatment={"head": "x"}, control={"head": "y"})]
    spec = {
        "experiment": "tuned", "title": "T", "trial": "scored_arms:scored", "claims": claims,
        "factors": {"head": ["x", "y"], "alpha": [0.5, 2]}, "replicates": 3,
        "select": {"factors": ["alpha"], "metric": "value", "replicates": 2, "matched": {"alpha": 0.5}},
        "profiles": {"laptop": {"fidelity": "proxy"}},
    }  # fmt: skip
    (tmp_path / "scored_arms.py").write_text(SCORED)
    (tmp_path / "tuned.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    workplace = Workplace(tmp_path)
    assert workplace.harness("run", "tuned.yaml", "--executor", "inline").status == 0
    rows = list(csv.DictReader(io.StringIO(workplace.harness("export", "tuned.yaml").out)))
    results = collect(load_experiment(tmp_path / "tuned.yaml"), "laptop", Store(tmp_path / "results"))
    assert [judgement.reading for judgement in results.judgements] == ["matched", "best"]
    for index, alpha in enumerate((0.5, 2.0)):
        picture = drawn(results, index)
        for arm in "xy":
            own = [row for row in rows if row["head"] == arm and float(row["alpha"]) == alpha]
            wanted = {int(row["replicate"]): float(row["value"]) for row in own if int(row["replicate"]) >= 0}
            assert values(picture, arm) == wanted and len(wanted) == 3
        check_effect(picture, results, index)
