"""Webhooks: their signature, which are sent for an event, and the thread that sends them."""

from __future__ import annotations

import base64
import hmac
import json
import queue
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import httpx2

from loop_sandbox.model import Brand, Webhook

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
    "label.requested",
    "label.closed",
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
    hook: int
    url: str
    trigger: str
    subject: str
    body: bytes
    signature: str
    attempt: int = 1


Sender = Callable[[Delivery], str]
"""Sends one and says how it went, such as `200`, `429 (retry after 30 s)` or `ConnectError`."""
Report = Callable[[Delivery, str], None]


def canonical(body: bytes) -> bytes:
    """The form Loop signs: slashes escaped, newlines removed."""
    return body.replace(b"\r", b"").replace(b"\n", b"").replace(b"/", b"\\/")


def sign(secret: str, body: bytes, form: str = "canonical") -> str:
    """base64(HMAC-SHA256) over the canonical form, or over the body as sent (`raw`)."""
    signed = canonical(body) if form == "canonical" else body
    return base64.b64encode(hmac.new(secret.encode(), signed, sha256).digest()).decode()


def delivery(
    brand: Brand, hook: Webhook, subject: str, payload: Mapping[str, Any], secret: str, form: str
) -> Delivery:
    """Payload to signed delivery. The body has plain slashes, so its form differs from the
    signed one wherever there is a URL."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    trigger = str(payload.get("trigger"))
    signature = sign(secret, body, form)
    return Delivery(brand.slug, hook.id, hook.url, trigger, subject, body, signature)


LONGEST_RETRY_AFTER = 1800
_RETRY_AFTER = re.compile(r"retry after (\d+) s")


def taken(outcome: str) -> bool:
    """Whether a delivery's outcome is a 2xx."""
    return outcome[:1] == "2" and outcome[:3].isdigit()


def retry_wait(outcome: str, first: float, attempt: int) -> float:
    """Seconds until the next attempt: doubled each time, or as the receiver asked for."""
    asked = _RETRY_AFTER.search(outcome)
    if asked:
        return float(min(int(asked[1]), LONGEST_RETRY_AFTER))
    return first * 2 ** (attempt - 1)


def send_http(item: Delivery) -> str:
    """POST it; any answer or failure becomes a word for the call log."""
    headers = {"Content-Type": "application/json", "X-Loop-Signature": item.signature}
    try:
        answer = httpx2.post(item.url, content=item.body, headers=headers, timeout=5.0)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return type(error).__name__
    after = answer.headers.get("retry-after", "")
    return f"{answer.status_code} (retry after {after} s)" if after else str(answer.status_code)


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
