"""Who did what."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from bergen_loop.console.access import Permission, Person, needs
from bergen_loop.console.export import AT_A_TIME, download
from bergen_loop.console.forms import whole
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import listing
from bergen_loop.ledger.read.listing import Page
from bergen_loop.ledger.read.search import cleaned
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.tables.core import JournalRow

PAGE = 100

router = APIRouter()
May = Depends(needs(Permission.AUDIT))


@router.get("/audit", response_class=HTMLResponse)
def audit_page(
    request: Request, person: Person = May, brand: str | None = None, who: str = ""
) -> HTMLResponse:
    """A page of what people did, the newest first."""
    scope, name = person.scope.narrowed(brand), cleaned(who)
    before = whole(request.query_params.get("before"))
    with console_of(request).registry.ledger.read() as session:
        found = listing.audit(session, scope, who=name or None, before=before, limit=PAGE)
        names = listing.return_names(session, [e.return_pk for e in found.rows if e.return_pk])
    return page(
        request,
        "audit.html",
        entries=found.rows,
        more=found.more,
        names=names,
        brand=brand,
        who=name,
        given={k: v for k, v in (("brand", brand), ("who", name)) if v},
        first=before is None,
    )


@router.get("/audit.csv")
def audit_csv(
    request: Request, person: Person = May, brand: str | None = None, who: str = ""
) -> StreamingResponse:
    """All of it as a file."""
    scope, ledger = person.scope.narrowed(brand), console_of(request).registry.ledger
    head = [
        "entry",
        "at (UTC)",
        "who",
        "what",
        "why",
        "brand",
        "return",
        "order",
        "account",
        "address",
    ]
    return download("audit", head, _cells(ledger, scope, cleaned(who) or None))


def _cells(ledger: Ledger, scope: Scope, who: str | None) -> Iterator[list[object]]:
    def entries(last: JournalRow | None) -> Page[JournalRow]:
        before = last.id if last else None
        with ledger.read() as session:
            return listing.audit(session, scope, who=who, before=before, limit=AT_A_TIME)

    for entry in listing.walk(entries):
        name = (None, None)
        if entry.return_pk:
            with ledger.read() as session:
                name = listing.return_names(session, [entry.return_pk]).get(entry.return_pk, name)
        by = (entry.account_id, entry.source)
        yield [entry.id, entry.at, entry.who, entry.what, entry.why, entry.brand, *name, *by]
