"""Eight bits: layers are replaced by torch's own, the outputs stay near, and a torch without them says so."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from baselines.errors import StructureError
from baselines.quantise import quantise_convolutions, quantise_linear

pytestmark = pytest.mark.skipif(torch.backends.quantized.engine in (None, "none"), reason="no kernels for 8 bits here")


class Small(nn.Module):
    """Convolutions, then a linear layer, as in a detector's head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU())
        self.head = nn.Linear(16, 8)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.body(pixels).mean(dim=(2, 3)))
        return out


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def model() -> Small:
    torch.manual_seed(0)
    return Small().eval().requires_grad_(False)


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def test_linear_layers_become_8_bits_and_stay_near(model: Small, pixels: torch.Tensor) -> None:
    exact = model(pixels)
    quantised = quantise_linear(model)
    assert quantised is model and type(model.head).__module__.startswith("torch.ao.nn.quantized.dynamic")
    assert 0 < difference(model(pixels), exact) < 0.02
    assert isinstance(model.body[0], nn.Conv2d), "convolutions are left alone"


def test_convolutions_become_8_bits_with_scales_of_the_run(model: Small, pixels: torch.Tensor) -> None:
    exact = model(pixels)
    quantise_convolutions([(model, "body")], lambda: model(pixels))
    kinds = {type(module).__module__ for module in model.body.modules()}
    assert any(kind.startswith("torch.ao.nn") and "quantized" in kind for kind in kinds)
    assert not any(type(module) is nn.Conv2d for module in model.body.modules())
    assert 0 < difference(model(pixels), exact) < 0.05
    # Scales are fixed: what is far beyond them is cut off.
    beyond = pixels * 100
    torch.manual_seed(0)
    assert difference(model(beyond), Small().eval().requires_grad_(False)(beyond)) > 0.5


def test_a_torch_without_these_tools_says_so(monkeypatch: pytest.MonkeyPatch, model: Small) -> None:
    monkeypatch.setitem(sys.modules, "torch.ao.quantization", None)
    monkeypatch.delattr(torch.ao, "quantization", raising=False)
    with pytest.raises(StructureError, match=r"This torch \(.*\) has no dynamic quantisation to 8 bits: .+\.$"):
        quantise_linear(model)
    assert isinstance(model.head, nn.Linear) and type(model.head) is nn.Linear


def test_a_processor_without_kernels_says_so(monkeypatch: pytest.MonkeyPatch, model: Small) -> None:
    class Engine:
        engine = "none"

    monkeypatch.setattr(torch.backends, "quantized", Engine)
    with pytest.raises(StructureError, match="no kernels for this processor"):
        quantise_linear(model)
