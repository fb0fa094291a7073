"""Receipts as real warehouses make them: opened again, spelled otherwise, illegible, elsewhere."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from cases_support import Story, all_of, sub

from bergen_loop.domain.criteria import load_criteria, preset_text
from bergen_loop.domain.returns import Stage
from bergen_loop.domain.rma import TicketChange
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import Unavailable
from bergen_loop.people import actions

TICKET = "GetReceivingTicketObjectByTicketNo"
LISTED = "GetReceivingStatusesByDate"
ADDED = "AddedToInventory|addedtoinventory|Added To Inventory"


# -- a final state can be corrected (1, 2, 3) -------------------------------------------------


@pytest.fixture
def impatient(story: Story) -> Story:
    """A brand that flags what is missing after two minutes."""
    text = preset_text("standard").replace("wait: 7d", "wait: 2m")
    story.ctx.criteria = load_criteria(text, source="standard.yaml")
    return story


def test_a_unit_found_after_the_flag_is_noted_in_loop(impatient: Story) -> None:
    story = impatient
    return_id = story.received("short")
    story.ticks(6)
    assert story.look.stage(return_id) is Stage.FLAGGED
    reads = story.calls(TICKET)
    story.world.reopen_ticket(story.ticket(return_id).id, "found", seconds=300)
    story.ticks(3)
    assert story.calls(TICKET) == reads, "an open ticket is not read"
    story.ticks(5)
    assert story.calls(TICKET) == reads + 1
    assert all_of(story.notes(return_id), "Warehouse update after the flag", "2 of 2")
    assert story.kinds(return_id) == ["corrected"]
    assert story.paid(return_id) == 0
    assert story.flags(return_id) == 1


@pytest.mark.parametrize("kind", ["short", "complete"])
def test_a_ticket_finished_once_more_with_the_same_counts_is_no_news(
    impatient: Story, kind: str
) -> None:
    """Neither after a flag nor after a payment: nobody is asked about nothing."""
    story = impatient
    return_id = story.received(kind)
    story.ticks(6)
    before = (story.look.stage(return_id), story.notes(return_id))
    assert before[0] in (Stage.FLAGGED, Stage.COMPLETE)
    reads = story.calls(TICKET)
    story.world.reopen_ticket(story.ticket(return_id).id, "none", seconds=300)
    story.ticks(8)
    assert story.calls(TICKET) > reads
    assert (story.look.stage(return_id), story.notes(return_id)) == before
    assert story.kinds(return_id) == []


@pytest.mark.parametrize("again", ["found", "none"])
def test_nothing_is_paid_on_a_ticket_that_was_opened_again(story: Story, again: str) -> None:
    return_id = story.received()
    story.world.fault("loop", "status_502")
    story.ticks(2)
    story.world.reopen_ticket(story.ticket(return_id).id, again, seconds=3600)
    story.ticks(2)
    story.heal()
    story.ticks(20, seconds=120)
    assert story.paid(return_id) == 0, "the ticket is still open"
    story.ticks(20, seconds=120)
    story.settled(return_id)


@pytest.mark.parametrize(
    "opened", ["CountingInProgress", "countinginprogress", "Counting-In Progress"]
)
def test_a_ticket_opened_and_posted_again_is_judged_on_the_new_count(
    story: Story, opened: str
) -> None:
    return_id = story.received()
    story.world.fault("loop", "status_502")
    story.ticks(2)
    story.rewrite(LISTED, sub("(?i)counting ?in ?progress", opened))
    story.world.reopen_ticket(story.ticket(return_id).id, "damaged", seconds=300)
    story.ticks(2)
    story.heal()
    story.ticks(12, seconds=120)
    assert story.look.stage(return_id) is Stage.FLAGGED
    assert story.flags(return_id) == 1
    assert story.paid(return_id) == 0


def test_a_ticket_opened_again_between_decision_and_call_is_not_paid(story: Story) -> None:
    """The decision is made and its process call refused for now; meanwhile a unit is damaged."""
    return_id = story.received()
    story.world.fault("loop", "status_429", operation="process")
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.SETTLING
    story.world.reopen_ticket(story.ticket(return_id).id, "damaged", seconds=300)
    story.heal()
    story.ticks(10, seconds=120)
    assert story.paid(return_id) == 0
    assert story.look.stage(return_id) is Stage.FLAGGED


def test_a_count_corrected_without_a_word_is_seen_before_a_late_payment(story: Story) -> None:
    return_id = story.received()
    story.world.fault("loop", "status_429", operation="process")
    story.ticks(2)
    story.world.correct_ticket(story.ticket(return_id).id, "damaged")
    story.world.advance(1200)
    story.world.fault("rex11", "status_502", operation=TICKET, count=4)
    story.world.sandbox.faults.rules.pop(0)
    story.ticks(1)
    assert story.paid(return_id) == 0, "it cannot be read just now"
    story.heal()
    story.ticks(10, seconds=120)
    assert story.paid(return_id) == 0
    assert story.look.stage(return_id) is Stage.FLAGGED


def test_a_count_corrected_without_a_word_while_loop_was_away_is_seen_before_it_is_judged(
    story: Story,
) -> None:
    return_id = story.received()
    story.world.fault("loop", "status_502")
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.RECEIVED
    story.world.correct_ticket(story.ticket(return_id).id, "damaged")
    story.world.advance(3600)
    story.heal()
    story.world.fault("rex11", "status_502", operation=TICKET)
    story.ticks(2)
    assert story.flags(return_id) == story.paid(return_id) == 0, "it cannot be read just now"
    story.heal()
    story.ticks(4, seconds=120)
    assert story.look.stage(return_id) is Stage.FLAGGED
    assert story.paid(return_id) == 0


def test_nothing_is_paid_while_rex11_does_not_say_which_tickets_moved(story: Story) -> None:
    return_id = story.received()
    story.world.fault("loop", "status_502")
    story.ticks(1)
    assert story.look.stage(return_id) is Stage.RECEIVED
    story.world.reopen_ticket(story.ticket(return_id).id, "damaged", seconds=300)
    story.heal()
    story.world.fault("rex11", "status_502")
    story.ticks(3)
    assert story.paid(return_id) == 0
    story.heal()
    story.ticks(12, seconds=120)
    assert story.paid(return_id) == 0
    assert story.look.stage(return_id) is Stage.FLAGGED


def test_a_ticket_opened_and_finished_between_two_looks_is_read_again(impatient: Story) -> None:
    """Its status is the same as before; but the list shows it long after it was seen so."""
    story = impatient
    return_id = story.received("short")
    story.ticks(6)
    assert story.look.stage(return_id) is Stage.FLAGGED
    story.ticks(16, seconds=900)
    reads = story.calls(TICKET)
    story.world.reopen_ticket(story.ticket(return_id).id, "found", seconds=10)
    story.world.advance(20)
    story.ticks(6)
    assert story.calls(TICKET) == reads + 1
    assert all_of(story.notes(return_id), "Warehouse update after the flag", "2 of 2")


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_ticket_listed_with_all_its_statuses_is_read_itself(
    story: Story, newest_first: bool
) -> None:
    """One line for each change, in either order: the list does not say how it stands now."""
    return_id = story.announced()
    ticket = story.ticket(return_id).id
    line = f"<ReceivingTicketShipmentStatus><TicketId>{ticket}</TicketId>"
    line += "<TicketStatus>CountingInProgress</TicketStatus><StatusCode>400</StatusCode>"
    line += "</ReceivingTicketShipmentStatus>"
    element = "ReceivingTicketShipmentStatus"
    old, new = f"<{element}>", f"{line}<{element}>"
    if newest_first:
        old, new = f"</{element}>", f"</{element}>{line}"
    story.rewrite(LISTED, sub(old, new, 1), ticket)
    story.world.receive(return_id)
    story.ticks(6, seconds=300)
    story.settled(return_id)
    assert story.calls(TICKET) <= 2
    story.world.reopen_ticket(ticket, "damaged", seconds=60)
    story.ticks(6, seconds=300)
    assert story.kinds(return_id) == ["corrected"]
    assert story.calls(TICKET) <= 6


def test_a_return_is_judged_at_once_when_the_missing_unit_may_be_kept(story: Story) -> None:
    """An edit of that kind leaves the same lines: the unit was waited for in vain."""
    return_id = story.received("short")
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.WAITING
    counts = story.look.view(return_id).compared.skus
    kept = next(s.line_item_ids[0] for s in counts if s.short)

    def keep(body: bytes) -> bytes:
        answer = json.loads(body)
        for line in (x for r in answer["returns"] for x in r["line_items"]):
            line["outcome"] = "keep" if str(line["line_item_id"]) == kept else line["outcome"]
        return json.dumps(answer).encode()

    story.rewrite_bytes("list", keep)
    story.world.change(return_id, "edit", add=0)
    story.ticks(3)
    story.settled(return_id)


def test_a_list_of_changes_that_is_too_long_is_read_in_parts(story: Story) -> None:
    """After days of downtime it got longer with every try: receiving stood still for good."""
    early, late = story.received(), story.announced()
    changed_tickets, asked = story.ctx.warehouse.changed_tickets, list[timedelta]()

    def changed(since: datetime, until: datetime) -> list[TicketChange]:
        asked.append(until - since)
        if until - since > timedelta(days=1):
            raise Unavailable("Timeout expired", system="REX11", brand="northpine", call=LISTED)
        return changed_tickets(since, until)

    story.world.advance(9 * 86400)
    story.world.receive(late)
    story.ctx.warehouse.changed_tickets = changed
    story.ticks(4)
    story.settled(early, late)
    assert story.failed == [] and len(asked) < 50
    assert asked[-1] < timedelta(hours=3), "and then as usual"


def test_a_count_that_says_the_same_again_is_not_noted_twice(story: Story) -> None:
    return_id = story.received("damaged")
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.FLAGGED
    ticket = story.ticket(return_id)
    for comment in ("Looked at", "Looked at again"):
        line = {"upc": ticket.items[0].values["UPC"], "comments": comment}
        story.world.reopen_ticket(ticket.id, "none", seconds=30, lines=[line])
        story.ticks(4)
    notes = story.notes(return_id)
    assert len(notes) == len(set(notes)) == 2


def test_a_ticket_that_is_never_answered_is_told_alone_and_lifted_by_itself(story: Story) -> None:
    bad, good = story.announced(), story.announced()
    number = story.ticket(bad).id
    story.world.fault("rex11", "reset_before", operation=TICKET, subject=number)
    for return_id in (bad, good):
        story.world.receive(return_id)
    story.ticks(18, seconds=1200)
    story.settled(good)
    assert story.look.attention(bad) == [], "it may pass"
    story.ticks(4, seconds=1200)
    [(kind, why)] = story.look.attention(bad)
    assert kind == "receipt_unreadable"
    assert number in why and "though REX11 answers other calls" in why
    before = story.calls(TICKET)
    story.ticks(20)
    assert story.calls(TICKET) - before <= 6, "not at every tick"
    story.heal()
    story.ticks(18)
    story.settled(bad)


# -- answers that are hard to read (4, 5) -----------------------------------------------------

MENDED = {
    "a control character": sub("</UPC>", "</UPC><Comments>like &#x1D; new</Comments>", 1),
    "a null reference": sub("</UPC>", "</UPC><Comments>&#0;</Comments>", 1),
    "half a pair": sub("</UPC>", "</UPC><Comments>&#xD83D;</Comments>", 1),
    "a raw control character": sub("</UPC>", "</UPC><Comments>a\x0bb</Comments>", 1),
    "an entity of HTML": sub("</UPC>", "</UPC><Lot>Cr&eacute;me &nbsp;</Lot>", 1),
    "a bare ampersand": sub("</UPC>", "</UPC><Comments>new & sealed, Q&A</Comments>", 1),
    "a blank line first": lambda text: "\r\n\n" + text,
    "utf-16 declared": sub("utf-8", "utf-16", 1),
}


@pytest.mark.parametrize("how", MENDED)
def test_what_can_be_mended_in_a_ticket_is_read(story: Story, how: str) -> None:
    story.rewrite(TICKET, MENDED[how])
    return_id = story.received()
    story.ticks(4)
    story.settled(return_id)
    assert story.calls(TICKET) <= 2


BROKEN = {
    "an HTML page": lambda text: "<!DOCTYPE html><html><body>Just a moment...</body></html>",
    "half an answer": lambda text: text[: len(text) // 2],
    "nothing": lambda text: "",
    "JSON": lambda text: '{"error": true}',
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_cannot_be_read_in_a_ticket_is_told_with_the_answer_as_it_came(
    story: Story, how: str
) -> None:
    bad, good = story.announced(), story.announced()
    change = BROKEN[how]
    story.rewrite(TICKET, change, about=f"LR-{bad}")
    for return_id in (bad, good):
        story.world.receive(return_id)
    story.ticks(24, seconds=1500)
    story.settled(good)
    assert story.paid(bad) == 0
    [(kind, why)] = story.look.attention(bad)
    assert kind == "receipt_unreadable"
    assert story.ticket(bad).id in why
    assert how == "nothing" or all_of(story.raw(), change("<soap>")[:20])
    assert story.calls(TICKET) <= 20
    story.heal()


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("StatusDescription", "done &#x0B; now"),
        ("StatusDescription", "R & D &nbsp; &#0;"),
        ("StatusCode", "six hundred"),
        ("TicketId", ""),
        ("TicketId", "&#x1D;"),
        ("TicketStatus", ""),
    ],
)
def test_one_bad_line_of_the_statuses_leaves_the_others_alone(
    story: Story, place: str, text: str
) -> None:
    bad, good = story.announced(), story.announced()
    number = story.ticket(bad).id
    end = "</ReceivingTicketShipmentStatus>"
    line = rf"<ReceivingTicketShipmentStatus><TicketId>{number}</TicketId>.*?{end}"

    def spoil(body: str) -> str:
        def change(found: re.Match[str]) -> str:
            kept = re.sub(rf"<{place} />|<{place}>.*?</{place}>", "", found[0])
            return kept.replace(end, f"<{place}>{text}</{place}>{end}")

        return re.sub(line, change, body, flags=re.IGNORECASE)

    story.rewrite(LISTED, spoil)
    for return_id in (bad, good):
        story.world.receive(return_id)
    story.ticks(4)
    story.settled(good)
    assert not story.failed
    if place == "TicketId":
        assert story.paid(bad) == 0
        [(kind, why)] = story.look.brand_attention()
        assert kind == "status_unknown"
        assert "Ask Bergen which ticket this is" in why
        assert story.raw()
        story.heal()
    story.ticks(5, seconds=300)  # where the line does not say how its ticket stands, that does
    story.settled(bad, good)


# -- statuses (6, 7) --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelled", ["addedtoinventory", "ADDEDTOINVENTORY", "Added To Inventory", "added-to_inventory"]
)
def test_a_status_is_the_same_however_it_is_spelled(story: Story, spelled: str) -> None:
    for operation in (TICKET, LISTED):
        story.rewrite(operation, sub(f">(?:{ADDED})<", f">{spelled}<"))
    return_id = story.received()
    story.ticks(4)
    story.settled(return_id)
    assert story.calls(TICKET) == 1


@pytest.mark.parametrize("spelled", ["cancelled", "CANCELLED", "Canceled", " Cancelled "])
def test_a_cancelled_ticket_is_one_however_it_is_spelled(story: Story, spelled: str) -> None:
    for operation in (TICKET, LISTED):
        story.rewrite(operation, sub("(?i)>cancelled<", f">{spelled}<"))
    return_id = story.announced()
    story.world.cancel_ticket(story.ticket(return_id).id)
    story.ticks(2)
    assert story.kinds(return_id) == ["ticket_cancelled"]
    retry(story, return_id)
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    assert len(story.world.tickets(return_id)) == 2


def retry(story: Story, return_id: str) -> None:
    with story.ctx.ledger.write() as session:
        row = story.look.row(return_id)
        tx = Transaction(session, story.ctx.brand, story.ctx.now(), "ada")
        for item in attention.open_items(session, return_pk=row.id):
            actions.retry(tx, item, "looked at")


def test_an_unknown_status_is_told_once(story: Story) -> None:
    for operation in (TICKET, LISTED):
        story.rewrite(operation, sub(f">(?:{ADDED})<", ">Quarantine Hold<"))
    first, second = story.announced(), story.announced()
    for return_id in (first, second):
        story.world.receive(return_id)
    story.ticks(10)
    [(kind, why)] = story.look.brand_attention()
    assert kind == "status_unknown"
    assert "'Quarantine Hold'" in why
    assert "Ask Bergen" in why
    assert story.paid(first) == story.paid(second) == 0
    story.heal()
    story.ticks(4)
    story.settled(first, second)


def test_a_ledger_of_the_release_before_has_raw_names(story: Story) -> None:
    return_id = story.received()
    story.ticks(1)
    assert story.look.stage(return_id) is Stage.CONFIRMING
    with story.ctx.ledger.write() as session:
        raw = (
            "UPDATE rmas SET ticket_status = 'addedtoinventory', read_status = 'Added To Inventory'"
        )
        session.execute(sa.text(raw))
    story.ticks(3)
    story.settled(return_id)


# -- an answer must be about what was asked (15), dates (17), ids (32) -------------------------


def test_an_answer_about_another_ticket_is_not_ours(story: Story) -> None:
    a, b = story.announced(), story.announced(story.stock()[0], story.stock()[1])
    story.world.receive(a, "damaged")
    story.world.receive(b)
    story.world.fault("rex11", "other_ticket", subject=story.ticket(a).id)
    story.ticks(6)
    assert story.paid(a) == 0
    assert story.flags(a) == 0
    [(kind, why)] = story.look.attention(a)
    assert kind in ("receipt_unreadable", "answer_elsewhere")
    assert story.ticket(a).id in why
    assert story.raw()
    story.settled(b)


def test_an_answer_about_another_ticket_once_is_asked_for_again(story: Story) -> None:
    a, b = story.announced(), story.announced()
    story.world.receive(a, "damaged")
    story.world.receive(b)
    story.world.fault("rex11", "other_ticket", subject=story.ticket(a).id, nth=1)
    story.ticks(6)
    assert story.look.stage(a) is Stage.FLAGGED
    assert story.paid(a) == 0
    story.settled(b)


def test_ticket_ids_in_another_case_are_the_same_ticket(story: Story) -> None:
    story.rewrite(LISTED, lambda body: body.replace("WHRTN", "whrtn"))
    return_id = story.received()
    story.ticks(4)
    story.settled(return_id)
