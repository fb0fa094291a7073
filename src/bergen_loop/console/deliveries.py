"""What came in and what went out: calls to Loop and REX11, events for brands' own endpoints, and
Loop's webhooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bergen_loop.console.access import NOT_FOUND, Form, Permission, Person, Viewer, needs
from bergen_loop.console.forms import RowId, whole
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import deliveries as reading
from bergen_loop.ledger.read import listing
from bergen_loop.ledger.read.deliveries import Asked
from bergen_loop.ledger.read.listing import Page
from bergen_loop.ledger.read.search import cleaned
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import outbox
from bergen_loop.ledger.tables.core import WebhookRow
from bergen_loop.ledger.tables.operations import CallRow, OutboxRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.tell.calls import MASKED
from bergen_loop.text import without_addresses

PAGE = 100

router = APIRouter()
May = Depends(needs(Permission.ACT))


@dataclass(frozen=True, slots=True)
class Kind:
    """A list of this page."""

    name: str
    title: str
    failed: str
    """What the filter for those that went wrong is called."""
    rows: Callable[[Session, Scope, Asked, int], Page[Any]]


KINDS = (
    Kind("calls", "Calls to Loop and REX11", "only those that failed", reading.calls),
    Kind("events", "Events to brands", "only those not delivered", reading.events),
    Kind("webhooks", "Webhooks from Loop", "only those not acted on yet", reading.webhooks),
)


@router.get("/deliveries", response_class=HTMLResponse)
def deliveries_page(
    request: Request, person: Viewer, kind: str = "calls", brand: str | None = None, q: str = ""
) -> HTMLResponse:
    """A page of one kind, newest first."""
    chosen = next((k for k in KINDS if k.name == kind), KINDS[0])
    failed, about = request.query_params.get("failed") == "1", cleaned(q).strip()
    before = whole(request.query_params.get("before"))
    asked = Asked(brand or None, about or None, failed, before)
    console = console_of(request)
    with console.registry.ledger.read() as session:
        found = chosen.rows(session, person.scope, asked, PAGE)
        last = reading.last_attempts(session, found.rows) if chosen.name == "events" else {}
        pks = [r.return_pk for r in found.rows if getattr(r, "return_pk", None)]
        names = listing.return_names(session, pks)
    given = {"kind": chosen.name, "brand": brand, "q": about, "failed": "1" if failed else ""}
    return page(
        request,
        "deliveries.html",
        kinds=KINDS,
        chosen=chosen,
        rows=found.rows,
        more=found.more,
        last=last,
        names=names,
        brand=brand,
        about=about,
        failed=failed,
        given={k: v for k, v in given.items() if v},
        first=before is None,
    )


@router.get("/deliveries/{kind}/{number}", response_class=HTMLResponse)
def delivery_page(request: Request, person: Viewer, kind: str, number: RowId) -> HTMLResponse:
    """One of them, with what was said."""
    tables: dict[str, type[Any]] = {"calls": CallRow, "events": OutboxRow, "webhooks": WebhookRow}
    if kind not in tables:
        raise HTTPException(404, NOT_FOUND)
    with console_of(request).registry.ledger.read() as session:
        row = reading.one(session, person.scope, tables[kind], number)
        if row is None:
            raise HTTPException(404, NOT_FOUND)
        body = getattr(row, "body", None)
        return page(
            request,
            "delivery.html",
            chosen=next(k for k in KINDS if k.name == kind),
            row=row,
            body=without_addresses(body, MASKED) if body else None,
            attempts=reading.attempts(session, row.id) if kind == "events" else [],
            resent=request.query_params.get("done") == "resend",
        )


@router.post("/deliveries/events/{number}/resend", response_model=None)
def resend(request: Request, _form: Form, number: RowId, person: Person = May) -> Response:
    """Have an event delivered (again), with its old id."""
    ledger, now = console_of(request).registry.ledger, datetime.now(UTC)
    with ledger.read() as session:
        row = reading.one(session, person.scope, OutboxRow, number)
    if row is None:
        raise HTTPException(404, NOT_FOUND)
    with transaction(ledger, row.brand, now, person.name) as tx:
        event = reading.one(tx.session, person.scope, OutboxRow, number)
        if event is not None:
            outbox.send_again(tx.session, event, now)
            tx.journal(What.EVENT_RESENT, event.event_id, data={"event": event.event_id})
    return RedirectResponse(f"/deliveries/events/{number}?done=resend", 303)
