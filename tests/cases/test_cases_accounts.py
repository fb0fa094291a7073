"""Flows that go on over days: closes that fail, calls without an effect, brands under another name,
clocks that jump or go by another zone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cases_support import BRAND, Story
from test_cases_flows import counted, days, ignore, of_two_parcels, recount, tickets_of

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.rma import CloseEvidence, TicketStatus
from bergen_loop.flow.context import BrandContext
from bergen_loop.outside.errors import (
    NotFound,
    OutcomeUnknown,
    OutsideError,
    Unauthorized,
    Unavailable,
)
from bergen_loop.service import wiring
from support import worlds
from support.brands import configure

# -- closing ----------------------------------------------------------------------------------


@dataclass
class Endpoint:
    """An installation's own way to close RMAs."""

    fails: Callable[[str], type[OutsideError] | None] = lambda _: None
    closed: list[str] = field(default_factory=list[str])

    def close(self, brand: str, ticket: str, status: Any, at: datetime | None) -> CloseEvidence:
        assert status is TicketStatus.ADDED_TO_INVENTORY
        if kind := self.fails(ticket):
            about = {"system": "REX11", "brand": brand, "call": "close", "subject": ticket}
            raise kind("no", **about)
        self.closed.append(ticket)
        return CloseEvidence(True, "taken", at)


@pytest.fixture
def endpoint(story: Story) -> Endpoint:
    made = Endpoint()
    cast("SimpleNamespace", story.ctx.warehouse)._strategy = made
    return made


@pytest.mark.parametrize("kind", [Unavailable, OutcomeUnknown, Unauthorized, NotFound])
def test_closes_that_fail_for_days_are_told_once_and_made_when_they_can_be(
    story: Story, endpoint: Endpoint, kind: type[OutsideError]
) -> None:
    """Out of reach it was silent, for ever; else each return was held until a person's retry."""
    both = [story.announced(), story.announced()]
    for return_id in both:
        story.world.receive(return_id)
    endpoint.fails = lambda _: kind
    story.ticks(4)
    assert [story.told(r) for r in both] == [[], []], "it may pass"
    story.ticks(10, seconds=7200)
    assert story.kinds(both[0]) == story.kinds(both[1]) == ["close_refused"]
    endpoint.fails = lambda _: None
    story.ticks(2, seconds=3600)
    story.settled(*both)
    assert (story.told(both[0]), len(endpoint.closed)) == ([], 2)


def test_one_of_two_rmas_that_cannot_be_closed_does_not_have_the_other_closed_again(
    story: Story, endpoint: Endpoint
) -> None:
    return_id = of_two_parcels(story)
    story.ticks(3)
    first, second = tickets_of(story, return_id)
    counted(story, first)
    counted(story, second)
    endpoint.fails = lambda ticket: OutcomeUnknown if ticket == first.id else None
    story.ticks(6)
    story.ticks(3, seconds=3600)
    endpoint.fails = lambda _: None
    story.ticks(2, seconds=3600)
    story.settled(return_id)
    assert (endpoint.closed, story.told(return_id)) == ([second.id, first.id], [])


def test_an_rma_whose_parcel_is_under_way_is_not_closed(story: Story, endpoint: Endpoint) -> None:
    """With a close of one's own it was, as soon as somebody had closed the return in Loop."""
    return_id = story.announced()
    story.world.change(return_id, "close")
    story.ticks(3)
    assert (story.look.stage(return_id), endpoint.closed) == (Stage.CLOSING, [])
    story.world.receive(return_id)
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.COMPLETE
    assert endpoint.closed == [story.ticket(return_id).id]


