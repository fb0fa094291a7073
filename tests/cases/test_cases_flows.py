"""Things in an order that nobody planned: tickets cancelled and taken up again, labels swapped
between two calls, destinations that move, units that are kept after all."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from cases_support import BRAND, Story

from bergen_loop.domain.criteria import load_criteria, preset_text
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.tables.core import RmaRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.people import actions
from loop_sandbox import parcels, seed, tickets
from loop_sandbox.model import Ticket, TicketItem
from support.brands import configure


def retry(story: Story, kind: str) -> None:
    ctx = story.ctx
    with transaction(ctx.ledger, ctx.brand, ctx.now(), "ada") as tx:
        [item] = [i for i in attention.open_items(tx.session, ctx.brand) if i.kind == kind]
        actions.retry(tx, item, "it has to be")


def ignore(story: Story) -> None:
    """A person leaves all there is alone."""
    ctx = story.ctx
    with transaction(ctx.ledger, ctx.brand, ctx.now(), "ada") as tx:
        for item in attention.open_items(tx.session, ctx.brand):
            actions.ignore(tx, item, "we know")


def tickets_of(story: Story, return_id: str) -> list[Ticket]:
    return sorted(story.world.tickets(return_id), key=lambda t: t.po)


def becomes(story: Story, ticket: Ticket, status: str) -> None:
    with story.world.sandbox.lock:
        tickets.set_status(story.world.sandbox, ticket, status)


def counted(story: Story, ticket: Ticket, *others: Ticket) -> None:
    """Its parcel comes, and the goods of others in it."""
    more = [{"upc": i.values["UPC"], "actual": i.expected} for t in others for i in t.items]
    with story.world.sandbox.lock:
        parcels.receive(story.world.sandbox, ticket, "complete", {"lines": more})


def reopened(story: Story, return_id: str, words: str) -> None:
    """A person opens it again in Loop, and is told once that it was settled."""
    story.world.change(return_id, "reopen")
    story.ticks(4)
    [(need, why)] = story.told(return_id)
    assert need == "conflict"
    assert words in why


def touch(story: Story, return_id: str) -> None:
    with story.world.sandbox.lock:
        story.world.sandbox.touch(story.in_loop(return_id))


def of_two_parcels(story: Story) -> str:
    """A return whose units travel with a label each."""
    return_id = story.submit(*story.stock()[:2])
    return_ = story.in_loop(return_id)
    seed.split_label(return_, story.world.sandbox.dice("second label", return_id))
    assert return_.label
    assert return_.second_label
    first, second = (line.id for line in return_.lines)
    return_.label.lines, return_.second_label.lines = (first,), (second,)
    return return_id


def upcs(story: Story, return_id: str) -> list[str]:
    """What its tickets announce."""
    every = story.world.tickets(return_id)
    return sorted(i.values["UPC"] for t in every if t.status != "Cancelled" for i in t.items)


# -- a ticket is cancelled, and what comes of that --------------------------------------------


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    ("kind", "stage"), [("complete", Stage.COMPLETE), ("damaged", Stage.FLAGGED)]
)
def test_a_finished_ticket_that_is_cancelled_after_its_return_was_settled_is_told(
    story: Story, kind: str, stage: Stage, opened: bool
) -> None:
    """It was silent after a payment; after a flag a new RMA was offered."""
    return_id = story.received(kind)
    story.ticks(5)
    if opened:
        becomes(story, story.ticket(return_id), "CountingInProgress")
        story.ticks(2)
    becomes(story, story.ticket(return_id), "Cancelled")
    story.ticks(3)
    [(need, why)] = story.told(return_id)
    assert need == "corrected"
    assert "was cancelled after the return was settled on its counts" in why
    assert story.look.stage(return_id) is stage


def test_a_needless_ticket_that_is_cancelled_after_a_flag_asks_nobody(story: Story) -> None:
    return_id = of_two_parcels(story)
    story.ticks(3)
    first, second = tickets_of(story, return_id)
    second_upc = second.items[0].values["UPC"]
    with story.world.sandbox.lock:
        found = [{"upc": second_upc, "actual": 1, "damaged": 1}]
        parcels.receive(story.world.sandbox, first, "complete", {"lines": found})
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.FLAGGED
    story.world.cancel_ticket(second.id)
    story.ticks(2)
    assert story.told(return_id) == []


def test_a_cancelled_ticket_that_is_taken_up_again_and_counted_is_judged(story: Story) -> None:
    return_id = story.announced()
    ticket = story.ticket(return_id)
    story.world.cancel_ticket(ticket.id)
    story.ticks(2)
    assert story.kinds(return_id) == ["ticket_cancelled"]
    becomes(story, ticket, "Draft")
    counted(story, ticket)
    story.ticks(5)
    story.settled(return_id)


def test_goods_counted_on_a_ticket_that_was_cancelled_are_not_waited_for_on_the_new_one(
    story: Story,
) -> None:
    """It was flagged after a week: "another parcel did not arrive", though all was there."""
    return_id = story.announced()
    story.world.cancel_ticket(story.ticket(return_id).id)
    story.ticks(2)
    retry(story, "ticket_cancelled")
    story.ticks(2)
    first, _ = tickets_of(story, return_id)
    becomes(story, first, "Draft")
    counted(story, first)
    story.ticks(4)
    assert (story.paid(return_id), story.told(return_id)) == (1, [])


@pytest.mark.parametrize("status", ["Draft", "AddedToInventory"])
def test_no_ticket_takes_the_place_of_one_that_stands_again(story: Story, status: str) -> None:
    """Asked for by a person, before the list of changes has told that it does."""
    return_id = story.announced()
    ticket = story.ticket(return_id)
    story.world.cancel_ticket(ticket.id)
    story.ticks(2)
    becomes(story, ticket, "Draft")
    if status != "Draft":
        story.world.receive(return_id)
    retry(story, "ticket_cancelled")
    story.world.fault("rex11", "status_502", operation="GetReceivingTicketObjectByTicketNo")
    story.ticks(1)
    assert story.look.stage(return_id) is Stage.SEEN, "where it cannot be read, it is waited on"
    story.heal()
    story.ticks(4)
    assert tickets_of(story, return_id) == [ticket]
    if status == "Draft":
        assert story.look.stage(return_id) is Stage.ANNOUNCED
        story.world.receive(return_id)
        story.ticks(4)
    story.settled(return_id)


@pytest.mark.parametrize("cancelled", [0, 1])
def test_the_units_of_one_cancelled_ticket_of_two_are_announced_again(
    story: Story, cancelled: int
) -> None:
    """The item said so, and its retry was refused."""
    return_id = of_two_parcels(story)
    story.ticks(3)
    both, before = tickets_of(story, return_id), upcs(story, return_id)
    counted(story, both[1 - cancelled])
    story.ticks(2)
    story.world.cancel_ticket(both[cancelled].id)
    story.ticks(2)
    retry(story, "ticket_cancelled")
    story.ticks(3)
    assert upcs(story, return_id) == before
    assert story.look.stage(return_id) is Stage.WAITING
    counted(story, tickets_of(story, return_id)[2])
    story.ticks(5)
    story.settled(return_id)


def test_one_ticket_of_two_that_is_cancelled_while_its_return_is_expired_is_made_again(
    story: Story,
) -> None:
    """It was awaited in silence, and flagged as missing."""
    return_id = of_two_parcels(story)
    story.ticks(3)
    before = upcs(story, return_id)
    story.world.change(return_id, "expire")
    story.ticks(1)
    story.world.cancel_ticket(tickets_of(story, return_id)[0].id)
    story.ticks(1)
    story.world.change(return_id, "reopen")
    story.ticks(3)
    assert (upcs(story, return_id), story.told(return_id)) == (before, [])
    assert story.look.stage(return_id) is Stage.ANNOUNCED


def test_one_cancelled_ticket_of_two_whose_goods_came_with_the_other_holds_nothing(
    story: Story,
) -> None:
    return_id = of_two_parcels(story)
    story.ticks(3)
    first, second = tickets_of(story, return_id)
    story.world.cancel_ticket(second.id)
    story.ticks(2)
    assert story.kinds(return_id) == ["ticket_cancelled"]
    counted(story, first, second)
    story.ticks(5)
    story.settled(return_id)


# -- between the intent and the call ----------------------------------------------------------


@pytest.mark.parametrize("first", ["made", "lost"])
def test_labels_that_are_swapped_between_two_calls_leave_each_unit_announced_once(
    story: Story, first: str
) -> None:
    """The first one's goods were announced a second time, and the second one's never."""
    return_id = of_two_parcels(story)
    second = f"LR-{return_id}-2"
    story.world.fault("rex11", "status_502", operation="ReceivingTicketAdd", subject=second)
    if first == "lost":
        story.world.fault("rex11", "reset_mid_body", operation="ReceivingTicketAdd", nth=1)
    story.ticks(1)
    story.heal()
    return_ = story.in_loop(return_id)
    return_.label, return_.second_label = return_.second_label, return_.label
    touch(story, return_id)
    story.ticks(8)
    assert upcs(story, return_id) == sorted(line.product.upc for line in return_.lines)
    for ticket in story.world.tickets(return_id):
        counted(story, ticket)
    story.ticks(5)
    story.settled(return_id)


@pytest.mark.parametrize("arrived", [True, False])
def test_a_return_whose_units_are_kept_after_all_while_its_ticket_is_looked_for(
    story: Story, arrived: bool
) -> None:
    """A ticket that exists is awaited: its parcel came, and nobody was told."""
    return_id = story.submit(*story.stock()[:2])
    lost = "reset_mid_body" if arrived else "timeout_before"
    story.world.fault("rex11", lost, operation="ReceivingTicketAdd", seconds=1.2)
    story.ticks(1)
    story.heal()
    story.world.fault("loop", "record_patch", subject=return_id, patch={"outcome": "keep"})
    touch(story, return_id)
    story.ticks(6)
    assert len(story.world.tickets(return_id)) == arrived
    if not arrived:
        assert story.look.stage(return_id) is Stage.NO_PARCEL
        return
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    counted(story, story.ticket(return_id))
    story.ticks(3)
    assert story.kinds(return_id) == ["decide_by_hand"]
    assert story.paid(return_id) == 0


# -- a destination that moves -----------------------------------------------------------------

_PLACES = {"destinations": {"9": None, "17": "BERGEN LOGISTICS NJ"}, "label_wait": "5h"}


@pytest.mark.parametrize("labelled", [True, False])
def test_a_destination_that_moves_before_the_rma_decides_whether_there_is_one(
    story: Story, labelled: bool
) -> None:
    """Left alone it stayed so, for good; and one that moved away waited in silence."""
    configure(story.ctx, announce=_PLACES)
    story.world.sandbox.settings.update({"label_delay_seconds": 10.0**6})
    return_id = story.submit(late_label=not labelled)
    return_ = story.in_loop(return_id)
    seen = []
    for place in (9, 17, 9) if not labelled else (9, 17):
        return_.destination_id = place
        touch(story, return_id)
        story.ticks(3)
        seen.append(story.look.stage(return_id))
    if labelled:
        assert seen == [Stage.IGNORED, Stage.ANNOUNCED]
    else:
        assert seen == [Stage.IGNORED, Stage.SEEN, Stage.IGNORED]


# -- off, and on again ------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_return_that_was_cancelled_when_its_parcel_came_is_judged_when_it_is_opened_again(
    story: Story, when: str
) -> None:
    """It stayed held, as if it were cancelled still."""
    return_id = story.announced()
    ticket = story.ticket(return_id)
    if when == "after":
        counted(story, ticket)
        story.world.fault("loop", "status_429", operation="process")
        story.ticks(1)
    story.world.change(return_id, "cancel")
    story.ticks(31)
    story.heal()
    if when == "before":
        counted(story, ticket)
        story.ticks(2)
    assert story.look.row(return_id).held
    story.world.change(return_id, "reopen")
    story.ticks(6)
    story.settled(return_id)


def test_a_return_that_we_flagged_is_still_flagged_after_it_was_cancelled(story: Story) -> None:
    """It went to be judged again, and a person was told "settle:... is done as flag"."""
    return_id = story.received("damaged")
    story.ticks(4)
    story.world.change(return_id, "cancel")
    story.ticks(31)
    reopened(story, return_id, "never process after a flag")
    assert story.look.stage(return_id) is Stage.FLAGGED
    story.world.change(return_id, "close")
    story.ticks(3)
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.COMPLETE, [])


@pytest.mark.parametrize(
    ("kind", "action"), [("damaged", "reopen"), ("short", "expire"), ("complete", "reopen")]
)
def test_what_a_person_has_left_alone_is_not_asked_again_for_a_label(
    story: Story, kind: str, action: str
) -> None:
    return_id = story.received(kind)
    story.ticks(5)
    story.world.change(return_id, action)
    story.ticks(3)
    assert story.kinds(return_id) == ["conflict"]
    ignore(story)
    story.world.change(return_id, "label", status="delivered")
    story.ticks(3)
    assert story.told(return_id) == []
    story.world.change(return_id, "expire" if action == "reopen" else "reopen")
    story.ticks(3)
    story.world.change(return_id, action)
    story.ticks(3)
    assert "conflict" in story.kinds(return_id), "it has happened again"


# -- one PO, two tickets ----------------------------------------------------------------------


def test_what_is_missing_on_a_ticket_that_was_split_is_not_flagged_as_missing(
    story: Story,
) -> None:
    """The warehouse has put the other half on a ticket of its own, with the same PO."""
    text = preset_text("standard").replace("wait: 7d", "wait: 2m")
    story.ctx.criteria = load_criteria(text, source="standard.yaml")
    return_id = story.announced()
    ticket, product = story.ticket(return_id), story.in_loop(return_id).lines[1].product
    found = [{"upc": product.upc, "actual": 0}]
    with story.world.sandbox.lock:
        parcels.receive(story.world.sandbox, ticket, "complete", {"lines": found})
        brand = story.world.sandbox.brand(BRAND)
        fields = {"Warehouse": brand.warehouse, "CustomerPO": ticket.po}
        item = TicketItem({"UPC": product.upc, "Style": product.style}, 1, "1")
        half = tickets.add_ticket(story.world.sandbox, brand, fields=fields, items=[item])
        tickets.set_status(story.world.sandbox, half, "AddedToInventory")
    story.world.fault("rex11", "status_502", operation="GetReceivingTicketsByPO")
    story.ticks(5)
    assert story.told(return_id) == [], "where it cannot be seen, it is waited on"
    story.heal()
    story.ticks(6)
    assert story.flags(return_id) == 0
    [(need, why)] = story.told(return_id)
    assert need == "decide_by_hand"
    assert f"may be on another one with its PO {ticket.po}: {half.id} (1 counted" in why
    becomes(story, half, "Cancelled")
    retry(story, "decide_by_hand")
    story.ticks(4)
    assert (story.flags(return_id), story.told(return_id)) == (1, [])


def test_a_ticket_that_was_taken_for_ours_by_mistake_gives_way_to_our_own(story: Story) -> None:
    """Two answers about somebody else's ticket in a row, once, and it was followed."""
    return_id = story.announced()
    ticket, ctx = story.ticket(return_id), story.ctx
    with story.world.sandbox.lock:
        brand = story.world.sandbox.brand(BRAND)
        fields = {"Warehouse": brand.warehouse, "CustomerPO": "Walk-in 7"}
        theirs = tickets.add_ticket(story.world.sandbox, brand, fields=fields, items=ticket.items)
    with transaction(ctx.ledger, ctx.brand, ctx.now(), "test") as tx:
        [rma] = tx.session.scalars(sa.select(RmaRow))
        rma.ticket_id = theirs.id
    story.world.receive(return_id)
    story.ticks(3)
    becomes(story, theirs, "AddedToInventory")
    story.ticks(5)
    story.settled(return_id)
    assert len(story.raw()) == 1, "the answer that was not ours"


