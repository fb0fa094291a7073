"""One bad record never holds the rest: any one record of any answer is spoiled in any field."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cases_support import Story, unkind
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.tables.core import WebhookRow
from loop_sandbox.records import ABSENT, put
from support import worlds
from support.ledgers import empty_ledger

EXAMPLES = int(os.environ.get("SPOILED_EXAMPLES", "0"))
"""0: a few that are always the same. `make soak` asks for many."""
MORE_CALLS = 40
"""So many more calls one bad record may cost in all, however many the others are."""

FIELDS = [
    "state", "created_at", "updated_at", "edited_at", "order_id", "order_name", "outcome",
    "total", "currency", "customer", "carrier", "tracking_number", "label_status", "labels",
    "labels.0.line_items", "labels.0.tracking_number", "destination_id", "return_method",
    "return_total", "refund", "line_items", "line_items.0", "line_items.0.line_item_id",
    "line_items.0.sku", "line_items.0.barcode", "line_items.0.title", "line_items.0.price",
    "line_items.0.refund", "line_items.0.outcome", "line_items.0.return_comment",
    "line_items.0.exchange_variant", "line_items.1.line_item_id",
]  # fmt: skip
NO_ID: list[Any] = [ABSENT, None, "", " ", "\x0b", 1.5, float("nan"), True, [], {"a": 1}]
"""A return with another word for its id is another return, as far as anyone can tell."""
VALUES: list[Any] = [
    ABSENT, None, "", " ", "x", "\x0b", "\x00", "A\x1dB", "\ud800", "\u200b", "N/A", "NaN", "1e999",
    -1, 0, 10**30, 1.5, float("nan"), float("inf"), True, [], [None], {}, {"a": 1}, "x" * 3000,
    "0001-01-01 00:00:00",
]  # fmt: skip
ELEMENTS = [
    "CustomerPO", "ReceivingStatus", "Sku", "UPC", "Style", "Color", "Size", "ExpectedQuantity",
    "ActualQuantity", "DamagedQuantity", "Comments", "CreatedDate", "AddedToInventoryDate",
]  # fmt: skip
LINE = ["TicketStatus", "StatusCode", "StatusDescription"]
NO_TICKET = [None, "", " ", "&#x1D;", "&#0;", "\x0b"]
"""A line with another word for its number is about another ticket, as far as anyone can tell."""
NOTES = ["notes", "notes.0", "notes.0.content", "notes.0.created_at", "notes.0.return_id"]
STATUS = ["ErrorCode", "Severity", "Message", "Notification"]
STOCK = ["Sku", "Style", "Color", "Size", "Upc", "Price", "ActualQuantity"]
TEXTS = [
    None, "", " ", "x", "&#x1D;", "&#0;", "\x0b", "a & b", "&eacute;", "&lt;b&gt;", "NaN", "1e999",
    "-1", "99999999999999999999", "1.5", "2 pcs", "1/1/0001", "\u200b", "x" * 3000,
]  # fmt: skip


@dataclass(frozen=True)
class Spoil:
    """What of the victim is spoiled, where, with what."""

    operation: str
    field: str
    value: Any
    late: bool
    """Only after its RMA is made."""
    damaged: bool
    """Its parcel has damage: then nothing is ever to be paid."""


spoils = st.one_of(
    st.builds(Spoil, st.just("list"), st.sampled_from(FIELDS), st.sampled_from(VALUES),
              st.booleans(), st.booleans()),
    st.builds(Spoil, st.just("GetReceivingTicketObjectByTicketNo"), st.sampled_from(ELEMENTS),
              st.sampled_from(TEXTS), st.just(True), st.booleans()),
    st.builds(Spoil, st.just("GetReceivingStatusesByDate"), st.sampled_from(LINE),
              st.sampled_from(TEXTS), st.just(True), st.booleans()),
    st.builds(Spoil, st.just("GetReceivingStatusesByDate"), st.just("TicketId"),
              st.sampled_from(NO_TICKET), st.just(True), st.booleans()),
    st.builds(Spoil, st.just("GetInventoryByUPCs"), st.sampled_from(STOCK),
              st.sampled_from(TEXTS), st.just(False), st.booleans()),
    st.builds(Spoil, st.just("list"), st.just("id"), st.sampled_from(NO_ID),
              st.booleans(), st.booleans()),
    st.builds(Spoil, st.just("details"), st.sampled_from(FIELDS), st.sampled_from(VALUES),
              st.just(True), st.booleans()),
    st.builds(Spoil, st.just("notes"), st.sampled_from(NOTES),
              st.sampled_from(VALUES), st.just(True), st.just(True)),
    st.builds(Spoil, st.just("GetStyleMasterProductAddStatus"), st.sampled_from(STATUS),
              st.sampled_from(TEXTS), st.just(False), st.booleans()),
    st.builds(Spoil, st.just("webhook"), st.sampled_from(["trigger", "return_id", "body"]),
              st.sampled_from(["", "x", "{", "[]", "null", '{"message": 5}', "\x0b", "x" * 3000]),
              st.booleans(), st.booleans()),
)  # fmt: skip


def in_list(victim: str, spoil: Spoil) -> Callable[[str, bytes], bytes]:
    def rewrite(operation: str, body: bytes) -> bytes:
        if operation != "list" or b'"returns"' not in body:
            return body
        answer = json.loads(body)
        for row in answer["returns"]:
            if str(row["id"]) == victim:
                put(row, spoil.field, spoil.value)
        return json.dumps(answer).encode()

    return rewrite


def in_answer(story: Story, victim: str, spoil: Spoil) -> Callable[[str, bytes], bytes]:
    """What is asked for one return only, after a call whose answer was lost: its details, and its
    notes."""
    settling = "flag" if spoil.damaged else "process"
    lost = "note" if spoil.operation == "notes" else settling
    story.world.fault("loop", "reset_mid_body", operation=lost, subject=victim, nth=1)

    def rewrite(operation: str, body: bytes) -> bytes:
        if operation != spoil.operation:
            return body
        answer = json.loads(body)
        put(answer, spoil.field, spoil.value)
        return json.dumps(answer).encode()

    return rewrite


def in_xml(around: str, about: str, spoil: Spoil) -> Callable[[str, bytes], bytes]:
    """`around`: the element that is a record; the first one that holds `about`."""

    def rewrite(operation: str, body: bytes) -> bytes:
        if operation != spoil.operation:
            return body
        text = body.decode()
        for record in re.finditer(rf"<{around}[ >].*?</{around}>", text, re.DOTALL):
            if about.casefold() in record[0].casefold():
                changed = _element(record[0], spoil)
                return (text[: record.start()] + changed + text[record.end() :]).encode()
        return body

    return rewrite


def _element(record: str, spoil: Spoil) -> str:
    pattern = rf"<{spoil.field}(?: [^>]*)?/>|<({spoil.field})(?: [^>]*)?>.*?</\1>"
    new = "" if spoil.value is None else f"<{spoil.field}>{spoil.value}</{spoil.field}>"
    return re.sub(pattern, lambda _: new, record, count=1)


def spoil_it(story: Story, victim: str, spoil: Spoil) -> None:
    if spoil.operation == "list":
        story.world.rewrites.append(in_list(victim, spoil))
    elif spoil.operation == "GetReceivingTicketObjectByTicketNo":
        story.world.rewrites.append(in_xml("ReceivingTicket", f"LR-{victim}", spoil))
    elif spoil.operation == "GetReceivingStatusesByDate":
        number = story.ticket(victim).id
        story.world.rewrites.append(in_xml("ReceivingTicketShipmentStatus", number, spoil))
    elif spoil.operation in ("details", "notes"):
        story.world.rewrites.append(in_answer(story, victim, spoil))
    elif spoil.operation == "GetStyleMasterProductAddStatus":
        story.world.rewrites.append(in_xml("Notifications", "", spoil))
    elif spoil.operation == "GetInventoryByUPCs":
        upc = story.in_loop(victim).lines[0].product.upc.lstrip("0")
        story.world.rewrites.append(in_xml("item", upc, spoil))
    else:
        with story.ctx.ledger.write() as session:
            about = {"trigger": "return.processing.failed", "return_id": victim, "body": "{}"}
            about[spoil.field] = spoil.value
            session.add(
                WebhookRow(
                    brand=story.ctx.brand,
                    digest="one",
                    received_at=story.ctx.now(),
                    topic="return.processing",
                    **about,
                )
            )


def live(story: Story, spoil: Spoil | None) -> tuple[str, list[str]]:
    """Four returns, from their submission to their end; the first one is spoiled."""
    stock = story.stock()
    second = stock[8]
    if (
        spoil and spoil.operation == "GetStyleMasterProductAddStatus"
    ):  # one that REX11 does not know
        second = story.make(second, sku="NEW", upc="850000009999", shop_barcode="850000009999")
    victim = story.submit(stock[3], second)
    others = [story.submit(*stock[i : i + 2]) for i in (0, 5, 10)]
    if spoil and not spoil.late:
        spoil_it(story, victim, spoil)
    story.ticks(3)
    if spoil and spoil.late:
        spoil_it(story, victim, spoil)
        story.world.change(victim, "edit", add=0)
    for other in others:
        story.world.receive(other)
    if story.world.tickets(victim):
        story.world.receive(victim, "damaged" if spoil and spoil.damaged else "complete")
    story.ticks(3)
    story.ticks(4, seconds=900)
    return victim, others


def total(story: Story) -> int:
    return len(story.world.sandbox.calls.find(limit=10**6))


@cache
def calls_unspoiled() -> int:
    with tempfile.TemporaryDirectory() as folder, worlds.serving(settings=unkind()) as world:
        ledger = empty_ledger(Path(folder) / "ledger.db")
        story = Story(world, worlds.context(world, ledger))
        victim, others = live(story, None)
        story.settled(victim, *others)
        ledger.close()
        return total(story)


@settings(
    max_examples=EXAMPLES or 9,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(spoils)
def test_one_spoiled_record_leaves_the_others_as_they_were(spoil: Spoil) -> None:
    note(ascii(spoil))
    with tempfile.TemporaryDirectory() as folder, worlds.serving(settings=unkind()) as world:
        ledger = empty_ledger(Path(folder) / "ledger.db")
        story = Story(world, worlds.context(world, ledger))
        victim, others = live(story, spoil)
        assert not story.failed
        for other in others:
            assert story.look.attention(other) == []
        story.settled(*others)
        assert total(story) <= calls_unspoiled() + MORE_CALLS
        told = story.told(victim)
        assert all(len(why) > 20 for _, why in told)
        assert len(story.notes(victim)) <= 1
        assert story.paid(victim) <= (0 if spoil.damaged else 1)
        if not told:
            ended = (Stage.FLAGGED,) if spoil.damaged else (Stage.COMPLETE,)
            assert story.look.stage(victim) in ended, (story.look.stage(victim), "silence")
        if {kind for kind, _ in told} & {"unreadable", "receipt_unreadable"}:
            assert story.raw()
        ledger.close()
