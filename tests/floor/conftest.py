"""A browser, and the two back ends of the floor page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
import segno
from floor_support import SEEN, embedded
from playwright.sync_api import Browser, Page, sync_playwright

from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from support.worlds import World


def _label(file: Path) -> Path:
    """A film of one picture, a label with `SEEN` on it, as Chromium takes it for a camera's."""
    width, height, size = 640, 480, 8
    picture = bytearray(b"\xeb" * width * height)
    for y, row in enumerate(segno.make_qr(SEEN).matrix):
        for x, dark in enumerate(row):
            for line in range(size if dark else 0):
                start = (100 + y * size + line) * width + 200 + x * size
                picture[start : start + size] = b"\x10" * size
    colours = b"\x80" * (width * height // 2)
    head = f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\nFRAME\n"
    file.write_bytes(head.encode() + bytes(picture) + colours)
    return file


@pytest.fixture(scope="module")  # ended with its module: its event loop would disturb others
def browser(tmp_path_factory: pytest.TempPathFactory) -> Generator[Browser]:
    path = os.environ.get("BERGEN_LOOP_CHROMIUM") or shutil.which("chromium")
    assert path, "Chromium is not installed: run scripts/system-deps.sh"
    with sync_playwright() as playwright:
        film = _label(tmp_path_factory.mktemp("camera") / "label.y4m")
        camera = [
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={film}",
        ]
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
