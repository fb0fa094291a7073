"""From a service without a brand to the first processed return in a real browser, without a
restart: on SQLite, and on PostgreSQL with two workers.

Needs Chromium (`apt-get install chromium`, or BERGEN_LOOP_CHROMIUM); without it these fail.
"""

from __future__ import annotations

import os
import re
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

from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.tables.core import DecisionRow, ReturnRow

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
expect.set_options(timeout=20_000)  # a machine may be busy with other tests
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(
    params=[
        pytest.param(("sqlite", "desktop"), id="sqlite"),
        pytest.param(("postgresql", "phone"), id="two workers", marks=pytest.mark.postgres),
    ]
)
def served(request: pytest.FixtureRequest, place: Place) -> Generator[tuple[str, str]]:
    """`bergen-loop serve` in a process of its own, on PostgreSQL with a second worker beside it;
    its configuration has no brand. Its address, and how wide the browser is."""
    database, width = request.param
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if database == "postgresql":
        place.database = request.getfixturevalue("postgres").new_ledger()
    place.config.write_text(f"service:\n  database: {place.database}\n  schedule: 1s\n")
    place.config.chmod(0o444)
    here = [sys.executable, "-m", "bergen_loop"]
    commands = [[*here, "serve", "-c", str(place.config), "--port", str(port), "--no-auth"]]
    if database == "postgresql":
        commands.append([*here, "worker", "-c", str(place.config)])
    with (place.folder / "serve.log").open("wb") as log:
        processes = [
            subprocess.Popen(command, stdout=log, stderr=log, cwd=place.folder)
            for command in commands
        ]
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                httpx2.get(f"{url}/ready").raise_for_status()
                break
            except httpx2.HTTPError:
                said = (place.folder / "serve.log").read_text()
                assert processes[0].poll() is None and time.monotonic() < until, said
                time.sleep(0.1)
        yield url, width
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


@pytest.fixture
def page(served: tuple[str, str]) -> Generator[Page]:
    path = os.environ.get("BERGEN_LOOP_CHROMIUM") or shutil.which("chromium")
    assert path, "Chromium is not installed: apt-get install chromium, or set BERGEN_LOOP_CHROMIUM"
    url, wide = served
    width, height = WIDTHS[wide]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": width, "height": height}, base_url=url)
        said: list[str] = []
        opened.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
        opened.on("pageerror", lambda e: said.append(str(e)))
        opened.set_default_timeout(20_000)
        yield opened
        browser.close()
    assert [text for text in said if "status of 422" not in text] == []


def accessible(page: Page, name: str = "") -> None:
    """Nothing sticks out sideways; and no serious finding of axe, which goes through the pages of
    one width: it looks at their markup, the same in both."""
    if page.viewport_size and page.viewport_size["width"] == WIDTHS["phone"][0]:
        found: list[dict[str, Any]] = Axe().run(page).response["violations"]
        bad = [
            (v["id"], v["nodes"][0]["html"])
            for v in found
            if v["impact"] in ("serious", "critical")
        ]
        assert bad == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), page.url
    if folder := os.environ.get("BERGEN_LOOP_SCREENSHOTS"):
        width = page.viewport_size["width"] if page.viewport_size else 0
        page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)


def test_from_nothing_to_the_first_processed_return_without_a_restart(
    page: Page, place: Place
) -> None:
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
    page.get_by_label("How often Loop is asked").fill("1s")
    page.get_by_role("button", name="Connect in shadow").click()

    expect(page.get_by_text("is connected, in shadow")).to_be_visible()
    accessible(page, "connected")
    assert time.monotonic() - started < 300
    _comes_to(place, returned, Stage.ANNOUNCED)
    place.receive(returned)
    _comes_to(place, returned, Stage.RECEIVED, judged=True)
    _criteria(page)
    _settings(page)
    shown = place.world.find_return(returned)
    assert shown, "in shadow nothing is done in Loop"
    assert shown.state == "open"
    _go_live(page)
    _comes_to(place, returned, Stage.COMPLETE)
    page.goto(f"/returns/northpine/{returned}")
    expect(page.get_by_text("Return complete").first).to_be_visible()
    accessible(page, "processed")
    page.goto("/brands/northpine")
    page.get_by_role("button", name="Back to shadow now").click()
    expect(page.get_by_text("The mode is set: Northpine Apparel is shadow.")).to_be_visible()
    accessible(page, "shadow-again")


