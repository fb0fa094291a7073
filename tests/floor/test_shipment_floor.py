"""A consolidated shipment counted bag by bag on the floor, and from the drop-off to the claims."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from floor_support import BRAND, console, counting, scan
from playwright.sync_api import Page, expect

from bergen_loop.flow.context import BrandContext
from bergen_loop.outside.warehouse.floor.embedded import EmbeddedFloor
from support import worlds
from support.bars import Bar
from support.brands import configure
from support.worlds import World


@pytest.fixture
def bar(world: World, ctx: BrandContext) -> Bar:
    world.sandbox.settings.update({"happy_returns_seconds": 10**9})
    configure(ctx, loop={"happy_returns": True}, shipments={"missing_wait": "60s"})
    return Bar(world, ctx)


def two_alike(world: World, bar: Bar) -> tuple[str, str]:
    """Two paid returns of the same product: only a count bag by bag can tell them apart."""
    one, two = bar.drop(), bar.drop()
    with world.sandbox.lock:
        line = bar.brand.returns[two].lines[0]
        line.product = bar.brand.returns[one].lines[0].product
    return one, two


def test_a_scanned_bag_shows_what_it_was_to_hold_and_its_count_is_its_own(
    world: World, ctx: BrandContext, bar: Bar
) -> None:
    one, two = two_alike(world, bar)
    worlds.run(world, ctx, seconds=1)
    shipment = bar.ship(one, two)
    worlds.run(world, ctx, seconds=1)
    floor = EmbeddedFloor(ctx.ledger, [BRAND])
    [ticket] = floor.find(f" hrbag{one}")
    [item] = ticket["bag"]["items"]
    assert (ticket["bag"]["return_id"], item["expected"], item["counted"]) == (one, 1, 0)
    assert [t["ticket"] for t in floor.find(shipment.box)] == [ticket["ticket"]]
    assert EmbeddedFloor(ctx.ledger, ["other"]).find(f"HRBAG{one}") == []
    line = {"upc": item["upc"], "sku": item["sku"], "counted": 1}
    first = counting(ctx, ticket["ticket"], "a" * 20, bag=f"HRBAG{one}", lines=[line], finish=False)
    floor.count(first, "ada")
    [again] = floor.find(f"HRBAG{one}")
    assert again["bag"]["items"][0]["counted"] == 1
    assert floor.find(f"HRBAG{two}")[0]["bag"]["items"][0]["counted"] == 0
    receipt = ctx.warehouse.receipt(ticket["ticket"])
    assert [(b.bag, b.counted, b.damaged) for b in receipt.bags] == [(f"HRBAG{one}", 1, 0)]


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_from_the_drop_off_to_the_claims_list(
    world: World, ctx: BrandContext, bar: Bar, page: Page
) -> None:
    one, two = two_alike(world, bar)
    worlds.run(world, ctx, seconds=1)
    shipment = bar.ship(one, two)
    worlds.run(world, ctx, seconds=1)
    with console(ctx) as url:
        # What is on its way, and whose each bag is.
        page.goto(f"{url}/shipments")
        expect(page.get_by_role("row", name=shipment.happy_id)).to_contain_text("on its way")
        _accessible(page)
        page.fill("input[type=search]", f"hrbag{two}")
        page.keyboard.press("Enter")
        page.get_by_role("link", name=shipment.happy_id).click()
        expect(page.get_by_role("row", name=f"HRBAG{two}")).to_contain_text(two)
        _accessible(page)
        # The floor: one bag is full, the other is empty.
        page.goto(f"{url}/floor/")
        scan(page, f"HRBAG{one}")
        expect(page.locator("#ticket-title")).to_have_text(f"Bag HRBAG{one} · return {one}")
        upc = bar.brand.returns[one].lines[0].product.upc
        scan(page, upc)
        expect(page.locator(".counts")).to_have_text("1 of 1")
        _accessible(page)
        page.click("#finish")
        page.click("#keep-open")
        expect(page.locator("#network")).to_have_text("All sent")
        scan(page, f"HRBAG{two}")
        expect(page.locator("#ticket-title")).to_contain_text(f"HRBAG{two}")
        page.click("#finish")
        page.click("#confirm")
        expect(page.locator("#network")).to_have_text("All sent")
        worlds.run(world, ctx, seconds=70)
        worlds.run(world, ctx, ticks=2, seconds=1)
        # What did not come is claimed, and said in Loop.
        page.goto(f"{url}/claims")
        row = page.get_by_role("row", name=f"HRBAG{two}")
        expect(row).to_contain_text("missing")
        _accessible(page)
        with page.expect_download() as saved:
            page.get_by_role("link", name="All of these as CSV").click()
        assert f"HRBAG{two}" in saved.value.path().read_text()
        # Its return tells so as well.
        row.get_by_role("link", name="#").click()
        carried = page.get_by_role("region", name="Table: consolidated shipments")
        expect(carried).to_contain_text("missing")
        expect(page.locator(".timeline li.on")).to_have_count(6)  # nothing was settled by us
        _accessible(page)
        page.go_back()
        row.get_by_text("Close…").click()
        row.get_by_label("Why").fill("the carrier pays")
        row.get_by_role("button").click()
        expect(page.get_by_text("No claims here.")).to_be_visible()
    assert len(bar.notes(two)) == 1
    assert bar.notes(one) == []
    assert world.calls("process") == world.calls("flag") == []


def _accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