def test_the_product_before_does_not_pay_for_one_without_a_barcode(story: Story) -> None:
    return_id = story.announced()
    bare = story.make(story.stock()[5], shop_barcode="")
    with story.world.sandbox.lock:
        story.in_loop(return_id).lines[0].product = bare
        story.world.sandbox.touch(story.in_loop(return_id))
    story.ticks(2)
    story.world.receive(return_id)
    story.ticks(4)
    assert story.paid(return_id) == 0
    assert story.flags(return_id) == 1 or story.told(return_id)


# -- after it was settled ---------------------------------------------------------------------


def recount(story: Story, return_id: str, *damaged: int) -> None:
    """Its ticket is opened and counted anew: all is there, with so many damaged of each item."""
    ticket = story.ticket(return_id)
    lines = [
        {"upc": i.values["UPC"], "actual": i.expected, "damaged": hurt}
        for i, hurt in zip(ticket.items, damaged, strict=True)
    ]
    story.world.reopen_ticket(ticket.id, "none", lines=lines, seconds=100)
    story.ticks(5)


def days(story: Story, count: int) -> None:
    """Days on which nothing is heard of anything."""
    story.ticks(count, seconds=86400.0)


@pytest.mark.parametrize("stage", ["announced", "waiting", "flagged", "complete"])
def test_a_ticket_that_is_opened_and_never_finished_is_told_once_and_lifted_when_it_is(
    story: Story, stage: str
) -> None:
    """It was awaited in silence, until `reconcile` found it 45 days later."""
    kinds = {"waiting": "short", "flagged": "damaged", "complete": "complete"}
    return_id = story.received(kinds[stage]) if stage in kinds else story.announced()
    story.ticks(5)
    assert story.look.stage(return_id) == stage
    ticket = story.ticket(return_id)
    becomes(story, ticket, "CountingInProgress")
    days(story, 2 if stage in kinds else 9)
    assert story.told(return_id) == []
    days(story, 3)
    [(need, why)] = story.told(return_id)
    assert need == "receipt_unreadable"
    assert f"ticket {ticket.id}" in why
    assert "stood still for days: it is CountingInProgress" in why
    retry(story, need)
    story.ticks(2)
    assert story.kinds(return_id) == [need], "it has not moved"
    ignore(story)
    days(story, 25)
    assert story.told(return_id) == [], "a person has left it alone"
    becomes(story, ticket, "AddedToInventory")
    story.ticks(3)
    assert "receipt_unreadable" not in story.kinds(return_id)


