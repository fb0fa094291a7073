"""Webhooks' answers while idle connections, or sign-ins at once, press on the same service.

    python -m bench.under_attack

A console as a process of its own, on an embedded ledger.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import multiprocessing
import re
import select
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from demo.processes import Process, free_port

from bench.report import Section, percentile, section
from bergen_loop.console.passwords import AT_ONCE
from bergen_loop.outside.loop.webhooks import sign

SECRET = "a webhook's secret"  # noqa: S105 - of this benchmark alone
CONFIG = """
service: {{database: "sqlite:///{folder}/ledger.db", port: {port}, schedule: 1s}}
brands:
  acme:
    name: Acme
    mode: paused
    warehouse: embedded
    loop: {{api_key: "env:BENCH_KEY", webhook_secret: "env:BENCH_HOOK",
            base_url: "http://127.0.0.1:9/loop/api"}}
"""


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    seconds = parser.parse_known_args()[0].seconds
    with _service() as port:
        _webhooks(port, 3)  # warm
        found = {"nothing else": _webhooks(port, seconds)}
        with _beside(_idle, port):
            found["300 idle connections, each opened again when it is ended"] = _webhooks(
                port, seconds
            )
        with _beside(_signing_in, port):
            found["100 sign-ins at once, each again a second after its answer"] = _webhooks(
                port, seconds
            )
    plain = _p95(found["nothing else"])
    rows = [
        (what, len(ms), f"{statistics.median(ms):.1f}", f"{_p95(ms):.1f}",
         f"{_p95(ms) / plain:.2f}")
        for what, ms in found.items()
    ]  # fmt: skip
    return section(
        "Webhooks while others press on the service",
        "python -m bench.under_attack",
        [
            "A signed webhook ten times a second, each on a connection of its own, to a console "
            "with an embedded ledger; beside it, from another process, what the table says. "
            f"Passwords are hashed with the product's own parameters, {AT_ONCE} at once."
        ],
        ("beside them", "webhooks", "median, ms", "p95, ms", "p95, times"),
        rows,
    )


@contextmanager
def _service() -> Generator[int]:
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "c.yaml").write_text(CONFIG.format(port=port, folder=folder))
        env = {"BENCH_KEY": "k", "BENCH_HOOK": SECRET,
               "BERGEN_LOOP_ADMIN": "mara:four unusual words bloom"}  # fmt: skip
        command = ["bergen_loop", "serve", "-c", str(folder / "c.yaml")]
        process = Process(command, folder / "log", env)
        try:
            process.start(lambda: _answers(port))
            yield port
        finally:
            process.stop()


def _answers(port: int) -> bool:
    with suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    return False


@contextmanager
def _beside(work: Callable[[int], None], port: int) -> Generator[None]:
    """Run it in a process of its own, so that it takes nothing of this one's interpreter."""
    other = multiprocessing.get_context("spawn").Process(target=work, args=(port,), daemon=True)
    other.start()
    time.sleep(3)
    try:
        yield
    finally:
        other.kill()
        other.join()


def _webhooks(port: int, seconds: float) -> list[float]:
    """Milliseconds of each delivery, ten a second, each on a connection of its own."""
    found: list[float] = []
    ends, n = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        n += 1
        event = {"topic": "return", "trigger": "return.updated", "id": n, "at": time.time_ns()}
        body = json.dumps(event).encode()
        headers = {"X-Loop-Signature": sign(SECRET, body).decode()}
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/webhooks/loop/acme", body, headers)
        status = connection.getresponse().status
        connection.close()
        assert status == 204, status
        found.append((time.perf_counter() - began) * 1000)
        time.sleep(0.1)
    return found


def _idle(port: int) -> None:
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
    while True:
        for one in select.select(held, [], [], 5)[0]:
            one.close()
            held[held.index(one)] = socket.create_connection(("127.0.0.1", port))


def _signing_in(port: int) -> None:
    for n in range(100):
        threading.Thread(target=_sign_in_for_ever, args=(port, n), daemon=True).start()
    threading.Event().wait()


def _sign_in_for_ever(port: int, n: int) -> None:
    """A browser at an address of its own, which tries a new name each time."""
    source = {"X-Forwarded-For": f"203.0.113.{n}"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/login", headers=source)
    answer = connection.getresponse()
    token = re.findall(r'name="csrf" value="([^"]+)"', answer.read().decode())[0]
    cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    for again in itertools.count():
        form = f"csrf={token}&name=somebody-{n}-{again}&password=guess"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        source = {"X-Forwarded-For": f"203.0.{again % 250}.{n}"}
        connection.request("POST", "/login", form, {**source, **kind})
        connection.getresponse().read()
        connection.close()
        time.sleep(1)


def _p95(milliseconds: list[float]) -> float:
    return percentile(milliseconds, 0.95)


if __name__ == "__main__":
    main()
