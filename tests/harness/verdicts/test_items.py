"""Claims about single test items: clustered by class, Wilson's rate, and what carries nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from forms_support import PAIRED, TWO, A, agree, close, t_interval
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint
from synthetic import claim_yaml, design_of, published_yaml, state_with_samples

from harness.plan.trials import Trial
from harness.store.store import Store
from harness.verdicts.judge import judge
from harness.verdicts.judgement import Judgement

# Fixed test sets.


def of_items(
    tmp_path: Path, tables: Callable[[Trial], pandas.DataFrame | None], replicates: int = 1, **claim: Any
) -> Judgement:
    items = {"table": "answers", "item": "item", "cluster": "class", **claim.pop("items", {})}
    spec = {**TWO, "replicates": replicates, "claims": [claim_yaml(items=items, **claim)]}
    design = design_of(tmp_path, spec)

    def make(trial: Trial) -> tuple[Any, dict[str, Any]]:
        table = tables(trial)
        return {"value": 0.0}, {} if table is None else {"answers": table}

    return judge(state_with_samples(design, make, Store(tmp_path / "results")))[0]


@pytest.fixture
def folder(in_workplace: Callable[..., Path], tmp_path: Path) -> Path:
    return tmp_path


def answers(seed: int, right: float = 0.6, items: int = 120) -> pandas.DataFrame:
    generator = numpy.random.default_rng(seed)
    values = (generator.random(items) < right).astype(float)
    return pandas.DataFrame({"item": numpy.arange(items), "class": numpy.arange(items) % 12, "value": values})


def by_arm(trial: Trial) -> pandas.DataFrame:
    return answers(1, 0.8) if trial.arm["arm"] == "a" else answers(2, 0.5)


def test_a_difference_over_items_is_clustered_by_class(folder: Path) -> None:
    found = of_items(folder, by_arm, form="difference", **PAIRED)
    one, other = answers(1, 0.8), answers(2, 0.5)
    differences = one["value"] - other["value"]
    assert close(found.effect, float(differences.mean())) and found.n == 120
    # The cluster-robust standard error (CR1) is what the bootstrap over classes tends to.
    totals = (differences - differences.mean()).groupby(one["class"]).sum()
    error = math.sqrt(12 / 11 * float((totals**2).sum())) / 120
    half = float(stats.t.isf(0.025, 11)) * error
    low, high = found.interval
    assert math.isclose(high - low, 2 * half, rel_tol=0.06), "of 5,000 draws"
    assert found.exact_test is not None and found.exact_test.name == "McNemar, exact"
    table = [[0, int((differences > 0).sum())], [int((differences < 0).sum()), 0]]
    assert close(found.exact_test.p, float(mcnemar(table, exact=True).pvalue))
    assert found.verdict == "direction only"


def test_classes_widen_what_items_alone_would_say(folder: Path) -> None:
    """All items of a class go the same way: twelve classes, not 120 items."""
    steps = numpy.repeat(numpy.linspace(-0.2, 1.0, 12), 10)
    table = pandas.DataFrame({"item": numpy.arange(120), "class": numpy.repeat(numpy.arange(12), 10), "value": steps})
    none = table.assign(value=0.0)
    found = of_items(folder, lambda t: table if t.arm["arm"] == "a" else none, form="difference", **PAIRED)
    low, high = found.interval
    assert math.isclose(high - low, float(numpy.diff(t_interval(numpy.linspace(-0.2, 1.0, 12)))[0]), rel_tol=0.06)


def test_a_rate_has_wilsons_interval(folder: Path) -> None:
    found = of_items(folder, by_arm, form="value", arm=A, **published_yaml(0.8, 0.15))
    right = int(answers(1, 0.8)["value"].sum())
    assert close(found.effect, right / 120)
    assert agree(found.interval, proportion_confint(right, 120, 0.05, "wilson"))


def test_items_may_be_scaled_to_points_and_averaged_over_replicates(folder: Path) -> None:
    tables = lambda t: answers(10 * t.replicate + ("ab".index(str(t.arm["arm"]))), 0.7)  # noqa: E731
    found = of_items(folder, tables, 3, items={"scale": 100}, form="difference", **PAIRED)
    wanted = [answers(10 * r, 0.7)["value"].mean() - answers(10 * r + 1, 0.7)["value"].mean() for r in range(3)]
    assert close(found.effect, 100 * float(numpy.mean(wanted)))


def test_an_item_that_one_arm_lacks_is_left_out_of_both(folder: Path) -> None:
    found = of_items(
        folder, lambda t: by_arm(t).iloc[: 100 if t.arm["arm"] == "a" else 120], form="difference", **PAIRED
    )
    assert found.n == 100
    assert close(found.effect, float(answers(1, 0.8)["value"][:100].mean() - answers(2, 0.5)["value"][:100].mean()))


@pytest.mark.parametrize(
    ("tables", "verdict", "reason"),
    [
        (lambda t: None, "not run", "the trial kept no samples 'answers'"),
        (lambda t: by_arm(t).drop(columns="class"), "not run", "the samples 'answers' lack what the claim reads"),
        (lambda t: by_arm(t).drop(columns="value"), "not run", "the samples 'answers' lack what the claim reads"),
        (lambda t: by_arm(t).assign(item=lambda x: x["item"] + 200 * (t.arm["arm"] == "a")), "inconclusive", ""),
        (lambda t: by_arm(t).assign(value=math.nan), "inconclusive", ""),
        (lambda t: by_arm(t).assign(value=1.0 * (t.arm["arm"] == "a")), "inconclusive", "every value is the same"),
        (lambda t: by_arm(t).assign(**{"class": 0}), "inconclusive", "two"),
        (lambda t: by_arm(t).iloc[:0], "inconclusive", ""),
    ],
)  # fmt: skip
def test_items_that_carry_nothing_decide_nothing(
    folder: Path, tables: Callable[[Trial], pandas.DataFrame | None], verdict: str, reason: str
) -> None:
    found = of_items(folder, tables, form="difference", **PAIRED, **published_yaml(0.5, 1.0))
    assert found.verdict == verdict and reason in found.reason, found.reason


def test_items_of_an_arm_that_failed_decide_nothing(folder: Path) -> None:
    from synthetic import FAILED

    items = {"table": "answers"}
    design = design_of(folder, {**TWO, "claims": [claim_yaml(form="difference", **PAIRED, items=items)]})

    def make(trial: Trial) -> tuple[Any, dict[str, Any]]:
        return (FAILED, {}) if trial.arm["arm"] == "a" else ({"value": 0.0}, {"answers": by_arm(trial)})

    found = judge(state_with_samples(design, make, Store(folder / "results")))[0]
    assert found.verdict == "inconclusive"
