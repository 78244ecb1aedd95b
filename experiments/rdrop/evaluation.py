"""Evaluations of a stack on the way, and what is read off them at the best step and at the last."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from experiments.rdrop import metrics
from experiments.rdrop.dropout import MaskDrawer
from experiments.rdrop.stacks import Laid, Stack
from experiments.rdrop.tasks import Examples
from harness.execution.streams import Stream

CHUNK = 256
"""Examples of one pass without gradients: what is computed on stays in a core's cache."""


class Evaluation:
    """Measures every model of a stack on validation and test, and how far dropout moves its outputs.

    Dropout passes are made on the first ``items`` of the test part, with the same masks at every evaluation and for
    every arm of a replicate: those of ``drawer``, or what ``own_dropout`` seeds in models with dropout layers of their
    own; without either none are made. ``noisy`` are the test part with noise on its inputs, by name.
    """

    def __init__(
        self,
        validation: Examples,
        test: Examples,
        drawer: MaskDrawer | None,
        *,
        passes: int = 4,
        items: int = 250,
        own_dropout: Stream | None = None,
        noisy: Mapping[str, Examples] | None = None,
        device: torch.device | None = None,
        chunk: int = CHUNK,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.validation, self.test = validation, test
        self.noisy = noisy or {}
        self.passes, self.items, self.chunk = passes, min(items, len(test)), chunk
        self.masks = drawer.draw(self.items, passes) if drawer is not None else None
        self.own_dropout = own_dropout

    def __call__(self, stack: Stack) -> list[dict[str, float]]:
        """Return a row of metrics a model."""
        found = self._scores(stack, self.validation, "validation_") | self._scores(stack, self.test, "")
        for name, examples in self.noisy.items():
            found[f"accuracy_{name}"] = metrics.accuracy(self._log_p(stack, examples.inputs), self._on(examples))
        if self.masks is not None or self.own_dropout is not None:
            found |= self._dropout(stack)
        rows: list[dict[str, float]] = [{} for _ in next(iter(found.values()))]
        for name, values in found.items():
            for row, value in zip(rows, values.tolist(), strict=True):
                row[name] = value
        return rows

    def _scores(self, stack: Stack, examples: Examples, prefix: str) -> dict[str, Tensor]:
        log_p, targets = self._log_p(stack, examples.inputs), self._on(examples)
        return {
            f"{prefix}accuracy": metrics.accuracy(log_p, targets),
            f"{prefix}nll": metrics.negative_log_likelihood(log_p, targets),
            f"{prefix}ece": metrics.expected_calibration_error(log_p, targets),
        }

    def _dropout(self, stack: Stack) -> dict[str, Tensor]:
        inputs = self.test.inputs[: self.items]
        repeated = inputs.repeat(self.passes, *[1] * (inputs.ndim - 1))
        if self.own_dropout is None:
            log_p = self._log_p(stack, repeated, self.masks)
        else:
            with self.own_dropout.as_torch_default():
                log_p = self._log_p(stack, repeated, dropout=True)
        log_p = log_p.unflatten(1, (self.passes, self.items))
        plain = self._log_p(stack, inputs)
        return {
            "inconsistency": metrics.pass_divergence(log_p),
            "mean_divergence": metrics.mean_divergence(log_p, plain),
            "mean_accuracy": metrics.mean_accuracy(log_p, self.test.targets[: self.items].to(self.device)),
        }

    def _log_p(self, stack: Stack, inputs: Tensor, masks: Laid = None, dropout: bool = False) -> Tensor:
        found = []
        for start in range(0, len(inputs), self.chunk):
            part = slice(start, start + self.chunk)
            laid = None if masks is None else {site: mask[part].to(self.device) for site, mask in masks.items()}
            found.append(stack.logits(inputs[part].to(self.device), laid, dropout).log_softmax(-1))
        return torch.cat(found, 1)

    def _on(self, examples: Examples) -> Tensor:
        return examples.targets.to(self.device)


def readings(course: Sequence[Mapping[str, Any]], model: int, by: str = "validation_accuracy") -> dict[str, float]:
    """Return a model's metrics at its best step, and at the last one with ``_last`` behind the name.

    Best is the evaluation with the highest metric ``by``, the first of equals: as the paper keeps the checkpoint that
    is best on validation data.
    """
    own = [row for row in course if row["model"] == model]
    best = max(own, key=lambda row: row[by])
    found = {name: value for name, value in best.items() if name not in ("model", "step")}
    last = {f"{name}_last": value for name, value in own[-1].items() if name not in ("model", "step")}
    return {"best_step": best["step"], **found, **last}


def nothing(
    names: Sequence[str] = ("accuracy", "nll", "ece", "inconsistency"), by: str = "validation_accuracy"
) -> dict[str, float]:
    """Return NaN for what a diverged training would have been judged by."""
    return {f"{name}{end}": math.nan for name in names for end in ("", "_last")} | {by: math.nan}
