"""In a real browser: the way people work, at desktop and phone width, and how accessible it is.

Needs Chromium (`apt-get install chromium`, or BERGEN_LOOP_CHROMIUM); without it these fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect, sync_playwright
from test_web_brand_tools import PAYS_ALL, judged
from test_web_history import pulling
from web_support import Desk, add_return, row_of

from bergen_loop.console.access import COOKIE
from bergen_loop.domain.returns import LoopState, Stage
from bergen_loop.domain.words import What
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.tables.core import BreakerRow
from support.serving import serving

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("console in a browser")]

expect.set_options(timeout=20_000)  # a machine may be busy with other tests
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def chromium() -> Generator[Chromium]:
    path = os.environ.get("BERGEN_LOOP_CHROMIUM") or shutil.which("chromium")
    assert path, "Chromium is not installed: apt-get install chromium, or set BERGEN_LOOP_CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def served(full: Desk) -> Generator[tuple[Desk, str]]:
    """The console on a socket."""
    with serving(full.app, lifespan="on") as url:
        yield full, url


@pytest.fixture(params=list(WIDTHS))
def page(
    request: pytest.FixtureRequest, chromium: Chromium, served: tuple[Desk, str]
) -> Generator[Page]:
    """A page in which an engineer is signed in. A message on its console fails the test."""
    desk, url = served
    width, height = WIDTHS[request.param]
    context = chromium.new_context(viewport={"width": width, "height": height}, base_url=url)
    person = desk.signed_in(Role.ENGINEER, name="mara")
    context.add_cookies([{"name": COOKIE, "value": person.http.cookies[COOKIE], "url": url}])
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda e: said.append(str(e)))
    opened.set_default_timeout(10_000)
    yield opened
    context.close()
    # Of a form that is sent back with its mistakes, the browser says so.
    assert [text for text in said if "status of 422" not in text] == []


def accessible(page: Page) -> None:
    """No serious finding of axe, and nothing sticks out sideways."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    bad = [
        (v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert bad == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), page.url


def test_a_journey_from_the_list_to_a_decision(page: Page, served: tuple[Desk, str]) -> None:
    desk, _ = served
    page.goto("/returns")
    page.get_by_role("combobox", name="Brand").select_option("acme")
    page.wait_for_url("**/returns?brand=acme")
    if page.viewport_size == {"width": 1280, "height": 900}:
        page.get_by_role("button", name="Order", exact=True).click()
        expect(page.locator("tbody tr").first).to_contain_text("#ACME100")
        page.get_by_role("button", name="Order", exact=True).click()
        expect(page.locator("tbody tr").first).to_contain_text("#ACME112")
        accessible(page)
    page.get_by_role("searchbox").fill("acme103")
    page.get_by_role("searchbox").press("Enter")  # the only one that is known by it opens
    expect(page.get_by_role("heading", level=1)).to_have_text("Order #ACME103")
    page.get_by_role("link", name="Process…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Process this return by hand")
    accessible(page)
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("link", name="Process…").click()
    dialog.get_by_label("Reason, for the journal").fill("The photo shows that all is well")
    dialog.get_by_role("button", name="Process it").click()
    expect(page.get_by_role("status").first).to_contain_text("Loop is asked")
    expect(page.get_by_text("The photo shows that all is well").first).to_be_visible()
    assert row_of(desk.ledger, "acme", "103").stage == Stage.SETTLING


def test_many_items_at_once(page: Page) -> None:
    page.goto("/attention?brand=acme")
    page.get_by_label("choose all shown").check()
    page.get_by_role("button", name="Ignore…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Take off the list")
    accessible(page)
    page.get_by_label("Reason, for the journal").fill("All known")
    page.get_by_role("button", name="Ignore 2 items").click()
    expect(page.get_by_role("status")).to_have_text("2 done.")
    accessible(page)


def test_the_tools_of_a_brand(page: Page, served: tuple[Desk, str]) -> None:
    desk, _ = served
    judged(desk, "1", damaged=1, now=LoopState.CLOSED)
    page.goto("/brands/acme")
    page.get_by_role("link", name="To shadow…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Only judge, in shadow")
    accessible(page)
    dialog.get_by_label("Reason, for the journal").fill("The counts look wrong")
    dialog.get_by_role("button", name="Set to shadow").click()
    expect(page.get_by_role("status")).to_have_text("The mode is set: Acme Clothing is shadow.")
    accessible(page)
    page.get_by_role("link", name="Shadow report").click()
    expect(page.get_by_text("We would have flagged it")).to_be_visible()
    accessible(page)
    page.goto("/brands/acme/criteria?start=trusting")
    text = page.get_by_label("Criteria, as YAML")
    text.fill(text.input_value().replace("receipt.damaged", "receipt.damagd"))
    page.get_by_role("button", name="Try them").click()
    expect(page.get_by_role("alert")).to_contain_text("column")
    accessible(page)
    text.fill(PAYS_ALL)
    page.get_by_role("button", name="Try them").click()
    expect(page.get_by_role("status")).to_contain_text("would have been decided in another way")
    expect(page.get_by_role("link", name="1", exact=True)).to_be_visible()
    accessible(page)


