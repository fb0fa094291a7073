"""What a POST costs by HTTP clients for Python, with what the product asks of one.

python -m bench.http_clients [--calls 1000] [--rounds 5]

The server and the clients are on this machine; counted is the processor time of the client's
process alone. Clients that are not installed are left out, and named.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import socketserver
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

from bench.report import Section, median, section
from bergen_loop.outside.http import Sender
from bergen_loop.outside.wire import Timeouts

BODY = b"<soap>" + b"x" * 888 + b"</soap>"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 400\r\n\r\n" + b"y" * 400
HEADERS = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"urn:do"', "X-Key": "k" * 40}
MOST = 10_000_000
AT_ONCE = 8
Post = Callable[[], object]
Client = Callable[[str], Post]


class _Handler(socketserver.BaseRequestHandler):
    """Answers every request on a connection, reading no more of it than it must."""

    def handle(self) -> None:
        kept = b""
        while piece := self.request.recv(65536):
            kept += piece
            head, gap, body = kept.partition(b"\r\n\r\n")
            if gap and len(body) >= int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]):
                self.request.sendall(ANSWER)
                kept = b""


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


def _ours(url: str) -> Post:
    sender = Sender(Timeouts(), max_bytes=MOST)
    return lambda: sender.send("POST", url, HEADERS, BODY)


def _httpx2(url: str) -> Post:
    import httpx2

    times = httpx2.Timeout(connect=10, read=60, write=30, pool=30)
    client = httpx2.Client(timeout=times, follow_redirects=False)

    def post() -> None:
        body = bytearray()
        with client.stream("POST", url, headers=HEADERS, content=BODY) as answer:
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > MOST:
                    raise ValueError

    return post


def _urllib3(url: str) -> Post:
    import urllib3

    times = urllib3.Timeout(connect=10, read=60)
    pool = urllib3.PoolManager(maxsize=AT_ONCE, timeout=times, retries=False)

    def post() -> None:
        answer = pool.request(
            "POST", url, headers=HEADERS, body=BODY, preload_content=False, redirect=False
        )
        body = bytearray()
        for piece in answer.stream(65536):
            body += piece
            if len(body) > MOST:
                raise ValueError
        answer.release_conn()

    return post


def _requests(url: str, module: str = "requests") -> Post:
    session: Any = importlib.import_module(module).Session()

    def post() -> None:
        body = bytearray()
        with session.post(
            url,
            data=BODY,
            headers=HEADERS,
            timeout=(10, 60),
            stream=True,
            allow_redirects=False,
        ) as answer:
            for piece in answer.iter_content(65536):
                body += piece
                if len(body) > MOST:
                    raise ValueError

    return post


def _pycurl(url: str) -> Post:
    pycurl: Any = importlib.import_module("pycurl")
    from threading import local

    kept = local()

    def post() -> None:
        if not hasattr(kept, "curl"):
            kept.curl = pycurl.Curl()
        curl, body = kept.curl, BytesIO()
        curl.reset()
        for name, value in (
            ("URL", url),
            ("POSTFIELDS", BODY),
            ("HTTPHEADER", [f"{k}: {v}" for k, v in HEADERS.items()]),
            ("CONNECTTIMEOUT", 10),
            ("LOW_SPEED_LIMIT", 1),
            ("LOW_SPEED_TIME", 60),
            ("TIMEOUT", 180),
            ("NOSIGNAL", 1),
            ("FOLLOWLOCATION", 0),
            ("MAXFILESIZE", MOST),
            ("WRITEFUNCTION", body.write),
        ):
            curl.setopt(getattr(pycurl, name), value)
        curl.perform()

    return post


def _aiohttp(url: str) -> Post:
    """All calls of a round at once, in one loop: what it is made for."""
    aiohttp: Any = importlib.import_module("aiohttp")

    async def several(number: int) -> None:
        times = aiohttp.ClientTimeout(total=180, sock_connect=10, sock_read=60)
        async with aiohttp.ClientSession(timeout=times) as session:
            turns = asyncio.Semaphore(AT_ONCE)

            async def one() -> None:
                async with (
                    turns,
                    session.post(url, data=BODY, headers=HEADERS, allow_redirects=False) as answer,
                ):
                    body = bytearray()
                    async for piece in answer.content.iter_chunked(65536):
                        body += piece
                        if len(body) > MOST:
                            raise ValueError

            await asyncio.gather(*(one() for _ in range(number)))

    def rounds(number: int = 1) -> None:
        asyncio.run(several(number))

    return rounds


CLIENTS: dict[str, Client] = {
    "ours, over http.client": _ours,
    "httpx2": _httpx2,
    "urllib3": _urllib3,
    "requests": _requests,
    "niquests": lambda url: _requests(url, "niquests"),
    "aiohttp": _aiohttp,
    "pycurl": _pycurl,
}


def _cost(name: str, post: Post, calls: int) -> tuple[float, float]:
    """Milliseconds of processor for each call: one after the other, and eight at once."""
    started = time.process_time()
    if name == "aiohttp":
        many: Any = post
        many(calls)
        return 0.0, 1000 * (time.process_time() - started) / calls
    for _ in range(calls):
        post()
    alone, started = time.process_time() - started, time.process_time()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for job in [pool.submit(post) for _ in range(calls)]:
            job.result()
    together = time.process_time() - started
    return 1000 * alone / calls, 1000 * together / calls


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", action="store_true")
    options, _ = parser.parse_known_args()
    if options.serve:
        with _Server(("127.0.0.1", 0), _Handler) as server:
            sys.stdout.write(f"{server.server_address[1]}\n")
            sys.stdout.flush()
            server.serve_forever()
    command = [sys.executable, "-m", "bench.http_clients", "--serve"]
    figures: dict[str, list[tuple[float, float]]] = {}
    missing: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:  # noqa: S603
        assert served.stdout is not None
        url = f"http://127.0.0.1:{served.stdout.readline().strip()}/"
        posts: dict[str, Post] = {}
        for name, client in CLIENTS.items():
            try:
                posts[name] = client(url)
                posts[name]()
            except ImportError:
                posts.pop(name, None)
                missing.append(name)
        for _ in range(options.rounds):  # in turn, so that the machine's moods are shared
            for name, post in posts.items():
                figures.setdefault(name, []).append(_cost(name, post, options.calls))
        served.kill()
    rows = [
        (name, _shown([a for a, _ in of]), _shown([t for _, t in of]))
        for name, of in figures.items()
    ]
    left_out = f" Not installed: {', '.join(missing)}." if missing else ""
    return section(
        "HTTP clients",
        "python -m bench.http_clients",
        [
            f"Milliseconds of processor for a POST of {len(BODY)} bytes with an answer of 400 on a "
            "kept connection, with timeouts in every phase, a limit on the size while it is read, "
            f"no redirects; medians of {options.rounds} rounds of {options.calls:,} calls, the "
            f"clients in turn.{left_out}",
            "Ours is what the product uses: it is the standard library's reader of answers behind "
            "connections that are kept by host, and it alone bounds an answer's head as well. "
            "pycurl costs less, but is a second TLS and a large native library, bounds a wait only "
            "by an average speed, and tells failures in one number for several phases; aiohttp "
            "wants a loop of its own.",
        ],
        ["", "one by one, ms", f"{AT_ONCE} at once, ms"],
        rows,
    )


def _shown(values: list[float]) -> str:
    return f"{median(values):.3f}" if any(values) else "-"


if __name__ == "__main__":
    main()
