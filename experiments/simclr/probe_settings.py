"""How a representation is read out. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProbeSettings(_Settings):
    """A linear classifier on stored representations, standardised by the training images' mean and deviation.

    ``scikit-learn``: logistic regression with L2; ``lbfgs``: the same objective on the device; both by
    ``inverse_regularisation``, scikit-learn's C. ``labelled`` training images are seen, all where it is None.
    """

    kind: Literal["scikit-learn", "lbfgs"] = "scikit-learn"
    inverse_regularisation: float = Field(default=0.1, gt=0)
    maximum_iterations: int = Field(default=300, ge=1)
    labelled: int | None = Field(default=1000, ge=2)
    factors: tuple[str, ...] | None = Field(default=None, description="generating factors that are probed; all if None")


class LinearEvaluationSettings(_Settings):
    """Linear evaluation as in appendix B.6: SGD with Nesterov's momentum on cropped and flipped images.

    No regularisation and no warm-up; the rate is 0.1 x batch / 256. The released code lets the rate fall along half a
    cosine, and so does this.
    """

    epochs: int = Field(default=90, ge=1)
    batch_size: int = Field(default=4096, ge=1)
    learning_rate: float = Field(default=0.1, gt=0, description="at a batch of 256")
    momentum: float = Field(default=0.9, ge=0, lt=1)
