"""Sentence pairs as tokens, a small sequence-to-sequence Transformer on them, and its translations' BLEU.

Words are tokens; both languages share one vocabulary and one embedding, as in the paper's IWSLT protocol. Model and
beam search are the transformers library's BART with random weights, BLEU is sacrebleu's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from experiments.data.procedural_translation import Pairs, ProceduralTranslation
from experiments.rdrop.tasks import Examples
from harness.execution.streams import Stream

PAD, START, END = 0, 1, 2
SPECIAL = ("<pad>", "<s>", "</s>")
NO_TARGET = -100
"""Stands where a target is padding and does not count."""


class Vocabulary:
    """Words of both languages as numbers, behind padding, start and end."""

    def __init__(self, languages: ProceduralTranslation) -> None:
        words = sorted({*languages.source_vocabulary, *languages.target_vocabulary})
        self.words = (*SPECIAL, *words)
        self._numbers = {word: place for place, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def numbers(self, sentence: str) -> list[int]:
        """Return the words of a sentence as numbers, with the end behind them."""
        return [*(self._numbers[word] for word in sentence.split()), END]

    def sentence(self, numbers: Sequence[int]) -> str:
        """Return the words up to the end, without special tokens."""
        kept = list(numbers)
        kept = kept[: kept.index(END)] if END in kept else kept
        return " ".join(self.words[number] for number in kept if number >= len(SPECIAL))


def encoded(pairs: Pairs, vocabulary: Vocabulary) -> Examples:
    """Return pairs as examples: inputs [count, 2, length] of source and of what the decoder is fed (the target behind
    a start), targets [count, length] with ``NO_TARGET`` where there is none."""
    sources = [vocabulary.numbers(sentence) for sentence in pairs.source]
    targets = [vocabulary.numbers(sentence) for sentence in pairs.target]
    length = max(len(numbers) for numbers in [*sources, *targets])
    inputs = torch.full((len(sources), 2, length), PAD)
    wanted = torch.full((len(sources), length), NO_TARGET)
    for place, (source, target) in enumerate(zip(sources, targets, strict=True)):
        inputs[place, 0, : len(source)] = torch.tensor(source)
        inputs[place, 1, : len(target)] = torch.tensor([START, *target[:-1]])
        wanted[place, : len(target)] = torch.tensor(target)
    return Examples(inputs, wanted)


@dataclass(frozen=True)
class TranslatorShape:
    width: int
    layers: int
    heads: int
    feed_forward: int


class Translator(nn.Module):
    """Source and decoder's input [batch, 2, length] to logits [batch, length, vocabulary]."""

    def __init__(self, shape: TranslatorShape, vocabulary: int, length: int, dropout: float, stream: Stream) -> None:
        from transformers import BartConfig, BartForConditionalGeneration

        super().__init__()
        configuration = BartConfig(
            vocab_size=vocabulary,
            d_model=shape.width,
            encoder_layers=shape.layers,
            decoder_layers=shape.layers,
            encoder_attention_heads=shape.heads,
            decoder_attention_heads=shape.heads,
            encoder_ffn_dim=shape.feed_forward,
            decoder_ffn_dim=shape.feed_forward,
            max_position_embeddings=2 * length,
            dropout=dropout,
            attention_dropout=dropout,
            activation_dropout=dropout,
            activation_function="relu",
            pad_token_id=PAD,
            bos_token_id=START,
            eos_token_id=END,
            decoder_start_token_id=START,
            forced_eos_token_id=None,
            forced_bos_token_id=None,
        )
        with stream.as_torch_default():
            self.model: Any = BartForConditionalGeneration(configuration)
        # Names of the library's own defaults, which generation would otherwise warn about.
        self.model.generation_config.num_beams = 1

    def forward(self, x: Tensor) -> Tensor:
        source, before = x.unbind(1)
        found = self.model(
            input_ids=source, attention_mask=(source != PAD).long(), decoder_input_ids=before, use_cache=False
        )
        return found.logits  # type: ignore[no-any-return]

    @torch.no_grad()
    def translate(self, source: Tensor, beams: int, longest: int) -> list[list[int]]:
        """Return translations of sources [count, length] as numbers, by beam search (greedily with one beam)."""
        self.eval()
        found = self.model.generate(
            input_ids=source,
            attention_mask=(source != PAD).long(),
            num_beams=beams,
            do_sample=False,
            max_new_tokens=longest,
            early_stopping=beams > 1,
        )
        return [numbers[1:] for numbers in found.tolist()]


def bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return the corpus BLEU of sacrebleu, 0 to 100; words are separated by spaces already."""
    from sacrebleu.metrics import BLEU

    return float(BLEU(tokenize="none").corpus_score(list(translations), [list(references)]).score)


def best_state(model: nn.Module) -> Mapping[str, Tensor]:
    """Return a copy of a model's weights."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
