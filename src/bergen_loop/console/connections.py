"""Connections that say nothing, or little by little, take no place from those that do.

The server would wait for a request's head for ever, and count idle connections against its
limit. Here a head has a few seconds, and where places run out, the connection that has been
waiting longest without a request gives way to a new one.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD = 10.0
"""Seconds for a request's head to come in whole, from the connection or the answer before."""
ANSWER = 1800.0
"""Seconds for a request and its answer: longer than any export or live page takes."""
FROM_ONE = 64
"""Connections of one address, or of one household's; a proxy has the whole number."""
MOST = 1000
_OTHERS = 200
"""Files that the process needs besides connections."""


def household(host: str) -> str:
    """An address as it is counted: of IPv6 the network, for who has one address there has them
    all."""
    with suppress(ValueError):
        address = ip_address(host)
        if address.version == 6 and not address.ipv4_mapped:
            return str(ip_network(f"{address}/64", strict=False))
    return host


def most() -> int:
    """How many connections the process may hold at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(50, min(MOST, soft - _OTHERS)) if soft > 0 else MOST


@dataclass(slots=True)
class Places:
    """The connections of this process."""

    most: int
    proxies: Iterable[str]
    held: set[Connection] = field(default_factory=lambda: set[Connection]())
    idle: dict[Connection, None] = field(default_factory=lambda: dict[Connection, None]())
    """Those without a request, the one that has waited longest first."""
    by_source: dict[str, int] = field(default_factory=dict[str, int])

    def take(self, connection: Connection) -> bool:
        """Whether there is a place for it; an idle one may have to give it up."""
        source = household(connection.source)
        crowded = self.by_source.get(source, 0) >= FROM_ONE
        if crowded and not self._proxy(connection.source):
            return False
        if len(self.held) >= self.most:
            longest = next(iter(self.idle), None)
            if longest is None:
                return False
            longest.drop()
            self.leave(longest)
        self.held.add(connection)
        self.by_source[source] = self.by_source.get(source, 0) + 1
        return True

    def leave(self, connection: Connection) -> None:
        """It has ended."""
        self.idle.pop(connection, None)
        if connection in self.held:
            self.held.discard(connection)
            source = household(connection.source)
            left = self.by_source[source] - 1
            self.by_source[source] = left
            if not left:
                del self.by_source[source]

    def _proxy(self, source: str) -> bool:
        try:
            address = ip_address(source)
            return any(address in ip_network(p, strict=False) for p in self.proxies)
        except ValueError:
            return False


class Connection(H11Protocol):
    """One connection. Made by the server with `places` from `protocol`."""

    places: Places
    source = ""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.source = self.client[0] if self.client else "?"
        if not self.places.take(self):
            self.drop()
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.places.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._answering()

    def on_response_complete(self) -> None:
        before = self.cycle
        super().on_response_complete()  # begins the next request, if it has come already
        if self.transport.is_closing():
            return
        if self.cycle is before:
            self._wait_for_head()
        else:
            self._answering()

    def drop(self) -> None:
        """End it at once, unsent answers included."""
        self.transport.abort()

    def _wait_for_head(self) -> None:
        self.places.idle[self] = None
        self._start_timer(HEAD)

    def _answering(self) -> None:
        self.places.idle.pop(self, None)
        if self in self.places.held:
            self._start_timer(ANSWER)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self.drop)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def protocol(proxies: Iterable[str]) -> type[asyncio.Protocol]:
    """The protocol class for one server: its connections share its places."""
    shared: dict[str, Any] = {"places": Places(most(), tuple(proxies))}
    return type("Connection", (Connection,), shared)
