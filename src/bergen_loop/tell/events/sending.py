"""One attempt to deliver one event."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self

import httpx2
from standardwebhooks import Webhook

from bergen_loop import __version__
from bergen_loop.config.operations import EventSettings
from bergen_loop.ledger.store.outbox import Attempt
from bergen_loop.outside.wire import trust
from bergen_loop.tell.events import addresses
from bergen_loop.tell.events.addresses import Forbidden, Resolve


class Sender:
    """Sends events to one endpoint, over one connection. Use it in a `with`."""

    def __init__(
        self,
        endpoint: EventSettings,
        *,
        resolve: Resolve = addresses.resolve,
        now: Callable[[], datetime],
    ) -> None:
        self._endpoint = endpoint
        self._url = httpx2.URL(endpoint.url)
        self._webhook = Webhook(endpoint.secret.get_secret_value())
        self._resolve = resolve
        self._now = now
        # No proxy from the environment: it would look the name up again, and might go inside.
        self._client = httpx2.Client(
            timeout=endpoint.timeout.total_seconds(),
            follow_redirects=False,
            trust_env=False,
            verify=trust(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def send(self, event_id: str, body: str) -> Attempt:
        """Deliver one event; never raises for what the endpoint or the network does."""
        started = time.monotonic()
        try:
            status = self._post(event_id, body)
        except (Forbidden, OSError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            return Attempt(time.monotonic() - started, error=_words(error), down=True)
        seconds = time.monotonic() - started
        if 200 <= status < 300:
            return Attempt(seconds, status)
        why = "redirects are not followed" if 300 <= status < 400 else "it did not take the event"
        down = status >= 500 or status in (401, 403, 404, 408, 410, 429) or status < 400
        return Attempt(seconds, status, f"HTTP {status}: {why}", down)

    def _post(self, event_id: str, body: str) -> int:
        host, port = self._url.host, self._url.port or (443 if self._url.scheme == "https" else 80)
        found = self._resolve(host, port)
        address = addresses.choose(host, found, loopback=self._endpoint.allow_loopback)
        # Connects to the very address that was checked; the certificate is the host's.
        with self._client.stream(
            "POST",
            self._url.copy_with(host=address),
            content=body.encode(),
            headers={**self._signed(event_id, body), "Host": self._url.netloc.decode("ascii")},
            extensions={"sni_hostname": host},
        ) as answer:
            return answer.status_code

    def _signed(self, event_id: str, body: str) -> dict[str, str]:
        now = self._now()
        return {
            "Content-Type": "application/json",
            "User-Agent": f"bergen-loop/{__version__}",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(event_id, now, body),
        }


_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "its name leads to no address"),
    (httpx2.TimeoutException, "no answer in time"),
    (httpx2.ConnectError, "no connection"),
    (httpx2.RemoteProtocolError, "what answers there does not speak HTTP"),
)


def _words(error: Exception) -> str:
    """What went wrong, in words of ours: the endpoint chooses its own, and they would go into
    logs, alerts and pages."""
    if isinstance(error, Forbidden):
        return str(error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "its certificate is not accepted, or it does not speak TLS"
        cause = cause.__cause__ or cause.__context__
    words = next((words for kind, words in _KINDS if isinstance(error, kind)), "the call broke off")
    return f"{words} ({type(error).__name__})"
