"""Shallow stand-ins: every path of every system, a twentieth of the weights."""

from functools import partial

import pytest
from transformers import BertConfig, LxmertConfig, ViltConfig, VisualBertConfig

from baselines.backbone import BODIES, Body


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """One block a stage in every residual network, two layers and a thousand words in every transformer."""
    for name, body in BODIES.items():
        small = Body((1, 1, 1, 1), body.groups, min(body.width, 4 if body.groups > 1 else 64), body.stride_in_1x1)
        monkeypatch.setitem(BODIES, name, small)
    two = {"num_hidden_layers": 2, "vocab_size": 1000}
    monkeypatch.setattr("experiments.vilt.systems.VOCABULARY", 1000)
    one_each = {"l_layers": 1, "r_layers": 1, "x_layers": 1, "vocab_size": 1000}
    monkeypatch.setattr("baselines.fusion.BertConfig", partial(BertConfig, **two))
    monkeypatch.setattr("baselines.fusion.VisualBertConfig", partial(VisualBertConfig, **two))
    monkeypatch.setattr("baselines.fusion.LxmertConfig", partial(LxmertConfig, **one_each))
    monkeypatch.setattr("experiments.vilt.model.ViltConfig", partial(ViltConfig, **two))
    monkeypatch.setattr("baselines.vilbert.BertConfig", partial(BertConfig, vocab_size=1000))
    for name, number in {"TEXT_LAYERS": 2, "VISION_LAYERS": 1, "CO_LAYERS": 1}.items():
        monkeypatch.setattr(f"baselines.vilbert.{name}", number)
