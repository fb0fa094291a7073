"""Webhooks: their signature, which are sent for an event, and the thread that sends them."""

from __future__ import annotations

import base64
import hmac
import json
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import httpx2

TOPICS = (
    "return",
    "label",
    "restock",
    "label.request",
    "giftcard",
    "happy.returns.shipment",
    "return.processing",
)
TRIGGERS = (
    "return.created",
    "return.updated",
    "return.closed",
    "label.created",
    "label.updated",
    "restock.requested",
    "label.request.issued",
    "label.request.cancelled",
    "giftcard.requested",
    "shipment.processed",
    "return.processing.failed",
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook on its way."""

    brand: str
    url: str
    trigger: str
    subject: str
    body: bytes
    signature: str


Sender = Callable[[Delivery], str]
"""Sends one and says how it went, such as `200` or `ConnectError`."""
Report = Callable[[Delivery, str], None]


def canonical(body: bytes) -> bytes:
    """The form Loop signs: slashes escaped, newlines removed."""
    return body.replace(b"\r", b"").replace(b"\n", b"").replace(b"/", b"\\/")


def sign(secret: str, body: bytes, form: str = "canonical") -> str:
    """base64(HMAC-SHA256) over the canonical form, or over the body as sent (`raw`)."""
    signed = canonical(body) if form == "canonical" else body
    return base64.b64encode(hmac.new(secret.encode(), signed, sha256).digest()).decode()


def delivery(
    brand: str, url: str, subject: str, payload: Mapping[str, Any], secret: str, form: str
) -> Delivery:
    """Payload to signed delivery. The body has plain slashes, so its form differs from the
    signed one wherever there is a URL."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    trigger = str(payload.get("trigger"))
    return Delivery(brand, url, trigger, subject, body, sign(secret, body, form))


def send_http(item: Delivery) -> str:
    """POST it; any answer or failure becomes a word for the call log."""
    headers = {"Content-Type": "application/json", "X-Loop-Signature": item.signature}
    try:
        answer = httpx2.post(item.url, content=item.body, headers=headers, timeout=5.0)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return type(error).__name__
    return str(answer.status_code)


class WebhookQueue:
    """Deliveries in order, on one background thread that starts with the first of them."""

    def __init__(self, report: Report, sender: Sender = send_http) -> None:
        self._report = report
        self._sender = sender
        self._queue: queue.Queue[Delivery | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, item: Delivery) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
                self._thread.start()
        self._queue.put(item)

    def flush(self) -> None:
        """Wait until all that was put has been tried."""
        self._queue.join()

    def stop(self) -> None:
        """End the thread after what is queued."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            try:
                if item is None:
                    return
                self._report(item, self._sender(item))
            finally:
                self._queue.task_done()
