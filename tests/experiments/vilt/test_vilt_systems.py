"""Systems: the mark protocol, shared weights, equal outputs, dtypes, compilation, refusals."""

from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.detector import RegionDetector
from baselines.errors import StructureError, WeightsError
from experiments.vilt import systems
from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.count import count, count_system
from experiments.vilt.rows import ROWS
from experiments.vilt.systems import System, build_system

pytestmark = pytest.mark.usefixtures("shallow")

SMALL: dict[str, Any] = {"image_size": "96x160", "text_tokens": 6}
SMALL_REGION: dict[str, Any] = SMALL | {"proposals": 12, "regions": 5}


def small(model: str, **changes: Any) -> SystemConfiguration:
    base = SMALL_REGION if ROWS[model].embedding == "region" else SMALL
    return SystemConfiguration(model=model, **(base | changes))


def stages_of(system: System) -> list[str]:
    marked: list[str] = []
    system(marked.append)
    return marked


# One of each structure: the other rows differ from these in numbers only, and all eleven are counted elsewhere.
STRUCTURES = ["vilbert", "visualbert", "lxmert", "uniter-base", "vinvl-base", "pixel-bert-x152", "vilt-b32"]


@pytest.mark.parametrize("model", STRUCTURES)
def test_stages_counts_and_outputs_of_both_implementations(model: str) -> None:
    naive = build_system(small(model), seed=4)
    real, meta = count_system(naive), count(small(model))
    assert real.stages == meta.stages and real.parameters == meta.parameters
    assert [stage.name for stage in real.stages] == list(naive.stages)
    assert set(naive.visual_stages) < set(naive.stages) and "text_embedding" not in naive.visual_stages
    facts = naive.check()
    optimised = build_system(small(model, implementation="optimised"), seed=4)
    faster = optimised.check()
    assert faster.numbers == facts.numbers
    torch.testing.assert_close(faster.output, facts.output, rtol=1e-4, atol=1e-4)
    if model in ("uniter-base", "vilt-b32"):
        assert count_system(optimised).stages == meta.stages
    assert optimised.parameters_by_component() == naive.parameters_by_component()
    assert facts.numbers["tokens"] == 6 + naive.configuration.visual_tokens
    if ROWS[model].embedding == "region":
        assert (facts.numbers["proposals"], facts.numbers["regions"]) == (12, 5)


def test_the_seed_decides() -> None:
    one, two, other = (build_system(small("pixel-bert-r50"), seed=seed)() for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    build_system(small("pixel-bert-r50"), seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_batches_and_scenes() -> None:
    pair = build_system(small("uniter-base", batch=2), seed=1)
    assert pair.check().output.shape == (2, 768)
    survivors = {
        scene: build_system(small("uniter-base", scene=scene), seed=1).check().numbers["rpn_survivors"]
        for scene in ("identical", "disjoint")
    }
    assert survivors["identical"] == 1 and survivors["disjoint"] > 500


@pytest.mark.parametrize(
    ("model", "dtype", "implementation"),
    [
        ("vilt-b32", "bfloat16", "naive"),
        ("vilt-b32", "float16", "optimised"),
        ("uniter-base", "bfloat16", "optimised"),
        ("visualbert", "float16", "naive"),
    ],
)
def test_half_precision_stays_finite_and_close(model: str, dtype: str, implementation: str) -> None:
    exact = build_system(small(model), seed=4)()
    rounded = build_system(small(model, dtype=dtype, implementation=implementation), seed=4).check().output
    assert rounded.dtype == getattr(torch, dtype)
    assert float((rounded.float() - exact).abs().max()) < 0.1


@pytest.mark.parametrize("model", ["vilt-b32", "uniter-base"])
def test_compiled_systems_give_the_same_output(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Traced for real, run by eager kernels: the compiler's own code generation is not ours to test, and is slow.
    monkeypatch.setattr(systems, "COMPILER", "aot_eager")
    plain = build_system(small(model, implementation="optimised"), seed=4)
    compiled = build_system(small(model, implementation="optimised", compile=True), seed=4)
    torch.testing.assert_close(compiled.check().output, plain(), rtol=1e-4, atol=1e-4)


def test_the_floor_has_vilts_stages_and_shapes() -> None:
    floor = build_system(small("vilt-b32", implementation="floor"), seed=1)
    assert stages_of(floor) == ["text_embedding", "patch_embedding", "fusion"]
    assert floor.check().numbers["tokens"] == 6 + 1 + 3 * 5


def test_check_refuses_values_that_are_not_finite() -> None:
    system = build_system(small("pixel-bert-r50"), seed=1)
    system.inputs.pixels[0, 0, 0, 0] = float("nan")
    with pytest.raises(StructureError, match="not finite"):
        system.check()


def test_check_refuses_a_wrong_number_of_tokens() -> None:
    system = build_system(small("uniter-base"), seed=1)
    system.configuration = small("uniter-base", regions=4)
    with pytest.raises(StructureError, match="5 visual tokens instead of 4"):
        system.check()


def test_too_many_proposals_for_the_image_are_refused() -> None:
    with pytest.raises(StructureError, match="only"):
        build_system(small("uniter-base", proposals=1000), seed=1)


def test_detector_weights_come_from_a_file(tmp_path: Path) -> None:
    saved = build_system(small("uniter-base"), seed=7)
    detector = saved.model.detector  # type: ignore[union-attr]
    assert isinstance(detector, RegionDetector)
    path = tmp_path / "detector.pt"
    torch.save(detector.state_dict(), path)
    for implementation in ("naive", "optimised"):
        loaded = build_system(small("uniter-base", weights=str(path), implementation=implementation), seed=8)
        assert torch.equal(
            loaded.model.detector.rpn_head.cls_logits.weight.contiguous(),  # type: ignore[union-attr]
            detector.rpn_head.cls_logits.weight,
        )
        loaded.check()
    with pytest.raises(WeightsError, match="do not fit"):
        build_system(small("pixel-bert-r50", weights=str(path)), seed=8)
