"""Systems that drift, lie for hours or fail partly, and are then as they were: what ends is what
would have ended without it, and what was told of it is lifted."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cases_support import BRAND, Story, sub, unkind
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bergen_loop.domain.returns import Stage
from support import worlds
from support.ledgers import empty_ledger

Row = dict[str, Any]
OBJECT, LIST = "GetReceivingTicketObjectByTicketNo", "GetReceivingStatusesByDate"
ADD, BY_PO = "ReceivingTicketAdd", "GetReceivingTicketsByPO"


def shows(story: Story, change: Callable[[Row], object], operation: str = "list") -> None:
    """Loop shows each return changed."""

    def rewrite(body: bytes) -> bytes:
        answer = json.loads(body)
        answer["returns"] = [row for row in answer["returns"] if change(row) is not False]
        return json.dumps(answer).encode()

    story.rewrite_bytes(operation, rewrite)


def says(code: int, severity: str, message: str) -> Callable[[str], str]:
    """A notification, and no ticket."""
    note = f"<ErrorCode>{code}</ErrorCode><Severity>{severity}</Severity><Message>{message}"
    note = f"<Notifications><Notification>{note}</Message></Notification></Notifications>"

    def change(text: str) -> str:
        text = sub(r"(?s)<Notifications */>|<Notifications>.*</Notifications>", note)(text)
        text = sub(r"(?s)<ReceivingTicketByTicketNo>.*</ReceivingTicketByTicketNo>", "")(text)
        return sub(r"<ReceivingTicketId>[^<]*</ReceivingTicketId>", "")(text)

    return change


def hours(story: Story, count: int) -> None:
    story.ticks(count, seconds=3600)


def drifts(story: Story, for_hours: int = 8) -> None:
    """So it stays for hours, and is then as it was."""
    story.ticks(2)
    hours(story, for_hours)


def well(story: Story, for_hours: int = 4) -> None:
    story.heal()
    hours(story, for_hours)
    story.ticks(3)


# -- Loop's list ------------------------------------------------------------------------------


def paged(row: Row) -> None:
    row["line_items"] = {"data": row["line_items"], "next": None}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: False, id="empty"),
        pytest.param(lambda row: row.update(state="cancelled"), id="another state"),
        pytest.param(paged, id="another shape"),
        pytest.param(lambda row: row.update(id=float(row["id"])), id="no id"),
    ],
)
def test_what_a_list_hid_or_showed_wrong_for_hours_is_taken_in_when_it_is_right_again(
    story: Story, change: Callable[[Row], object]
) -> None:
    """No pull reached back to it: **never announced**, or held or ended for good, by what was
    shown then; items about answers without an id stayed."""
    story.ticks(1)
    shows(story, change)
    return_id = story.submit(*story.stock()[:2])
    drifts(story)
    assert story.world.tickets(return_id) == []
    well(story, 7)
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.ANNOUNCED, [])
    assert len(story.world.tickets(return_id)) == 1


def test_no_walk_that_reaches_far_back_goes_behind_the_first_one(story: Story) -> None:
    """A brand begins with the past that it was connected with."""
    before = story.submit(units=1)
    story.world.advance(30 * 3600)
    hours(story, 8)
    with pytest.raises(AssertionError, match="is not in the ledger"):
        story.look.stage(before)


def test_a_return_that_a_list_showed_open_after_its_flag_is_told_no_more_when_it_is_in_review(
    story: Story,
) -> None:
    """Its item stayed for good."""
    return_id = story.received("damaged")
    story.ticks(3)
    assert story.flags(return_id) == 1
    shows(story, lambda row: row.update(state="open"))
    drifts(story)
    assert story.kinds(return_id) == ["conflict"]
    well(story, 7)
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.FLAGGED, [])
    assert story.flags(return_id) == len(story.notes(return_id)) == 1


@pytest.mark.parametrize(
    ("lost", "operation", "answer", "need"),
    [
        ("flag", "details", b'{"error":{"message":"No return found."}}', "cannot_see"),
        ("note", "notes", b'{"entries":[]}', "note_refused"),
    ],
)
def test_what_became_of_a_call_is_looked_for_until_it_can_be_seen(
    story: Story, lost: str, operation: str, answer: bytes, need: str
) -> None:
    """A person was told, and it was looked for no more."""
    return_id = story.received("damaged")
    story.world.fault("loop", "reset_mid_body", operation=lost, nth=1)
    story.rewrite_bytes(operation, lambda _: answer)
    if lost == "flag":  # else the list tells
        shows(story, lambda row: False if str(row["id"]) == return_id else None)
    drifts(story, 4)
    assert story.kinds(return_id) == [need]
    assert story.calls(operation) <= 24
    well(story, 2)
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.FLAGGED, [])
    assert story.flags(return_id) == len(story.notes(return_id)) == 1


# -- reading tickets --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "need"),
    [
        (says(41, "InvalidAsnError", "Invalid ASN Ticket number"), "receipt_unreadable"),
        (sub(r"(?s)<Shipmentitemslist.*</Shipmentitemslist>", ""), "decide_by_hand"),
        (sub(r"\bActualQuantity\b", "CountedQuantity"), "decide_by_hand"),
    ],
    ids=["no such ticket", "no items", "no counts"],
)
def test_a_ticket_that_rex11_denies_or_shows_in_part_for_hours_is_read_when_it_shows_it(
    story: Story, change: Callable[[str], str], need: str
) -> None:
    """It was read no more: **never settled** without a person's retry."""
    good, bad = story.announced(), story.announced()
    story.rewrite(OBJECT, change)
    story.world.receive(good)
    story.world.receive(bad, "damaged")
    drifts(story, 10)
    assert story.kinds(good) == story.kinds(bad) == [need]
    assert story.calls(OBJECT) <= 32
    well(story, 12)
    story.settled(good)
    assert (story.look.stage(bad), story.told(bad)) == (Stage.FLAGGED, [])
    assert (story.paid(bad), story.flags(bad)) == (0, 1)


