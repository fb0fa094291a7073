"""What every request gets: an id, and headers that keep browsers from doing what these pages never
need."""

from __future__ import annotations

import secrets
import time
import traceback
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bergen_loop.console import problems
from bergen_loop.console.problems import Code

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

PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"

_ALWAYS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": PERMISSIONS,
}

log = structlog.get_logger()

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


class Outermost:
    """Gives each request an id, which is in its answer and in all that is logged meanwhile; adds
    the headers to every answer; and answers what has failed. Pages and data are not to be stored
    by anyone."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self.https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # Never one that the request brings: by it things are found in the logs.
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = secrets.token_hex(8)
        with structlog.contextvars.bound_contextvars(request_id=state["request_id"]):
            await self._answered(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.monotonic(), 0

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add(scope, MutableHeaders(scope=message))
            await send(message)

        try:
            await self.app(scope, receive, with_headers)
        except Exception as error:
            # Where it happened and of what kind: its text may quote what was sent, or a peer.
            frames = traceback.extract_tb(error.__traceback__)[-6:]
            where = " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames))
            log.error("a request failed", kind=type(error).__name__, where=where)
            if status:
                raise
            words = "something went wrong here; it has been logged"
            await refusal(scope, Code.INTERNAL, words)(scope, receive, with_headers)
        if problems.of_api(scope["path"]):
            _tell(scope, status, began)

    def _add(self, scope: Scope, headers: MutableHeaders) -> None:
        for name, value in _ALWAYS.items():
            headers.setdefault(name, value)
        if not scope["path"].startswith("/static/"):
            headers.setdefault("cache-control", "no-store")
        if self.https:
            headers.setdefault("strict-transport-security", "max-age=31536000")
        headers["x-request-id"] = problems.request_id(scope)
        headers.update(scope["state"].get("rate", {}))


def _tell(scope: Scope, status: int, began: float) -> None:
    """A call of the API: what only read, and was answered, is no news."""
    tell = log.info if scope["method"] not in ("GET", "HEAD") or status >= 400 else log.debug
    tell(
        "api call", who=scope["state"].get("holder", "?"), method=scope["method"],
        path=scope["path"], status=status, ms=round(1000 * (time.monotonic() - began)),
    )  # fmt: skip


def refusal(
    scope: Scope, code: Code, text: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A refusal that needs nothing of the application."""
    if problems.of_api(scope["path"]):
        return problems.answer(scope, code, text, headers=headers)
    return PlainTextResponse(text, code.status, dict(headers or {}))


class LocalOnly:
    """Refuses requests made under another name than this machine's: a page elsewhere could
    point a name of its own at this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _host(scope) not in LOCAL_HOSTS:
            await refusal(scope, Code.MISDIRECTED, "only for this machine")(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _host(scope: Scope) -> str:
    raw = next((v for k, v in scope["headers"] if k == b"host"), b"").decode("latin-1")
    if raw.startswith("["):
        return raw[1:].partition("]")[0]
    return raw.partition(":")[0]
