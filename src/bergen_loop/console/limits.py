"""No request may be larger, or take longer to come in, than anything that is asked for here; and
no more than a few at a time may bring a password."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bergen_loop.console import passwords
from bergen_loop.console.passwords import CROWD
from bergen_loop.console.problems import Code
from bergen_loop.console.security import refusal

MOST = 256 * 1024
"""Bytes of a form or of a call of the API; the webhook endpoint has a limit of its own."""
COUNTING = 12 * 1024 * 1024
"""Bytes of a counting from the floor, which may hold photos; who is not signed in is refused
before they are read."""
EVIDENCE = 5 * 1024 * 1024
"""Bytes of a file that shows why a count is corrected."""
BODY_WITHIN = 30.0
"""Seconds for a body to come in whole."""
COUNTING_WITHIN = 180.0
"""Seconds for a counting with its photos, over a warehouse's radio."""


def most(path: str) -> int:
    """How many bytes a request to `path` may have."""
    if path == "/floor/api/count":
        return COUNTING
    return MOST + EVIDENCE if takes_file(path) else MOST


def takes_file(path: str) -> bool:
    """Whether a form sent to `path` may hold a file."""
    return path.startswith("/returns/") and path.endswith("/correct")


class BodyLimit:
    """Stops reading a body that is too large (413) or too slow (408), and refuses one that says in
    two ways how long it is (400): a proxy might go by the other one, and take the rest of it for
    somebody's next request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}:
            why = "its length is given twice: by Content-Length and by Transfer-Encoding"
            refused = refusal(scope, Code.BODY_UNREADABLE, why, {"Connection": "close"})
            await refused(scope, receive, send)
            return
        path = scope["path"]
        limit = None if path.startswith("/webhooks/") else most(path)
        within = BODY_WITHIN if limit in (None, MOST) else COUNTING_WITHIN
        clock = asyncio.get_running_loop().time
        size, more, ends = 0, True, clock() + within

        async def counted() -> Message:
            nonlocal size, more
            if not more:  # what still comes tells that the browser has gone
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), ends - clock())
            except TimeoutError:
                raise HTTPException(408, "the request took too long to come in") from None
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
            if limit is not None and size > limit:
                raise HTTPException(413, "too large")
            return message

        await self.app(scope, counted, send)


class Door:
    """Lets a few requests at a time bring a password or a code: who comes when it is full is sent
    away before anything is read, which costs next to nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not _knocks(scope["path"]):
            await self.app(scope, receive, send)
            return
        if self._inside >= passwords.AT_ONCE + passwords.WAITING:
            full = refusal(scope, Code.UNAVAILABLE, CROWD, {"Retry-After": "2"})
            await full(scope, receive, send)
            return
        self._inside += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._inside -= 1


def _knocks(path: str) -> bool:
    return path in ("/login", "/login/code", "/setup") or path.startswith("/account")
