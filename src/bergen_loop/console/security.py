"""Headers that keep browsers from doing what these pages never need."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

_ALWAYS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

log = structlog.get_logger()

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


class SecurityHeaders:
    """Adds the headers to every answer; pages and data are not to be stored by anyone."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self.https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        started = False

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("cache-control", "no-store")
                if self.https:
                    headers.setdefault("strict-transport-security", "max-age=31536000")
            await send(message)

        try:
            await self.app(scope, receive, with_headers)
        except Exception as error:
            # Where it happened and of what kind: its text may quote what was sent, or a peer.
            frames = traceback.extract_tb(error.__traceback__)[-6:]
            where = " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames))
            log.error("a request failed", kind=type(error).__name__, where=where)
            if started:
                raise
            await plain(with_headers, 500, b"something went wrong here; it has been logged")


async def plain(
    send: Send, status: int, text: bytes, more: Mapping[bytes, bytes] | None = None
) -> None:
    """An answer that needs nothing of the application."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *(more or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


class LocalOnly:
    """Refuses requests made under another name than this machine's: a page elsewhere could
    point a name of its own at this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _host(scope) not in LOCAL_HOSTS:
            await plain(send, 421, b"only for this machine")
            return
        await self.app(scope, receive, send)


def _host(scope: Scope) -> str:
    raw = next((v for k, v in scope["headers"] if k == b"host"), b"").decode("latin-1")
    if raw.startswith("["):
        return raw[1:].partition("]")[0]
    return raw.partition(":")[0]
