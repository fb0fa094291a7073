"""The floor page in a browser, over both back ends."""

from __future__ import annotations

import json
import re
import struct
import zlib

import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from floor_support import BRAND, SEEN, console, scan
from playwright.sync_api import Page, Route, expect

from bergen_loop.domain.returns import Moment, Stage
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import views
from bergen_loop.ledger.read.views import ReturnView
from bergen_loop.ledger.store import returns
from bergen_loop.ledger.tables.floor import FloorCountRow, FloorPhotoRow
from support import worlds
from support.worlds import World

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def view_of(ctx: BrandContext, return_id: str) -> ReturnView:
    with ctx.ledger.read() as session:
        row = returns.by_id(session, BRAND, return_id)
        assert row is not None
        return views.return_view(session, row)


def announced(world: World, ctx: BrandContext, units: int = 2) -> tuple[str, ReturnView]:
    return_id = world.new_return(BRAND, units=units, late_label=False, outcome="refund")
    worlds.run(world, ctx, seconds=1)
    return return_id, view_of(ctx, return_id)


def upcs(view: ReturnView) -> list[str]:
    """One code per unit, as the worker's scanner reads them."""
    items = view.rmas[0].items
    return [str(i["upc"] or i["sku"]) for i in items for _ in range(i["expected"])]


