"""The list of returns: searched, filtered, paged, exported."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from bergen_loop.console.access import Viewer
from bergen_loop.console.acting import return_path
from bergen_loop.console.export import AT_A_TIME, download
from bergen_loop.console.forms import ListQuery, list_query, whole, write_cursor
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.console.words import STAGES
from bergen_loop.domain.returns import Moment
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import listing, search, shipments, views
from bergen_loop.ledger.read.listing import Page, ReturnFilter, Slice
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import attention, journal
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.service.registry import Registry

PAGE = 50

router = APIRouter()


@router.get("/returns", response_class=HTMLResponse)
def returns_page(request: Request, person: Viewer) -> Response:
    """A page of returns: found by a text, or the newest that pass the filters. The only one that
    is known by a text opens."""
    query = list_query(request)
    registry = console_of(request).registry
    scope = by_brand(person.scope.narrowed(query.brand), query.wanted, registry)
    before = whole(request.query_params.get("before"))
    exact, within, newest, behind, bags = True, False, None, {}, []
    with registry.ledger.read() as session:
        if query.text:
            bags = shipments.bags_named(session, person.scope.narrowed(query.brand), query.text)
            found = search.find(session, scope, query.text, query.wanted, part=Slice(PAGE, before))
            rows, exact, within, newest = found.rows, found.exact, found.within, found.newest
            if len(rows) == 1 and not bags and before is None and query.given.keys() == {"q"}:
                return RedirectResponse(return_path(rows[0].brand, rows[0].return_id), 303)
            if found.more and exact:
                behind = {"before": rows[-1].id}
            more = found.more
        else:
            listed = listing.returns(session, scope, query.wanted, after=query.after, limit=PAGE)
            rows, more = listed.rows, listed.more
            if more:
                behind = {"after": write_cursor(listing.key_of(rows[-1], query.wanted))}
        left = attention.ignored(session, rows)
    return page(
        request,
        "returns.html",
        left=left,
        query=query,
        rows=rows,
        more=more,
        exact=exact,
        within=within,
        newest_only=newest,
        behind=behind,
        first=before is None and query.after is None,
        bags=bags,
        stands_at=listing.STANDS_AT,
        prefix_limit=search.PREFIX_LIMIT,
    )


def by_brand(scope: Scope, wanted: ReturnFilter, registry: Registry) -> Scope:
    """The scope by the brands' names, where the list's index needs them."""
    if wanted.reached is None or scope.brands is not None:
        return scope
    return Scope.of(registry.settings.brands)


_HEAD = (
    "brand", "return", "order", "stage", "moment", "needs attention", "state in Loop", "outcome",
    "total", "currency", "customer", "tracking number",
    *(f"{m.title} (UTC)" for m in Moment),
)  # fmt: skip


@router.get("/returns.csv")
def returns_csv(request: Request, person: Viewer) -> StreamingResponse:
    """Every return of the list as a file, whatever the page."""
    query = list_query(request)
    registry = console_of(request).registry
    scope = by_brand(person.scope.narrowed(query.brand), query.wanted, registry)
    with registry.ledger.write() as session:
        # Without the text searched for: it may be a customer's, and could not be erased by name.
        asked = ", ".join(
            f"{k}: {v if k != 'q' else '(a text)'}" for k, v in query.given.items()
        ) or "all"  # fmt: skip
        journal.record(
            session, datetime.now(UTC), journal.Entry(What.EXPORTED, asked, brand=query.brand,
            who=person.name, data={"what": "returns"}),
        )  # fmt: skip
    rows = _every(registry.ledger, scope, query)
    return download("returns", _HEAD, (_cells(row) for row in rows))


def _every(ledger: Ledger, scope: Scope, query: ListQuery) -> Iterator[ReturnRow]:
    """Every row, read piece by piece: between two pieces no connection is held."""

    def searched(last: ReturnRow | None) -> Page[ReturnRow]:
        before = last.id if last else None
        with ledger.read() as session:
            found = search.find(
                session, scope, query.text, query.wanted, part=Slice(AT_A_TIME, before)
            )
        return Page(found.rows, found.more and found.exact)

    def listed(last: ReturnRow | None) -> Page[ReturnRow]:
        after = listing.key_of(last, query.wanted) if last else None
        with ledger.read() as session:
            return listing.returns(session, scope, query.wanted, after=after, limit=AT_A_TIME)

    return listing.walk(searched if query.text else listed)


def _cells(row: ReturnRow) -> list[object]:
    return [
        row.brand, row.return_id, row.order_name,
        next(words for stage, words in STAGES.items() if stage == row.stage),
        views.moment_of(row).title, "yes" if row.held else "no", row.loop_state, row.outcome,
        row.total, row.currency, row.customer_email, row.tracking_number,
        row.submitted_at, row.seen_at, row.announced_at, row.received_at,
        row.decided_at or row.settled_at, row.rma_closed_at, row.completed_at,
    ]  # fmt: skip
