"""Returns as Loop really sends them: half said, said twice, in another shape, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cases_support import Story, all_of

from bergen_loop.domain.criteria import load_criteria, preset_text
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.tables.core import ReturnRow, WebhookRow
from bergen_loop.repair import rebuild, reconcile
from support.brands import configure

Row = dict[str, Any]


def rows(return_id: str, change: Callable[[Row], None]) -> Callable[[bytes], bytes]:
    """A rewrite of one return in a list."""

    def rewrite(body: bytes) -> bytes:
        try:
            answer = json.loads(body)
        except ValueError:
            return body
        for row in answer.get("returns", []) if isinstance(answer, dict) else []:
            if str(row["id"]) == return_id:
                change(row)
        return json.dumps(answer).encode()

    return rewrite


# -- lines that are missing, or too many (9, 10, 12, 18) ---------------------------------------


def no_lines(row: Row) -> None:
    row["line_items"] = None


def absent_lines(row: Row) -> None:
    row.pop("line_items", None)


def text_for_lines(row: Row) -> None:
    row["line_items"] = "2 items"


def one_line_as_object(row: Row) -> None:
    row["line_items"] = row["line_items"][0]


def a_null_line(row: Row) -> None:
    row["line_items"][0] = None


def same_line_twice(row: Row) -> None:
    row["line_items"].append(dict(row["line_items"][0]))


def same_id_twice(row: Row) -> None:
    row["line_items"][1]["line_item_id"] = str(row["line_items"][0]["line_item_id"])


def a_line_without_id(row: Row) -> None:
    row["line_items"][0].pop("line_item_id")


def nan_price(row: Row) -> None:
    row["line_items"][0]["price"] = float("nan")


def huge_price(row: Row) -> None:
    row["line_items"][0]["price"] = 10**400


def code_as_object(row: Row) -> None:
    row["line_items"][0]["sku"] = {"a": 1}


LINES = [no_lines, absent_lines, text_for_lines, one_line_as_object, a_null_line, same_line_twice,
         same_id_twice, a_line_without_id, code_as_object]  # fmt: skip


@pytest.mark.parametrize("change", [*LINES, nan_price, huge_price])
def test_a_new_return_whose_lines_are_in_doubt_goes_to_a_person(
    story: Story, change: Callable[[Row], None]
) -> None:
    bad, good = story.submit(*story.stock()[:2]), story.submit(*story.stock()[2:4])
    story.rewrite_bytes("list", rows(bad, change))
    story.ticks(5)
    assert story.look.stage(good) is Stage.ANNOUNCED
    assert not story.world.tickets(bad)
    assert "unreadable" in story.kinds(bad)
    assert story.raw()
    assert not story.failed
    story.heal()
    story.world.change(bad, "edit", add=0)
    story.ticks(4)
    assert story.look.stage(bad) is Stage.ANNOUNCED
    assert story.kinds(bad) == []
    for return_id in (bad, good):
        story.world.receive(return_id)
    story.ticks(4)
    story.settled(bad, good)


def test_a_number_that_no_json_may_hold_where_nothing_is_read_holds_nothing_up(
    story: Story,
) -> None:
    return_id = story.submit(*story.stock()[:2])
    story.rewrite_bytes("list", rows(return_id, lambda row: row.update(weight=float("nan"))))
    story.ticks(5)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    story.world.receive(return_id)
    story.ticks(4)
    story.settled(return_id)
    assert not story.failed


@pytest.mark.parametrize("change", LINES)
def test_a_known_return_whose_lines_come_to_be_in_doubt_is_not_judged_on_them(
    story: Story, change: Callable[[Row], None]
) -> None:
    bad, good = story.announced(), story.announced()
    story.rewrite_bytes("list", rows(bad, change))
    for return_id in (bad, good):
        story.world.change(return_id, "edit", add=0)
        story.world.receive(return_id)
    story.ticks(5)
    story.settled(good)
    assert story.flags(bad) == 0
    assert story.paid(bad) == 0
    assert "unreadable" in story.kinds(bad)
    assert not any("units changed" in entry for entry in story.look.journal(bad))
    story.heal()
    story.world.change(bad, "edit", add=0)
    story.ticks(4)
    story.settled(bad)


@pytest.mark.parametrize("raw", [b"\t", b"\n", b"\x0b", b"\x00", b"\r\n"])
def test_a_raw_control_character_in_one_string_does_not_hide_the_list(
    story: Story, raw: bytes
) -> None:
    return_id, other = story.submit(*story.stock()[:2]), story.submit(*story.stock()[2:4])
    comment = b'"return_comment":"'

    def spoil(body: bytes) -> bytes:
        return body.replace(comment, comment + b"one" + raw + b"two ", 1)

    story.rewrite_bytes("list", spoil)
    story.ticks(4)
    stages = [story.look.stage(x) for x in (return_id, other)]
    assert stages.count(Stage.ANNOUNCED) >= 1
    for known in (return_id, other):
        assert story.look.stage(known) is Stage.ANNOUNCED or story.kinds(known)
    assert not story.failed


# -- labels (21, 30, 33) ----------------------------------------------------------------------


@pytest.mark.parametrize("words", ["N/A", "n/a", "", "pending", "null", None])
def test_a_word_for_no_label_is_no_tracking_number(story: Story, words: str | None) -> None:
    configure(story.ctx, announce={"label_wait": "6h"})
    story.world.sandbox.settings.update({"label_delay_seconds": 7200.0})
    return_id = story.submit(*story.stock()[:2], late_label=True)

    def spoil(row: Row) -> None:
        if row["tracking_number"] == "N/A":
            row["tracking_number"] = row["carrier"] = words

    story.rewrite_bytes("list", rows(return_id, spoil))
    story.ticks(5, seconds=300)
    assert story.look.stage(return_id) is Stage.SEEN
    assert story.look.row(return_id).tracking_number is None
    story.world.advance(7200)
    story.ticks(3)
    label = story.in_loop(return_id).label
    assert label is not None
    assert story.ticket(return_id).tracking_numbers == [label.tracking_number]
    assert "N/A" not in story.ticket(return_id).fields.get("Carrier", "")


def deliver(story: Story, trigger: str, return_id: str) -> None:
    """A verified delivery, as the console takes it."""
    with story.ctx.ledger.write() as session:
        session.add(
            WebhookRow(
                brand=story.ctx.brand,
                digest=f"{trigger}-{return_id}",
                topic=trigger.split(".")[0],
                trigger=trigger,
                return_id=return_id,
                body="{}",
                received_at=story.ctx.now(),
            )
        )


def test_a_label_that_only_a_webhook_tells_of_is_looked_up(story: Story) -> None:
    configure(story.ctx, announce={"label_wait": "24h"})
    story.world.sandbox.settings.update(
        {"label_delay_seconds": 4 * 3600.0, "silent_label_share": 1.0}
    )
    return_id = story.submit(*story.stock()[:2], late_label=True)
    story.ticks(10, seconds=1800)
    assert story.look.stage(return_id) is Stage.SEEN, "no list shows the label"
    deliver(story, "label.created", return_id)
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    label = story.in_loop(return_id).label
    assert label is not None
    assert story.ticket(return_id).tracking_numbers == [label.tracking_number]
    assert story.calls("details") == 1


def test_a_return_that_only_a_webhook_names_is_taken_in(story: Story) -> None:
    return_id = story.submit(*story.stock()[:2])

    def without(body: bytes) -> bytes:
        answer = json.loads(body)
        answer["returns"] = [r for r in answer["returns"] if str(r["id"]) != return_id]
        return json.dumps(answer).encode()

    story.rewrite_bytes("list", without)
    deliver(story, "return.created", return_id)
    story.ticks(2)
    assert story.look.row(return_id).return_id == return_id


def test_two_numbers_in_one_field_are_two_numbers(story: Story) -> None:
    return_id = story.submit(*story.stock()[:2])

    def two(row: Row) -> None:
        row["tracking_number"] = "1Z999AA10123456784, 9400111899223197428490"
        row["labels"] = []

    story.rewrite_bytes("list", rows(return_id, two))
    story.ticks(3)
    sent = story.ticket(return_id).tracking_numbers
    assert sent == ["1Z999AA10123456784", "9400111899223197428490"]


# -- details are not the list (22, 27), access (19, 28) ---------------------------------------


def test_what_details_do_not_mention_stays_known(story: Story) -> None:
    return_id = story.received()
    before = story.look.row(return_id).content
    story.world.fault("loop", "process_never_ends", operation="process")
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.CONFIRMING
    story.ticks(8, seconds=600)
    assert story.calls("details") >= 1
    after = story.look.row(return_id).content
    for field in ("label", "outcome", "destination_id", "return_method", "origin_country"):
        assert after.get(field) == before.get(field), field
    reasons = [(x["line_item_id"], x.get("return_reason"), x.get("sku")) for x in before["lines"]]
    assert reasons == [
        (x["line_item_id"], x.get("return_reason"), x.get("sku")) for x in after["lines"]
    ]
    moved = [
        e for e in story.look.journal(return_id) if "tracking number" in e or "units changed" in e
    ]
    assert moved == []
    assert story.kinds(return_id) == ["not_confirmed"]


def test_a_return_that_loop_does_not_find_is_told_as_that(story: Story) -> None:
    return_id = story.received()
    story.world.fault("loop", "timeout_before", operation="process", nth=1)
    body = b'{"error": {"message": "No return found with this ID."}}'
    story.rewrite_bytes("details", lambda _: body)
    story.ticks(30)
    assert story.paid(return_id) == 0
    [(kind, why)] = story.told(return_id)
    assert kind == "cannot_see"
    assert "No return found with this ID." in why
    assert "understood" not in why


def three_received(story: Story) -> list[str]:
    found = [story.submit(*story.stock()[:2]) for _ in range(3)]
    story.ticks(3)
    for return_id in found:
        story.world.receive(return_id)
    return found


@pytest.mark.parametrize("how", ["status_403", "status_401", "unauthorized_200"])
def test_access_refused_is_the_brands_told_once_and_paced(story: Story, how: str) -> None:
    found = three_received(story)
    story.world.fault("loop", how, operation="process")
    story.ticks(40, seconds=360)
    assert story.calls("process") <= 40
    items = story.look.brand_attention()
    assert [kind for kind, _ in items] == ["access"]
    assert "Loop" in items[0][1]
    assert [story.look.attention(x) for x in found] == [[], [], []]
    story.heal()
    story.ticks(40, seconds=120)
    story.settled(*found)
    assert story.look.brand_attention() == []


def test_unauthorized_in_any_shape_is_no_refusal_of_the_return(story: Story) -> None:
    for body in (
        b'{"errors":"Unauthorized."}',
        b'{"errors":[{"message":"Unauthorized."}]}',
        b'{"error":{"code":"401","http_code":"GEN-UNAUTHORIZED","message":"Unauthorized."}}',
        b'{"errors":{"message":"Unauthorized.","code":"NOT_AUTHORIZED"}}',
    ):
        return_id = story.received()
        # The call is not carried out, and its answer is a 200.
        story.world.fault("loop", "unauthorized_200", operation="process")
        story.rewrite_bytes("process", lambda _, b=body: b)
        story.ticks(3)
        assert story.look.attention(return_id) == []
        assert story.look.row(return_id).stage == Stage.SETTLING
        story.heal()
        story.ticks(30, seconds=300)
        story.settled(return_id)


# -- ranges, pages and cursors (8, 16, 38) ----------------------------------------------------


def test_a_range_of_120_days_is_asked_for_in_parts(story: Story) -> None:
    return_id = story.announced()
    reconcile.run(story.ctx, timedelta(days=120))
    rebuild.run(story.ctx, timedelta(days=120))
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    assert all(c.outcome == "200" for c in story.world.calls("list"))


def test_a_backfill_of_120_days_works(story: Story) -> None:
    configure(story.ctx, loop={"backfill": "120d"})
    return_id = story.submit(*story.stock()[:2])
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    assert not story.failed


@pytest.mark.parametrize("above", [100, 30])
def test_pages_that_time_out_get_smaller(story: Story, above: int) -> None:
    story.ticks(2)
    before = story.calls("list")
    for _ in range(150):
        story.submit(*story.stock()[:1])
    story.world.fault("loop", "page_timeout", above=above)
    story.ticks(4)
    with story.ctx.ledger.read() as session:
        assert session.query(ReturnRow).count() == 150
    assert story.calls("list") - before <= 40


def test_an_empty_last_page_that_repeats_its_cursor_ends_the_list(story: Story) -> None:
    story.world.fault("loop", "empty_last_page", operation="list")
    return_id = story.submit(*story.stock()[:2])
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    assert story.told(return_id) == []
    assert story.calls("list") <= 40


# -- what comes, and where (23, 24, 34, 36) ---------------------------------------------------


@pytest.mark.parametrize("spelled", ["default", "Default", "refund"])
def test_a_missing_unit_of_a_refund_is_removed_whatever_its_line_says(
    story: Story, spelled: str
) -> None:
    story.ctx.criteria = load_criteria(
        preset_text("trusting").replace("wait: 5d", "wait: 2m"), source="trusting.yaml"
    )
    first, second = story.stock()[0], story.stock()[7]
    return_id = story.submit(first, second)

    def say(row: Row) -> None:
        for line in row["line_items"]:
            line["outcome"] = spelled

    story.rewrite_bytes("list", rows(return_id, say))
    story.ticks(3)
    ticket = story.ticket(return_id)
    gone = next(x for x in ticket.items if x.values["UPC"].lstrip("0") == second.upc.lstrip("0"))
    lines = [{"upc": gone.values["UPC"], "actual": 0, "damaged": 0}]
    story.world.receive(return_id, "complete", lines=lines)
    story.ticks(12)
    assert story.in_loop(return_id).effects.removed_lines == 1, story.told(return_id)
    story.settled(return_id)


@pytest.mark.parametrize(
    "method",
    [
        {"provider": "loop", "method_type": "in_store"},
        {"provider": "loop", "method_type": "In-Store"},
        {"provider": "loop", "method_type": "donate", "address": None},
    ],
)
def test_what_is_given_back_in_a_store_gets_no_rma(story: Story, method: Row) -> None:
    return_id = story.submit(*story.stock()[:2])
    story.rewrite_bytes("list", rows(return_id, lambda row: row.update(return_method=method)))
    story.ticks(4)
    assert story.look.stage(return_id) is Stage.NO_PARCEL
    assert not story.world.tickets(return_id)


@pytest.mark.parametrize("unlisted", [91, "91", " 91 "])
def test_a_destination_that_is_not_listed_is_asked_about_once(
    story: Story, unlisted: object
) -> None:
    configure(story.ctx, announce={"destinations": {"77": "NJ", "80": "WEST"}})
    first, second, third = (story.submit(*story.stock()[:2]) for _ in range(3))
    for return_id in (first, second):
        story.rewrite_bytes(
            "list", rows(return_id, lambda row: row.update(destination_id=unlisted))
        )
    story.ticks(5)
    [(kind, why)] = story.look.brand_attention()
    assert kind == "destination"
    assert "91" in why
    assert "announce.destinations" in why
    assert not story.world.tickets(first)
    assert not story.world.tickets(second)
    assert story.look.stage(third) is Stage.ANNOUNCED
    configure(story.ctx, announce={"destinations": {"77": "NJ", "80": "WEST", "91": "WEST"}})
    story.ticks(20)
    assert story.ticket(first).fields["Warehouse"] == "BERGEN LOGISTICS WEST"
    assert story.ticket(second).fields["Warehouse"] == "BERGEN LOGISTICS WEST"


def test_a_destination_changed_after_the_rma_is_journaled(story: Story) -> None:
    configure(story.ctx, announce={"destinations": {"77": "NJ", "80": "WEST"}})
    return_id = story.submit(*story.stock()[:2])
    with story.world.sandbox.lock:
        story.in_loop(return_id).destination_id = 77
    story.ticks(3)
    with story.world.sandbox.lock:
        story.in_loop(return_id).destination_id = 80
    story.world.change(return_id, "edit", add=0)
    story.ticks(2)
    assert all_of(story.look.journal(return_id), "destination changed", "NJ", "WEST")


@pytest.mark.parametrize("name", [None, "", "absent"])
def test_a_po_without_an_order_name_has_no_blank(story: Story, name: str | None) -> None:
    configure(story.ctx, announce={"po_template": "{return_id} {order_name}"})
    return_id = story.submit(*story.stock()[:2])

    def nameless(row: Row) -> None:
        if name == "absent":
            row.pop("order_name")
        else:
            row["order_name"] = name

    story.rewrite_bytes("list", rows(return_id, nameless))
    story.ticks(3)
    assert story.ticket(return_id).po == return_id


# -- what people did a moment ago counts (10) -------------------------------------------------


@pytest.mark.parametrize("what", ["flag", "cancel", "edit"])
def test_what_a_person_did_seconds_ago_is_seen_before_money_moves(story: Story, what: str) -> None:
    """Loop's list of those in review was read a moment before; the shop would process them."""
    story.world.sandbox.settings.update({"allow_process_flagged": True})
    return_id = story.received()
    story.world.fault("loop", "status_429", operation="process")
    story.ticks(1, seconds=30)
    story.world.change(return_id, what)
    story.heal()
    story.ticks(10, seconds=90)
    assert story.paid(return_id) == 0