@pytest.mark.parametrize("left_alone", [False, True])
def test_what_is_missing_when_somebody_closes_the_return_is_told_and_so_is_what_comes_later(
    story: Story, left_alone: bool
) -> None:
    """Both stood in the journal only."""
    return_id = story.received("short")
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.WAITING
    story.world.change(return_id, "close")
    story.ticks(3)
    [(need, why)] = story.told(return_id)
    assert need == "corrected"
    assert "closed in Loop, and not by us, with 1 of 2 units counted, 1 missing" in why
    if left_alone:
        ignore(story)
        days(story, 9)
        assert story.told(return_id) == []
    recount(story, return_id, 0, 0)
    assert story.kinds(return_id) == (["corrected"] if left_alone else [])
    assert story.look.stage(return_id) is Stage.COMPLETE


def test_a_return_that_loop_shows_expired_after_it_was_paid_is_told(story: Story) -> None:
    return_id = story.received()
    story.ticks(5)
    story.world.change(return_id, "expire")
    story.ticks(3)
    assert story.kinds(return_id) == ["conflict"]
    story.world.change(return_id, "close")
    story.ticks(3)
    story.settled(return_id)


def test_a_destination_that_no_return_waits_for_is_asked_about_no_more(story: Story) -> None:
    configure(story.ctx, announce={"destinations": {"9": "NJ"}})
    return_id = story.submit(*story.stock()[:2])
    story.in_loop(return_id).destination_id = 77
    story.ticks(8, seconds=600)
    assert story.kinds(return_id) == ["destination"]
    story.world.change(return_id, "cancel")
    story.ticks(6, seconds=600)
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.CANCELLED, [])


# -- calls that have no effect for a day ------------------------------------------------------


@pytest.mark.parametrize("operation", ["flag", "note", "ReceivingTicketAdd"])
def test_calls_that_get_errors_for_a_day_are_told_once_and_made_when_they_can_be(
    story: Story, operation: str
) -> None:
    """After five each return was held until a person's retry."""
    adds = operation == "ReceivingTicketAdd"
    both = [story.submit(*story.stock()[:2]) if adds else story.announced() for _ in range(2)]
    story.world.fault("rex11" if adds else "loop", "status_500", operation=operation)
    for return_id in both if not adds else ():
        story.world.receive(return_id, "damaged")
    story.ticks(12, seconds=600)
    story.ticks(10, seconds=7200)
    assert story.kinds(both[0]) == story.kinds(both[1]) == ["step_failing"]
    story.heal()
    story.ticks(3, seconds=3600)
    assert story.told(both[0]) == story.told(both[1]) == []
    for return_id in both:
        assert len(story.world.tickets(return_id)) == 1
        assert story.flags(return_id) == len(story.notes(return_id)) == (not adds)


def test_a_flag_that_gets_errors_while_others_get_through_is_its_returns_own(story: Story) -> None:
    bad = story.announced()
    story.world.receive(bad, "damaged")
    story.world.fault("loop", "status_500", operation="flag", subject=bad)
    story.ticks(14, seconds=600)
    assert story.look.attention(bad) == []
    good = story.received("damaged")
    story.ticks(8, seconds=1800)
    assert story.look.stage(good) is Stage.FLAGGED
    assert story.kinds(bad) == ["no_success"]


def test_calls_that_nothing_needs_any_more_are_told_no_more(story: Story) -> None:
    return_id = story.received("damaged")
    story.world.fault("loop", "status_500", operation="flag")
    story.ticks(12, seconds=600)
    story.ticks(4, seconds=1800)
    assert story.kinds(return_id) == ["step_failing"]
    story.world.change(return_id, "close")
    story.ticks(8, seconds=1800)
    assert story.look.stage(return_id) is Stage.COMPLETE
    assert "step_failing" not in story.kinds(return_id)


# -- accounts ---------------------------------------------------------------------------------


def named(story: Story, name: str, monkeypatch: pytest.MonkeyPatch) -> Story:
    """The same accounts as a brand of another name."""
    real = worlds.brand_settings
    with monkeypatch.context() as patch:
        patch.setattr(worlds, "brand_settings", lambda world, _, **c: real(world, BRAND, **c))
        return Story(story.world, worlds.context(story.world, story.ctx.ledger, name))


