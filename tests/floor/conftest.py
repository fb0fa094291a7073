"""A browser, and the two back ends of the floor page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator

import pytest
from floor_support import embedded
from playwright.sync_api import Browser, Page, sync_playwright

from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from support.worlds import World


@pytest.fixture(scope="module")  # ended with its module: its event loop would disturb others
def browser() -> Generator[Browser]:
    path = os.environ.get("BERGEN_LOOP_CHROMIUM") or shutil.which("chromium")
    assert path, "Chromium is not installed: run scripts/system-deps.sh"
    with sync_playwright() as playwright:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *camera])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Generator[Page]:
    """A tablet's page; an error in its script fails the test."""
    context = browser.new_context(viewport={"width": 800, "height": 1100})
    opened = context.new_page()
    opened.set_default_timeout(10_000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on(
        "console",
        lambda message: (
            errors.append(message.text) if "Content Security Policy" in message.text else None
        ),
    )
    yield opened
    context.close()
    assert errors == []


@pytest.fixture
def ctx(world: World, sqlite_ledger: Ledger) -> BrandContext:
    return embedded(world, sqlite_ledger)
