"""ViLT's specs and claims: right, complete beside Table 6, and with no figure that the paper does not print."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.levers import Lever, NotApplicable
from experiments.vilt.rows import ROWS
from experiments.vilt.timing_records import probe_dtype
from harness.measure.settings import TimingSettings
from harness.plan.design import make_design
from harness.plan.trials import expand
from harness.spec.arms import check_arms
from harness.spec.load import Experiment, load_experiment

FOLDER = Path(__file__).parents[3] / "experiments" / "vilt"

# Table 6 of arXiv 2102.03334: parameters in M, operations in G, milliseconds (printed with a tilde).
TABLE_6 = {
    "vilbert": (274.3, 958.1, 900), "visualbert": (170.3, 425.0, 925), "lxmert": (239.8, 952.0, 900),
    "uniter-base": (154.7, 949.9, 900), "oscar-base": (154.7, 956.4, 900), "vinvl-base": (157.3, 1023.3, 650),
    "unicoder-vl": (170.3, 419.7, 925), "imagebert": (170.3, 420.6, 925), "pixel-bert-x152": (144.3, 185.8, 160),
    "pixel-bert-r50": (94.9, 136.8, 60), "vilt-b32": (87.4, 55.9, 15),
}  # fmt: skip


NAMES = ["vilt-speed", "vilt-cost", "vilt-fairness", "vilt-batch"]


@pytest.fixture(params=["vilt-speed", "vilt-cost"])
def experiment(request: pytest.FixtureRequest) -> Experiment:
    return load_experiment(FOLDER / f"{request.param}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_expands_and_every_arm_exists(name: str) -> None:
    experiment = load_experiment(FOLDER / f"{name}.yaml")
    check_arms(experiment)
    for profile in experiment.spec.profiles:
        assert expand(make_design(experiment, profile, device="cpu"))


def test_every_lever_of_a_profile_is_one_that_some_system_has() -> None:
    """Those of the GPU are for GPUs alone, and 8 bits for CPUs; no lever is without any system that could use it."""
    experiment = load_experiment(FOLDER / "vilt-fairness.yaml")
    for profile in experiment.spec.profiles:
        design = make_design(experiment, profile, device="cpu")
        by_name = {factor.name: factor.levels for factor in design.factors}
        systems = [SystemConfiguration(**level.given) for level in by_name["system"]]
        assert all(system == system.reference for system in systems), "a system is declared as it comes"
        for level in by_name["lever"]:
            lever = Lever(**level.given)
            usable = []
            for system in systems:
                with contextlib.suppress(NotApplicable):
                    usable.append(lever.over(system))
            assert usable, level.name
            assert not (profile == "gpu" and lever.quantise), level.name
            assert not (profile != "gpu" and (lever.graphs or lever.tf32)), level.name


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_of_a_gpu_profile_has_a_ceiling_of_its_own_numbers(name: str) -> None:
    experiment = load_experiment(FOLDER / f"{name}.yaml")
    for profile, model in experiment.spec.profiles.items():
        if model.device != "cuda":
            continue
        design = make_design(experiment, profile, device="cpu")
        levels = {factor.name: [level.given for level in factor.levels] for factor in design.factors}
        systems = [SystemConfiguration(**given) for given in levels["system"]]
        wanted = {probe_dtype(system) for system in systems}
        for lever in (Lever(**given) for given in levels.get("lever", ())):
            for system in systems:
                with contextlib.suppress(NotApplicable):
                    wanted.add(probe_dtype(lever.over(system)))
        rules = [TimingSettings(**level.given) for key, level in design.fixed.items() if key != "threads"]
        assert rules and all(wanted <= set(settings.probe_dtypes) for settings in rules), profile


def test_published_figures_are_those_of_table_6() -> None:
    cost = load_experiment(FOLDER / "vilt-cost.yaml")
    figures = {c.claim.id: c.claim.published.value for c in cost.claims if c.claim.published}
    for slug, (parameters, operations, _) in TABLE_6.items():
        assert figures[f"vilt.cost.parameters.{slug}"] == parameters
        assert figures[f"vilt.cost.flops.{slug}"] == operations
    speed = load_experiment(FOLDER / "vilt-speed.yaml")
    times = speed.spec.report["tables"][0]["columns"][0]["published"]["values"]
    assert times == {slug: milliseconds for slug, (_, _, milliseconds) in TABLE_6.items()}
    derived = {c.claim.id: c.claim.published.value for c in speed.claims if c.claim.published}
    assert derived["vilt.speed.region"] == 900 / 15 and derived["vilt.speed.grid"] == 60 / 15


def test_the_rows_of_table_6_are_levels_under_their_own_names(experiment: Experiment) -> None:
    levels = experiment.spec.factors["system"].levels
    assert isinstance(levels, dict)
    assert set(ROWS) == set(TABLE_6)
    for slug in ROWS:
        assert SystemConfiguration(**levels[slug]) == SystemConfiguration(model=slug)  # type: ignore[arg-type]


def test_the_stages_that_a_share_claims_are_all_of_the_visual_ones() -> None:
    from experiments.vilt.systems import build_system

    claims = {c.claim.id: c.claim for c in load_experiment(FOLDER / "vilt-speed.yaml").claims}
    for name, model in (("region", "uniter-base"), ("linear", "vilt-b32")):
        system = build_system(SystemConfiguration(model=model), device="meta")  # type: ignore[arg-type]
        assert claims[f"vilt.speed.share.{name}"].stages == system.visual_stages  # type: ignore[union-attr]