def a_photo() -> bytes:
    """A PNG of one red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\x00\x00")
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def finish(page: Page, button: str = "confirm") -> None:
    page.click("#finish")
    page.click(f"#{button}")


def sent(page: Page) -> None:
    # Whoever else was there, and an answer that is lost, cost a turn of three seconds each.
    expect(page.locator("#network")).to_have_text("All sent", timeout=15_000)


def test_a_return_goes_through_all_seven_moments(
    world: World, ctx: BrandContext, page: Page
) -> None:
    return_id, view = announced(world, ctx)
    with console(ctx) as url:
        page.goto(f"{url}/floor")
        scan(page, str(view.row.tracking_number))
        expect(page.locator("#ticket-title")).to_contain_text(str(view.rmas[0].ticket_id))
        for code in upcs(view):
            scan(page, code)
        finish(page)
        sent(page)
    worlds.run(world, ctx, ticks=4, seconds=2)
    after = view_of(ctx, return_id)
    assert after.row.stage == Stage.COMPLETE
    assert [m.moment for m in after.moments if m.at] == list(Moment)
    effects = world.effects(return_id)
    assert (effects["money_moved"], effects["process_accepted"], effects["flags"]) == (1, 1, 0)
    assert world.tickets(return_id) == [], "REX11 had no part in it"
    assert "the floor finished ticket" in str(after.rmas[0].close_evidence)


def test_damage_with_a_photo_leads_to_a_flag_with_its_note(
    world: World, ctx: BrandContext, page: Page
) -> None:
    return_id, view = announced(world, ctx)
    codes = upcs(view)
    with console(ctx) as url:
        page.goto(f"{url}/floor/")
        scan(page, view.rmas[0].customer_po)
        for code in codes:
            scan(page, code)
        page.click(f'li[data-code="{codes[0]}"] button.damage')
        page.click("text=Torn")
        page.set_input_files(
            "dialog input", {"name": "a.png", "mimeType": "image/png", "buffer": a_photo()}
        )
        expect(page.locator("dialog .file")).to_contain_text("Photo taken")
        page.click("#mark")
        expect(page.locator(f'li[data-code="{codes[0]}"] .counts')).to_contain_text("1 damaged")
        finish(page)
        sent(page)
        with ctx.ledger.read() as session:
            photo = session.scalars(sa.select(FloorPhotoRow)).one()
        answer = page.request.get(f"{url}/floor/api/photos/{photo.id}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.body()[:2] == b"\xff\xd8"
    worlds.run(world, ctx, ticks=2, seconds=2)
    after = view_of(ctx, return_id)
    assert after.row.stage == Stage.FLAGGED
    (line,) = [x for x in after.receipts[-1].content["lines"] if x["damaged"]]
    assert line["comments"] == "Torn; 1 photo(s)"
    effects = world.effects(return_id)
    assert (effects["money_moved"], effects["flags"], len(effects["notes"])) == (0, 1, 1)
    assert "damaged" in json.dumps(effects["notes"])


def test_what_is_not_on_the_rma_is_added_as_extra(
    world: World, ctx: BrandContext, page: Page
) -> None:
    return_id, view = announced(world, ctx, units=1)
    with console(ctx) as url:
        page.goto(f"{url}/floor/")
        scan(page, view.rmas[0].customer_po)
        scan(page, upcs(view)[0])
        scan(page, "999999999999")
        expect(page.locator("#say")).to_have_text("999999999999 is not on this RMA")
        page.click("#add-extra")
        finish(page)
        sent(page)
    worlds.run(world, ctx, ticks=2, seconds=2)
    assert view_of(ctx, return_id).row.stage == Stage.FLAGGED
    assert world.effects(return_id)["money_moved"] == 0


def reachable(page: Page) -> None:
    """Nothing sticks out sideways or stands one letter a line, and axe finds nothing."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for name in page.locator(".name:visible").all():
        box = name.bounding_box()
        assert box is not None
        assert box["width"] > 150, name.text_content()
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44, button.text_content()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, button.text_content()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def test_a_day_at_the_floor_with_a_phone_online_and_offline(
    world: World, ctx: BrandContext, page: Page
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    second_id = world.new_return(BRAND, units=1, late_label=False, outcome="refund")
    first_id, first = announced(world, ctx)
    second = view_of(ctx, second_id)
    codes = upcs(first)
    row = page.locator(f'li[data-code="{codes[0]}"]')
    with console(ctx) as url:
        page.goto(f"{url}/floor/")
        expect(page.locator("#expected-title")).to_have_text("Expected: 2")
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        reachable(page)
        page.get_by_role("button", name=str(first.rmas[0].ticket_id)).click()
        scan(page, codes[0])
        row.locator("button.damage").click()
        page.get_by_role("button", name="Stained").click()
        page.set_input_files(
            "dialog input", {"name": "a.png", "mimeType": "image/png", "buffer": a_photo()}
        )
        expect(page.locator("dialog .shot")).to_be_visible()
        reachable(page)
        page.click("#mark")
        expect(row.locator(".counts")).to_contain_text("1 damaged")
        expect(row.locator(".reasons")).to_have_text("Stained (1 photo)")
        reachable(page)
        scan(page, "999999999999")
        page.click("#add-extra")
        page.click("#undo")
        expect(page.locator("#say")).to_have_text(
            "Taken back: 999999999999, which is not on the RMA"
        )
        expect(page.locator(".items li")).to_have_count(len(set(codes)))
        page.click("#undo")
        expect(row.locator(".reasons")).to_be_hidden()
        row.locator("button.damage").click()
        page.get_by_role("button", name="Torn").click()
        page.set_input_files(
            "dialog input", {"name": "b.png", "mimeType": "image/png", "buffer": a_photo()}
        )
        expect(page.locator("dialog .file")).to_contain_text("Photo taken")
        page.click("#mark")
        page.evaluate("kept")  # on disk: nobody closes the page within milliseconds

        page.context.set_offline(True)
        page.reload()
        expect(row.locator(".counts")).to_contain_text("1 damaged")
        expect(row.locator(".reasons")).to_have_text("Torn (1 photo)")
        scan(page, codes[1])
        finish(page)
        expect(page.locator("#network")).to_have_text(re.compile(r"^1 counting waits to be sent"))
        expect(page.locator("#expected-title")).to_have_text("Expected: 1")
        scan(page, "000000")
        expect(page.locator("#say")).to_contain_text("put the parcel aside until it is back")
        scan(page, first.rmas[0].customer_po)
        expect(page.locator("#say")).to_contain_text("counted here, and waits to be sent")
        scan(page, str(second.row.tracking_number))
        scan(page, upcs(second)[0])
        finish(page)
        reachable(page)
        page.reload()
        expect(page.locator("#network")).to_have_text(re.compile(r"^2 countings wait to be sent"))

        # Somebody else signs in here: what was counted is not sent in their name.
        posts: list[str] = []
        page.on("request", lambda r: posts.append(r.url) if r.method == "POST" else None)
        other = {"who": "eve", "csrf": "x"}
        page.route("**/api/me", lambda route: route.fulfill(json=other))
        page.context.set_offline(False)
        page.reload()
        expect(page.locator("#network")).to_contain_text("counted is sent once they sign in here")
        assert posts == []
        page.unroute("**/api/me")
        page.context.set_offline(True)
        page.reload()
        expect(page.locator("#network")).to_have_text(re.compile(r"^2 countings wait to be sent"))

        # The first answer is lost after the server has taken the counting: it is sent again.
        lost: list[int] = []

        def lose_once(route: Route) -> None:
            if lost:
                route.continue_()
                return
            lost.append(1)
            route.fetch()
            route.abort()

        page.route("**/api/count", lose_once)
        page.context.set_offline(False)
        sent(page)
        assert len(posts) == 3
        with ctx.ledger.read() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(FloorCountRow)) == 2
        worlds.run(world, ctx, ticks=2, seconds=2)
        lines = view_of(ctx, first_id).receipts[-1].content["lines"]
        assert sum(x["actual"] + x["damaged"] for x in lines) == 2
        page.goto(f"{url}/returns/{BRAND}/{first_id}")
        picture = page.get_by_role("img", name=f"Photo of {codes[0]}: Torn")
        expect(picture).to_be_visible()
        answer = page.request.get(f"{url}{picture.get_attribute('src')}")
        assert answer.body()[:2] == b"\xff\xd8"


