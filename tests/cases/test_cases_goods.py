"""Goods over days: products that are unknown, refused and renamed, units that are taken off a
return, grades that are lost, counts of the floor page that are put right."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from cases_support import BRAND, Story, sub, unkind
from test_cases_flows import retry

from bergen_loop.domain.criteria import load_criteria, preset_text
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.database import Ledger
from bergen_loop.outside.warehouse.floor.backend import FloorRefused
from bergen_loop.outside.warehouse.floor.embedded import EmbeddedFloor
from loop_sandbox import rex_ops
from loop_sandbox.model import Product, RexProduct
from loop_sandbox.rex_render import Note
from support import worlds
from support.brands import configure


def hours(story: Story, count: int) -> None:
    story.ticks(count, seconds=3600.0)


def in_rex11(story: Story) -> dict[str, RexProduct]:
    return story.world.sandbox.brand(BRAND).rex_products


def unknown(story: Story) -> Product:
    """A product that REX11 does not know."""
    brand = story.world.sandbox.brand(BRAND)
    return next(p for p in brand.catalogue if p.upc not in brand.rex_products)


def imported(story: Story, product: Product) -> None:
    """A person has brought it into REX11."""
    names = {"Style": product.style, "Color": product.color, "Size": product.size}
    in_rex11(story)[product.upc] = RexProduct("7", {"UPC": product.upc, **names})


def edit(story: Story, return_id: str, product: Product) -> None:
    """The first line of a return becomes another product, or its product changes in the shop."""
    with story.world.sandbox.lock:
        return_ = story.in_loop(return_id)
        return_.lines[0].product = product
        story.world.sandbox.touch(return_)


def no_adds_of(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """REX11 refuses to import products."""

    def refuse(_products: Any, *, strict: bool) -> list[Note]:
        del strict
        return [Note(43, "PriceError", words)]

    monkeypatch.setattr(rex_ops, "_product_errors", refuse)


def unlisted(story: Story, product: Product) -> Product:
    """REX11 knows it, its inventory does not list it: how it is called there nobody knows."""
    pattern = rf"<item>(?:(?!</item>).)*{product.upc}.*?</item>"
    story.rewrite("GetInventoryByUPCs", sub(pattern, ""))
    return product


def announced(story: Story, *return_ids: str) -> bool:
    """Whether they have an RMA each, and nobody is asked anything."""
    made = [len(story.world.tickets(r)) == 1 for r in return_ids]
    stages = {story.look.stage(r) for r in return_ids}
    return all(made) and stages == {Stage.ANNOUNCED} and not story.look.brand_attention()


# -- products -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mended", ["in REX11", "in the shop", "cancelled"])
def test_a_product_that_rex11_refuses_to_import_is_told_once_and_lifted_when_it_is_mended(
    story: Story, monkeypatch: pytest.MonkeyPatch, mended: str
) -> None:
    """It was told a second time as unknown, and both stayed on the list for good."""
    product = unknown(story)
    no_adds_of("PRICE[item 1] is not valid", monkeypatch)
    return_id = story.submit(product)
    hours(story, 3)
    assert story.kinds(return_id) == ["product_refused"]
    no_adds_of("SIZE[item 1] is not valid", monkeypatch)
    retry(story, "product_refused")
    hours(story, 2)
    [(need, why)] = story.told(return_id)
    assert need == "product_refused"
    assert "SIZE[item 1]" in why
    assert story.calls("StyleMasterProductAdd") == 2, "not again as it is"
    if mended == "in REX11":
        imported(story, product)
    elif mended == "in the shop":
        monkeypatch.undo()
        edit(story, return_id, story.make(product, price=12345))
    else:
        story.world.change(return_id, "cancel")
        hours(story, 5)
        assert story.told(return_id) == [], "no return waits for it any more"
        return
    hours(story, 3)
    assert announced(story, return_id)


def test_an_import_that_takes_long_and_then_fails_is_one_item(story: Story) -> None:
    """It was two: that it takes long, and that the product is unknown."""
    story.world.sandbox.settings.update({"import_seconds": 40 * 3600.0})
    product = unknown(story)
    return_id = story.submit(product)
    hours(story, 27)
    assert story.kinds(return_id) == ["product_import"]
    kept = in_rex11(story)[product.upc]
    kept.ready_at, kept.values["Style"] = 0, ""
    unlisted(story, product)
    hours(story, 2)
    assert story.kinds(return_id) == ["unknown_product"]
    story.heal()
    hours(story, 2)
    assert announced(story, return_id)


def test_a_product_that_rex11_has_renamed_since_it_was_asked_is_announced_by_its_new_name(
    story: Story,
) -> None:
    """A person was asked, once for each product, and the return waited for a day."""
    product = story.stock()[0]
    first = story.announced(product)
    in_rex11(story)[product.upc].values["Color"] = "Scarlet"
    others = [story.submit(product) for _ in range(3)]
    story.ticks(3)
    assert announced(story, first, *others)


@pytest.mark.parametrize("mended", ["nobody says so", "another return", "edited", "cancelled"])
def test_a_product_that_tickets_were_refused_for_is_lifted_when_rex11_takes_one(
    story: Story, mended: str
) -> None:
    """It stayed on the list for good; its returns waited for a day whatever became of them."""
    product = unlisted(story, story.stock()[0])
    return_ids = [story.submit(product)]
    hours(story, 3)
    assert story.kinds(return_ids[0]) == ["product_refused"]
    assert story.calls("ReceivingTicketAdd") == 1
    if mended == "edited":
        edit(story, return_ids[0], story.stock()[4])
        story.ticks(2)
        assert story.look.stage(return_ids[0]) is Stage.ANNOUNCED, "at once"
    elif mended == "cancelled":
        story.world.change(return_ids[0], "cancel")
    else:
        story.heal()
        return_ids += [story.submit(product)] if mended == "another return" else []
    hours(story, 5)
    assert story.told(return_ids[0]) == []
    assert mended == "cancelled" or announced(story, *return_ids)


def test_a_mapping_of_product_fields_is_tried_at_once_and_lifts_what_was_told(
    story: Story,
) -> None:
    """The return waited for the rest of the day, and the item stayed."""
    product = unlisted(story, story.stock()[0])
    names = {"Style": product.sku, "Color": product.color, "Size": product.size}
    in_rex11(story)[product.upc].values |= names
    wrong = {"style": "sku", "color": "variant.1", "size": "variant.2"}
    configure(story.ctx, announce={"product_fields": wrong})
    return_id = story.submit(product)
    story.ticks(2)
    [(_, before)] = story.told(return_id)
    configure(story.ctx, announce={"product_fields": {**wrong, "color": "variant.2"}})
    story.ticks(2)
    [(need, why)] = story.told(return_id)
    assert need == "product_refused"
    assert why != before, "refused again, with other words"
    right = {**wrong, "color": "variant.2", "size": "variant.1"}
    configure(story.ctx, announce={"product_fields": right})
    story.ticks(2)
    assert announced(story, return_id)


def test_a_kit_whose_part_is_refused_is_announced_by_its_new_mapping(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RMAs of the mapping before, which are under way, are judged by it."""
    first, refused, other = story.stock()[0], story.stock()[9], story.stock()[5]

    def map_to(second: Product) -> None:
        story.ctx.settings = story.ctx.settings.model_copy(update={"kits": {}})
        configure(
            story.ctx, kits={"KIT-1": {p.sku: {"upc": p.upc} for p in (first, second)}}
        )  # fmt: skip

    kit = story.make(first, sku="KIT-1", shop_barcode="", upc="")
    map_to(refused)
    before = story.announced(kit)
    misfits = rex_ops._misfits  # pyright: ignore[reportPrivateUsage]

    def refuse(world: Any, brand: Any, item: dict[str, str]) -> list[str]:
        return ["Color"] if refused.upc in item["UPC"] else misfits(world, brand, item)

    monkeypatch.setattr(rex_ops, "_misfits", refuse)
    return_id = story.submit(kit)
    story.ticks(3)
    [(need, why)] = story.told(return_id)
    assert (need, refused.upc in why) == ("product_refused", True)
    map_to(other)
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.ANNOUNCED, "at once"
    for one in (before, return_id):
        story.world.receive(one)
    hours(story, 5)
    story.settled(before, return_id)
    assert story.told(return_id) == []


