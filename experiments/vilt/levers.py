"""Levers: what can be done to a system to make it faster while it computes the same.

Read by the command line, so nothing here imports torch.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from experiments.vilt.configuration import (
    DataType,
    Implementation,
    LinearLibrary,
    MemoryFormat,
    Quantisation,
    Suppression,
    SystemConfiguration,
)

__all__ = ["Lever", "NotApplicable"]

Choice = Literal["all", "float32"]


class NotApplicable(ValueError):
    """A system has no such lever; the message is one sentence."""


class Lever(BaseModel):
    """Fields of a ``SystemConfiguration`` that are laid over a system's own; None leaves a field as it is.

    Or, with ``choose``, none of these but the fastest of the other levers: of all whose outputs agree, or of those that
    round no more coarsely than float32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    implementation: Implementation | None = None
    dtype: DataType | None = None
    compile: bool | None = None
    onednn: bool | None = None
    memory_format: MemoryFormat | None = None
    linear_library: LinearLibrary | None = None
    quantise: Quantisation | None = None
    graphs: bool | None = None
    tf32: bool | None = None
    nms: Suppression | None = None
    choose: Choice | None = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.choose is not None and self.changes:
            raise ValueError(f"a lever that chooses changes nothing itself, but this one sets {min(self.changes)}.")
        return self

    @property
    def changes(self) -> dict[str, object]:
        """What it lays over a configuration."""
        return self.model_dump(exclude_none=True, exclude={"choose"})

    def over(self, system: SystemConfiguration) -> SystemConfiguration:
        """Return ``system`` with this lever.

        Raises:
            NotApplicable: the system has no such lever, or levers that do not go together.
        """
        try:
            return SystemConfiguration(**{**system.model_dump(), **self.changes})
        except ValidationError as error:
            raise NotApplicable(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