READER = """() => { window.BarcodeDetector = class {
  static getSupportedFormats() { return Promise.resolve(["code_128", "ean_13"]); }
  async detect(video) { return video.videoWidth && window.seen ? [{ rawValue: window.seen }] : []; }
} }"""
"""A browser's reader of barcodes; what it sees in a picture is up to the test."""


def test_the_camera_scans_and_says_what_came_of_it_and_who_has_none_is_told(
    world: World, ctx: BrandContext, page: Page
) -> None:
    _, view = announced(world, ctx)
    code = upcs(view)[0]
    with console(ctx) as url:
        page.goto(f"{url}/floor/")
        page.evaluate("delete window.BarcodeDetector")
        page.route("**/barcodes.js", lambda route: route.abort())
        page.click("#camera")
        expect(page.locator("#say")).to_contain_text("reads no barcodes by camera")
        page.unroute("**/barcodes.js")
        # As on an iPhone: the browser has no reader of its own, so the page's own one is loaded.
        assert view.rmas[0].customer_po == SEEN
        page.click("#camera")
        seen = page.locator("dialog [role=status]")
        expect(seen).to_contain_text(f"Read {SEEN}.")
        expect(seen).to_contain_text("scan its items")
        page.get_by_role("button", name="Done").click()
        page.evaluate(READER)
        page.click("#camera")
        page.evaluate("c => { seen = c }", code)
        expect(seen).to_contain_text("1 of")
        assert Axe().run(page).violations_count == 0
        page.evaluate("seen = '999999999999'")
        expect(page.get_by_role("button", name="Scanned by mistake")).to_be_visible()
        expect(page.locator("dialog")).to_be_hidden()
        expect(page.locator(f'li[data-code="{code}"] .counts')).to_contain_text("1 of")
        page.evaluate(
            "() => { MediaDevices.prototype.getUserMedia = () => Promise.reject(Error()) }"
        )
        page.click("#camera")
        expect(page.locator("#say")).to_contain_text("no camera here that can be used")


