"""From ASGI to the sandbox's handlers and back, with connections that hang and break.

The handlers are quick and run one after the other under the world's lock, so they run on the
event loop itself; only a hang waits, and it blocks nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from loop_sandbox.dispatch import Outgoing
from loop_sandbox.wire import WireRequest

Handler = Callable[[WireRequest], Outgoing]


class Endpoint:
    """An ASGI app around a handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        wire = WireRequest(
            method=request.method,
            path=path.removeprefix(root) or "/",
            query=dict(request.query_params),
            headers={k.lower(): v for k, v in request.headers.items()},
            body=body,
            root=f"{request.url.scheme}://{request.url.netloc}",
        )
        await _send(self._handler(wire), receive, send)


async def _send(out: Outgoing, receive: Receive, send: Send) -> None:
    if out.hang > 0 and await _gone_within(out.hang, receive):
        return
    answer = out.answer
    # A dropped answer promises a byte more than it will send, so that it never looks whole.
    length = len(answer.body) + (1 if out.drop else 0)
    headers = [
        (b"content-type", answer.content_type.encode()),
        *((k.lower().encode(), v.encode()) for k, v in answer.headers.items()),
    ]
    if answer.status != 204:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = answer.body if out.sent is None else answer.body[: out.sent]
    await send({"type": "http.response.body", "body": body, "more_body": out.drop})
    # Returning with more_body still set makes the server close the connection.


async def _gone_within(seconds: float, receive: Receive) -> bool:
    """Wait; True when the caller hung up first."""
    waiting = asyncio.ensure_future(receive())
    done, _ = await asyncio.wait({waiting}, timeout=seconds)
    if not done:
        waiting.cancel()
        return False
    return waiting.result()["type"] == "http.disconnect"
