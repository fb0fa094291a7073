"""Loop's webhooks: verified on the raw bytes, kept, acted on by the next sync."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime

import structlog
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from bergen_loop.console.state import Nudge, registry_of
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.store import journal, returns, webhooks
from bergen_loop.outside.errors import Unreadable
from bergen_loop.outside.loop.webhooks import URGENT, parse_event, verify
from bergen_loop.service.registry import Registry

PER_POLL = 4
"""Syncs that webhooks may cause within a brand's `poll`."""
MAX_BODY = 2 * 1024 * 1024
"""Bytes. A return of a hundred lines is far below."""

UNKNOWN = "?"
"""Under which refused deliveries are counted that are for no brand."""
_NOBODYS = secrets.token_urlsafe(32)

router = APIRouter(tags=["webhooks"])
log = structlog.get_logger()


@router.post("/webhooks/loop/{brand}", status_code=204, response_class=Response)
async def loop_webhook(brand: str, request: Request) -> Response:
    """Take one delivery. 204 taken (also when repeated), 401 wrong signature or a brand without
    webhooks, which nobody is told apart, 413 too large, 422 signed but not understood (its body
    is kept)."""
    body = await _limited_body(request)
    if body is None:
        return Response("body too large", 413)
    signature = request.headers.get("x-loop-signature")
    registry, nudge = registry_of(request), request.app.state.nudge
    status, text = await run_in_threadpool(_take, registry, nudge, brand, body, signature)
    return Response(text or None, status)


async def _limited_body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _take(
    registry: Registry, nudge: Nudge, brand: str, body: bytes, signature: str | None
) -> tuple[int, str]:
    secret = registry.brand(brand).loop.webhook_secret if brand in registry else None
    # The same work and the same answer, whether or not there is such a brand.
    key = secret.get_secret_value() if secret else _NOBODYS
    if not verify(key, body, signature) or secret is None:
        counted = brand if secret else UNKNOWN
        with registry.ledger.write() as session:
            journal.count(session, counted, {"webhooks.refused": 1})
        log.warning("webhook refused", brand=counted, why="wrong signature")
        return 401, "wrong signature"
    try:
        event = parse_event(body, brand=brand)
    except Unreadable as error:
        _keep_unreadable(registry, brand, body, error.message)
        return 422, error.message
    told = [event.topic, event.trigger, event.return_id]
    if storable(told) != told:
        problem = "it names the return or the event with what is no text"
        _keep_unreadable(registry, brand, body, problem)
        return 422, problem
    now = datetime.now(UTC)
    delivery = webhooks.Delivery(brand, event.topic, event.trigger, event.return_id, body)
    with registry.ledger.write() as session:
        webhooks.keep(session, now, delivery)
        journal.count(session, brand, {"webhooks.taken": 1})
        apart = registry.brand(brand).poll / PER_POLL
        at_once = event.trigger in URGENT and returns.nudge(session, brand, now, apart)
    if at_once:
        nudge(brand)
    return 204, ""


def _keep_unreadable(registry: Registry, brand: str, body: bytes, problem: str) -> None:
    with registry.ledger.write() as session:
        journal.keep_raw(
            session,
            datetime.now(UTC),
            brand=brand,
            source="webhook",
            digest=hashlib.sha256(body).hexdigest(),
            body=body.decode(errors="replace"),
            problem=problem,
        )
        journal.count(session, brand, {"webhooks.unreadable": 1})
