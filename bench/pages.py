"""The console's pages over many returns, against the bare SQL.

python -m bench.pages [--size 1000000] [--profile list]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

from bench.growth import fill
from bench.report import Section, median, section
from bench.rig import BRAND, rig
from bergen_loop.config import Settings
from bergen_loop.console.app import create_app
from bergen_loop.ledger.folding import begins
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow
from bergen_loop.service.registry import Registry

RUNS = 9


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the SQL that fetches the rows it shows."""

    name: str
    path: str
    rows: sa.Select[ReturnRow]


class Browser:
    """Asks the console as a server would, without sockets and without a client's own time."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._asked: asyncio.Queue[tuple[str, asyncio.Future[None]]] = asyncio.Queue()
        # One task for all pages, as a server has: with it the threads that work for it would end.
        self._task = self._loop.create_task(self._answer())

    def get(self, path: str) -> None:
        """A page, whole."""
        done = self._loop.create_future()
        self._asked.put_nowait((path, done))
        self._loop.run_until_complete(done)

    def close(self) -> None:
        """End the task, and with it the threads that work for it: else nothing ends."""
        self._task.cancel()
        self._loop.run_until_complete(asyncio.gather(self._task, return_exceptions=True))
        self._loop.close()

    async def _answer(self) -> None:
        while True:
            path, done = await self._asked.get()
            try:
                await self._get(*path.partition("?")[::2])
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    async def _get(self, path: str, query: str) -> None:
        scope: dict[str, Any] = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "root_path": "",
            "query_string": quote(query, "=&").encode(),
            "headers": [(b"host", b"127.0.0.1"), (b"accept", b"text/html")],
            "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        assert sent[0]["status"] in (200, 303), sent[0]


def pages(middle: int) -> list[Page]:
    """What is measured. `middle`: the number of a return in the middle of all."""
    newest = sa.select(ReturnRow).where(ReturnRow.brand == BRAND)
    newest = newest.order_by(ReturnRow.submitted_at.desc(), ReturnRow.id.desc()).limit(50)
    begin = sa.select(ReturnRow).limit(100)
    number, ticket = f"9{middle:08d}", f"WHX{middle:08d}"
    one = sa.select(ReturnRow).where(ReturnRow.brand == BRAND, ReturnRow.return_id == number)
    by_ticket = sa.select(ReturnRow).join(RmaRow, RmaRow.return_pk == ReturnRow.id)
    return [
        Page("the list", "/returns", newest),
        Page("the list, of a stage", "/returns?stage=announced", newest),
        Page("search: a number", f"/returns?q={number}", one),
        Page("search: a ticket", f"/returns?q={ticket}",
             by_ticket.where(RmaRow.brand == BRAND, RmaRow.ticket_id == ticket)),
        Page("search: how many begin", f"/returns?q={number[:-1]}",
             begin.where(begins(ReturnRow.return_id, sa.literal(number[:-1])))),
        Page("search: within a number", f"/returns?q={number[1:]}", one),
        Page("a return", f"/returns/{BRAND}/{number}", one),
    ]  # fmt: skip


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--profile", default="", help="print where this page's time goes")
    options, _ = parser.parse_known_args()
    with rig(0) as r:
        fill(r, 0, options.size)
        registry = Registry(Settings(brands={BRAND: r.ctx.settings}), r.ledger, Path())
        browser = Browser(create_app(registry, lambda _brand: None, signing_in=False))
        rows: list[tuple[object, ...]] = []
        asked = Counter[str]()
        event.listen(
            r.ledger.engine, "before_cursor_execute", lambda *_: asked.update(statements=1)
        )
        for one in pages(options.size // 2):
            page = _time(lambda p=one.path: browser.get(p))
            sql = _time(lambda q=one.rows: _run(registry, q))
            asked.clear()
            browser.get(one.path)
            number = asked["statements"]
            times = f"{page * 1000:.1f}", f"{sql * 1000:.2f}", f"{page / sql:.0f}"
            rows.append((one.name, *times, number))
            if one.name == options.profile:
                _profile(lambda p=one.path: browser.get(p))
        browser.close()
    return section(
        "Pages of the console",
        "python -m bench.pages",
        [
            f"Server time of a page with {options.size:,} returns in an embedded ledger, asked "
            f"without sockets, median of {RUNS}, against the bare SQL that fetches the same rows; "
            "the rest is signing in, the page's "
            "other questions (attention, brands, filters) and its HTML. A search that finds one "
            "return leads to its page: that page is the last row. Statements are all that the page "
            "asks the database, begins of transactions too."
        ],
        ["page", "milliseconds", "bare SQL, ms", "ratio", "statements"],
        rows,
    )


def _run(registry: Registry, query: sa.Select[ReturnRow]) -> None:
    with registry.ledger.read() as session:
        list(session.scalars(query))


def _time(work: Callable[[], None]) -> float:
    work()
    times: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


def _profile(work: Callable[[], None]) -> None:
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(RUNS):
        work()
    profile.disable()
    pstats.Stats(profile).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()
