"""Doubles of the network for the clients, made of httpx2's."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager

import httpx2

from bergen_loop.outside.wire import (
    Incoming,
    Interrupted,
    NotSent,
    Outgoing,
    Timeouts,
    Transport,
    Undecodable,
)

_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def answering(reply: Callable[[httpx2.Request], httpx2.Response]) -> Transport:
    """A network on which `reply` answers everything."""
    return over(httpx2.MockTransport(reply))


def over(transport: httpx2.BaseTransport) -> Transport:
    """A network that is a transport of httpx2's."""

    def carry(request: Outgoing, _timeouts: Timeouts) -> Incoming:
        sent = httpx2.Request(
            request.method, request.url, headers=request.headers, content=request.content
        )
        with _in_our_words():
            answer = transport.handle_request(sent)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Incoming(answer.status_code, headers, _pieces(answer))

    return carry


def _pieces(answer: httpx2.Response) -> Generator[bytes]:
    assert isinstance(answer.stream, httpx2.SyncByteStream)
    with _in_our_words(), closing(answer.stream):
        yield from answer.stream


@contextmanager
def _in_our_words() -> Generator[None]:
    try:
        yield
    except _NEVER_SENT as error:
        raise NotSent(str(error)) from None
    except httpx2.DecodingError as error:
        raise Undecodable(str(error)) from None
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise Interrupted(str(error)) from None