def _criteria(page: Page) -> None:
    """Changed, with a mistake at its line, tried, published, rolled back."""
    page.goto("/brands/northpine")
    page.get_by_role("link", name="Receipt criteria", exact=True).click()
    text = page.get_by_label("Criteria, as YAML")
    strict = text.input_value()
    text.fill(strict.replace("receipt.damaged", "receipt.damagd"))
    expect(page.locator("#mistakes")).to_contain_text("Line 11, column", timeout=20_000)
    accessible(page, "criteria-wrong")
    text.fill(strict + "# rec")
    text.press("End")
    text.press("Control+End")
    text.press_sequentially("eipt.dam")
    expect(page.get_by_role("option", name="receipt.damaged a whole number")).to_be_visible()
    accessible(page, "criteria-completed")
    text.press("Escape")
    page.get_by_text("Put together from common rules").click()
    page.get_by_label("A person approves complete returns").fill("1")
    page.get_by_role("button", name="Write the rules into the editor").click()
    expect(text).to_have_value(re.compile("high_value_cents: 100 "))
    accessible(page, "criteria-common")
    page.get_by_role("button", name="Try them").click()
    expect(page.get_by_text("To be paid as it was decided, not with these")).to_be_visible()
    accessible(page, "criteria-tried")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#wrong-why")).to_contain_text("needs a reason")
    page.get_by_label("Reason, for the journal").fill("All of them are looked at")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("running workers take it up")).to_be_visible()
    accessible(page, "criteria-published")
    page.get_by_role("link", name="1", exact=True).click()
    expect(page.get_by_text("+name: strict")).to_be_visible()
    accessible(page, "criteria-version")
    page.get_by_label("Reason, for the journal").fill("Strict was right")
    page.get_by_role("button", name="Have these hold again").click()
    expect(page.locator("p.good")).to_contain_text("strict")


def _go_live(page: Page) -> None:
    """By its checklist: what is open has to be said to be meant."""
    page.goto("/brands/northpine")
    page.get_by_role("link", name="Go live…").click()
    expect(page.get_by_role("heading", name="Checklist")).to_be_visible()
    accessible(page, "golive")
    page.get_by_label("Returns an hour, at most").fill("none")
    page.get_by_role("button", name="Go live").click()
    expect(page.locator("#wrong-returns")).to_contain_text("is no number of returns")
    expect(page.locator("#wrong-paid")).to_contain_text("Say that this is meant")
    accessible(page, "golive-wrong")
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_label("Returns an hour, at most").fill("5")
    page.get_by_label("Reason, for the journal").fill("It decides as we do")
    page.get_by_role("button", name="Go live").click()
    expect(page.get_by_text("The mode is set: Northpine Apparel is live.")).to_be_visible()
    expect(page.get_by_text("Gradual start: at most 5 returns an hour")).to_be_visible()
    accessible(page, "live")


def _settings(page: Page) -> None:
    page.goto("/brands/northpine")
    page.get_by_role("link", name="Settings", exact=True).click()
    page.get_by_role("link", name="Change them, history (version 3)").click()
    text = page.get_by_label("Settings, as in the configuration file")
    text.fill(text.input_value().replace("poll: 1s", "poll: 2s"))
    page.get_by_label("Reason, for the journal").fill("calmer")
    page.get_by_role("button", name="Check, try and change").click()
    expect(page.get_by_text("Version 4 holds")).to_be_visible()
    accessible(page, "settings")
    page.get_by_role("link", name="3", exact=True).click()
    expect(page.get_by_text("poll: 2s → 1s")).to_be_visible()
    accessible(page, "version")
    page.get_by_label("Reason, for the journal").fill("as before")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("Version 5 holds")).to_be_visible()
    page.goto("/brands/northpine/checks")
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text("it works: REX11 gives a token")).to_be_visible()
    accessible(page, "checks")
    page.goto("/brands/northpine/remove")
    accessible(page, "remove")


def _comes_to(place: Place, returned: str, stage: Stage, *, judged: bool = False) -> None:
    """The running service brings the return there by itself."""
    until, row = time.monotonic() + 60, None
    ledger = place.ledger()
    try:
        while time.monotonic() < until:
            place.catch_up()
            with ledger.read() as session:
                row = session.scalar(sa.select(ReturnRow).where(ReturnRow.return_id == returned))
                decided = session.scalar(sa.select(sa.func.count()).select_from(DecisionRow))
            if row is not None and row.stage == stage and (decided or not judged):
                return
            time.sleep(0.2)
    finally:
        ledger.close()
    raise AssertionError((row and row.stage, (place.folder / "serve.log").read_text()))