@pytest.mark.parametrize("kind", ["short", "damaged", "extra", "wrong", "garbled", "complete"])
def test_what_is_wrong_with_the_parcel_of_a_return_that_others_closed_is_told(
    story: Story, kind: str
) -> None:
    """Money had moved for what did not come, and only the journal knew."""
    return_id = story.announced()
    story.world.change(return_id, "close")
    story.ticks(2)
    story.world.receive(return_id, kind)
    story.ticks(4)
    assert story.look.stage(return_id) is Stage.COMPLETE
    if kind == "complete":
        assert story.told(return_id) == []
        return
    [(need, why)] = story.told(return_id)
    assert need == "corrected"
    assert "was settled, and not by us: now " in why
    if kind == "short":  # all is there after all
        recount(story, return_id, 0, 0)
        assert story.told(return_id) == []


def test_of_two_parcels_of_a_return_that_others_closed_the_first_one_tells_nothing(
    story: Story,
) -> None:
    return_id = of_two_parcels(story)
    story.ticks(3)
    story.world.change(return_id, "close")
    story.ticks(2)
    first, second = tickets_of(story, return_id)
    counted(story, first)
    story.ticks(3)
    assert story.told(return_id) == []
    with story.world.sandbox.lock:
        parcels.receive(story.world.sandbox, second, "short")
    story.ticks(3)
    assert story.kinds(return_id) == ["corrected"]


