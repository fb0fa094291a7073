"""What nobody documents, and somebody sends: shapes, words and numbers that were never agreed on.
Each ends right, or with one item that says what came."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cases_support import Story, all_of, sub

from bergen_loop.domain.returns import Stage

Row = dict[str, Any]
TICKET = "GetReceivingTicketObjectByTicketNo"
LISTED = "GetReceivingStatusesByDate"
BY_PO = "GetReceivingTicketsByPO"


def pages(change: Callable[[list[Row]], Any]) -> Callable[[bytes], bytes]:
    """A rewrite of the returns of a page; what it gives back stands in their place."""

    def rewrite(body: bytes) -> bytes:
        answer = json.loads(body)
        if isinstance(answer, dict) and "returns" in answer:
            given = change(answer["returns"])
            answer["returns"] = answer["returns"] if given is None else given
        return json.dumps(answer).encode()

    return rewrite


def of(return_id: str, change: Callable[[Row], None]) -> Callable[[bytes], bytes]:
    """A rewrite of one return in a page."""
    return pages(lambda rows: [change(r) for r in rows if str(r["id"]) == return_id] and None)


# -- Loop's lists -----------------------------------------------------------------------------


def test_lists_that_php_writes_as_objects_are_lists(story: Story) -> None:
    return_id = story.submit(*story.stock()[:2])

    def number(rows: list[Row]) -> Row | None:
        for row in rows:
            row["line_items"] = {str(2 * n): x for n, x in enumerate(row["line_items"])}
            row["gift_card"] = row["handling_fee"] = ""
        return {str(3 * n): row for n, row in enumerate(rows)} or None

    story.rewrite_bytes("list", pages(number))
    story.ticks(3)
    story.world.receive(return_id)
    story.ticks(4)
    story.settled(return_id)


def test_an_edit_is_seen_behind_a_time_to_come(story: Story) -> None:
    """One answer from a clock that was wrong made all that followed look older: a unit that was
    added was paid though it never came."""
    return_id = story.submit(story.stock()[0])
    story.rewrite_bytes(
        "list", of(return_id, lambda r: r.update(updated_at="2026-11-10T23:00:00Z"))
    )
    story.ticks(3)
    story.heal()
    story.world.change(return_id, "edit", add=1)
    story.ticks(2)
    story.world.receive(return_id)
    story.ticks(4)
    assert story.paid(return_id) == 0
    assert story.look.stage(return_id) is Stage.WAITING


@pytest.mark.parametrize("field", ["created_at", "updated_at"])
def test_a_return_of_a_time_to_come_is_told(story: Story, field: str) -> None:
    return_id = story.submit(*story.stock()[:2])
    story.rewrite_bytes("list", of(return_id, lambda r: r.update({field: "2062-01-01 00:00:00"})))
    story.ticks(2)
    [(kind, why)] = story.told(return_id)
    assert kind == "unreadable"
    assert f"{field} is 2062-01-01, yet to come" in why
    story.heal()
    story.world.change(return_id, "edit", add=0)
    story.ticks(2)
    assert story.told(return_id) == []


@pytest.mark.parametrize("read_before", [True, False])
@pytest.mark.parametrize("older", [True, False])
def test_of_a_return_that_a_page_lists_twice_the_newest_counts(
    story: Story, older: bool, read_before: bool
) -> None:
    return_id = story.announced()

    def twice(rows: list[Row]) -> None:
        for row in [r for r in rows if str(r["id"]) == return_id]:
            other = row | {"line_items": row["line_items"][:1]}
            rows.append(other | ({"updated_at": "2026-11-01T00:00:00Z"} if older else {}))

    story.world.change(return_id, "edit", add=1)
    if read_before:  # in the very bytes in which it is listed again
        story.rewrite_bytes("list", pages(lambda _: None))
        story.ticks(2)
        story.heal()
    story.rewrite_bytes("list", pages(twice))
    story.ticks(2)
    known = len(story.look.row(return_id).content["lines"])
    left = 3 if read_before or older else 2
    assert (known, story.kinds(return_id)) == (left, [] if older else ["unreadable"])


def test_the_end_of_a_list_is_the_end_however_it_is_written(story: Story) -> None:
    return_id = story.submit(*story.stock()[:2])
    story.rewrite("list", sub('"nextPageUrl": ?null', '"nextPageUrl": false'))
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    assert story.told(return_id) == []
    assert story.calls("list") <= 40


# -- Loop's answers to calls ------------------------------------------------------------------


def test_words_that_do_not_refuse_are_no_refusal(story: Story) -> None:
    """Taken for refusals, they asked people to do again what was done."""
    paid, flagged = story.announced(), story.announced()
    for operation in ("process", "flag", "note"):
        story.rewrite(operation, lambda _: '{"message": "Queued for processing."}')
    story.world.receive(paid)
    story.world.receive(flagged, "damaged")
    story.ticks(5)
    story.settled(paid)
    assert story.look.stage(flagged) is Stage.FLAGGED
    assert (story.flags(flagged), len(story.notes(flagged))) == (1, 1)
    assert story.told(flagged) == []


def test_a_return_that_is_flagged_or_processed_already_is_that(story: Story) -> None:
    paid, flagged = story.announced(), story.announced()
    words = '{"message": "Return is %s and therefore cannot be %s."}'
    story.rewrite("flag", lambda _: words % ("flagged", "flagged"))
    story.rewrite("process", lambda _: words % ("processing", "processed"))
    story.world.receive(paid)
    story.world.receive(flagged, "damaged")
    story.ticks(5)
    story.settled(paid)
    assert story.look.stage(flagged) is Stage.FLAGGED
    assert story.told(flagged) == []
    assert len(story.notes(flagged)) == 1


def test_notes_that_never_come_as_notes_are_told(story: Story) -> None:
    """Whether the reason of a flag is in Loop was looked for at every sync, for ever."""
    return_id = story.received("damaged")
    story.world.fault("loop", "timeout_after", operation="note", nth=1)
    story.rewrite("notes", lambda _: "{}")
    story.ticks(4, seconds=1500)
    [(kind, why)] = story.told(return_id)
    assert kind == "note_refused"
    assert all_of([why], "cannot be seen", "a list of notes was expected", "Look in Loop")
    looked = story.calls("notes")
    story.ticks(2)
    assert story.calls("notes") == looked


def test_a_note_that_comes_without_its_text_may_be_ours(story: Story) -> None:
    """Ours was made a second time."""
    return_id = story.received("damaged")
    story.world.fault("loop", "reset_mid_body", operation="note", nth=1)
    story.rewrite("notes", sub('"content": ?"[^"]*"', '"content": null'))
    story.ticks(4, seconds=1500)
    [(kind, why)] = story.told(return_id)
    assert kind == "note_refused"
    assert "without its text" in why
    assert len(story.notes(return_id)) == 1


# -- one cause, one item ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["no token", "html"])
def test_what_a_whole_system_does_is_told_once(story: Story, how: str) -> None:
    """Each step that could do nothing told of itself as well."""
    return_id = story.submit(*story.stock()[:2])
    token, page = "AuthenticationTokenGet", "<html>Service Unavailable</html>"
    tag = f"{token}Result"
    story.rewrite(
        token, sub(f"<{tag}>.*?</{tag}>", f"<{tag} />") if how != "html" else lambda _: page
    )
    story.ticks(12, seconds=900)
    [(kind, _)] = story.told(return_id)
    assert kind == ("unreachable" if how == "html" else "access")
    story.heal()
    story.ticks(6, seconds=1800)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    assert story.told(return_id) == []


FAULT = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>'
    b"soap:Server</faultcode><faultstring>Timeout</faultstring></s:Fault></s:Body></s:Envelope>"
)


@pytest.mark.parametrize(
    ("body", "words"),
    [(FAULT, "SOAP fault"), (b"<html>Maintenance</html>", "no SOAP envelope"),
     (b"", "empty"), (b'{"Message": "An error"}', "no XML")],
)  # fmt: skip
def test_look_ups_that_never_get_an_answer_are_told(story: Story, body: bytes, words: str) -> None:
    """Their returns waited in silence, and were looked for at every sync."""
    return_id = story.submit(*story.stock()[:2])
    story.rewrite_bytes(BY_PO, lambda _: body)
    story.ticks(4, seconds=1800)
    [(kind, why)] = story.told(return_id)
    assert kind == "step_failing"
    assert all_of([why], "ticket look-up calls have failed", words)
    story.heal()
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    assert story.told(return_id) == []


# -- REX11 ------------------------------------------------------------------------------------


def test_a_ticket_that_is_listed_as_finished_and_is_not_is_told(story: Story) -> None:
    """It was read at every sync, for ever, and silently."""
    return_id = story.received()
    story.rewrite(TICKET, sub("(?i)>added ?to ?inventory<", ">PendingPutaway<"))
    story.ticks(10, seconds=600)
    [(kind, why)] = story.told(return_id)
    assert kind == "receipt_unreadable"
    assert all_of([why], "AddedToInventory", "PendingPutaway", "Ask Bergen")
    assert story.calls(TICKET) <= 12
    assert len(story.look.journal(return_id)) <= 8
    story.heal()
    story.ticks(3, seconds=900)
    story.settled(return_id)


@pytest.mark.parametrize("spelled", ["delivered", "DELIVERED"])
def test_a_delivered_parcel_whose_ticket_is_never_listed_is_looked_at(
    story: Story, spelled: str
) -> None:
    """By which date the list of changes goes is documented nowhere: it was awaited in silence."""
    return_id = story.announced()
    element = "ReceivingTicketStatus"
    every = re.compile(f"<{element}>.*</{element}>", re.DOTALL)
    story.rewrite(LISTED, lambda body: every.sub(f"<{element} />", body))
    label = story.in_loop(return_id).label
    assert label is not None
    label.status = spelled
    story.world.change(return_id, "edit", add=0)
    story.world.receive(return_id)
    story.ticks(2, seconds=4 * 86400)
    assert story.calls(TICKET) == 0
    story.ticks(3)
    story.settled(return_id)
    assert story.calls(TICKET) == 1
    story.heal()
    listed = story.received()
    label = story.in_loop(listed).label
    assert label is not None
    label.status = "delivered"
    story.world.change(listed, "edit", add=0)
    story.ticks(3)
    story.settled(listed)  # at once, for the list names it


@pytest.mark.parametrize("number", ["0", "the first one's"])
def test_an_add_that_is_answered_without_a_number_of_its_own_is_looked_up(
    story: Story, number: str
) -> None:
    """Another return's number stopped the whole brand; 0 was waited for."""
    first = story.announced()
    given = story.ticket(first).id if number == "the first one's" else number
    tag = "ReceivingTicketId"
    story.rewrite("ReceivingTicketAdd", sub(f"<{tag}>.*?</{tag}>", f"<{tag}>{given}</{tag}>"))
    second = story.submit(*story.stock()[2:4])
    story.ticks(3)
    assert story.look.stage(second) is Stage.ANNOUNCED
    assert not story.failed
    assert len(story.world.tickets(second)) == 1
    for return_id in (first, second):
        story.world.receive(return_id)
    story.ticks(4)
    story.settled(first, second)