def test_one_call_that_never_ends_holds_no_other_lost_answer(story: Story) -> None:
    stuck = story.received()
    story.world.fault("loop", "process_never_ends", operation="process", subject=stuck)
    story.ticks(2)
    lost = story.received()
    story.world.fault("loop", "timeout_before", operation="process", subject=lost, nth=1)
    story.ticks(12, seconds=480)
    story.settled(lost)
    assert story.kinds(stuck) == ["not_confirmed"]


# -- notes (37) -------------------------------------------------------------------------------


def test_a_note_that_comes_back_escaped_is_one_note(story: Story) -> None:
    return_id = story.announced()
    story.world.receive(return_id, "damaged")
    story.world.fault("loop", "timeout_after", operation="note", nth=1)
    story.world.fault("loop", "timeout_after", operation="add_note", nth=1)
    story.ticks(30)
    assert story.look.stage(return_id) is Stage.FLAGGED
    assert len(story.notes(return_id)) == 1


@pytest.mark.parametrize("action", ["flag", "expire"])
@pytest.mark.parametrize("early", [True, False], ids=["before its parcel", "after its parcel"])
def test_a_return_that_could_not_be_judged_is_judged_when_loop_shows_it_open_again(
    story: Story, action: str, early: bool
) -> None:
    return_id = story.announced()
    if early:
        story.world.change(return_id, action)
        story.ticks(2)
    story.world.receive(return_id)
    if not early:
        story.world.change(return_id, action)
    story.ticks(3)
    assert story.told(return_id), "a person of the brand has to look at it in Loop"
    assert story.paid(return_id) == 0
    story.world.change(return_id, "reopen")
    story.ticks(4)
    story.settled(return_id)