def test_a_ticket_that_rex11_never_has_again_is_asked_for_ever_more_rarely(story: Story) -> None:
    return_id = story.received()
    story.rewrite(OBJECT, says(41, "InvalidAsnError", "Invalid ASN Ticket number"))
    hours(story, 24)
    before = story.calls(OBJECT)
    story.ticks(40, seconds=86400)
    assert story.calls(OBJECT) - before <= 32
    assert story.kinds(return_id) == ["receipt_unreadable"]


def test_a_ticket_that_gets_another_number_is_found_by_its_po(story: Story) -> None:
    """It was asked for by its old one, and then no more."""
    return_id = story.received()
    brand = story.world.sandbox.brand(BRAND)
    ticket = story.ticket(return_id)
    moved = replace(ticket, id=f"{ticket.id}9")
    denied = says(41, "InvalidAsnError", "Invalid ASN Ticket number")
    story.rewrite(OBJECT, lambda text: text if brand.tickets.get(moved.id) else denied(text))
    story.ticks(1)
    del brand.tickets[ticket.id]
    brand.tickets[moved.id], brand.tickets_by_po[ticket.po] = moved, [moved.id]
    brand.by_changed = type(brand.by_changed)()
    hours(story, 3)
    story.ticks(3)
    story.settled(return_id)
    assert story.told(return_id) == []


@pytest.mark.parametrize(
    "change",
    [sub("TicketId>", "TicketNumber>"), sub("<TicketStatus>[^<]*<", "<TicketStatus>QC Review<")],
    ids=["no numbers", "unknown status"],
)
def test_what_is_wrong_with_a_whole_list_is_one_item_and_lifted_when_it_is_right(
    story: Story, change: Callable[[str], str]
) -> None:
    """Each line had an item, and all stayed for good."""
    both = [story.announced(), story.announced()]
    for return_id in both:
        story.world.receive(return_id)
    story.rewrite(LIST, change)
    drifts(story, 6)
    assert story.kinds(both[0]) == ["status_unknown"]
    well(story)
    story.settled(*both)
    assert story.told(both[0]) == []


# -- making tickets ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        says(31, "ColorError", "COLOR[item 1] is not valid"),
        says(12, "DataNotValid", "Invalid authentication string"),
    ],
    ids=["refused", "unauthorised"],
)
def test_an_add_that_is_said_to_be_refused_and_was_made_is_not_made_again(
    story: Story, answer: Callable[[str], str]
) -> None:
    """**Made again** after a day; where the token was blamed, twice at every try."""
    story.world.sandbox.settings.update({"po_lookup_delay_seconds": 0.0})
    story.ticks(1)
    story.rewrite(ADD, answer)
    return_id = story.submit(*story.stock()[:2])
    drifts(story)
    well(story, 20)
    assert len(story.world.tickets(return_id)) == 1
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.ANNOUNCED, [])


def test_two_tickets_of_an_add_that_was_said_to_be_refused_are_told(story: Story) -> None:
    """REX11 showed the first one late."""
    story.world.sandbox.settings.update({"po_lookup_delay_seconds": 100.0})
    story.rewrite(ADD, says(12, "DataNotValid", "Invalid authentication string"))
    return_id = story.submit(*story.stock()[:2])
    drifts(story)
    well(story)
    assert len(story.world.tickets(return_id)) == 2
    assert story.kinds(return_id) == ["two_tickets"]


