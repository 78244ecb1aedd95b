"""The detector whole, at small sizes: shapes, faithful optimisation, weights, refusals."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines.backbone import BODIES, Body, PyramidBackbone, build_body, plain_backbone
from baselines.detector import STAGES, DetectorPlan, RegionDetector
from baselines.errors import StructureError, WeightsError
from baselines.optimise import fold_batch_norm, optimise_detector
from baselines.weights import load_state

SIZE = (96, 128)
# One block a stage is enough for every path: plain with the stride in the 1x1, grouped with the stride in the 3x3.
SMALL = {
    "small": Body((1, 1, 1, 1)),
    "small-resnext": Body((1, 1, 1, 1), groups=32, width=4, stride_in_1x1=False),
}
PLAN = DetectorPlan(body="small", pyramid=False, proposals=10, regions=4, pre_nms=100, classes=20, attributes=7)


@pytest.fixture(autouse=True)
def small_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, body in SMALL.items():
        monkeypatch.setitem(BODIES, name, body)


def build(plan: DetectorPlan, *, seed: int = 0) -> RegionDetector:
    torch.manual_seed(seed)
    detector = RegionDetector(plan).eval().requires_grad_(False)
    detector.prepare("realistic", SIZE, batch=2, seed=3)
    return detector


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=["C4", "FPN", "ResNeXt-C4"])
def plan(request: pytest.FixtureRequest) -> DetectorPlan:
    changes = {"C4": {}, "FPN": {"pyramid": True}, "ResNeXt-C4": {"body": "small-resnext", "one_box_for_all": True}}
    return replace(PLAN, **changes[request.param])


def test_optimised_equals_naive_and_shapes_are_the_plans(plan: DetectorPlan, pixels: torch.Tensor) -> None:
    marked: list[str] = []
    with torch.inference_mode():
        naive = build(plan)(pixels, marked.append)
        fast = optimise_detector(build(plan), chunk=3)(pixels.to(memory_format=torch.channels_last))
    assert tuple(marked) == STAGES
    assert naive.boxes.shape == (2, 4, 4) and naive.features.shape == (2, 4, plan.features)
    assert torch.equal(naive.boxes, fast.boxes)
    torch.testing.assert_close(fast.features, naive.features, rtol=1e-4, atol=1e-4)
    for name, value in naive.raw.items():
        torch.testing.assert_close(fast.raw[name], value, rtol=1e-3, atol=1e-4)
    assert naive.raw["attributes"].shape == (20, 7)
    assert 0.01 < float(naive.features.std()) < 100  # random weights, yet features of a usable size


def test_vectorised_suppression_selects_the_same_regions(pixels: torch.Tensor) -> None:
    with torch.inference_mode():
        loop = build(PLAN)(pixels)
        vectorised = build(replace(PLAN, nms="per-class-vectorised"))(pixels)
        agnostic = build(replace(PLAN, nms="class-agnostic"))(pixels)
    assert torch.equal(loop.confidences, vectorised.confidences)
    assert torch.equal(loop.boxes, vectorised.boxes)
    assert agnostic.boxes.shape == loop.boxes.shape


def test_it_refuses_without_a_scene_and_for_another_size(pixels: torch.Tensor) -> None:
    torch.manual_seed(0)
    detector = RegionDetector(PLAN).eval()
    with torch.inference_mode():
        with pytest.raises(StructureError, match="prepare"):
            detector(pixels)
        detector.prepare("realistic", SIZE, batch=2, seed=3)
        with pytest.raises(StructureError, match="prepared for"):
            detector(pixels[:, :, :64])


def test_folding_changes_nothing_and_leaves_no_batch_norm() -> None:
    torch.manual_seed(0)
    body = build_body("small")
    for name, buffer in body.named_buffers():
        buffer.copy_(torch.rand_like(buffer) + 0.5 if "var" in name or "weight" in name else torch.randn_like(buffer))
    backbone = plain_backbone(body, last="C5").eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        before = backbone(image)
        fold_batch_norm(backbone)
        after = backbone(image)
    assert before.shape == (1, 2048, 2, 3)
    assert not any("FrozenBatchNorm" in type(module).__name__ for module in backbone.modules())
    assert float((before - after).abs().max() / before.abs().max()) < 1e-4


def test_pyramid_and_strides() -> None:
    plain, grouped = build_body("small"), build_body("small-resnext")
    assert all(BODIES[name].stride_in_1x1 != ("resnext" in name) for name in BODIES)
    assert (plain.layer3[0].conv1.stride, plain.layer3[0].conv2.stride) == ((2, 2), (1, 1))
    assert (grouped.layer3[0].conv1.stride, grouped.layer3[0].conv2.stride) == ((1, 1), (2, 2))
    with torch.inference_mode():
        maps = PyramidBackbone(plain).eval()(torch.randn(1, 3, 100, 130))
    detector = RegionDetector(replace(PLAN, pyramid=True))
    assert tuple(tuple(level.shape[-2:]) for level in maps) == detector.map_sizes((100, 130))


def test_weights_come_back_from_a_file(tmp_path: Path, pixels: torch.Tensor) -> None:
    saved = build(PLAN, seed=5)
    torch.save(saved.state_dict(), tmp_path / "detector.pt")
    other = build(PLAN, seed=6)
    load_state(other, tmp_path / "detector.pt")
    with torch.inference_mode():
        assert torch.equal(saved(pixels).features, other(pixels).features)


def test_weights_that_do_not_fit_are_named_in_one_sentence(tmp_path: Path) -> None:
    module = torch.nn.Linear(3, 2)
    path = tmp_path / "state.pt"
    torch.save({"weight": torch.zeros(2, 4), "scale": torch.zeros(1)}, path)
    with pytest.raises(WeightsError) as caught:
        load_state(module, path)
    message = str(caught.value)
    assert "1 missing (bias)" in message and "1 unexpected (scale)" in message
    assert "weight (2, 4) instead of (2, 3)" in message and "\n" not in message
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="no state dict"):
        load_state(module, path)
    path.write_text("no weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_state(module, path)
    with pytest.raises(WeightsError, match="There is no weights file"):
        load_state(module, tmp_path / "absent.pt")
