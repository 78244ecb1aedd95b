"""Which trials a cell names, in few characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reports.section import ranges


def numbers_of(text: str) -> list[int]:
    """Read a list of runs, as the page's script does."""
    found: list[int] = []
    for run in filter(None, text.split(",")):
        ends, _, step = run.partition("/")
        first, _, last = ends.partition("-")
        found += range(int(first), int(last or first) + 1, int(step or 1))
    return found


@given(st.sets(st.integers(0, 200)).map(sorted))
def test_runs_name_the_numbers_they_were_made_of(numbers: list[int]) -> None:
    assert numbers_of(ranges(numbers)) == numbers


@given(st.integers(0, 100), st.integers(1, 50), st.integers(3, 10_000))
def test_what_is_evenly_spaced_is_one_run(first: int, step: int, count: int) -> None:
    found = ranges(range(first, first + step * count, step))
    assert "," not in found and len(numbers_of(found)) == count


def test_runs_as_people_would_write_them() -> None:
    assert ranges([]) == "" and ranges([4]) == "4" and ranges([4, 5]) == "4-5" and ranges([4, 7]) == "4,7"
    assert ranges([0, 1, 2, 3, 9, 20, 30, 40]) == "0-3,9,20-40/10"