@pytest.mark.parametrize("how", ["counts", "cancelled"])
@pytest.mark.parametrize("kind", ["complete", "damaged"])
def test_a_correction_that_is_taken_back_asks_nobody_any_more(
    story: Story, kind: str, how: str
) -> None:
    return_id = story.received(kind)
    story.ticks(5)
    ticket = story.ticket(return_id)
    was = [int(i.damaged) for i in ticket.items]
    if how == "counts":
        recount(story, return_id, 1 - was[0], was[1])
    else:
        becomes(story, ticket, "Cancelled")
        story.ticks(2)
    assert story.kinds(return_id) == ["corrected"]
    if how == "counts":
        recount(story, return_id, *was)
    else:
        becomes(story, ticket, "AddedToInventory")
        story.ticks(2)
    assert story.told(return_id) == []


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_return_that_was_paid_and_is_opened_again_is_not_judged_again(
    story: Story, cancelled: bool
) -> None:
    """Cancelled in between it went to be paid again: "settle:... is done as process", settling for
    good. And what was asked stayed on the list when a person had closed it."""
    return_id = story.received()
    story.ticks(5)
    if cancelled:
        story.world.change(return_id, "cancel")
        story.ticks(31)
    reopened(story, return_id, "never settled again by us")
    story.world.change(return_id, "close")
    story.ticks(4)
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.COMPLETE, [])
