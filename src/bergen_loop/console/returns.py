"""One return: why it stands where it stands, its seven moments, its units beside what came, and
every call made for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from bergen_loop.config.console import ConsoleSettings
from bergen_loop.console.access import NOT_FOUND, Viewer
from bergen_loop.console.forms import RowId
from bergen_loop.console.photos import HEADERS, picture
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page, zone_of
from bergen_loop.console.working import offered
from bergen_loop.domain.comparison import SkuCount
from bergen_loop.domain.returns import Return, ReturnLine
from bergen_loop.domain.rma import ReceiptLine
from bergen_loop.ledger.codec import load_receipt, load_return
from bergen_loop.ledger.read import counting, listing, views, why
from bergen_loop.ledger.read.deliveries import said_about
from bergen_loop.ledger.read.views import ReturnView
from bergen_loop.ledger.store import returns as ledger_returns
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow
from bergen_loop.people.counts import is_of, may_correct
from bergen_loop.people.looking import view_of

MOST_SAID = 50
"""Calls, webhooks and events shown with a return, of each."""

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Unit:
    """A product of the return, or one that came without being on it."""

    sku: str
    upc: str
    title: str
    expected: int
    counted: str
    """`?` where it is not known; empty: there is no receipt yet."""
    damaged: str
    remark: str
    """What is out of order, in words; empty if nothing is."""
    price: str = "?"
    refund: str = ""
    """What the customer gets back for it, where Loop says so."""
    said: tuple[str, ...] = ()
    """Why the customer sends it back, in their words."""
    noted: tuple[str, ...] = ()
    """What the warehouse remarked."""


@router.get("/returns/{brand}/{return_id}", response_class=HTMLResponse)
def return_page(request: Request, person: Viewer, brand: str, return_id: str) -> HTMLResponse:
    """Everything about one return."""
    registry, zone = console_of(request).registry, zone_of(request)
    settings = registry.settings.service.console
    with registry.ledger.read() as session:
        row = listing.one_return(session, person.scope, brand, return_id)
        if row is None:
            raise HTTPException(404, NOT_FOUND)
        view = view_of(session, registry.settings, row)
        compared, told = view.compared, view.why(zone)
        return page(
            request,
            "return.html",
            view=view,
            row=row,
            content=load_return(row.content),
            brand_name=view.brand.name,
            why=told,
            reply=why.reply(view.facts, zone),
            reached=views.moment_of(row),
            units=units(view),
            # What the sentence says already is not said twice.
            unclear=[u for u in _doubts(view) if u not in told.what],
            correctable=may_correct(row, compared),
            corrected=[r for r in view.newest if r.corrects is not None],
            files=counting.files(session, view.receipts),
            countings=counting.countings(session, view.rmas),
            photos=counting.photos(session, view.rmas),
            said=said_about(session, row, _names(view.rmas), MOST_SAID),
            actions=offered(person, row, waits=view.turn is not None),
            loop_link=loop_link(settings, row, view),
            ticket_links={r.id: ticket_link(settings, r) for r in view.rmas},
            done=request.query_params.get("done", ""),
        )


def _names(rmas: Iterable[RmaRow]) -> list[str]:
    """What calls about a return's RMAs call them."""
    return [name for r in rmas for name in (r.customer_po, r.ticket_id) if name]


@router.get("/returns/{brand}/{return_id}/photos/{number}")
def photo(
    request: Request, person: Viewer, brand: str, return_id: str, number: RowId
) -> Response:  # fmt: skip
    """A photo of what came."""
    with console_of(request).registry.ledger.read() as session:
        row = listing.one_return(session, person.scope, brand, return_id)
        rmas = ledger_returns.rmas_of(session, [row.id]).get(row.id, []) if row else []
        found = counting.photo(session, rmas, number)
    if found is None:
        raise HTTPException(404, NOT_FOUND)
    return picture(*found)


@router.get("/returns/{brand}/{return_id}/files/{number}")
def evidence_file(
    request: Request, person: Viewer, brand: str, return_id: str, number: RowId
) -> Response:  # fmt: skip
    """A file that shows why counts were corrected."""
    with console_of(request).registry.ledger.read() as session:
        row = listing.one_return(session, person.scope, brand, return_id)
        rmas = ledger_returns.rmas_of(session, [row.id]).get(row.id, []) if row else []
        found = counting.file(session, rmas, number)
    if found is None:
        raise HTTPException(404, NOT_FOUND)
    return Response(found.body, media_type=found.content_type, headers=HEADERS)


