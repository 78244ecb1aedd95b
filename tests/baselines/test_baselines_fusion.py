"""The fusion transformers: fused attention gives the same outputs, and components add up."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from transformers import BertConfig, LxmertConfig, VisualBertConfig

from baselines.fusion import Fusion, LxmertFusion, SingleStream, VisualBertFusion, count_parameters
from baselines.optimise import optimise_fusion
from baselines.vilbert import VilbertFusion

KINDS: dict[str, Callable[[], Fusion]] = {
    "single-stream": lambda: SingleStream(48, box_width=7),
    "visualbert": lambda: VisualBertFusion(48),
    "lxmert": lambda: LxmertFusion(48),
    "vilbert": lambda: VilbertFusion(48),
}


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers and a short vocabulary: every kind of layer remains."""
    small = {"num_hidden_layers": 2, "vocab_size": 100}
    layers = {"l_layers": 1, "r_layers": 1, "x_layers": 2, "vocab_size": 100}
    monkeypatch.setattr("baselines.fusion.BertConfig", partial(BertConfig, **small))
    monkeypatch.setattr("baselines.fusion.VisualBertConfig", partial(VisualBertConfig, **small))
    monkeypatch.setattr("baselines.fusion.LxmertConfig", partial(LxmertConfig, **layers))
    monkeypatch.setattr("baselines.vilbert.BertConfig", partial(BertConfig, **small))
    for name, number in {"TEXT_LAYERS": 3, "VISION_LAYERS": 1, "CO_LAYERS": 1}.items():
        monkeypatch.setattr(f"baselines.vilbert.{name}", number)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("kind", KINDS)
def test_fused_attention_gives_the_same_output(kind: str) -> None:
    torch.manual_seed(0)
    fusion = KINDS[kind]().eval().requires_grad_(False)
    tokens = torch.randint(1, 100, (2, 6))
    features, corners = torch.randn(2, 5, 48), torch.rand(2, 5, 2) / 2
    boxes = torch.cat([corners, corners + 0.4], dim=2)
    components = fusion.parameters_by_component()
    assert sum(components.values()) == count_parameters(fusion)
    with torch.inference_mode():
        naive = fusion(fusion.embed_text(tokens), features, boxes)
        names = {type(module).__name__ for module in fusion.modules()}
        optimise_fusion(fusion)
        fused = fusion(fusion.embed_text(tokens), features, boxes)
    assert naive.shape[0] == 2
    torch.testing.assert_close(fused, naive, rtol=1e-5, atol=1e-5)
    assert not any(name.endswith("SelfAttention") and name.startswith("Bert") for name in _attentions(fusion))
    # torch's own attention module has a fast path that the operation counter does not see.
    assert "MultiheadAttention" not in names
    # The visual side and the boxes reach the output.
    with torch.inference_mode():
        assert not torch.allclose(fusion(fusion.embed_text(tokens), features + 1, boxes), fused)


def _attentions(fusion: Fusion) -> set[str]:
    return {type(module).__name__ for module in fusion.modules() if "Attention" in type(module).__name__}


def test_published_depths() -> None:
    with torch.device("meta"):
        single, lxmert, vilbert = SingleStream(2048, box_width=7), LxmertFusion(2048), VilbertFusion(2048)
    assert single.parameters_by_component()["transformer_layers"] == 12 * 7_087_872
    # LXMERT's 19 layers, those across with two attentions and one block for each side.
    assert lxmert.parameters_by_component()["transformer_layers"] > 24 * 7_087_872
    assert len(vilbert.streams.text) == 12 and len(vilbert.streams.vision) == len(vilbert.streams.co) == 6