# -- counts that settle --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["complete", "damaged"])
def test_a_receipt_that_was_unclear_and_is_counted_again_is_judged_by_itself(
    story: Story, kind: str
) -> None:
    """A person had to retry, though the warehouse had put right what it was asked about."""
    return_id = story.received("garbled")
    story.ticks(3)
    assert story.kinds(return_id) == ["decide_by_hand"]
    ticket = story.ticket(return_id)
    lines = [{"upc": i.values["UPC"], "actual": i.expected} for i in ticket.items]
    lines[0]["damaged"] = int(kind == "damaged")
    story.world.reopen_ticket(ticket.id, "none", lines=lines, seconds=100)
    story.ticks(6)
    assert story.told(return_id) == []
    paid = kind == "complete"
    assert (story.paid(return_id), story.flags(return_id)) == (int(paid), int(not paid))


def test_a_note_says_why_units_that_did_not_come_are_not_taken_off(story: Story) -> None:
    """It said what is missing, and not why the rule was not followed."""
    story.ctx.criteria = load_criteria(preset_text("trusting"), source="trusting.yaml")
    product = story.stock()[0]
    return_id = story.submit(product, product)
    story.in_loop(return_id).lines[0].discount = 500
    story.ticks(3)
    story.world.receive(return_id, "short")
    story.ticks(2)
    story.ticks(3, seconds=3 * 86400.0)
    assert (story.paid(return_id), story.told(return_id)) == (0, [])
    [note] = story.notes(return_id)
    assert "1 of 2 missing. The units of SKU" in note
    assert "differ in " in note