def test_the_focus_comes_back_to_the_field_and_a_scan_presses_no_button(
    world: World, ctx: BrandContext, page: Page
) -> None:
    _, view = announced(world, ctx)
    code = upcs(view)[0]
    with console(ctx) as url:
        page.goto(f"{url}/floor/")
        expect(page.locator("#code")).to_be_focused()
        scan(page, view.rmas[0].customer_po)
        page.click(f'li[data-code="{code}"] button >> nth=1')
        expect(page.locator("#code")).to_be_focused()
        page.click(f'li[data-code="{code}"] button.damage')
        scan(page, code)  # while the panel is open: neither counts nor chooses
        expect(page.locator("dialog [aria-pressed=true]")).to_have_count(0)
        expect(page.locator("#mark")).to_be_disabled()
        page.click("dialog >> text=Back")
        expect(page.locator("#code")).to_be_focused()


def test_another_parcel_is_awaited_and_then_added(
    world: World, ctx: BrandContext, page: Page
) -> None:
    return_id, view = announced(world, ctx)
    first, second = upcs(view)
    with console(ctx) as url:
        page.goto(f"{url}/floor/")
        for codes, button in (([first], "keep-open"), ([second], "confirm")):
            scan(page, view.rmas[0].customer_po)
            expect(page.locator("#ticket-title")).to_be_visible()
            for code in codes:
                scan(page, code)
            finish(page, button)
            sent(page)
            worlds.run(world, ctx, ticks=2, seconds=2)
    assert world.effects(return_id)["process_accepted"] == 1
    assert len(view_of(ctx, return_id).receipts) == 1


def test_a_finished_rma_is_counted_again_only_if_its_worker_says_so(
    world: World, ctx: BrandContext, page: Page
) -> None:
    return_id, view = announced(world, ctx, units=1)
    with console(ctx) as url:
        page.goto(f"{url}/floor/")
        scan(page, view.rmas[0].customer_po)
        scan(page, upcs(view)[0])
        finish(page)
        sent(page)
        scan(page, view.rmas[0].customer_po)
        expect(page.locator("#say")).to_contain_text("put the parcel aside")
        expect(page.locator("#ticket")).to_be_hidden()
        page.click("#anew")
        page.click("#finish")
        expect(page.locator("#panel")).to_contain_text("Missing1")
        page.click("#confirm")
        sent(page)
    worlds.run(world, ctx, ticks=1)
    assert view_of(ctx, return_id).row.stage == Stage.WAITING


def test_the_same_page_receives_the_sandboxs_parcels(
    world: World, page: Page, sqlite_ledger: Ledger
) -> None:
    ctx = worlds.context(world, sqlite_ledger)
    return_id = world.new_return(BRAND, units=2, late_label=False)
    worlds.run(world, ctx, ticks=2)
    view = view_of(ctx, return_id)
    page.goto(f"{world.url}/floor")
    scan(page, str(view.rmas[0].ticket_id))
    for code in upcs(view):
        scan(page, code)
    finish(page)
    sent(page)
    (ticket,) = world.tickets(return_id)
    assert ticket.status == "AddedToInventory"
    worlds.run(world, ctx, ticks=4)
    assert view_of(ctx, return_id).row.stage == Stage.COMPLETE


def test_the_page_is_accessible(world: World, ctx: BrandContext, page: Page) -> None:
    _, view = announced(world, ctx)
    with console(ctx) as url:
        page.goto(f"{url}/floor/")
        shown = [lambda: None, lambda: scan(page, view.rmas[0].customer_po)]
        shown += [lambda: scan(page, "000"), lambda: page.locator("button.damage").first.click()]
        for show in shown:
            show()
            page.wait_for_timeout(100)
            results = Axe().run(page)
            assert results.violations_count == 0, results.generate_report()
        page.click("dialog >> text=Back")
        for button in page.locator("button:visible").all():
            box = button.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= 48, "for gloves"
