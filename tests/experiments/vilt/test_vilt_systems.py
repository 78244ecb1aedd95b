"""Systems: the mark protocol, shared weights, equal outputs, dtypes, compilation, refusals."""

from pathlib import Path
from typing import Any

import pytest
import torch
from graphs_on_host import HostCapture
from torch import nn

from baselines.detector import RegionDetector
from baselines.errors import StructureError, WeightsError
from experiments.vilt import systems
from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.count import count, count_system
from experiments.vilt.rows import ROWS
from experiments.vilt.systems import System, build_system
from harness.measure.equality import outputs_agree

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
USUAL = ["uniter-base", "vilt-b32"]
THOROUGH = [*USUAL, *(pytest.param(model, marks=pytest.mark.slow) for model in STRUCTURES if model not in USUAL)]


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


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("model", THOROUGH)
def test_half_precision_stays_finite_and_close(model: str, dtype: str) -> None:
    """Every structure, on a CPU: suppression and RoIAlign stay in float32, whatever the network computes in."""
    exact = build_system(small(model), seed=4)()
    for implementation in ("naive", "optimised"):
        rounded = build_system(small(model, dtype=dtype, implementation=implementation), seed=4).check().output
        assert rounded.dtype == getattr(torch, dtype)
        assert float((rounded.float() - exact).abs().max()) < 0.1


def runs_8_bits() -> bool:
    return torch.backends.quantized.engine not in (None, "none")


@pytest.mark.skipif(not runs_8_bits(), reason="torch has no kernels for 8 bits here")
@pytest.mark.parametrize(
    ("model", "quantise"),
    [
        ("vilt-b32", "dynamic-int8"),
        pytest.param("lxmert", "dynamic-int8", marks=pytest.mark.slow),
        pytest.param("uniter-base", "static-int8", marks=pytest.mark.slow),
        ("pixel-bert-r50", "static-int8"),
    ],
)
def test_8_bits_stay_within_what_rounding_explains(model: str, quantise: str) -> None:
    exact = build_system(small(model), seed=4)()
    system = build_system(small(model, quantise=quantise, implementation="optimised"), seed=4)
    assert system.parameters_by_component() == build_system(small(model), seed=4).parameters_by_component()
    assert stages_of(system) == list(system.stages)
    found = outputs_agree(system.check().output, exact, torch.int8)
    assert found.agree and found.worst_relative > 1e-4, "it does compute in 8 bits"
    left = [module for module in system.model.modules() if type(module) is torch.nn.Linear]
    assert not left
    convolutions = [module for module in system.model.modules() if type(module) is torch.nn.Conv2d]
    # The proposal head's two outputs for each anchor are no chain of layers, and stay as they are.
    assert quantise != "static-int8" or len(convolutions) == (2 if model == "uniter-base" else 0)


def test_8_bits_are_refused_off_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    system = build_system(small("vilt-b32", implementation="optimised"), device="meta")
    system.configuration = small("vilt-b32", implementation="optimised", quantise="dynamic-int8")
    with pytest.raises(StructureError, match="is for CPUs"):
        systems._quantise(system)


@pytest.mark.parametrize("model", THOROUGH)
def test_graphs_replay_the_same_outputs_request_after_request(model: str) -> None:
    plain = build_system(small(model, implementation="optimised", batch=2), seed=4)
    capture = HostCapture()
    replayed = build_system(small(model, implementation="optimised", batch=2, graphs=True), seed=4, capture=capture)
    first = replayed.check().output
    torch.testing.assert_close(first, plain.check().output, rtol=1e-5, atol=1e-5)
    recorded = capture.captured
    assert recorded > 0
    for system in (plain, replayed):
        system.inputs.pixels.mul_(-0.5)
        system.inputs.tokens.copy_(system.inputs.tokens.flip(0))
    second = replayed()
    torch.testing.assert_close(second, plain(), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(first, second, atol=1e-4), "another request has another answer"
    assert capture.captured == recorded, "nothing is recorded anew for another request of the same shapes"
    assert stages_of(replayed) == list(plain.stages)


def test_all_of_vilt_is_replayed_stage_by_stage() -> None:
    capture = HostCapture()
    system = build_system(small("vilt-b32", implementation="optimised", graphs=True), seed=4, capture=capture)
    outputs = [system() for _ in range(3)]
    assert (capture.captured, capture.replayed) == (3, 9)
    assert all(output is outputs[0] for output in outputs), "a request allocates no output of its own"


def test_graphs_need_a_gpu() -> None:
    with pytest.raises(StructureError, match=r"Graphs are CUDA's: .* cannot run on cpu\.$"):
        build_system(small("vilt-b32", implementation="optimised", graphs=True))


@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
def test_the_layout_is_as_asked_for(layout: str) -> None:
    system = build_system(small("uniter-base", implementation="optimised", memory_format=layout), seed=4)
    wanted = systems.LAYOUTS[layout]
    weight = system.model.detector.backbone.conv1.weight  # type: ignore[union-attr]
    assert weight.is_contiguous(memory_format=wanted) and system.inputs.pixels.is_contiguous(memory_format=wanted)
    exact = build_system(small("uniter-base"), seed=4)()
    torch.testing.assert_close(system(), exact, rtol=1e-4, atol=1e-4)


def test_switches_hold_for_a_request_and_no_longer() -> None:
    seen: list[bool] = []
    system = build_system(small("vilt-b32", implementation="optimised", onednn=False), seed=4)
    system(lambda stage: seen.append(torch.backends.mkldnn.enabled))
    assert seen == [False] * 3 and torch.backends.mkldnn.enabled
    with_it = systems.variant(system, small("vilt-b32", implementation="optimised"))
    with_it(lambda stage: seen.append(torch.backends.mkldnn.enabled))
    assert seen[3:] == [True] * 3 and with_it.model is system.model
    torch.testing.assert_close(with_it(), system(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", ["vilt-b32", pytest.param("uniter-base", marks=pytest.mark.slow)])
def test_onednn_may_compute_linear_layers_too(model: str) -> None:
    plain = build_system(small(model, implementation="optimised"), seed=4)
    library = build_system(small(model, implementation="optimised", linear_library="onednn"), seed=4)
    assert not any(type(module) is nn.Linear for module in library.model.modules())
    assert library.parameters_by_component() == plain.parameters_by_component()
    torch.testing.assert_close(library.check().output, plain(), rtol=1e-5, atol=1e-5)


def test_onednn_is_for_cpus() -> None:
    elsewhere = build_system(small("vilt-b32", implementation="optimised", linear_library="onednn"), device="meta")
    assert any(type(module) is nn.Linear for module in elsewhere.model.modules())


@pytest.mark.parametrize("model", ["vilt-b32", pytest.param("uniter-base", marks=pytest.mark.slow)])
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
