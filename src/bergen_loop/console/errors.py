"""What people and programs see when a request cannot be answered."""

from __future__ import annotations

from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from bergen_loop.console import problems
from bergen_loop.console.access import NOT_FOUND, Elsewhere, SignInNeeded
from bergen_loop.console.guard import SOON, ComeBack
from bergen_loop.console.passwords import CROWD, Busy
from bergen_loop.console.problems import Code, Fault
from bergen_loop.console.templating import page
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.database import LedgerError, absence
from bergen_loop.ledger.scope import OutOfScope
from bergen_loop.secrets.errors import SecretError

_TITLES = {
    400: "This cannot be read",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible this way",
    409: "Not possible now",
    413: "Too large",
    408: "Too slow",
    421: "Not here",
    422: "This cannot be read",
    429: "Too many tries",
    503: "Not at this moment",
}
_MACHINES = ("/webhooks/", "/health", "/ready", "/static/")
AWAY = (
    "the database of this service cannot be had at this moment; nothing is lost, and it goes on by "
    "itself when the database is back: try again in a moment"
)
SOON_BACK = "10"
"""Seconds."""

log = structlog.get_logger()


def install(app: FastAPI) -> None:
    """Have errors answered: pages for people, JSON for programs."""
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(Elsewhere, _elsewhere)
    app.add_exception_handler(ComeBack, _come_back)
    app.add_exception_handler(Busy, _busy)
    app.add_exception_handler(OutOfScope, _out_of_scope)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(LedgerError, _away)
    app.add_exception_handler(SecretError, _no_key)


async def _sign_in(request: Request, _error: Exception) -> Response:
    if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", ""):
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(target, safe='/')}", 303)
    return JSONResponse({"detail": "sign in first"}, 401)


async def _elsewhere(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Elsewhere)
    return RedirectResponse(error.path, 303)


async def _come_back(request: Request, error: Exception) -> Response:
    assert isinstance(error, ComeBack)
    headers = {"Retry-After": str(error.wait)}
    return await _http(request, HTTPException(error.status, str(error), headers))


async def _busy(request: Request, _error: Exception) -> Response:
    return await _come_back(request, ComeBack(503, CROWD, SOON))


async def _out_of_scope(request: Request, _error: Exception) -> Response:
    return await _http(request, HTTPException(404, NOT_FOUND))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if problems.of_api(request.url.path):
        return _faults(request, error)
    if not request.url.path.startswith(_MACHINES):
        return await _http(request, HTTPException(422, "the address is not understood"))
    # Without what was sent: it may be text that no answer can hold.
    names = ("type", "loc", "msg")
    found = [{name: one[name] for name in names} for one in error.errors()]
    return JSONResponse({"detail": storable(found)}, 422)


def _faults(request: Request, error: RequestValidationError) -> Response:
    faults = [
        Fault(
            where=".".join(map(str, one["loc"])),
            code=one["type"],
            detail=one["msg"].removeprefix("Value error, "),
        )
        for one in error.errors()
    ]
    unreadable = [f for f in faults if f.code in ("json_invalid", "json_type")]
    code = Code.BODY_UNREADABLE if unreadable else Code.INVALID
    told = "; ".join(f"{f.where}: {f.detail}" for f in faults[:3])
    return problems.answer(request.scope, code, told, errors=faults)


async def _away(request: Request, error: Exception) -> Response:
    """The database cannot be had: said to each that asks, and logged once."""
    if not absence.gone(error):
        raise error
    request.state.person = None  # a page for somebody looks things up
    refused = HTTPException(503, AWAY, {"Retry-After": SOON_BACK})
    return await _http(request, refused)


async def _no_key(request: Request, error: Exception) -> Response:
    log.error("a secret cannot be kept or read", why=str(error))
    why = "a secret cannot be kept or read at this moment; the reason is in the service's logs"
    return await _http(request, HTTPException(503, why, {"Retry-After": SOON_BACK}))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if problems.of_api(request.url.path):
        return problems.of_http(request.scope, error)
    if request.url.path.startswith(_MACHINES):
        return await http_exception_handler(request, error)
    title = _TITLES.get(error.status_code, "Something went wrong")
    answer = page(request, "error.html", error.status_code, title=title, detail=error.detail)
    answer.headers.update(error.headers or {})
    return answer