def test_pages_follow_what_happens(page: Page, served: tuple[Desk, str]) -> None:
    desk, _ = served
    page.goto("/returns?brand=acme")
    expect(page.get_by_role("link", name="#ACMEnew")).to_have_count(0)
    add_return(desk.ledger, "acme", "new", at=datetime.now(UTC))
    expect(page.get_by_role("link", name="#ACMEnew")).to_be_visible(timeout=10_000)


def test_a_long_pull_is_followed(page: Page, served: tuple[Desk, str]) -> None:
    desk, _ = served
    pulling(desk.ledger)
    for path in ("/", "/brands/acme", "/?brand=acme"):
        page.goto(path)
        bar = page.get_by_role("progressbar", name="Taking in history: 40 %")
        expect(bar).to_be_visible()
        accessible(page)
    pulling(desk.ledger, days=27)
    with desk.ledger.write() as session:
        journal.record(session, datetime.now(UTC), journal.Entry(What.SEEN, "", brand="acme"))
    expect(page.get_by_role("progressbar", name="Taking in history: 90 %")).to_be_visible()


def test_a_refresh_does_not_undo_a_choice(page: Page, served: tuple[Desk, str]) -> None:
    desk, _ = served
    page.goto("/attention?brand=acme")
    box = page.get_by_role("checkbox", name="Choose: decide by hand")
    box.check()
    with page.expect_response("**/live*"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.reload()
    box.check()
    with desk.ledger.write() as session:
        journal.record(session, datetime.now(UTC), journal.Entry(What.MOVED, "", brand="acme"))
    page.wait_for_timeout(3500)
    expect(box).to_be_checked()


def test_every_page_is_accessible(page: Page) -> None:
    page.goto("/")
    top = page.get_by_role("navigation", name="Main").bounding_box()
    assert top is not None
    assert top["height"] < 50, "one line, on a phone too"
    if page.viewport_size == {"width": 390, "height": 844}:
        page.get_by_role("button", name="More").click()
        expect(page.get_by_role("link", name="Audit")).to_be_visible()
        accessible(page)
        page.keyboard.press("Escape")
        expect(page.get_by_role("link", name="Audit")).to_be_hidden()
    for path in (
        "/", "/?brand=acme", "/returns", "/returns?q=nothing", "/returns?reached=4&brand=acme",
        "/returns/acme/100", "/returns/acme/103", "/returns/acme/107", "/returns/acme/109",
        "/returns/acme/103/flag", "/attention", "/attention?tab=resolved", "/brands/acme",
        "/brands/acme/events", "/brands/acme?tab=settings", "/brands/acme/mode/shadow",
        "/brands/acme/shadow?since=2020-01-01", "/brands/acme/criteria?start=standard",
        "/brands/acme/pace", "/audit", "/people", "/tokens", "/account",
    ):  # fmt: skip
        page.goto(path)
        accessible(page)


def test_pages_outside_are_accessible(chromium: Chromium, served: tuple[Desk, str]) -> None:
    desk, url = served
    page = chromium.new_page(base_url=url)
    page.goto("/setup")
    expect(page.get_by_role("heading", level=1)).to_have_text("The first account")
    accessible(page)
    desk.signed_in(Role.READ_ONLY)  # now there is an account
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    accessible(page)
    page.goto("/nothing")
    page.close()


def test_it_works_without_script(chromium: Chromium, served: tuple[Desk, str]) -> None:
    desk, url = served
    context = chromium.new_context(java_script_enabled=False, base_url=url)
    person = desk.signed_in(Role.OPERATOR)
    context.add_cookies([{"name": COOKIE, "value": person.http.cookies[COOKIE], "url": url}])
    page = context.new_page()
    page.goto("/returns/acme/103")
    page.get_by_role("link", name="Flag…").click()
    page.get_by_label("Reason, for the journal").fill("Empty box")
    page.get_by_role("button", name="Flag it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Order #ACME103")
    context.close()
    assert row_of(desk.ledger, "acme", "103").stage == Stage.SETTLING


def test_an_incident_from_its_banner_to_its_end(page: Page, served: tuple[Desk, str]) -> None:
    desk, _ = served
    now = datetime.now(UTC)
    with desk.ledger.write() as session:
        for brand in ("acme", "zebra"):
            session.add(
                BreakerRow(brand=brand, system="rex11", failures=7, probes=2, opened_at=now,
                           open_until=now + timedelta(minutes=9), error="Unavailable")
            )  # fmt: skip
    page.goto("/returns")
    banner = page.get_by_label("Incidents")
    expect(banner.get_by_role("status").first).to_contain_text("REX11 unreachable for acme, zebra")
    accessible(page)
    banner.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Incidents")
    expect(page.get_by_role("row", name="Acme")).to_contain_text("Unavailable")
    accessible(page)
    banner.get_by_role("button", name="Try again now").first.click()
    expect(page.get_by_text("One call of each of 2 brands is let through")).to_be_visible()
    expect(banner).to_contain_text("next try now")
    assert sorted(desk.nudged) == ["acme", "zebra"]
    # The tick that was asked for got an answer: the page says so by itself.
    with desk.ledger.write() as session:
        session.execute(sa.delete(BreakerRow))
        journal.record(
            session, now, journal.Entry(What.SYSTEM_CALLED_AGAIN, "it works again", brand="acme")
        )
    expect(page.get_by_text("Held back now")).to_be_hidden()
    expect(banner.get_by_text("REX11")).to_have_count(0)
