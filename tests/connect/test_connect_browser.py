"""From a service without a brand to a connected one in a real browser, without a restart.

Needs Chromium (`apt-get install chromium`, or BERGEN_LOOP_CHROMIUM); without it these fail.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from connect_support import Place
from playwright.sync_api import Page, expect, sync_playwright

from bergen_loop.ledger.tables.core import BrandRow, ReturnRow

pytestmark = pytest.mark.browser
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture
def served(place: Place) -> Generator[str]:
    """`bergen-loop serve` in a process of its own; its configuration has no brand."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place.config.write_text(
        f"service:\n  database: sqlite:///{place.folder}/ledger.db\n  schedule: 1s\n"
    )
    place.config.chmod(0o444)
    command = [sys.executable, "-m", "bergen_loop", "serve", "-c", str(place.config),
               "--port", str(port), "--no-auth"]  # fmt: skip
    with (place.folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=place.folder)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                httpx2.get(f"{url}/ready").raise_for_status()
                break
            except httpx2.HTTPError:
                said = (place.folder / "serve.log").read_text()
                assert process.poll() is None and time.monotonic() < until, said
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(params=list(WIDTHS))
def page(request: pytest.FixtureRequest, served: str) -> Generator[Page]:
    path = os.environ.get("BERGEN_LOOP_CHROMIUM") or shutil.which("chromium")
    assert path, "Chromium is not installed: apt-get install chromium, or set BERGEN_LOOP_CHROMIUM"
    width, height = WIDTHS[request.param]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": width, "height": height}, base_url=served)
        said: list[str] = []
        opened.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
        opened.on("pageerror", lambda e: said.append(str(e)))
        opened.set_default_timeout(20_000)
        yield opened
        browser.close()
    assert [text for text in said if "status of 422" not in text] == []


def accessible(page: Page, name: str = "") -> None:
    """No serious finding of axe, and nothing sticks out sideways."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    bad = [
        (v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert bad == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), page.url
    if folder := os.environ.get("BERGEN_LOOP_SCREENSHOTS"):
        width = page.viewport_size["width"] if page.viewport_size else 0
        page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)


def test_from_nothing_to_a_brand_in_shadow_without_a_restart(page: Page, place: Place) -> None:
    returned = place.new_return()
    started = time.monotonic()
    page.goto("/")
    accessible(page, "nothing")
    page.get_by_role("link", name="Connect the first one").click()
    page.get_by_label("Brand name").fill("Northpine Apparel")
    page.get_by_role("textbox", name="Id").fill("northpine")
    accessible(page, "new")
    page.get_by_role("button", name="Begin").click()

    expect(page.get_by_role("heading", name="Connect Northpine Apparel")).to_be_visible()
    page.get_by_text("Seldom needed").click()
    page.get_by_label("Loop API address").fill(f"{place.url}/loop/api")
    key = page.get_by_label("Loop API key")
    key.fill("not-the-key")
    key.press("Tab")
    expect(page.get_by_text("Loop refuses the API key").first).to_be_visible()
    expect(page.locator("#wrong-f-loop-api_key")).to_contain_text("Loop refuses the API key")
    accessible(page, "loop-wrong")
    key.fill(place.brand.loop_key)
    page.get_by_label("Loop webhook secret").fill(place.brand.webhook_secret)
    page.get_by_label("Loop webhook secret").press("Tab")
    expect(page.get_by_text("it works: Loop lists the last day")).to_be_visible()
    expect(page.locator("#wrong-f-loop-api_key")).to_be_empty()
    accessible(page, "loop-right")
    page.get_by_role("button", name="Save and go on").click()

    expect(page.get_by_role("heading", name="Warehouse", exact=True)).to_be_visible()
    page.get_by_text("Seldom needed").click()
    endpoint = f"{place.url}/rex11/ws/v3prod/publicapiws.asmx"
    page.get_by_label("REX11 address").fill(endpoint)
    page.get_by_label("REX11 WebAddress").fill(place.brand.web_address)
    page.get_by_label("REX11 UserName").fill(place.brand.user_name)
    page.get_by_label("REX11 Password").fill(place.brand.password)
    page.get_by_label("Bergen warehouse").fill("BERGEN LOGISTICS NJ")
    page.get_by_label("Supplier: company").fill("Northpine")
    page.get_by_label("Supplier: state").fill("NJ")
    page.get_by_label("Supplier: country").fill("USA")
    page.get_by_label("Supplier: country").press("Tab")
    expect(page.get_by_text("it works: REX11 gives a token")).to_be_visible()
    accessible(page, "warehouse")
    page.get_by_role("button", name="Save and go on").click()

    expect(page.get_by_role("heading", name="Products", exact=True)).to_be_visible()
    accessible(page, "products")
    page.get_by_role("button", name="Save and go on").click()
    expect(page.get_by_role("heading", name="Criteria", exact=True)).to_be_visible()
    page.get_by_label("Receipt criteria").select_option("strict")
    expect(page.locator("#checks")).to_contain_text("strict")
    accessible(page, "criteria")
    page.get_by_role("button", name="Save and go on").click()
    expect(page.get_by_role("heading", name="Webhooks", exact=True)).to_be_visible()
    accessible(page, "webhooks")
    page.get_by_role("button", name="Save and go on").click()

    expect(page.get_by_role("heading", name="Start", exact=True)).to_be_visible()
    start = page.get_by_label("From which time on")
    start.fill("2026-13-45")
    page.get_by_role("button", name="Connect in shadow").click()
    expect(page.locator("#wrong-f-announce-start")).to_contain_text("Write it like 2026-11-01")
    expect(start).to_have_value("2026-13-45")
    accessible(page, "start-wrong")
    start.fill("2026-01-01T00:00:00Z")
    page.get_by_role("button", name="Connect in shadow").click()

    expect(page.get_by_text("is connected, in shadow")).to_be_visible()
    accessible(page, "connected")
    assert time.monotonic() - started < 300
    _synced(place, returned)

    page.get_by_role("link", name="Change them, history (version 1)").click()
    text = page.get_by_label("Settings, as in the configuration file")
    text.fill(text.input_value() + "poll: 45s\n")
    page.get_by_label("Reason, for the journal").fill("calmer")
    page.get_by_role("button", name="Check, try and change").click()
    expect(page.get_by_text("Version 2 holds")).to_be_visible()
    accessible(page, "settings")
    page.get_by_role("link", name="1", exact=True).click()
    expect(page.get_by_text("poll: 45s taken out")).to_be_visible()
    accessible(page, "version")
    page.get_by_label("Reason, for the journal").fill("as before")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("Version 3 holds")).to_be_visible()
    page.goto("/brands/northpine/checks")
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text("it works: REX11 gives a token")).to_be_visible()
    accessible(page, "checks")
    page.goto("/brands/northpine/remove")
    accessible(page, "remove")


def _synced(place: Place, returned: str) -> None:
    """The running service has taken the brand up by itself, and the return with it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with place.ledger().read() as session:
            row = session.get(BrandRow, "northpine")
            known = session.scalars(sa.select(ReturnRow.return_id)).all()
        if row is not None and row.last_sync_ok and returned in known:
            return
        time.sleep(0.3)
    raise AssertionError((place.folder / "serve.log").read_text())