def _doubts(view: ReturnView) -> tuple[str, ...]:
    return (*view.compared.unclear, *view.compared.hints) if view.receipts else ()


# -- units --------------------------------------------------------------------------------------


def units(view: ReturnView) -> list[Unit]:
    """The products side by side, those that were not expected last."""
    compared, return_ = view.compared, load_return(view.row.content)
    came = [line for r in view.newest for line in load_receipt(r.content).lines]
    arrived = bool(view.receipts)
    expected = [_expected(s, return_, came if arrived else None) for s in compared.skus]
    return expected + [_unexpected(s, came) for s in compared.unexpected]


def _expected(sku: SkuCount, return_: Return, came: list[ReceiptLine] | None) -> Unit:
    lines = [x for x in return_.lines if x.line_item_id in sku.line_item_ids]
    short = sku.short if sku.counted_known else 0
    return Unit(
        sku=sku.sku or "",
        upc=sku.upc or "",
        title=sku.title or "",
        expected=sku.expected,
        counted="" if came is None else _number(sku.counted, sku.counted_known),
        damaged="" if came is None else _number(sku.damaged, sku.damaged_known),
        remark="" if came is None else _remark(sku, short),
        price=_money((x.price for x in lines), return_.currency) or "?",
        refund=_money((x.refund for x in lines), return_.currency),
        said=_said(lines),
        noted=_noted(sku, came or ()),
    )


def _unexpected(sku: SkuCount, came: Iterable[ReceiptLine]) -> Unit:
    return Unit(
        sku=sku.sku or "",
        upc=sku.upc or "",
        title=sku.title or "",
        expected=0,
        counted=_number(sku.counted, sku.counted_known),
        damaged=_number(sku.damaged, sku.damaged_known),
        remark="not on the return",
        price="",
        noted=_noted(sku, came),
    )


def _number(known: int, whole: bool) -> str:
    """A count for people: what is not known is never 0."""
    if whole:
        return str(known)
    return f"{known} + ?" if known else "?"


def _remark(sku: SkuCount, short: int) -> str:
    found = ((short, "missing"), (sku.extra, "too many"), (sku.damaged, "damaged"))
    words = [f"{number} {word}" for number, word in found if number]
    if not (sku.counted_known and sku.damaged_known):
        words.append("not clear")
    return ", ".join([*words, *sku.parts])


def _money(amounts: Iterable[Decimal | None], currency: str | None) -> str:
    """Their sum; empty where one is not known."""
    found = list(amounts)
    known = [a for a in found if a is not None and a.is_finite()]
    if not found or len(known) < len(found):
        return ""
    return f"{sum(known):,.2f} {currency or ''}".strip()


def _said(lines: Iterable[ReturnLine]) -> tuple[str, ...]:
    said: dict[str, None] = {}
    for line in lines:
        reason = ": ".join(dict.fromkeys(r for r in (line.parent_reason, line.reason) if r))
        comment = f"“{line.comment}”" if line.comment else ""
        if words := " ".join(w for w in (reason, comment) if w):
            said[words] = None
    return tuple(said)


def _noted(sku: SkuCount, came: Iterable[ReceiptLine]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(x.comments for x in came if x.comments and is_of(sku, x)))


# -- elsewhere ----------------------------------------------------------------------------------


def loop_link(settings: ConsoleSettings, row: ReturnRow, view: ReturnView) -> str | None:
    """The return in Loop's admin, where the address is known."""
    if settings.loop_return_url is None:
        return None
    return settings.loop_return_url.format(
        return_id=row.return_id,
        order_id=view.row.content.get("order_id") or "",
        order_name=row.order_name or "",
        brand=row.brand,
    )


def ticket_link(settings: ConsoleSettings, rma: RmaRow) -> str | None:
    """The ticket in REX11, where the address is known."""
    if settings.rex11_ticket_url is None or rma.ticket_id is None:
        return None
    return settings.rex11_ticket_url.format(
        ticket_id=rma.ticket_id, customer_po=rma.customer_po, brand=rma.brand
    )