def test_all_units_of_a_product_that_are_damaged_can_be_taken_off(story: Story) -> None:
    """Counted as damaged alone, they were taken for units that may be missing."""
    text = """
name: strip
description: What is damaged or missing is taken off.
rules:
  - name: some
    when: receipt.counted > 0 && (receipt.short > 0 || receipt.damaged > 0)
    then: {remove_lines: {select: [short, damaged]}}
  - name: rest
    when: receipt.counted == 0 || receipt.complete
    then: {flag: {reason: other}}
"""
    story.ctx.criteria = load_criteria(text, source="strip.yaml")
    gone, hurt, good = story.stock()[0], story.stock()[9], story.stock()[5]
    return_id = story.announced(gone, hurt, good)
    lines = [{"upc": gone.upc, "actual": 0}, {"upc": hurt.upc, "actual": 0, "damaged": 1}]
    story.world.receive(return_id, "complete", lines=lines)
    story.ticks(4)
    story.settled(return_id)
    assert [line.product for line in story.in_loop(return_id).lines] == [good]


# -- grades --------------------------------------------------------------------------------------


@pytest.fixture
def graded(story: Story) -> Story:
    configure(story.ctx, grading={"enabled": True, "processor": "returns@bergen.example"})
    return story


def grades(story: Story, return_id: str) -> list[str]:
    """What Loop was told of each unit by way of grades."""
    told = [g for line in story.in_loop(return_id).lines for g in line.gradings]
    return [g["condition_category"]["title"] for g in told if g["action"] == "graded"]


@pytest.mark.parametrize("scope", [True, False])
def test_grades_that_could_not_be_sent_are_sent_when_they_can_be(
    graded: Story, scope: bool
) -> None:
    """They never were, and nobody knew; also not when the key had its right again."""
    if scope:
        graded.world.sandbox.settings.update({"missing_scopes": "grading"})
    else:
        graded.world.fault("loop", "status_429", operation="grade")
    return_id = graded.received()
    graded.ticks(4)
    graded.settled(return_id)
    assert grades(graded, return_id) == []
    graded.heal()
    graded.world.sandbox.settings.update({"missing_scopes": ""})
    hours(graded, 3)
    assert grades(graded, return_id) == ["Grade A", "Grade A"]
    assert graded.told(return_id) == []


@pytest.mark.parametrize("lost", [1, 9])
def test_a_grade_that_was_lost_without_effect_is_made_once_more_and_then_told(
    graded: Story, lost: int
) -> None:
    """It was missing, and nobody knew."""
    graded.world.fault("loop", "status_500", operation="grade", count=lost)
    return_id = graded.received("damaged")
    graded.ticks(60)
    assert (graded.flags(return_id), graded.calls("grade")) == (1, 2)
    if lost == 1:
        assert sorted(grades(graded, return_id)) == ["Grade A", "Grade D"]
        assert graded.told(return_id) == []
        return
    [(need, why)] = graded.told(return_id)
    assert need == "grading_refused"
    assert "are not in Loop: its answer was lost" in why


