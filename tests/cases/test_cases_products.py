"""Products, codes and tickets: what the shop calls a thing, and what the warehouse calls it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from cases_support import Story, all_of, sub

from bergen_loop.domain.returns import Stage
from support import worlds
from support.brands import configure
from support.ledgers import empty_ledger

TICKET = "GetReceivingTicketObjectByTicketNo"
BY_PO = "GetReceivingTicketsByPO"


# -- codes (11, 14, 29, 31, 40) ---------------------------------------------------------------


@pytest.mark.parametrize("bad", ["\x0b", "\x1d", "\ufffd", "\x00"])
def test_a_sku_that_xml_cannot_carry_is_told_before_it_is_sent(story: Story, bad: str) -> None:
    base = story.stock()[0]
    product = story.make(base, sku=f"AB{bad}-100", shop_barcode="")
    return_id = story.submit(product)
    story.ticks(4)
    assert story.kinds(return_id) in (["code_unsendable"], ["unreadable"])
    assert story.calls("ReceivingTicketAdd") == 0
    assert any("AB" in why for _, why in story.told(return_id))
    assert story.flags(return_id) == 0


@pytest.mark.parametrize("barcode", ["8.85E+11", "8,85e+11", "885909950805.0"])
def test_a_barcode_that_a_spreadsheet_rounded_is_told_before_it_is_sent(
    story: Story, barcode: str
) -> None:
    return_id = story.submit(story.make(story.stock()[0], shop_barcode=barcode))
    story.ticks(4)
    assert story.kinds(return_id) == ["code_unsendable"]
    assert story.calls("ReceivingTicketAdd") == 0
    assert story.calls("StyleMasterProductAdd") == 0
    [(_, why)] = story.told(return_id)
    assert "looks like a number that a spreadsheet has rounded" in why
    assert barcode in why


@pytest.mark.parametrize("zeros", ["0", "00"])
def test_leading_zeros_of_a_gtin_do_not_make_another_product(story: Story, zeros: str) -> None:
    base = story.stock()[0]
    return_id = story.submit(story.make(base, shop_barcode=zeros + base.upc))
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.ANNOUNCED, story.told(return_id)
    assert story.calls("StyleMasterProductAdd") == 0
    story.world.receive(return_id)
    story.ticks(4)
    story.settled(return_id)


@pytest.mark.parametrize("change", ["nfd", "zero width", "upper", "blanks"])
def test_a_code_that_comes_back_in_another_form_is_matched(story: Story, change: str) -> None:
    base = story.stock()[0]
    return_id = story.submit(base)
    story.ticks(3)
    for item in story.ticket(return_id).items:
        for name in ("Sku", "UPC", "Style"):
            text = item.values.get(name, "")
            if text:
                item.values[name] = {
                    "nfd": unicodedata.normalize("NFD", text),
                    "zero width": text[:3] + "\u200b" + text[3:],
                    "upper": text.upper(),
                    "blanks": f" {text} ",
                }[change]
    story.world.receive(return_id)
    story.ticks(4)
    story.settled(return_id)


def test_a_barcode_on_one_of_two_equal_lines_is_one_product(story: Story) -> None:
    base = story.stock()[0]
    return_id = story.submit(base, story.make(base, shop_barcode=""))
    story.ticks(3)
    (item,) = story.ticket(return_id).items
    assert item.expected == 2
    story.world.receive(return_id)
    story.ticks(4)
    story.settled(return_id)


# -- items without Sku (26), products that are there (25) -------------------------------------


def test_a_ticket_without_skus_matches_as_announced(story: Story) -> None:
    """REX11's own Style and UPC; the shop's line has a SKU and no barcode."""
    base = story.stock()[0]
    return_id = story.submit(story.make(base, shop_barcode=""))
    story.ticks(3)
    if not story.world.tickets(return_id):
        assert story.kinds(return_id), "silence"
        assert story.flags(return_id) == 0
        return
    for item in story.ticket(return_id).items:
        item.values.pop("Sku", None)
        item.values["UPC"] = base.upc
    story.world.receive(return_id)
    story.ticks(4)
    assert story.flags(return_id) == 0
    assert story.paid(return_id) == 1 or story.kinds(return_id)


def test_an_item_that_cannot_be_told_apart_is_a_doubt_and_no_swap(story: Story) -> None:
    return_id = story.announced(story.stock()[0])
    for item in story.ticket(return_id).items:
        item.values.pop("Sku", None)
        item.values["UPC"] = ""
        item.values["Style"] = item.values["Color"] = item.values["Size"] = ""
    story.world.receive(return_id)
    story.ticks(4)
    assert story.paid(return_id) == 0
    assert story.flags(return_id) == 1 or story.kinds(return_id)
    assert not all_of(story.notes(return_id), "swap")


def test_a_product_whose_import_failed_because_it_is_there_is_known(story: Story) -> None:
    words = (
        "Failed: There are either open PTs or ASNs that include the original product, or you "
        "currently have inventory for that product"
    )
    story.rewrite(
        "GetStyleMasterProductAddStatus",
        sub(
            "<ErrorCode>.*?</Message>",
            f"<ErrorCode>1</ErrorCode><Severity>Error</Severity><Message>{words}</Message>",
        ),
    )
    return_id = story.submit(*story.stock()[:2])
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    assert story.told(return_id) == []
    assert story.calls("StyleMasterProductAdd") == 0


# -- tokens (13), faults (20) -----------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    ["Session has expired, please log in again", "Invalid ticket. Log on first.", "Access denied"],
)
def test_an_expired_session_costs_one_token_and_one_repeat(story: Story, words: str) -> None:
    story.world.sandbox.settings.update({"auth_failure_message": words})
    return_id = story.announced()
    story.world.receive(return_id)
    tokens = story.calls("AuthenticationTokenGet")
    story.world.fault("rex11", "expired_token", nth=1)
    story.ticks(4)
    story.settled(return_id)
    assert story.calls("AuthenticationTokenGet") == tokens + 1
    assert not story.failed


def test_an_add_that_is_always_a_fault_is_told_after_a_few_tries(story: Story) -> None:
    bad, good = story.submit(story.stock()[0]), story.submit(story.stock()[9])
    story.world.fault(
        "rex11", "soap_fault", operation="ReceivingTicketAdd", product=story.stock()[0].upc
    )
    story.ticks(40, seconds=540)
    assert story.calls("ReceivingTicketAdd") <= 12
    assert story.calls(BY_PO) <= 40
    assert story.look.stage(good) is Stage.ANNOUNCED
    [(kind, why)] = story.look.attention(bad)
    assert kind == "no_success"
    assert "without success" in why
    assert not story.world.tickets(bad)


def test_a_ticket_whose_read_is_always_a_fault_is_told(story: Story) -> None:
    bad, good = story.announced(), story.announced()
    for return_id in (bad, good):
        story.world.receive(return_id)
    story.world.fault("rex11", "soap_fault", operation=TICKET, subject=story.ticket(bad).id)
    story.ticks(20, seconds=600)
    story.settled(good)
    assert [kind for kind, _ in story.look.attention(bad)] == ["receipt_unreadable"]
    assert story.paid(bad) == 0
    assert story.calls(TICKET) <= 40


# -- ledgers that were lost (17), two tickets (35) ---------------------------------------------


@pytest.mark.parametrize("date", ["1/1/0001", "01/01/0001 00:00:00", "0001-01-01T00:00:00"])
def test_a_date_that_cannot_be_is_no_date(story: Story, tmp_path: Path, date: str) -> None:
    return_id = story.announced()
    story.world.receive(return_id, "short")
    story.rewrite(
        TICKET, sub("<AddedToInventoryDate[^>]*(/>|>.*?</AddedToInventoryDate>)",
                    f"<AddedToInventoryDate>{date}</AddedToInventoryDate>"),
    )  # fmt: skip
    other = empty_ledger(tmp_path / "other.db")
    again = Story(story.world, worlds.context(story.world, other))
    again.ticks(3)
    assert again.look.stage(return_id) is Stage.WAITING, again.told(return_id)
    assert again.flags(return_id) == 0
    since = again.look.row(return_id).received_at
    assert since is not None
    assert since >= worlds.START
    other.close()


def test_a_ticket_that_turns_up_late_by_its_po_is_told(story: Story) -> None:
    configure(story.ctx, announce={"lost_ticket_wait": "1m"})
    story.world.sandbox.settings.update({"po_lookup_delay_seconds": 600.0})
    story.world.fault("rex11", "reset_mid_body", operation="ReceivingTicketAdd", nth=1)
    return_id = story.submit(*story.stock()[:2])
    story.ticks(8)
    assert len(story.world.tickets(return_id)) == 2, "the first was not found in time"
    story.ticks(20, seconds=120)
    items = story.told(return_id)
    assert [kind for kind, _ in items] == ["two_tickets"]
    assert all(t.id in items[0][1] for t in story.world.tickets(return_id))


# -- kits (39) --------------------------------------------------------------------------------


def test_a_kit_that_is_counted_in_pieces_is_compared_by_its_parts(story: Story) -> None:
    first, second = story.stock()[0], story.stock()[9]
    kit = story.make(first, sku="KIT-1", shop_barcode="", upc="")
    parts = {
        first.sku: {"upc": first.upc},
        second.sku: {"upc": second.upc, "quantity": 2},
    }
    configure(story.ctx, kits={"KIT-1": parts})
    return_id = story.submit(kit)
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.ANNOUNCED, story.told(return_id)
    assert sorted(i.expected for i in story.ticket(return_id).items) == [1, 2]
    story.world.receive(return_id)
    story.ticks(4)
    story.settled(return_id)


def test_a_kit_without_a_mapping_is_never_paid_on_pieces(story: Story) -> None:
    return_id = story.announced(story.stock()[0])
    for item in story.ticket(return_id).items:
        item.values |= {"UPC": "000000000001", "Sku": "PIECE", "Style": "PIECE"}
    story.world.receive(return_id)
    story.ticks(4)
    assert story.paid(return_id) == 0
    assert story.flags(return_id) == 1 or story.kinds(return_id)


def _adds_twice(story: Story) -> tuple[str, str]:
    """A return with a ticket, and another one whose add arrived, but whose answer was lost."""
    first = story.announced()
    second = story.submit(*story.stock()[:2])
    story.world.fault("rex11", "reset_mid_body", operation="ReceivingTicketAdd", count=1)
    return first, second


def test_another_returns_ticket_found_by_a_po_is_not_followed(story: Story) -> None:
    first, second = _adds_twice(story)
    theirs = story.ticket(first).id
    story.rewrite(BY_PO, sub("<string>[^<]*</string>", f"<string>{theirs}</string>"))
    story.ticks(6, seconds=300)
    assert "ticket_lookup" in story.kinds(second)
    assert any(f"PO {story.ticket(first).po}, not" in why for _, why in story.told(second))
    story.world.receive(first, "damaged")
    story.ticks(4)
    assert story.flags(second) == story.paid(second) == 0
    assert len(story.world.tickets(second)) == 1, "nothing is added while it is in doubt"


def test_a_ticket_found_by_its_po_is_followed(story: Story) -> None:
    _, second = _adds_twice(story)
    story.ticks(6, seconds=300)
    assert story.look.stage(second) is Stage.ANNOUNCED
    assert len(story.world.tickets(second)) == 1
    story.world.receive(second)
    story.ticks(4)
    story.settled(second)
