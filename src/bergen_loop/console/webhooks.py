"""Loop's webhooks: verified on the raw bytes, kept, acted on by the next sync."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from bergen_loop.config import BrandSettings
from bergen_loop.console.state import Nudge, registry_of
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.store import calls, journal, returns, webhooks
from bergen_loop.outside.errors import Unreadable
from bergen_loop.outside.loop.webhooks import URGENT, parse_event, verify
from bergen_loop.service.registry import Registry

PER_POLL = 4
"""Syncs that webhooks may cause within a brand's `poll` where its key's calls are scarce."""
SHORTEST = timedelta(seconds=1)
"""How soon after the last one where they are not."""
PLENTY = 1 / 3
"""Of a key's calls, when less are in use."""
NEWS = frozenset({"return.created", "label.created", "label.updated"})
"""Triggers of what is seen to at once; what else is urgent takes a whole sync."""
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
    webhooks, which nobody is told apart, 413 too large. What is signed and not understood is taken
    too, and its body kept: it would come no better again, and Loop switches off a webhook that is
    refused some times."""
    body = await _limited_body(request)
    if body is None:
        return Response("body too large", 413)
    signature = request.headers.get("x-loop-signature")
    registry, state = registry_of(request), request.app.state
    taken = await run_in_threadpool(_take, registry, brand, body, signature)
    if taken.sync_at_once:
        see_to: Nudge = state.hurry if taken.news else state.nudge
        await run_in_threadpool(see_to, brand)
    return Response(taken.text or None, taken.status)


@dataclass(frozen=True, slots=True)
class _Taken:
    """The answer to a delivery, and what it leads to."""

    status: int
    text: str = ""
    sync_at_once: bool = False
    news: bool = False
    """Of a new return or its label."""


async def _limited_body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _take(registry: Registry, brand: str, body: bytes, signature: str | None) -> _Taken:
    secret = registry.brand(brand).loop.webhook_secret if brand in registry else None
    # The same work and the same answer, whether or not there is such a brand.
    key = secret.get_secret_value() if secret else _NOBODYS
    if not verify(key, body, signature) or secret is None:
        counted = brand if secret else UNKNOWN
        with registry.ledger.write() as session:
            journal.count(session, counted, {"webhooks.refused": 1})
        log.warning("webhook refused", brand=counted, why="wrong signature")
        return _Taken(401, "wrong signature")
    try:
        event = parse_event(body, brand=brand)
    except Unreadable as error:
        _keep_unreadable(registry, brand, body, error.message)
        return _Taken(204)
    told = [event.topic, event.trigger, event.return_id]
    if storable(told) != told:
        problem = "it names the return or the event with what is no text"
        _keep_unreadable(registry, brand, body, problem)
        return _Taken(204)
    now = datetime.now(UTC)
    delivery = webhooks.Delivery(brand, event.topic, event.trigger, event.return_id, body)
    with registry.ledger.write() as session:
        webhooks.keep(session, now, delivery)
        journal.count(session, brand, {"webhooks.taken": 1})
        at_once = event.trigger in URGENT and returns.nudge(
            session, brand, now, _apart(session, registry.brand(brand))
        )
    return _Taken(204, sync_at_once=at_once, news=event.trigger in NEWS)


def _apart(session: Session, settings: BrandSettings) -> timedelta:
    """How far apart the syncs are that webhooks lead to: as far as the key's budget of calls asks
    for, so that a busy brand's webhooks never cost much more than polling would."""
    key = calls.key_hash(settings.loop.api_key.get_secret_value())
    if calls.counted(session, key) < PLENTY * settings.loop.calls_per_minute:
        return min(SHORTEST, settings.poll / PER_POLL)
    return settings.poll / PER_POLL


def _keep_unreadable(registry: Registry, brand: str, body: bytes, problem: str) -> None:
    with registry.ledger.write() as session:
        journal.keep_raw(
            session,
            datetime.now(UTC),
            journal.Payload(
                brand=brand,
                source="webhook",
                digest=hashlib.sha256(body).hexdigest(),
                body=body.decode(errors="replace"),
                problem=problem,
            ),
        )
        journal.count(session, brand, {"webhooks.unreadable": 1})
