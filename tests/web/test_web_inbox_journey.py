"""One journey in a real browser: the inbox by keys; an unclear receipt understood, corrected, and
settled in Loop. In light and dark, at desktop and phone width, with axe.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect
from test_web_browser import accessible, chromium  # noqa: F401 - pytest finds the fixture here
from web_support import Desk

from bergen_loop.config import Settings
from bergen_loop.console.access import COOKIE
from bergen_loop.console.app import create_app
from bergen_loop.domain.returns import Stage
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.read.people import Role
from bergen_loop.service.registry import Registry
from support import worlds
from support.look import Look
from support.serving import serving
from support.worlds import World

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("console in a browser")]

SHOTS = os.environ.get("BERGEN_LOOP_SHOTS")
"""A folder for pictures of every page of the journey; unset: none are kept."""
PNG = b"\x89PNG\r\n\x1a\nbox"


def illegible(operation: str, body: bytes) -> bytes:
    """The warehouse wrote a count that is none."""
    if operation != "GetReceivingTicketObjectByTicketNo":
        return body
    return re.sub(rb"(ActualQuantity[^>]*>)[0-9.]+<", rb"\1one<", body, count=1)


@pytest.fixture
def page(
    chromium: Chromium,  # noqa: F811 - the fixture
    world: World,
    ctx: BrandContext,
) -> Generator[Page]:
    """mara's browser, at the console of a brand that is connected to a world."""
    brands = {ctx.brand: worlds.brand_settings(world, ctx.brand)}
    settings = Settings.model_validate({"brands": brands})
    registry = Registry(settings, ctx.ledger, Path())
    desk = Desk(registry, create_app(registry, lambda _brand: None))
    with serving(desk.app, lifespan="on") as url:
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, base_url=url)
        person = desk.signed_in(Role.ENGINEER, name="mara")
        context.add_cookies([{"name": COOKIE, "value": person.http.cookies[COOKIE], "url": url}])
        opened = context.new_page()
        opened.set_default_timeout(10_000)
        yield opened
        context.close()


def looked_at(page: Page, name: str) -> None:
    """Accessible, and nothing sticks out: in light on a desk, in dark on a phone."""
    for scheme, width in (("dark", 390), ("light", 1280)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 900})
        accessible(page)
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/{name}-{scheme}-{width}.png", full_page=True)


def test_an_unclear_receipt_from_the_inbox_to_its_end(
    page: Page, world: World, ctx: BrandContext
) -> None:
    look = Look(ctx)
    world.sandbox.settings.update({"review_held_share": 0.0, "two_label_share": 0.0})
    world.advance((datetime.now(UTC) - world.now()) / timedelta(seconds=1))
    world.rewrites.append(illegible)
    ids = [world.new_return(ctx.brand, units=2, late_label=False, outcome="refund") for _ in "ab"]
    worlds.run(world, ctx, ticks=2)
    for return_id in ids:
        world.receive(return_id)
    worlds.run(world, ctx)
    world.rewrites.clear()

    # The inbox, by keys.
    page.goto("/")
    looked_at(page, "overview")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Attention 2").click()
    expect(page.get_by_role("navigation", name="Attention")).to_contain_text("To do 2")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    looked_at(page, "keys")
    page.keyboard.press("Escape")
    looked_at(page, "inbox")
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.get_by_role("heading", level=1)).to_have_text("Say who has it")
    looked_at(page, "assign")
    page.get_by_role("button", name="Assign 1 item").click()
    page.get_by_role("link", name="Back to the list").click()
    page.get_by_role("combobox", name="Whose").select_option("me")
    page.wait_for_url("**/attention?whose=me")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Order")
    return_id = page.url.rsplit("/", 1)[1]

    # Understood.
    why = page.get_by_role("region", name="Why, and what next")
    expect(why).to_contain_text("ActualQuantity is 'one', not a whole number")
    expect(why).to_contain_text("mara has it: look at the receipt")
    expect(page.locator("tr.off")).to_contain_text("?")
    page.get_by_text("A reply for the customer").click()
    expect(page.get_by_label("To copy")).to_have_value(re.compile("is being checked"))
    looked_at(page, "unclear")

    # Corrected, after a mistake; what was typed is kept.
    page.get_by_role("link", name="Correct the count…").first.click()
    counts = page.get_by_label("Good and damaged together")
    counts.first.fill("one")
    page.get_by_label("From what you know it").fill("I opened the box: both are there")
    page.get_by_label("A photo or PDF").set_input_files(
        {"name": "box.png", "mimeType": "image/png", "buffer": PNG}
    )
    page.get_by_role("button", name="Keep it, and judge anew").click()
    expect(page.get_by_text("a whole number from 0 to 10000 is needed")).to_be_visible()
    expect(counts.first).to_have_value("one")
    looked_at(page, "correct")
    expected = 2 // counts.count()
    for n in range(counts.count()):
        counts.nth(n).fill(str(expected))
    page.get_by_role("button", name="Keep it, and judge anew").click()
    expect(page.get_by_role("status")).to_contain_text("The criteria judge it")
    expect(page.get_by_text("Corrected by mara,")).to_be_visible()

    # Settled, once.
    world.advance(60)
    worlds.run(world, ctx, ticks=4)
    page.reload()
    expect(page.get_by_text("Processed in Loop").first).to_be_visible()
    expect(page.get_by_role("region", name="Why, and what next")).to_contain_text("complete")
    looked_at(page, "settled")
    assert look.stage(return_id) is Stage.COMPLETE
    assert world.effects(return_id)["money_moved"] == 1

    # The other one: ignored, and put back.
    page.goto("/attention")
    page.keyboard.press("j")
    page.keyboard.press("i")
    page.get_by_label("Reason, for the journal").fill("The shop sorts it out")
    looked_at(page, "ignore")
    page.get_by_role("button", name="Ignore 1 item").click()
    page.goto("/attention?tab=ignored")
    looked_at(page, "ignored")
    page.get_by_role("link", name="Put back…").click()
    page.get_by_role("dialog").get_by_role("button", name="Put back 1 item").click()
    page.goto("/attention")
    expect(page.locator("#waiting")).to_have_text("1")
    page.goto("/returns")
    looked_at(page, "returns")
    page.goto(f"/brands/{ctx.brand}")
    looked_at(page, "brand")
