"""How long a sweep says it still takes, by a clock that the test sets."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.execution.display import Tally


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "monotonic", found)
    return found


def seen(tally: Tally, clock: Clock, now: float, within: tuple[int, int]) -> float | None:
    clock.now, tally.within = now, {"trial": within}
    return tally.seconds_left()


def test_time_left_follows_the_pace_since_the_first_sign(clock: Clock) -> None:
    tally = Tally(total=1)
    assert tally.seconds_left() is None
    assert seen(tally, clock, 160, (0, 10)) is None
    assert seen(tally, clock, 170, (2, 10)) == pytest.approx(40)
    assert seen(tally, clock, 175, (2, 10)) == pytest.approx(35)
    assert "about 35 s left" in tally.line()


def test_a_trial_that_begins_another_part_has_the_pace_of_that_part(clock: Clock) -> None:
    """Choosing among many arms, then timing the chosen ones: three rounds, then ten."""
    tally = Tally(total=1)
    seen(tally, clock, 100, (0, 3))
    assert seen(tally, clock, 400, (2, 3)) == pytest.approx(150)
    assert seen(tally, clock, 600, (0, 10)) is None
    assert seen(tally, clock, 660, (1, 10)) == pytest.approx(540)


@given(st.lists(st.tuples(st.floats(0.1, 1e4), st.integers(0, 50)), min_size=1, max_size=20))
def test_time_left_is_never_beyond_what_any_pace_explains(steps: list[tuple[float, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(time, "monotonic", clock)
        tally = Tally(total=1)
        for waited, done in steps:
            left = seen(tally, clock, clock.now + waited, (done, 50))
            # At the least one of fifty parts was done since the pace began, so all take fifty times what has passed.
            assert left is None or 0 <= left <= 50 * (clock.now - 100)
