"""Photographs and captions: the right shapes, real pictures, the same every time."""

import pytest
import torch

from experiments.vilt.inputs import CAPTIONS, encode_caption, load_inputs, photographs


def test_photographs_are_photographs() -> None:
    pictures = photographs()
    assert pictures.shape == (2, 3, 427, 640)
    assert 0 <= float(pictures.min()) < 0.05 and 0.95 < float(pictures.max()) <= 1
    assert float(pictures.std()) > 0.15


def test_inputs_alternate_and_are_normalised() -> None:
    loaded = load_inputs("linear", (64, 96), batch=3, text_tokens=8)
    assert loaded.pixels.shape == (3, 3, 64, 96) and loaded.tokens.shape == (3, 8)
    assert torch.equal(loaded.pixels[0], loaded.pixels[2]) and not torch.equal(loaded.pixels[0], loaded.pixels[1])
    assert float(loaded.pixels.min()) < -0.5 and float(loaded.pixels.max()) > 0.5
    other = load_inputs("region", (64, 96), batch=1, text_tokens=8)
    assert not torch.allclose(other.pixels[0], loaded.pixels[0])


@pytest.mark.parametrize("length", [2, 3, 16, 40, 128])
def test_captions_fill_their_length(length: int) -> None:
    ids = encode_caption(CAPTIONS[0], length)
    assert len(ids) == length and (ids[0], ids[-1]) == (101, 102)
    assert all(1996 <= word < 30522 for word in ids[1:-1])


def test_caption_ids_do_not_depend_on_the_process() -> None:
    assert encode_caption("the roof", 6) == [101, 23952, 20681, 23952, 20681, 102]
    assert max(encode_caption(CAPTIONS[1], 20, vocabulary=50)) < 50
