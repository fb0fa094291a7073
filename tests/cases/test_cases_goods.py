"""Goods over days: products that are unknown, refused and renamed, units that are taken off a
return, grades that are lost, counts of the floor page that are put right."""

from __future__ import annotations

from typing import Any

import pytest
from cases_support import BRAND, Story, sub
from test_cases_flows import retry

from bergen_loop.domain.returns import Stage
from loop_sandbox import rex_ops
from loop_sandbox.model import Product, RexProduct
from loop_sandbox.rex_render import Note
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
