"""What a trial function's annotations say to the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.spec import signature
from harness.spec.signature import resolve

TRIAL = """
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from harness.spec.signature import Placement

Some = Annotated[Mapping[str, int], Field(min_length=1)]


def train(
    *, run: Any, plain: Mapping[str, int], bounded: Some, root: Annotated[str | None, Placement()] = None,
    count: Annotated[int, Field(ge=1)] = 1,
) -> dict[str, Any]:
    return {}
"""


@pytest.fixture
def parameters(tmp_path: Path) -> dict[str, signature.Parameter]:
    (tmp_path / "annotated_trials.py").write_text(TRIAL)
    return dict(resolve("annotated_trials:train", (tmp_path,)).parameters)


def test_a_mapping_with_bounds_can_be_blocked_as_one_without(parameters: dict[str, signature.Parameter]) -> None:
    taken = {name: parameter.takes_mapping for name, parameter in parameters.items()}
    assert taken == {"plain": True, "bounded": True, "root": False, "count": False}
    assert [name for name, parameter in parameters.items() if parameter.placement] == ["root"]


def test_bounds_are_checked(parameters: dict[str, signature.Parameter]) -> None:
    assert parameters["bounded"].check({"a": 1}) == {"a": 1} and parameters["plain"].check({}) == {}
    for name, value in (("bounded", {}), ("count", 0)):
        with pytest.raises(ValidationError):
            parameters[name].check(value)