def test_a_look_up_that_finds_no_ticket_at_all_for_hours_has_none_made_again(
    story: Story,
) -> None:
    """**Made again at every try**: two of one PO, then three, four ..."""
    story.announced()
    hours(story, 2)
    story.world.fault("rex11", "reset_mid_body", operation=ADD)
    story.rewrite(BY_PO, sub("<string>[^<]*</string>", ""))
    both = [story.submit(*story.stock()[i : i + 2]) for i in (2, 4)]
    story.ticks(6, seconds=600)
    hours(story, 8)
    assert [len(story.world.tickets(r)) for r in both] == [1, 1]
    assert story.kinds(both[0]) == story.kinds(both[1]) == ["step_failing"]
    well(story)
    assert [len(story.world.tickets(r)) for r in both] == [1, 1]
    for return_id in both:
        assert (story.look.stage(return_id), story.told(return_id)) == (Stage.ANNOUNCED, [])


# -- any of them ------------------------------------------------------------------------------

EXAMPLES = int(os.environ.get("DRIFT_EXAMPLES", "0"))
"""0: a few that are always the same."""
PAGE = b"<!DOCTYPE html><html><body>Maintenance</body></html>"
OPERATIONS = {
    "rex11": ["AuthenticationTokenGet", ADD, BY_PO, LIST, OBJECT, "GetInventoryByUPCs"],
    "loop": ["list", "details", "process", "flag", "note", "notes"],
}
LOST = {"details": ("loop", "process"), "notes": ("loop", "note"), BY_PO: ("rex11", ADD)}
"""What is asked for only after a call whose answer was lost."""
Change = Callable[[bytes], bytes]
WAYS: dict[str, dict[str, Change | None]] = {
    "rex11": {
        "page": lambda _: PAGE,
        "half": lambda body: body[: len(body) // 2],
        "refused": lambda body: says(12, "DataNotValid", "It is not valid")(body.decode()).encode(),
        "denied": lambda body: says(41, "InvalidAsnError", "Invalid")(body.decode()).encode(),
        "nothing": lambda body: says(0, "Success", "Saved")(body.decode()).encode(),
        "stale": None,
    },
    "loop": {
        "page": lambda _: PAGE,
        "half": lambda body: body[: len(body) // 2],
        "unauthorized": lambda _: b'{"errors":"Unauthorized."}',
        "nothing": lambda _: b"[]",
        "empty": lambda _: b"{}",
        "stale": None,
    },
}
drifting = st.sampled_from([*OPERATIONS]).flatmap(
    lambda system: st.tuples(
        st.just(system), st.sampled_from(OPERATIONS[system]), st.sampled_from([*WAYS[system]])
    )
)


@settings(
    max_examples=EXAMPLES or 3,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(drifting, st.integers(0, 8), st.integers(1, 10))
def test_one_answer_that_is_wrong_for_a_while_changes_no_end(
    wrong: tuple[str, str, str], start: int, span: int
) -> None:
    system, operation, way = wrong
    kept: dict[str, bytes] = {}
    change = WAYS[system][way] or (lambda body: kept.setdefault(operation, body))
    with tempfile.TemporaryDirectory() as folder, worlds.serving(settings=unkind()) as world:
        ledger = empty_ledger(Path(folder) / "ledger.db")
        story = Story(world, worlds.context(world, ledger))
        moment = iter(range(10**6))

        def goes_on(count: int, seconds: float) -> None:
            for _ in range(count):
                now = next(moment)
                if now == start:
                    story.rewrite_bytes(operation, change)
                    if operation in LOST:
                        of, call = LOST[operation]
                        world.fault(of, "reset_mid_body", operation=call, nth=1)
                if now == start + span:
                    story.heal()
                story.ticks(1, seconds)

        goes_on(1, 60)
        good, bad = (story.submit(*story.stock()[i : i + 2]) for i in (0, 2))
        goes_on(3, 300)
        for seconds in (1800, 3600, 3600):
            world.receive(good)
            world.receive(bad, "damaged")
            goes_on(4, seconds)
        story.heal()
        for seconds in (3600, 4 * 3600, 40000):
            world.receive(good)
            world.receive(bad, "damaged")
            story.ticks(4, seconds)
        told = story.told(good) + story.told(bad)
        assert [len(world.tickets(r)) for r in (good, bad)] == [1, 1]
        assert (story.paid(bad), story.flags(bad), len(story.notes(bad))) == (0, 1, 1), told
        story.settled(good)
        assert told == []
        assert len(world.sandbox.calls.find(limit=10**6)) <= 260
        ledger.close()
