"""Sending one HTTP request and taking in its answer, bounded in time and size."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from bergen_loop.outside.warehouse.rex11.config import Timeouts
from bergen_loop.outside.warehouse.rex11.soap import MAX_BYTES

_NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)


class NotSent(Exception):
    """No connection came about: the other side cannot have seen the request."""


class Interrupted(Exception):
    """The request may have arrived, but no whole answer came back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and whole body of an HTTP answer."""

    status: int
    body: bytes


class Sender:
    """Sends requests; thread-safe, as its client is. Redirects are never followed: they would
    carry credentials elsewhere."""

    def __init__(self, timeouts: Timeouts, transport: httpx2.BaseTransport | None = None) -> None:
        self._deadline = timeouts.answer
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(
                connect=timeouts.connect,
                read=timeouts.read,
                write=timeouts.write,
                pool=timeouts.pool,
            ),
            # Uncompressed, so that the cap on size holds before anything is unpacked.
            headers={"Accept-Encoding": "identity", "User-Agent": "bergen-loop"},
            follow_redirects=False,
            transport=transport,
        )

    def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> Answer:
        """The answer, whatever its status. Raises NotSent or Interrupted.

        Both are raised clear of the library's exception, which holds the request and with it
        the credentials.
        """
        failure: Exception
        try:
            with self._client.stream(method, url, headers=headers, content=content) as response:
                return Answer(response.status_code, self._read(response))
        except _NEVER_SENT as error:
            failure = NotSent(_words(error))
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            failure = Interrupted(_words(error))
        raise failure

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _read(self, response: httpx2.Response) -> bytes:
        started = time.monotonic()
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BYTES:
                raise Interrupted(f"the answer is over {MAX_BYTES} bytes and was not read on")
            if time.monotonic() - started > self._deadline:
                raise Interrupted(f"the answer was not complete after {self._deadline:g} seconds")
        return bytes(body)


def _words(error: Exception) -> str:
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name
