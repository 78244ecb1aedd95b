"""SimCLR's specs and claims: right, fair between arms, and with no figure that the paper does not print or draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.plan.design import Design, make_design
from harness.plan.trials import expand
from harness.spec.arms import check_arms
from harness.spec.load import Experiment, load_experiment
from reports.declarations import BarsPicture, CurvesPicture, EffectsPicture, GridPicture, declaration_of

FOLDER = Path(__file__).parents[3] / "experiments" / "simclr"
NAMES = ["simclr-head", "simclr-h-vs-z", "simclr-augmentation", "simclr-temperature", "simclr-batch", "simclr-ladder"]

# Figure 8 of arXiv 2002.05709v3, read from the vector drawing, and Tables 3 and 5 as printed.
FIGURE_8 = {
    "none": {"2048": 50.2},
    "linear": dict(zip(("32", "64", "128", "256", "512", "1024", "2048"), (60.0, 61.3, 61.1, 60.6, 60.6, 60.5, 60.6), strict=True)),
    "nonlinear": dict(zip(("32", "64", "128", "256", "512", "1024", "2048"), (63.6, 64.2, 64.3, 64.9, 64.8, 64.6, 64.8), strict=True)),
}  # fmt: skip
TABLE_3 = {"colour": (99.3, 97.4), "rotation": (67.6, 25.6), "noise": (99.5, 59.6), "sobel": (96.6, 56.3)}
TABLE_5 = {"true": {"0.05": 59.7, "0.1": 64.4, "0.5": 60.7, "1": 58.0}, "false": {"10": 57.2, "100": 57.0}}
FIGURE_5_ORDER = ("crop", "cutout", "colour", "sobel", "noise", "blur", "rotate")
FIGURE_5 = [
    (33.1, 33.9, 56.3, 46.0, 39.9, 35.0, 30.2), (32.2, 25.6, 33.9, 40.0, 26.5, 25.2, 22.4),
    (55.8, 35.5, 18.8, 21.0, 11.4, 16.5, 20.8), (46.2, 40.6, 20.9, 4.0, 9.3, 6.2, 4.2),
    (38.8, 25.8, 7.5, 7.6, 9.8, 9.8, 9.6), (35.1, 25.2, 16.6, 5.8, 9.7, 2.6, 6.7), (30.0, 22.5, 20.7, 4.3, 9.7, 6.5, 2.6),
]  # fmt: skip


def spec(name: str) -> Experiment:
    return load_experiment(FOLDER / f"{name}.yaml")


@pytest.fixture(params=NAMES)
def experiment(request: pytest.FixtureRequest) -> Experiment:
    return spec(request.param)


def designs(experiment: Experiment) -> list[Design]:
    return [make_design(experiment, profile, device="cpu") for profile in experiment.spec.profiles]


def test_every_profile_expands_and_every_arm_exists(experiment: Experiment) -> None:
    check_arms(experiment)
    assert declaration_of(experiment).tables
    for design in designs(experiment):
        assert expand(design)
        if design.profile_name != "laptop":
            continue
        # Nothing to download, no GPU, and replicates enough for an interval in every arm.
        assert design.fixed["data"].given["source"] == "glyphs" and design.profile.device is None
        assert design.replicates >= 4 and design.looks[0] >= 4


def test_every_claim_of_the_file_is_served_once() -> None:
    served = [registered.claim.id for name in NAMES for registered in spec(name).claims]
    registered = [found.claim.id for found in spec("simclr-head").registry]
    assert sorted(served) == sorted(registered) and len(set(served)) == len(served)


def test_published_figures_are_those_of_the_paper() -> None:
    claims = {found.claim.id: found.claim.published for found in spec("simclr-head").registry}
    values = {name: published.value for name, published in claims.items() if published is not None}
    expected = {
        "simclr.head": FIGURE_8["nonlinear"]["128"] - FIGURE_8["none"]["2048"],
        "simclr.head.linear": FIGURE_8["nonlinear"]["128"] - FIGURE_8["linear"]["128"],
        "simclr.head.any": FIGURE_8["linear"]["128"] - FIGURE_8["none"]["2048"],
        "simclr.head.dimension": FIGURE_8["nonlinear"]["128"] - FIGURE_8["nonlinear"]["32"],
        **{f"simclr.h_over_z.transformation.{name}": h - z for name, (h, z) in TABLE_3.items()},
        "simclr.augmentation.crop": cell("crop", "colour") - cell("crop", "crop"),
        "simclr.augmentation.colour": cell("crop", "colour") - cell("colour", "colour"),
        "simclr.augmentation.stands_out.blur": cell("crop", "colour") - cell("crop", "blur"),
        "simclr.augmentation.stands_out.rotate": cell("crop", "colour") - cell("crop", "rotate"),
        "simclr.loss.normalise": TABLE_5["true"]["0.1"] - TABLE_5["false"]["10"],
        "simclr.batch.short": 64.6 - 57.5,
    }
    assert values == pytest.approx(expected)


def cell(row: str, column: str) -> float:
    return FIGURE_5[FIGURE_5_ORDER.index(row)][FIGURE_5_ORDER.index(column)]


def pictures(name: str, kind: type) -> list[Any]:
    return [picture for picture in declaration_of(spec(name)).pictures if isinstance(picture, kind)]


def test_figures_drawn_beside_ours_are_the_papers() -> None:
    head = next(p for p in pictures("simclr-head", BarsPicture) if p.published)
    assert head.published.values == FIGURE_8
    (grid,) = pictures("simclr-augmentation", GridPicture)
    assert grid.published.values == {
        row: dict(zip(FIGURE_5_ORDER, figures, strict=True))
        for row, figures in zip(FIGURE_5_ORDER, FIGURE_5, strict=True)
    }
    (curve,) = [p for p in pictures("simclr-temperature", CurvesPicture) if p.published]
    assert curve.published.values == TABLE_5
    for ladder in pictures("simclr-ladder", EffectsPicture):
        assert set(ladder.published.values()) <= {round(64.3 - 50.2, 6)}
    columns = [c for table in declaration_of(spec("simclr-h-vs-z")).tables for c in table.columns if c.published]
    assert [tuple(c.published.values.values()) for c in columns] == list(TABLE_3.values())


def test_every_head_tunes_the_same_grid_on_trials_that_are_not_reported() -> None:
    for design in designs(spec("simclr-head")):
        trials = expand(design)
        assert design.select is not None and {trial.replicate for trial in trials} == {
            -1 - number for number in range(design.select.replicates)
        }
        grids = {
            head: sorted(
                (t.arm["temperature"], t.arm["learning_rate"], t.replicate) for t in trials if t.arm["head"] == head
            )
            for head in ("none", "linear", "nonlinear")
        }
        assert grids["none"] == grids["linear"] == grids["nonlinear"]
        assert len(grids["none"]) == len(set(grids["none"]))


def test_arms_differ_in_nothing_but_their_factors(experiment: Experiment) -> None:
    factors = set(experiment.spec.factors)
    for design in designs(experiment):
        by_arm = [{k: str(v) for k, v in trial.parameters.items() if k not in factors} for trial in expand(design)]
        assert all(found == by_arm[0] for found in by_arm)


def test_each_pair_of_transformations_runs_once() -> None:
    for design in designs(spec("simclr-augmentation")):
        pairs = [frozenset((t.arm["first"], t.arm["second"])) for t in expand(design) if t.replicate == 0]
        kinds = len([level for level in design.factors[0].levels if level.name != "none"])
        assert len(pairs) == len(set(pairs)) == kinds * (kinds + 1) // 2 + 1
        assert frozenset(("crop", "colour")) in pairs and frozenset(("none",)) in pairs