@pytest.mark.parametrize(
    ("fault", "kind", "action", "told"),
    [
        ("process_never_ends", "complete", None, "not_confirmed"),
        (None, "damaged", "reopen", "conflict"),
        (None, "damaged", None, None),
    ],
)
def test_a_return_that_was_settled_is_not_settled_again_under_its_brands_new_name(
    story: Story,
    monkeypatch: pytest.MonkeyPatch,
    fault: str | None,
    kind: str,
    action: str | None,
    told: str | None,
) -> None:
    """What Loop had taken was sent once more; what was flagged, and opened, was to be judged."""
    return_id = story.announced()
    if fault:
        story.world.fault("loop", fault)
    story.world.receive(return_id, kind)
    story.ticks(3)
    story.heal()
    if action:
        story.world.change(return_id, action)
    new = named(story, "renamed", monkeypatch)
    new.ticks(4, seconds=600)
    new.ticks(3, seconds=3600)
    assert new.kinds(return_id) == ([told] if told else [])
    assert story.calls("process") + story.calls("flag") == 1
    assert len(story.notes(return_id)) == (kind == "damaged")


def test_nor_under_its_old_name_when_it_has_that_again(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    return_id = story.received("short")
    story.ticks(2)
    new = named(story, "renamed", monkeypatch)
    new.ticks(3)
    story.world.fault("loop", "process_never_ends")
    recount(new, return_id, 0, 0)
    new.ticks(4, seconds=600)
    assert new.look.stage(return_id) is Stage.CONFIRMING
    story.heal()
    days(story, 8)
    story.ticks(3)
    assert story.kinds(return_id) == ["already_settled"]
    assert (story.calls("process"), story.paid(return_id)) == (1, 0)


# -- clocks -----------------------------------------------------------------------------------


def clock_off(ctx: BrandContext, by: timedelta) -> None:
    """This machine's clock is wrong from now on."""
    real = ctx.now
    ctx.now = lambda: real() + by


@pytest.mark.parametrize("operation", ["process", "ReceivingTicketAdd"])
def test_a_call_in_doubt_is_not_made_again_because_the_clock_has_jumped(
    story: Story, operation: str
) -> None:
    """Loop was still at it: **paid twice**; a ticket did not show yet: made twice."""
    settings = story.world.sandbox.settings
    settings.update({"processing_max_seconds": 600.0, "po_lookup_delay_seconds": 100.0})
    settings.update({"processing_min_seconds": 600.0})
    adds = operation == "ReceivingTicketAdd"
    return_id = story.submit(*story.stock()[:2]) if adds else story.received()
    story.world.fault("rex11" if adds else "loop", "reset_mid_body", operation=operation, nth=1)
    story.ticks(1)
    story.heal()
    clock_off(story.ctx, timedelta(days=1))
    story.ticks(4)
    clock_off(story.ctx, timedelta(days=-1))
    story.ticks(20)
    assert story.calls(operation) == 1
    assert len(story.world.tickets(return_id)) == 1
    if not adds:
        story.settled(return_id)


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles"])
def test_receipts_of_a_warehouse_in_another_zone_than_configured_are_found_and_it_is_told(
    story: Story, zone: str
) -> None:
    """Its list was asked for hours that had not come: returns were awaited for ever, in silence."""
    right = story.ctx.warehouse
    story.ticks(1)
    configure(story.ctx, rex11={"time_zone": zone})
    story.ctx.warehouse = wiring.rex11_warehouse(BRAND, story.ctx.settings, worlds.QUICK)
    both = [story.announced(), story.announced()]
    for return_id in both:
        story.world.receive(return_id)
        story.ticks(8, seconds=600)
    story.settled(*both)
    [(need, why)] = story.told(both[0])
    assert need == "configuration"
    assert f"rex11.time_zone ({zone})" in why
    configure(story.ctx, rex11={"time_zone": "America/New_York"})
    story.ctx.warehouse = right
    third = story.received()
    story.ticks(6)
    story.settled(third)
    assert story.told(third) == []