def test_a_look_up_that_gives_another_returns_ticket_is_told(story: Story) -> None:
    """Its ticket says nothing of whose it is, as real ones have come."""
    first = story.announced()
    silent = "<(CustomerPO|AuthorizedNumber)[^>]*>.*?</(CustomerPO|AuthorizedNumber)>"
    story.rewrite(TICKET, sub(silent, ""))
    listed = f"<ReceivingTicketsByPO><string>{story.ticket(first).id}</string>"
    story.rewrite(BY_PO, sub("<ReceivingTicketsByPO ?/>", f"{listed}</ReceivingTicketsByPO>"))
    second, third = story.submit(*story.stock()[2:4]), story.submit(*story.stock()[4:6])
    story.ticks(3)
    assert not story.failed
    for return_id in (second, third):
        [(kind, why)] = story.told(return_id)
        assert kind == "ticket_lookup"
        assert all_of([why], story.ticket(first).id, f"PO LR-{first}", "Ask Bergen")
    assert story.calls("ReceivingTicketAdd") == 1


@pytest.mark.parametrize("answer", ["<Notifications />", "a fault"])
def test_a_product_that_rex11_answers_without_sense_holds_up_its_own_returns(
    story: Story, answer: str
) -> None:
    """It held up every return of the brand."""
    status = "GetStyleMasterProductAddStatus"
    if answer == "a fault":
        story.world.fault("rex11", "soap_fault", operation=status)
    story.rewrite(status, sub("(?s)<Notifications>.*</Notifications>", answer))
    new = story.make(story.stock()[0], sku="NEW", upc="850000009999", shop_barcode="850000009999")
    unknown, known = story.submit(new), story.submit(*story.stock()[2:4])
    story.ticks(3)
    assert not story.failed
    assert story.look.stage(known) is Stage.ANNOUNCED
    assert story.look.stage(unknown) is Stage.SEEN
    if answer != "a fault":  # which may pass
        assert [kind for kind, _ in story.told(unknown)] == ["unknown_product"]


