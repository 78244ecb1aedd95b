"""Specs and profiles as a file gives them: what is run, over what its results are judged, and what can be profiled.

They stand apart from ``harness.spec.models``, which every trial's code depends on: how claims are judged, or
what a profiler is shown, is no part of what a trial does, so a change here leaves stored results valid.
"""

from __future__ import annotations

from pydantic import Field

from harness.spec.figures import Items
from harness.spec.models import FunctionName, Profile, SpecModel


class JudgedProfile(Profile):
    """A profile that may judge its claims over test items.

    That is for profiles in which the model is fixed, such as a released checkpoint: its randomness is then items,
    classes or data sets, while other profiles of the same spec train replicates.
    """

    items: Items | None = Field(
        default=None, description="claims without items of their own are judged over these test items"
    )


class JudgedSpec(SpecModel):
    """One experiment: a YAML file."""

    profiled: FunctionName | None = Field(
        default=None, description="makes what 'harness profile' runs: arms of a trial that mark their stages"
    )
    profiles: dict[str, JudgedProfile] = Field(min_length=1)  # type: ignore[assignment]
