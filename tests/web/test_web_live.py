"""Live updates: told when something moved, nothing held while nothing does."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from web_support import NOW, Desk

from bergen_loop.console.live import Live
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import journal


def write(ledger: Ledger, brand: str | None) -> None:
    with ledger.write() as session:
        journal.record(session, NOW, journal.Entry(What.MOVED, "", brand=brand))


async def next_move(stream: AsyncGenerator[str], within: float) -> str | None:
    """The next event's data; None if there is none in time (the stream is then at its end)."""

    async def look() -> str:
        async for part in stream:
            if "event: moved" in part:
                return part.partition("data: ")[2].strip()
        return "ended"

    try:
        return await asyncio.wait_for(look(), within)
    except TimeoutError:
        return None


def test_who_may_see_the_brand_is_told(desk: Desk) -> None:
    async def scene() -> list[str | None]:
        live = Live(desk.ledger, every=0.02)
        scopes = [Scope.of(["acme"]), Scope.of(["zebra"]), Scope(None)]
        streams = [live.stream(s) for s in scopes]
        waits = [asyncio.create_task(next_move(s, 1.0)) for s in streams]
        await asyncio.sleep(0.2)
        write(desk.ledger, "acme")
        told = [await w for w in waits]
        await live.close()
        return told

    mine, theirs, all_ = asyncio.run(scene())
    assert mine is not None
    assert mine == all_
    assert theirs is None


def test_what_was_before_is_no_news(desk: Desk) -> None:
    write(desk.ledger, "acme")

    async def scene() -> str | None:
        return await next_move(Live(desk.ledger, every=0.02).stream(Scope(None)), 0.3)

    assert asyncio.run(scene()) is None


def test_what_happened_since_the_page_was_made_is_told_at_once(desk: Desk) -> None:
    write(desk.ledger, "acme")

    async def scene(scope: Scope, since: int) -> str | None:
        return await next_move(Live(desk.ledger, every=0.02).stream(scope, since), 0.5)

    assert asyncio.run(scene(Scope.of(["acme"]), 0)) == "1"
    assert asyncio.run(scene(Scope.of(["acme"]), 1)) is None
    assert asyncio.run(scene(Scope.of(["zebra"]), 0)) is None


def test_accounts_are_news_for_who_sees_everything_only(desk: Desk) -> None:
    async def scene() -> list[str | None]:
        live = Live(desk.ledger, every=0.02)
        streams = [live.stream(Scope.of(["acme"])), live.stream(Scope(None))]
        waits = [asyncio.create_task(next_move(s, 0.5)) for s in streams]
        await asyncio.sleep(0.1)
        write(desk.ledger, None)
        return [await w for w in waits]

    some, every = asyncio.run(scene())
    assert some is None
    assert every is not None


def test_a_flood_of_entries_concerns_everyone(desk: Desk) -> None:
    async def scene() -> str | None:
        live = Live(desk.ledger, every=0.05)
        wait = asyncio.create_task(next_move(live.stream(Scope.of(["acme"])), 2.0))
        await asyncio.sleep(0.2)
        with desk.ledger.write() as session:
            for _ in range(501):
                journal.record(session, NOW, journal.Entry(What.MOVED, "", brand="zebra"))
        return await wait

    assert asyncio.run(scene()) is not None


def test_no_connection_is_held_while_idle(desk: Desk) -> None:
    async def scene() -> list[int]:
        live = Live(desk.ledger, every=0.3)
        waits = [asyncio.create_task(next_move(live.stream(Scope(None)), 0.9)) for _ in range(50)]
        await asyncio.sleep(0.45)  # between two looks
        pool = desk.ledger.engine.pool
        held = [pool.checkedout()]  # type: ignore[attr-defined]
        await asyncio.gather(*waits)
        held.append(len(live._listeners))
        await live.close()
        return held

    assert asyncio.run(scene()) == [0, 0]


def test_streams_end_after_their_time_and_at_the_end_of_the_server(desk: Desk) -> None:
    async def scene() -> float:
        live = Live(desk.ledger, every=0.02)
        assert await next_move(live.stream(Scope(None), longest=0.1), 2.0) == "ended"
        wait = asyncio.create_task(next_move(live.stream(Scope(None)), 5.0))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        live.stopping = lambda: True
        assert await wait == "ended"
        return time.monotonic() - started

    assert asyncio.run(scene()) < 1


def test_the_ledger_out_of_reach_ends_no_stream(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    from bergen_loop.ledger.read import figures

    calls = iter([True, True, False])
    real = figures.last_entry

    def sometimes(session: object) -> int:
        if next(calls, False):
            raise OperationalError("x", None, Exception("down"))
        return real(session)  # type: ignore[arg-type]

    monkeypatch.setattr(figures, "last_entry", sometimes)

    async def scene() -> str | None:
        live = Live(desk.ledger, every=0.02)
        wait = asyncio.create_task(next_move(live.stream(Scope(None)), 2.0))
        await asyncio.sleep(0.3)
        write(desk.ledger, "acme")
        return await wait

    assert asyncio.run(scene()) is not None


SERVER = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[2], str(Path(sys.argv[2]).parent)]
import uvicorn
from bergen_loop.ledger.database import Ledger
from web_support import make_desk
desk = make_desk(Ledger(sys.argv[1]), signing_in=False)
server = uvicorn.Server(uvicorn.Config(desk.app, host="127.0.0.1", port=0, log_level="error"))
desk.app.state.console.live.stopping = lambda: server.should_exit
import threading, time
def tell():
    while not server.started: time.sleep(0.02)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
threading.Thread(target=tell, daemon=True).start()
server.run()
"""


def test_a_listening_browser_does_not_keep_the_server_from_ending(desk: Desk) -> None:
    """With a real server, as `serve` runs it."""
    url = str(desk.ledger.url)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, url, str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        with httpx2.stream("GET", f"http://127.0.0.1:{port}/live?since=0", timeout=20) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            parts = answer.iter_text()
            assert next(parts).startswith("retry:")
            write(desk.ledger, "acme")
            assert "event: moved" in next(parts)
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            for _ in parts:
                pass
        # A signal that was handled is given back to the process: it ends by it.
        assert process.wait(10) in (0, -signal.SIGTERM)
        assert time.monotonic() - started < 5
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
