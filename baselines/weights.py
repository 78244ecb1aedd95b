"""Loading a state dict from a file, all or nothing, with one sentence where it does not fit."""

from pathlib import Path

import torch
from torch import nn

from baselines.errors import WeightsError

__all__ = ["load_state"]

SHOWN = 3


def load_state(module: nn.Module, path: str | Path) -> None:
    """Copy the state dict in the file ``path`` into ``module``; names and shapes must fit exactly.

    The file is one that ``torch.save(module.state_dict(), path)`` writes; nothing but tensors is unpickled.
    Raises ``WeightsError`` with one sentence that names the file and what is missing, unexpected or of
    another shape.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"There is no weights file {path}.") from None
    except Exception as error:  # torch raises many kinds for a file that is no state dict
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"The file {path} cannot be read as a state dict: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"The file {path} holds no state dict, that is no mapping of names to tensors.")
    own = module.state_dict()
    faults = [
        _named("missing", sorted(own.keys() - state.keys())),
        _named("unexpected", sorted(state.keys() - own.keys())),
        _named(
            "of another shape",
            [
                f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
                for name in sorted(own.keys() & state.keys())
                if own[name].shape != state[name].shape
            ],
        ),
    ]
    found = [fault for fault in faults if fault]
    if found:
        raise WeightsError(f"The weights in {path} do not fit the model: {'; '.join(found)}.")
    module.load_state_dict(state)


def _named(what: str, names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return f"{len(names)} {what} ({shown})"