def test_a_grade_that_is_refused_stays_told_when_its_return_is_complete(graded: Story) -> None:
    """The item went away with the return's settling, a minute after it was opened."""
    configure(graded.ctx, grading={"enabled": True, "processor": "nobody"})
    return_id = graded.received()
    graded.ticks(5)
    assert graded.paid(return_id) == 1
    assert graded.look.stage(return_id) is Stage.COMPLETE
    assert graded.kinds(return_id) == ["grading_refused"]


def test_what_the_warehouse_says_of_a_damaged_part_goes_with_the_grade_of_its_kit(
    graded: Story,
) -> None:
    """The note was left out, for a kit was not known by its parts' codes."""
    first, second = graded.stock()[0], graded.stock()[9]
    configure(graded.ctx, kits={"KIT-1": {p.sku: {"upc": p.upc} for p in (first, second)}})
    return_id = graded.announced(graded.make(first, sku="KIT-1", shop_barcode="", upc=""))
    lines = [{"upc": second.upc, "actual": 0, "damaged": 1, "comments": "Zip torn"}]
    graded.world.receive(return_id, "complete", lines=lines)
    graded.ticks(3)
    (line,) = graded.in_loop(return_id).lines
    assert [g["note"] for g in line.gradings if g["action"] == "graded"] == ["Zip torn"]


# -- the floor page ------------------------------------------------------------------------------


class Floor:
    """A return of a brand that is counted on the floor page, and its worker."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.back = EmbeddedFloor(story.ctx.ledger, [BRAND], now=story.ctx.now)
        self.return_id = story.submit(*story.stock()[:2])
        story.ticks(2)
        (self.rma,) = story.look.view(self.return_id).rmas
        self.first, self.second = (str(item["upc"]) for item in self.rma.items)
        self.sent = 0

    def count(self, *good: str, torn: str | None = None, **how: Any) -> None:
        """A counting, and what comes of it."""
        self.sent += 1
        lines: list[dict[str, Any]] = [{"upc": upc, "counted": 1} for upc in good]
        if torn:
            lines.append({"upc": torn, "counted": 0, "damaged": 1, "reasons": ["Torn"]})
        counting = {"key": f"{self.sent:016d}", "brand": BRAND, "ticket": self.rma.ticket_id}
        self.back.count({**counting, "finish": True, "lines": lines, "photos": [], **how}, "flo")
        self.story.ticks(3)

    @property
    def came(self) -> tuple[int, int, list[str]]:
        """Payments, flags, and what people are told."""
        at = self.return_id
        return self.story.paid(at), self.story.flags(at), self.story.kinds(at)


@pytest.fixture
def at_floor(sqlite_ledger: Ledger) -> Generator[Floor]:
    with worlds.serving(settings=unkind()) as world:
        yield Floor(Story(world, worlds.context(world, sqlite_ledger, warehouse="embedded")))


def test_a_later_parcel_of_a_finished_rma_is_counted_once_its_worker_says_so(
    at_floor: Floor,
) -> None:
    """It was refused, so a return waited for a unit that nobody could count, and was flagged."""
    at_floor.count(at_floor.first)
    with pytest.raises(FloorRefused, match="put the parcel aside"):
        at_floor.count(at_floor.second)
    assert at_floor.came == (0, 0, [])
    at_floor.count(at_floor.second, reopen="more")
    assert at_floor.came == (1, 0, [])
    at_floor.story.settled(at_floor.return_id)


def test_what_was_counted_wrong_is_counted_anew_before_and_after_it_was_settled(
    at_floor: Floor,
) -> None:
    """Nobody could put a finished count right where there is no REX11."""
    one, two = at_floor.first, at_floor.second
    at_floor.count(one, two, two, finish=False)
    at_floor.count(one, reopen="anew")
    assert at_floor.story.look.stage(at_floor.return_id) is Stage.WAITING
    at_floor.count(one, two, reopen="anew")
    assert at_floor.came == (1, 0, [])
    at_floor.count(one, torn=two, reopen="anew")
    assert at_floor.came == (1, 0, ["corrected"]), "nothing is taken back by us"
    at_floor.count(one, two, reopen="anew")
    assert at_floor.came == (1, 0, [])


def test_damage_that_is_marked_before_a_payment_that_was_put_off_is_flagged(
    at_floor: Floor,
) -> None:
    at_floor.story.world.fault("loop", "status_429", operation="process")
    at_floor.count(at_floor.first, at_floor.second)
    at_floor.story.heal()
    at_floor.count(at_floor.first, torn=at_floor.second, reopen="anew")
    at_floor.story.ticks(4)
    assert at_floor.came == (0, 1, [])
