"""A brand's own endpoint, as a receiver that checks signatures and can misbehave."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import SecretStr
from standardwebhooks import Webhook

from bergen_loop.config.operations import EventSettings

SECRET = "whsec_" + "c2VjcmV0" * 5  # 30 bytes


class Receiver:
    """What came, verified; `status` is what it answers, `delay` how slowly."""

    def __init__(self) -> None:
        self.status = 200
        self.delay = 0.0
        self.headers: dict[str, str] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                event = Webhook(SECRET).verify(body, dict(self.headers))
                receiver.events.append((str(self.headers["webhook-id"]), event))
                time.sleep(receiver.delay)
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def types(self) -> list[str]:
        return [event["type"] for _, event in self.events]

    def settings(self, **changes: Any) -> EventSettings:
        values = {"url": self.url, "secret": SecretStr(SECRET), "allow_loopback": True}
        return EventSettings.model_validate(values | changes)


@contextmanager
def receiving() -> Generator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join(5)
