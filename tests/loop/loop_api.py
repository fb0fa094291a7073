"""A scripted Loop and a clock that moves only when someone sleeps."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from bergen_loop.outside.http import Around
from bergen_loop.outside.loop import CallRecord, LoopClient, SlidingWindowLimiter
from bergen_loop.outside.loop.client import LoopConfig
from support.wires import answering

KEY = "key-3f9c-secret"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

Step = Callable[[httpx2.Request], httpx2.Response]


class FakeClock:
    """Seconds since its start. Sleeping is instant and moves it."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.at += seconds

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.at - 1000.0)


def answer(body: Any = None, status: int = 200, text: str | None = None, **headers: str) -> Step:
    """A step that answers with JSON, or with `text` as it is."""
    content = json.dumps(body) if text is None else text
    named = {"content-type": "application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: httpx2.Response(status, content=content.encode(), headers=named)


def fails(kind: type[httpx2.RequestError], message: str = "boom") -> Step:
    """A step in which the connection fails."""

    def step(request: httpx2.Request) -> httpx2.Response:
        raise kind(message, request=request)

    return step


@dataclass
class Sent:
    """A request as Loop got it."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeLoop:
    """Answers with one step after the other, the last one for ever, and keeps what it got."""

    steps: list[Step]
    clock: FakeClock = field(default_factory=FakeClock)
    sent: list[Sent] = field(default_factory=list[Sent])
    records: list[CallRecord] = field(default_factory=list[CallRecord])

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        content = request.content
        self.sent.append(
            Sent(
                request.method,
                str(request.url),
                dict(request.headers),
                json.loads(content) if content else None,
            )
        )
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        return step(request)

    def client(self, **options: Any) -> LoopClient:
        """`options`: of the account, or of what is around its connection."""
        around: dict[str, Any] = {
            "limiter": SlidingWindowLimiter(clock=self.clock, sleep=self.clock.sleep),
            "transport": answering(self.handle),
            "on_call": self.records.append,
            "sleep": self.clock.sleep,
            "monotonic": self.clock,
            "now": self.clock.now,
        }
        around |= {name: options.pop(name) for name in around if name in options}
        key = options.pop("api_key", KEY)
        return LoopClient("acme", key, LoopConfig(**options), Around(**around))

    @property
    def paths(self) -> list[str]:
        """Method and URL below the version of all that was sent."""
        base = "https://api.loopreturns.com/api/2026-10"
        return [f"{x.method} {x.url.removeprefix(base)}" for x in self.sent]


def loop(*steps: Step) -> FakeLoop:
    return FakeLoop(list(steps))


def raw_return(return_id: str = "77", **changes: Any) -> dict[str, Any]:
    """A return as Loop gives it, with every field the contract names that we read."""
    raw: dict[str, Any] = {
        "id": return_id,
        "state": "open",
        "created_at": "2026-11-01T09:30:00Z",
        "updated_at": "2026-11-02T10:00:00-05:00",
        "edited_at": None,
        "total": "-40.00",
        "outcome": "refund",
        "order_id": 5123,
        "order_name": "#1001",
        "provider_order_id": "998877",
        "order_number": 1001,
        "customer": "ann@example.com",
        "origin_country": "United States",
        "origin_country_code": "US",
        "currency": "USD",
        "multi_currency": False,
        "return_product_total": "45.00",
        "return_discount_total": "0.00",
        "return_tax_total": "0.00",
        "return_total": "45.00",
        "return_credit_total": "0.00",
        "exchange_total": "0.00",
        "gift_card": "0.00",
        "handling_fee": "5.00",
        "refund": "40.00",
        "upsell": "0.00",
        "line_items": [
            {
                "line_item_id": 901,
                "provider_line_item_id": "7001",
                "product_id": "31",
                "variant_id": 32,
                "sku": "TEE-RED-M",
                "barcode": "012345678905",
                "title": "Tee",
                "price": "45.00",
                "discount": "0.00",
                "tax": "0.00",
                "refund": "40.00",
                "returned_at": "2026-11-01 09:30:00",
                "exchange_variant": None,
                "return_reason": "Too small",
                "parent_return_reason": "Size",
                "return_comment": "tight",
                "outcome": "refund",
            }
        ],
        "exchanges": [],
        "carrier": "USPS",
        "tracking_number": "9400",
        "label_status": "in_transit",
        "label_url": "https://labels.example/1.pdf",
        "label_updated_at": "2026-11-02",
        "status_page_url": "https://acme.loopreturns.com/#/s/77",
        "destination_id": 4,
        "return_method": {"type": "mail", "provider": "USPS"},
        "package_reference": "PKG1",
        "a_field_of_tomorrow": {"x": [1]},
    }
    return raw | changes
