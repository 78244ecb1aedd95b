"""Decoding, suppression and filling up; and what the synthetic scenes make of them."""

import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from baselines.errors import StructureError
from baselines.proposals import ProposalStage, anchor_generator
from baselines.scene import Scene, SceneKind, make_scene, meta_scene

SIZE = (320, 480)
MAPS = ((20, 30),)


def stage(proposals: int, pre_nms: int = 2000) -> ProposalStage:
    return ProposalStage(strides=(16,), pre_nms=pre_nms, proposals=proposals)


def scene_of(kind: SceneKind, propose: ProposalStage, seed: int = 0) -> Scene:
    return make_scene(kind, propose, MAPS, SIZE, classes=40, batch=2, seed=seed)


def test_anchors_are_torchvisions() -> None:
    image = ImageList(torch.zeros(1, 3, *SIZE), [SIZE])
    theirs = anchor_generator(pyramid=False)(image, [torch.zeros(1, 8, 20, 30)])[0]
    assert torch.equal(stage(10).grid(MAPS, torch.device("cpu")), theirs)


@pytest.mark.parametrize("kind", ["realistic", "disjoint", "identical"])
def test_every_scene_gives_exactly_the_proposals(kind: SceneKind) -> None:
    propose = stage(300)
    scene = scene_of(kind, propose)
    found = propose.candidates(scene.objectness, scene.deltas, MAPS, SIZE)
    boxes, survivors = propose.suppress(found)
    assert boxes.shape == (2, 300, 4)
    assert bool(torch.isfinite(boxes).all())
    assert float(boxes.min()) >= 0 and float(boxes[..., 2].max()) <= SIZE[1] and float(boxes[..., 3].max()) <= SIZE[0]
    assert bool((boxes[..., 2:] > boxes[..., :2]).all())
    if kind == "identical":
        assert survivors == [1, 1]
    elif kind == "disjoint":
        assert survivors == [2000, 2000]
    else:
        assert all(100 < number < 1500 for number in survivors)


def test_filling_up_takes_the_best_of_the_suppressed_without_repeating() -> None:
    propose = stage(40, pre_nms=200)
    scene = scene_of("identical", propose)
    found = propose.candidates(scene.objectness, scene.deltas, MAPS, SIZE)
    kept = propose._fill(torch.tensor([0]), found[0].scores)
    assert len(set(kept.tolist())) == 40
    assert set(kept[1:].tolist()) == set(found[0].scores[1:].topk(39).indices.add(1).tolist())


def test_too_few_candidates_is_an_error_that_says_so() -> None:
    propose = stage(1000, pre_nms=100)
    with pytest.raises(StructureError, match="1000 proposals were asked for, but only 100"):
        scene_of("realistic", propose)


def test_a_scene_is_a_function_of_its_seed() -> None:
    one, two, other = (scene_of("realistic", stage(100), seed) for seed in (1, 1, 2))
    assert torch.equal(one.objectness, two.objectness) and torch.equal(one.posteriors, two.posteriors)
    assert not torch.equal(one.objectness, other.objectness)
    assert not torch.equal(one.objectness[0], one.objectness[1])  # two images of a batch differ


def test_posteriors_are_distributions_with_confident_objects() -> None:
    posteriors = scene_of("realistic", stage(300)).posteriors
    assert posteriors.shape == (2, 300, 41)
    assert torch.allclose(posteriors.sum(dim=2), torch.ones(2, 300))
    assert float(posteriors[..., 1:].max()) > 0.5


def test_pyramid_levels_are_suppressed_apart() -> None:
    propose = ProposalStage(strides=(4, 8, 16, 32, 64), pre_nms=200, proposals=150)
    maps = ((40, 60), (20, 30), (10, 15), (5, 8), (3, 4))
    scene = make_scene("identical", propose, maps, (160, 240), classes=5, batch=1, seed=0)
    found = propose.candidates(scene.objectness, scene.deltas, maps, (160, 240))
    _, survivors = propose.suppress(found)
    assert survivors == [5]  # one identical box a level
    assert found[0].boxes.shape[0] == 200 + 200 + 200 + 120 + 36


def test_meta_scene_has_the_same_shapes() -> None:
    propose = stage(100)
    real = scene_of("realistic", propose)
    meta = meta_scene(propose, MAPS, classes=40, batch=2)
    for name in ("objectness", "deltas", "posteriors"):
        assert getattr(real, name).shape == getattr(meta, name).shape
