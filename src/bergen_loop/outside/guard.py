"""The systems as the flows see them: behind their breakers, and looked at first after a restore."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from bergen_loop.domain.receipt import Receipt
from bergen_loop.domain.rma import (
    CloseEvidence,
    Product,
    ProductImport,
    RmaRequest,
    TicketChange,
    TicketStatus,
    WarehouseProduct,
)
from bergen_loop.outside.breaker import Breaker, Suspended
from bergen_loop.outside.errors import RateLimited, Unavailable
from bergen_loop.outside.loop.limiter import RateLimiter
from bergen_loop.outside.loop.transport import CallRecord as LoopRecord
from bergen_loop.outside.warehouse.port import WarehousePort
from bergen_loop.outside.warehouse.rex11.call import CallRecord as Rex11Record


class GuardedLimiter:
    """A limiter that gives no turn while the breaker is open. Every attempt asks it, so repeats
    within one call end as well."""

    def __init__(self, brand: str, limiter: RateLimiter, breaker: Breaker) -> None:
        self.brand, self.limiter, self.breaker = brand, limiter, breaker

    def acquire(self, cost: int = 1, timeout: float | None = None, *, priority: int = 1) -> float:
        """As the limiter. RateLimited without a status: not sent, not to be repeated now."""
        self._admitted()
        waited = self.limiter.acquire(cost, timeout, priority=priority)
        if waited > 1 and (why := self.breaker.suspended()):
            raise self._not_sent(why)
        return waited

    def penalize(self, seconds: float) -> None:
        self.limiter.penalize(seconds)

    def snapshot(self) -> tuple[int, int]:
        return self.limiter.snapshot()

    def told(self, record: LoopRecord) -> None:
        """The client's `on_call`."""
        words = f"{record.call} after {record.seconds:.0f} s: {record.outcome}"
        self.breaker.attempted(record.outcome, words)

    def _admitted(self) -> None:
        try:
            self.breaker.admit()
        except Suspended as why:
            raise self._not_sent(str(why)) from None

    def _not_sent(self, why: str) -> RateLimited:
        return RateLimited(
            f"{why}; nothing was sent", system="Loop", brand=self.brand, call="(any)"
        )


class GuardedTransport(httpx2.BaseTransport):
    """Refuses to send while the breaker is open: for the repeats within one call."""

    def __init__(self, url: str, breaker: Breaker) -> None:
        self._inner = connection(url)
        self._breaker = breaker

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        why = self._breaker.suspended()
        if why:
            raise httpx2.ConnectError(why, request=request)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


@dataclass(slots=True)
class GuardedWarehouse(WarehousePort):
    """A warehouse behind its breaker."""

    brand: str
    inner: WarehousePort
    breaker: Breaker
    look_first: bool = False
    """Look for an RMA by its PO before making it: the ledger was put back from a backup and may
    not know of it (I3)."""

    def products(self, upcs: Sequence[str]) -> dict[str, WarehouseProduct]:
        with self._calling("products"):
            return self.inner.products(upcs)

    def product_import(self, upc: str) -> ProductImport:
        with self._calling("product import"):
            return self.inner.product_import(upc)

    def add_products(self, products: Sequence[Product]) -> None:
        with self._calling("add products"):
            self.inner.add_products(products)

    def create_rma(self, rma: RmaRequest) -> str:
        if self.look_first and (found := self.find_rmas(rma.customer_po)):
            return found[0]
        with self._calling("create RMA"):
            return self.inner.create_rma(rma)

    def find_rmas(self, customer_po: str) -> list[str]:
        with self._calling("find RMAs"):
            return self.inner.find_rmas(customer_po)

    def changed_tickets(self, since: datetime, until: datetime) -> list[TicketChange]:
        with self._calling("changed tickets"):
            return self.inner.changed_tickets(since, until)

    def receipt(self, ticket_id: str, customer_po: str | None = None) -> Receipt:
        with self._calling("receipt"):
            return self.inner.receipt(ticket_id, customer_po)

    def close_rma(
        self, ticket_id: str, last_status: TicketStatus | None, observed_at: datetime | None
    ) -> CloseEvidence:
        return self.inner.close_rma(ticket_id, last_status, observed_at)

    @contextmanager
    def _calling(self, call: str) -> Generator[None]:
        try:
            self.breaker.admit()
        except Suspended as why:
            message = f"{why}; nothing was sent"
            raise Unavailable(message, system="REX11", brand=self.brand, call=call) from None
        yield


def connection(url: str) -> httpx2.HTTPTransport:
    """A transport to this URL. All share one SSL context: making one takes as long as a whole
    idle sync does, and a service has two for each of its hundreds of brands."""
    return httpx2.HTTPTransport(verify=_ssl_context(), proxy=_proxy(url))


@cache
def _ssl_context() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


def _proxy(url: str) -> str | None:
    """The environment's proxy: a client with a transport of its own does not look there."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def told(breaker: Breaker) -> Callable[[Rex11Record], None]:
    """The `on_call` of a REX11 client."""

    def tell(record: Rex11Record) -> None:
        words = f"{record.operation} after {record.seconds:.0f} s: {record.outcome}"
        breaker.attempted(record.outcome, words)

    return tell
