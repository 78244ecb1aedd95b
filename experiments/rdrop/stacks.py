"""Several models of one shape trained side by side: in one call each through ``torch.func``, or one after the other.

Both give the same models to rounding. Which is faster depends on the size: many small models wait for the interpreter,
which is asked once for all of them; large ones fill the processor by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from experiments.rdrop.models import SmallModel
from experiments.rdrop.optimiser_settings import OptimiserSettings
from harness.execution.scalars import gradient_norm, gradient_norms
from harness.execution.streams import Stream

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""Logits and targets of one model to a scalar."""
Laid = Mapping[str, Tensor] | None


class Stack:
    """The interface of both: S models, their optimiser, a step and a pass without gradients."""

    def step(
        self,
        inputs: Tensor,
        targets: Tensor,
        masks: Laid,
        loss: LossFunction,
        rate: float,
        dropout: Sequence[Stream] | None = None,
    ) -> Tensor:
        """Make one step of every model; return the losses [S] before it.

        Args:
            inputs: [S, copies x batch, ...]; ``targets`` [S, batch]; masks [S, copies x batch, ...] by site.
            dropout: a stream a model, for this step, that seeds dropout layers of their own.
        """
        raise NotImplementedError

    def gradient_norms(self) -> Tensor:
        """Return the L2 norm of each model's gradient in the step just made, [S], as it was before any clipping."""
        raise NotImplementedError

    def logits(self, inputs: Tensor, masks: Laid = None, dropout: bool = False) -> Tensor:
        """Return logits [S, count, classes] of the same inputs [count, ...] for every model.

        Args:
            masks: [count, ...] by site, the same for all models; None: without dropout.
            dropout: on in models with dropout layers of their own.
        """
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return what ``resume`` takes: live tensors, to be written down before the next step."""
        raise NotImplementedError

    def resume(self, state: Mapping[str, Any]) -> None:
        raise NotImplementedError


def build_optimiser(parameters: Sequence[Tensor], settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Return an optimiser that treats every number by itself, so that a stack of models is as good as one."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.kind == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=decay)
    # Fused: a call for all parameters, where the usual loop over them is a tenth of a small model's step.
    return torch.optim.AdamW(parameters, lr=rate, betas=settings.betas, weight_decay=decay, fused=True)


class Together(Stack):
    """All models in one call: their parameters lie one behind the other, and ``vmap`` runs over them."""

    def __init__(self, models: Sequence[SmallModel], settings: OptimiserSettings, device: torch.device) -> None:
        if settings.clip is not None:
            raise ValueError("a gradient's length is one model's own, so 'clip' needs models trained one by one")
        self.template = models[0].to(device)
        stacked, _ = torch.func.stack_module_state(list(models))
        self.parameters = {name: value.detach().to(device).requires_grad_() for name, value in stacked.items()}
        self.optimiser = build_optimiser(list(self.parameters.values()), settings)

    def _called(self, parameters: Mapping[str, Tensor], inputs: Tensor, masks: Laid) -> Tensor:
        self.template.masks.current = masks
        try:
            return torch.func.functional_call(self.template, dict(parameters), (inputs,))  # type: ignore[no-any-return]
        finally:
            self.template.masks.current = None

    def step(
        self,
        inputs: Tensor,
        targets: Tensor,
        masks: Laid,
        loss: LossFunction,
        rate: float,
        dropout: Sequence[Stream] | None = None,
    ) -> Tensor:
        if dropout is not None:
            raise ValueError("models with dropout layers of their own are trained one by one")

        def one(parameters: dict[str, Tensor], x: Tensor, y: Tensor, laid: Laid) -> Tensor:
            return loss(self._called(parameters, x, laid), y)

        dimensions = (0, 0, 0, None if masks is None else 0)
        losses = torch.func.vmap(one, in_dims=dimensions)(self.parameters, inputs, targets, masks)
        self.optimiser.zero_grad(set_to_none=True)
        losses.sum().backward()
        _at_rate(self.optimiser, rate).step()
        return losses.detach()  # type: ignore[no-any-return]

    def gradient_norms(self) -> Tensor:
        return gradient_norms(self.parameters.values())

    @torch.no_grad()
    def logits(self, inputs: Tensor, masks: Laid = None, dropout: bool = False) -> Tensor:
        call = torch.func.vmap(self._called, in_dims=(0, None, None))
        return call(self.parameters, inputs, masks)  # type: ignore[no-any-return]

    def state(self) -> dict[str, Any]:
        return {"parameters": self.parameters, "optimiser": self.optimiser.state_dict()}

    def resume(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            for name, value in state["parameters"].items():
                self.parameters[name].copy_(value)
        self.optimiser.load_state_dict(state["optimiser"])


class OneByOne(Stack):
    """Every model in a call of its own, with an optimiser of its own."""

    def __init__(
        self,
        models: Sequence[nn.Module],
        settings: OptimiserSettings,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        pieces: int = 1,
    ) -> None:
        """``pieces``: a batch's examples pass in so many equal parts, each in all its copies; for averaged losses."""
        self.models = [model.to(device) for model in models]
        self.optimisers = [build_optimiser(list(model.parameters()), settings) for model in self.models]
        self.clip = settings.clip
        self._before_clipping: list[Tensor] = []
        self.device = device
        self.precision = precision
        self.pieces = pieces

    def step(
        self,
        inputs: Tensor,
        targets: Tensor,
        masks: Laid,
        loss: LossFunction,
        rate: float,
        dropout: Sequence[Stream] | None = None,
    ) -> Tensor:
        losses = []
        self._before_clipping = []
        for place, (model, optimiser) in enumerate(zip(self.models, self.optimisers, strict=True)):
            model.train()
            own = None if masks is None else {site: mask[place] for site, mask in masks.items()}
            optimiser.zero_grad(set_to_none=True)
            with dropout[place].as_torch_default() if dropout is not None else nullcontext():
                losses.append(self._backward(model, inputs[place], targets[place], own, loss))
            if self.clip is not None:
                self._before_clipping.append(nn.utils.clip_grad_norm_(model.parameters(), self.clip))
            _at_rate(optimiser, rate).step()
        return torch.stack(losses)

    def _backward(self, model: nn.Module, inputs: Tensor, targets: Tensor, masks: Laid, loss: LossFunction) -> Tensor:
        """Add a batch's gradient to the model's, piece by piece, and return its loss."""
        shares = []
        for number in range(self.pieces):
            part = partial(_piece, examples=len(targets), number=number, of=self.pieces)
            laid = None if masks is None else {site: part(mask) for site, mask in masks.items()}
            share = loss(self._called(model, part(inputs), laid), part(targets)) / self.pieces
            share.backward()
            shares.append(share.detach())
        return torch.stack(shares).sum()

    def gradient_norms(self) -> Tensor:
        return torch.stack(self._before_clipping or [gradient_norm(model.parameters()) for model in self.models])

    @torch.no_grad()
    def logits(self, inputs: Tensor, masks: Laid = None, dropout: bool = False) -> Tensor:
        return torch.stack([self._called(model.train(dropout), inputs, masks).float() for model in self.models])

    def _called(self, model: nn.Module, inputs: Tensor, masks: Laid) -> Tensor:
        if isinstance(model, SmallModel):
            model.masks.current = masks
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            try:
                return model(inputs)  # type: ignore[no-any-return]
            finally:
                if isinstance(model, SmallModel):
                    model.masks.current = None

    def state(self) -> dict[str, Any]:
        return {
            "models": [model.state_dict() for model in self.models],
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        for model, kept in zip(self.models, state["models"], strict=True):
            model.load_state_dict(kept)
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)


def _piece(tensor: Tensor, examples: int, number: int, of: int) -> Tensor:
    """Return a part of the examples of [copies x examples, ...], each in all its copies."""
    if of == 1:
        return tensor
    size = examples // of
    return tensor.unflatten(0, (-1, examples))[:, number * size : (number + 1) * size].flatten(0, 1)


def _at_rate(optimiser: torch.optim.Optimizer, rate: float) -> torch.optim.Optimizer:
    for group in optimiser.param_groups:
        group["lr"] = rate
    return optimiser
