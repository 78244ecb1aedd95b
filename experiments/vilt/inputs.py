"""What a request consists of: two photographs that scikit-learn ships, and a caption for each."""

import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice

import torch
from sklearn.datasets import load_sample_images
from torch.nn import functional

__all__ = ["CAPTIONS", "Inputs", "encode_caption", "load_inputs", "photographs"]

CAPTIONS = (
    "the golden roof of a chinese temple behind trees under a bright blue sky",
    "a red and orange dahlia in full bloom with dark green leaves around it",
)
"""Of china.jpg and flower.jpg, in this order."""

START, END = 101, 102  # bert-base-uncased's [CLS] and [SEP]
FIRST_WORD, VOCABULARY = 1996, 30522  # where its whole words begin, and its size
NORMALISATION = {
    # transformers' ViltImageProcessor.
    "linear": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    # torchvision's detectors and classifiers.
    "region": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "grid": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@dataclass(frozen=True)
class Inputs:
    """``pixels`` [B, 3, H, W] normalised; ``tokens`` [B, T] ids, all real (no padding)."""

    pixels: torch.Tensor
    tokens: torch.Tensor


@lru_cache(maxsize=1)
def photographs() -> torch.Tensor:
    """Both photographs [2, 3, 427, 640] with values 0 to 1."""
    images = load_sample_images().images
    return torch.stack([torch.from_numpy(image.copy()).permute(2, 0, 1) for image in images]).float() / 255


def encode_caption(caption: str, length: int, *, vocabulary: int = VOCABULARY) -> list[int]:
    """``length`` token ids of a caption: start, words, end, its words repeated until they fill the length.

    A stand-in for WordPiece, whose vocabulary would have to be downloaded: each word's id is a hash of its
    letters, the same on every machine. Times and operations depend on the number of tokens only. Filled up
    with words rather than padding, as the paper counts full lengths.
    """
    first = FIRST_WORD if vocabulary > FIRST_WORD else 0
    ids = [first + zlib.crc32(word.encode()) % (vocabulary - first) for word in caption.lower().split()]
    return [START % vocabulary, *islice(cycle(ids), length - 2), END % vocabulary]


def load_inputs(
    embedding: str, size: tuple[int, int], *, batch: int, text_tokens: int, vocabulary: int = VOCABULARY
) -> Inputs:
    """Inputs for ``size`` (height, width) on the CPU in float32; pair i of the batch is photograph i modulo
    2.

    The photographs are stretched to exactly that size, with antialiasing.
    """
    mean, deviation = (torch.tensor(values)[:, None, None] for values in NORMALISATION[embedding])
    resized = functional.interpolate(photographs(), size, mode="bilinear", antialias=True, align_corners=False)
    chosen = [index % len(CAPTIONS) for index in range(batch)]
    pixels = ((resized - mean) / deviation)[chosen]
    tokens = torch.tensor([encode_caption(CAPTIONS[i], text_tokens, vocabulary=vocabulary) for i in chosen])
    return Inputs(pixels.contiguous(), tokens)
