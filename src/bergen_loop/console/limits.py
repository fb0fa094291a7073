"""No request may be larger than anything that is asked for here."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 256 * 1024
"""Bytes of a form or of a call of the API; the webhook endpoint has a limit of its own."""
COUNTING = 12 * 1024 * 1024
"""Bytes of a counting from the floor, which may hold photos; who is not signed in is refused
before they are read."""


def most(path: str) -> int:
    """How many bytes a request to `path` may have."""
    return COUNTING if path == "/floor/api/count" else MOST


class BodyLimit:
    """Stops reading a body that is too large: 413."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/webhooks/"):
            await self.app(scope, receive, send)
            return
        size, limit = 0, most(scope["path"])

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(413, "too large")
            return message

        await self.app(scope, counted, send)
