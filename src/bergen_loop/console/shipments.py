"""Consolidated shipments: the list, one of them bag by bag, and the claims."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from bergen_loop.console.access import NOT_FOUND, Form, Permission, Person, Viewer, field, needs
from bergen_loop.console.export import AT_A_TIME, download
from bergen_loop.console.forms import RowId, whole
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.console.working import TEXT_LIMIT
from bergen_loop.domain.shipment import Differs, ShipmentStage
from bergen_loop.domain.words import What
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import listing
from bergen_loop.ledger.read import shipments as reading
from bergen_loop.ledger.read.listing import Page, Slice
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.tables.shipments import ClaimRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import shipments as people
from bergen_loop.people.actions import NotPossible

PAGE = 50
STATES = (store.OPEN, store.WITHDRAWN, store.CLOSED)

router = APIRouter()

May = Depends(needs(Permission.ACT))


@router.get("/shipments", response_class=HTMLResponse)
def shipments_page(
    request: Request, person: Viewer, brand: str | None = None, stage: str | None = None
) -> HTMLResponse:
    """A page of shipments, the newest first."""
    return _list(request, person, brand, stage)


def _list(
    request: Request, person: Person, brand: str | None, stage: str | None, problem: str = ""
) -> HTMLResponse:
    scope, before = person.scope.narrowed(brand), whole(request.query_params.get("before"))
    registry = console_of(request).registry
    wanted = stage if stage in set(ShipmentStage) else None
    with registry.ledger.read() as session:
        found = reading.shipments(session, scope, stage=wanted, before=before, limit=PAGE)
    return page(
        request,
        "shipments.html",
        409 if problem else 200,
        rows=found.rows,
        more=found.more,
        first=before is None,
        brand=brand,
        stage=wanted,
        stages=ShipmentStage,
        stage_of=ShipmentStage,
        given={k: v for k, v in (("brand", brand), ("stage", wanted)) if v},
        taking=[
            b
            for b, s in registry.settings.brands.items()
            if s.loop.happy_returns and b in person.scope
        ],
        problem=problem,
    )


@router.post("/shipments", response_class=HTMLResponse)
def enter(request: Request, form: Form, person: Person = May) -> Response:
    """Read a shipment that nobody told of, by its id."""
    console, brand = console_of(request), field(form, "brand")
    settings = console.registry.settings.brands.get(brand)
    if settings is None or brand not in person.scope:
        raise HTTPException(404, NOT_FOUND)
    if not settings.loop.happy_returns:
        return _list(request, person, None, None, "this brand has no Happy Returns drop-off")
    try:
        with console.registry.ledger.write() as session:
            tx = Transaction(session, brand, datetime.now(UTC), person.name)
            row = people.enter(tx, storable(field(form, "shipment")))
            happy_id = row.happy_id
    except NotPossible as error:
        return _list(request, person, None, None, str(error))
    console.sync_soon(brand)
    return RedirectResponse(
        request.url_for("shipment_page", brand=brand, shipment=happy_id).path, 303
    )


@router.get("/shipments/{brand}/{shipment}", response_class=HTMLResponse)
def shipment_page(request: Request, person: Viewer, brand: str, shipment: str) -> HTMLResponse:
    """One shipment: its RMAs, and bag by bag what was to come and what differs."""
    with console_of(request).registry.ledger.read() as session:
        row = reading.one_shipment(session, person.scope, brand, shipment)
        if row is None:
            raise HTTPException(404, NOT_FOUND)
        view = reading.view(session, row)
    return page(
        request,
        "shipment.html",
        view=view,
        row=row,
        stage_of=ShipmentStage,
        waits=row.due_at is not None and row.stage != ShipmentStage.DONE,
        final={rma.id: store.counts_final(rma) for rma in view.rmas},
        bag=request.query_params.get("bag", ""),
    )


@router.get("/claims", response_class=HTMLResponse)
def claims_page(
    request: Request,
    person: Viewer,
    brand: str | None = None,
    state: str = store.OPEN,
    kind: str | None = None,
) -> HTMLResponse:
    """A page of claims, the newest first."""
    return _claims(request, person, (brand, state, kind))


def _claims(
    request: Request,
    person: Person,
    asked: tuple[str | None, str, str | None],
    problem: str = "",
) -> HTMLResponse:
    brand, state, kind = asked
    scope, before = person.scope.narrowed(brand), whole(request.query_params.get("before"))
    chosen = state if state in STATES else None
    kind = kind if kind in set(Differs) else None
    with console_of(request).registry.ledger.read() as session:
        found = reading.claims(session, scope, state=chosen, kind=kind, part=Slice(PAGE, before))
        names = reading.shipment_ids(session, found.rows)
    return page(
        request,
        "claims.html",
        409 if problem else 200,
        rows=found.rows,
        more=found.more,
        names=names,
        first=before is None,
        brand=brand,
        state=chosen,
        states=STATES,
        kind=kind,
        kinds=Differs,
        given={k: v for k, v in (("brand", brand), ("state", state), ("kind", kind)) if v},
        problem=problem,
        most=TEXT_LIMIT,
    )


@router.post("/claims/{number}/close", response_class=HTMLResponse)
def close_claim(request: Request, form: Form, number: RowId, person: Person = May) -> Response:
    """Close a claim, with a reason."""
    why, asked = field(form, "why"), (None, store.OPEN, None)
    if not why or len(why) > TEXT_LIMIT:
        problem = f"write a reason of at most {TEXT_LIMIT} characters"
        return _claims(request, person, asked, problem)
    try:
        with console_of(request).registry.ledger.write() as session:
            claim = reading.claim_to_change(session, person.scope, number)
            if claim is None:
                raise HTTPException(404, NOT_FOUND)
            tx = Transaction(session, claim.brand, datetime.now(UTC), person.name)
            people.close_claim(tx, claim, storable(why))
    except NotPossible as error:
        return _claims(request, person, asked, str(error))
    return RedirectResponse("/claims", 303)


_HEAD = (
    "claim", "brand", "shipment", "state", "kind", "units", "SKU", "UPC", "product", "bags",
    "return", "order", "value (at least)", "currency", "hint", "opened (UTC)", "closed (UTC)",
    "closed by", "why",
)  # fmt: skip


@router.get("/claims.csv")
def claims_csv(
    request: Request,
    person: Viewer,
    brand: str | None = None,
    state: str | None = None,
    kind: str | None = None,
) -> StreamingResponse:
    """Every claim of the list as a file, whatever the page."""
    scope, ledger = person.scope.narrowed(brand), console_of(request).registry.ledger
    state = state if state in STATES else None
    kind = kind if kind in set(Differs) else None
    with ledger.write() as session:
        asked = ", ".join(v for v in (brand, state, kind) if v) or "all"
        journal.record(
            session, datetime.now(UTC), journal.Entry(What.EXPORTED, asked, brand=brand or None,
            who=person.name, data={"what": "claims"}),
        )  # fmt: skip
    return download("claims", _HEAD, _cells(ledger, scope, state, kind))


def _cells(
    ledger: Ledger, scope: Scope, state: str | None, kind: str | None
) -> Iterator[list[object]]:
    names: dict[int, str] = {}

    def read(last: ClaimRow | None) -> Page[ClaimRow]:
        before = last.id if last else None
        with ledger.read() as session:
            found = reading.claims(
                session, scope, state=state, kind=kind, part=Slice(AT_A_TIME, before)
            )
            names.update(reading.shipment_ids(session, found.rows))
            return found

    for c in listing.walk(read):
        yield [
            c.id, c.brand, names.get(c.shipment_pk), c.state, c.kind, c.units, c.sku, c.upc,
            c.title, " ".join(str(b) for b in c.bags), c.return_id, c.order_name, c.value,
            c.currency, c.hint, c.opened_at, c.closed_at, c.closed_by, c.why,
        ]  # fmt: skip
