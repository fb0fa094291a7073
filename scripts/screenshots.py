"""Screenshots for the README and the docs, from the running product: `make screenshots`.

Runs the demonstration, then visits the console (and the sandbox's floor page) in Chromium.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from demo import __main__ as demonstration
from demo import settings
from demo.__main__ import Demo
from playwright.sync_api import Page, sync_playwright

from bergen_loop.ledger.tables.core import ReturnRow

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
ON_A_PHONE = ("returns", "return")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> int:
    """0 if every page could be taken."""
    IMAGES.mkdir(exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.stderr.write("Chromium is not installed: run scripts/system-deps.sh\n")
        return 1
    sys.argv = [sys.argv[0], "--returns", "60"]
    with tempfile.TemporaryDirectory(prefix="bergen-loop-shots-") as name:
        demo = Demo(Path(name), demonstration._options())
        demo.interactive = False
        try:
            code = demo.run()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
                _take(demo, browser.new_page(viewport={"width": 1280, "height": 860}), "")
                _take(demo, browser.new_page(viewport={"width": 390, "height": 844}), "-phone")
                browser.close()
        finally:
            demo.stop()
    return code


def _take(demo: Demo, page: Page, suffix: str) -> None:
    base = f"http://127.0.0.1:{demo.port}"
    pages = {
        "overview": f"{base}/",
        "returns": f"{base}/returns",
        "return": f"{base}/returns/{_flagged(demo)}",
        "attention": f"{base}/attention",
        "brand": f"{base}/brands/{settings.SHADOW}",
        "floor": f"{demo.sandbox.url}/floor/",
    }
    for name, url in pages.items():
        if suffix and name not in ON_A_PHONE:
            continue
        page.goto(url)
        time.sleep(1)
        page.screenshot(path=IMAGES / f"{name}{suffix}.png")


def _flagged(demo: Demo) -> str:
    """Path of a flagged return: the one with most to see."""
    assert demo.ledger is not None
    with demo.ledger.read() as session:
        row = session.query(ReturnRow).filter(ReturnRow.stage == "flagged").first()
        assert row is not None, "the demonstration has flagged nothing"
        return f"{row.brand}/{row.return_id}"


if __name__ == "__main__":
    raise SystemExit(main())
