"""Every state that Slurm has for a job is known here, and one that is not known is told apart."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.execution.slurm.states import STATES, UNKNOWN, state_called
from harness.store.endings import ENDINGS, Kind

SQUEUE_22 = """
    BOOT_FAIL CANCELLED COMPLETED CONFIGURING COMPLETING DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PENDING PREEMPTED
    RUNNING RESV_DEL_HOLD REQUEUE_FED REQUEUE_HOLD REQUEUED RESIZING REVOKED SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED
    SUSPENDED TIMEOUT
"""
"""The codes of squeue's manual page, Slurm 22.05."""
SACCT_22 = """
    BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PENDING PREEMPTED RUNNING REQUEUED RESIZING
    REVOKED SUSPENDED TIMEOUT
"""
LATER = "LAUNCH_FAILED POWER_UP_NODE RECONFIG_FAIL UPDATE_DB EXPEDITING"
"""Further states and flags of Slurm 23.02 to 25.11, as the manual pages and the REST interface write them."""
KNOWN = sorted({*SQUEUE_22.split(), *SACCT_22.split(), *LATER.split()})


@pytest.mark.parametrize("name", KNOWN)
def test_every_state_of_the_manual_pages_is_known(name: str) -> None:
    assert state_called(name).phase in ("waiting", "running", "ended")


def test_nothing_else_stands_in_the_table() -> None:
    assert sorted(STATES) == KNOWN


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("CANCELLED by 1000", "CANCELLED"),
        ("CANCELLED+", "CANCELLED"),
        ("cancelled by 0", "CANCELLED"),
        ("completed", "COMPLETED"),
        ("  RUNNING  ", "RUNNING"),
        ("Timeout\n", "TIMEOUT"),
    ],
)
def test_a_state_is_known_in_all_its_spellings(told: str, name: str) -> None:
    assert state_called(told) is STATES[name]


@pytest.mark.parametrize("told", ["", " ", "?", "BRAND_NEW", "UNKNOWN", "RUNNING|RESIZING", "COMPLETEDLY"])
def test_a_state_that_is_not_in_the_table_has_the_phase_unknown(told: str) -> None:
    assert state_called(told) is UNKNOWN
    assert UNKNOWN.phase == "unknown"


@given(st.text())
def test_any_text_at_all_is_a_state_or_unknown(told: str) -> None:
    assert state_called(told).phase in ("waiting", "running", "ended", "unknown")


@pytest.mark.parametrize("name", KNOWN)
def test_every_state_that_ends_has_a_kind_of_failure_and_a_name(name: str) -> None:
    state = STATES[name]
    assert state.kind in ENDINGS
    assert state.kind in get_args(Kind)
    assert bool(state.name) == (state.phase == "ended")


def test_a_state_never_blames_the_trial_itself() -> None:
    # Slurm knows nothing of trials: what it tells came from outside, so the next run tries again.
    assert all(ENDINGS[state.kind].outside for state in STATES.values())


def test_kinds_and_their_table_are_the_same() -> None:
    assert set(get_args(Kind)) == set(ENDINGS)
