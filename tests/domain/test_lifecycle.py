"""What Loop shows, and where it leads: total, and never towards processing."""

from __future__ import annotations

import itertools

import pytest

from bergen_loop.domain.returns import STAGE_MOMENT, LoopState, Stage, Standing, follow_loop

ALL = [
    Standing(stage, rma, receipt, settled, flight)
    for stage, rma, receipt, settled, flight in itertools.product(
        Stage,
        (False, True),
        (False, True),
        (None, "process", "flag", "remove_lines"),
        (False, True),
    )
]


def test_every_stage_has_a_moment() -> None:
    assert set(STAGE_MOMENT) == set(Stage)


@pytest.mark.parametrize("state", LoopState)
def test_no_state_of_loop_leads_into_settling_or_out_of_ignored(state: LoopState) -> None:
    for standing in ALL:
        move = follow_loop(standing, state)
        assert move.stage not in (Stage.SETTLING, Stage.CONFIRMING, Stage.WAITING)
        if standing.stage is Stage.IGNORED:
            assert move.stage is None
        if move.stage is not None:
            assert move.why


def test_closed_always_ends_or_closes() -> None:
    for standing in ALL:
        if standing.stage is Stage.IGNORED:
            continue
        move = follow_loop(standing, LoopState.CLOSED)
        after = move.stage or standing.stage
        if not (standing.rma_in_flight and not standing.has_rma):
            assert after in (Stage.CLOSING, Stage.COMPLETE), standing


def test_what_we_flagged_and_loop_opens_again_never_goes_on_by_itself() -> None:
    for standing in ALL:
        if standing.stage is Stage.FLAGGED:
            move = follow_loop(standing, LoopState.OPEN)
            assert move.stage is None
            assert move.attention


def test_a_receipt_for_a_return_that_is_no_longer_open_is_never_dropped_silently() -> None:
    for state in (LoopState.CANCELLED, LoopState.EXPIRED):
        for stage in (Stage.RECEIVED, Stage.WAITING, Stage.SETTLING):
            standing = Standing(stage, True, True, None)
            assert follow_loop(standing, state).attention, (stage, state)