def test_an_inventory_that_faults_for_new_products_does_not_hold_up_known_ones(
    story: Story,
) -> None:
    story.announced(*story.stock()[:2])
    story.world.fault("rex11", "soap_fault", operation="GetInventoryByUPCs")
    known, new = story.submit(*story.stock()[:2]), story.submit(*story.stock()[6:8])
    story.ticks(2)
    assert not story.failed
    assert story.look.stage(known) is Stage.ANNOUNCED
    assert story.look.stage(new) is Stage.SEEN
    story.heal()
    story.ticks(2, seconds=600)
    assert story.look.stage(new) is Stage.ANNOUNCED


def test_a_barcode_in_another_field_is_no_swap(story: Story) -> None:
    first, second = story.announced(story.stock()[0]), story.announced(story.stock()[1])
    for return_id, field in ((first, "Sku"), (second, "Style")):
        for item in story.ticket(return_id).items:
            item.values[field] = item.values["UPC"]
            item.values["UPC"] = ""
            if field == "Style":
                item.values["Sku"] = ""
        story.world.receive(return_id)
    story.ticks(4)
    story.settled(first, second)


def test_a_line_that_an_answer_repeats_is_not_counted_twice(story: Story) -> None:
    """One of two units came, and both were paid."""
    product = story.stock()[0]
    return_id = story.announced(product, product)
    story.world.receive(return_id, "short")
    item = re.compile("<Shipmentitemslist.*?</Shipmentitemslist>", re.DOTALL)
    story.rewrite(TICKET, lambda body: item.sub(lambda found: found[0] * 2, body, count=1))
    story.ticks(4)
    assert story.paid(return_id) == story.flags(return_id) == 0
    [(kind, why)] = story.told(return_id)
    assert kind == "decide_by_hand"
    assert "2 times alike" in why


# -- time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [0.2, 400])
def test_a_clock_that_was_ahead_for_a_moment_is_told_and_holds_nothing_up(
    story: Story, days: float
) -> None:
    """The brand stood still until the clock had got there again, and the words for it were
    "ValueError"."""
    known = story.announced()
    short = story.received("short")
    story.ticks(2)
    assert story.look.stage(short) is Stage.WAITING
    right = story.ctx.now
    story.ctx.now = lambda: story.world.now() + timedelta(days=days)
    story.world.fault("rex11", "soap_fault", operation=LISTED)  # or else the wait ends in it
    story.ticks(2)
    story.ctx.now = right
    story.heal()
    new = story.submit(*story.stock()[:2])
    story.world.receive(known)
    story.failed.clear()
    story.ticks(4)
    story.world.receive(new)
    story.ticks(4)
    story.settled(known, new)
    assert story.failed == []
    assert (story.look.stage(short), story.paid(short)) == (Stage.WAITING, 0)
    due = story.look.row(short).due_at
    assert due and due < story.world.now() + timedelta(days=8)
    [(kind, why)] = story.told(new)
    assert kind == "internal" and f"went back by {24 * days:.1f} hours" in why
