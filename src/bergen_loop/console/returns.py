"""One return: its seven moments, its units beside what came, and every call made for it."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from bergen_loop.config.console import ConsoleSettings
from bergen_loop.console.access import NOT_FOUND, Viewer
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.console.working import offered
from bergen_loop.domain.announce import physical_lines
from bergen_loop.domain.comparison import Comparison, compare
from bergen_loop.ledger.codec import load_items, load_receipt, load_return
from bergen_loop.ledger.read import listing, views
from bergen_loop.ledger.read.views import ReturnView
from bergen_loop.ledger.store import returns as ledger_returns
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow
from bergen_loop.service.registry import Registry

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Unit:
    """A product of the return, or one that came without being on it."""

    sku: str
    upc: str
    title: str
    expected: int
    counted: int | None
    """None: there is no receipt yet."""
    damaged: int | None
    remark: str
    """What is out of order, in words; empty if nothing is."""


@router.get("/returns/{brand}/{return_id}", response_class=HTMLResponse)
def return_page(request: Request, person: Viewer, brand: str, return_id: str) -> HTMLResponse:
    """Everything about one return."""
    registry = console_of(request).registry
    with registry.ledger.read() as session:
        row = listing.one_return(session, person.scope, brand, return_id)
        if row is None:
            raise HTTPException(404, NOT_FOUND)
        view = views.return_view(session, row)
        compared = comparison(registry, view)
        receipts = ledger_returns.latest_receipts(session, [r.id for r in view.rmas])
        return page(
            request,
            "return.html",
            view=view,
            row=row,
            content=load_return(row.content),
            brand_name=registry.brand(brand).name if brand in registry else brand,
            reached=views.moment_of(row),
            units=units(compared),
            unclear=(*compared.unclear, *compared.hints) if view.receipts else (),
            latest=receipts,
            actions=offered(person, row),
            loop_link=loop_link(registry.settings.service.console, row, view),
            ticket_links={
                r.id: ticket_link(registry.settings.service.console, r) for r in view.rmas
            },
            done=request.query_params.get("done", ""),
        )


def comparison(registry: Registry, view: ReturnView) -> Comparison:
    """What is expected against what came, reckoned as the decision reckons it."""
    return_ = load_return(view.row.content)
    lines, kits = return_.lines, None
    if view.row.brand in registry:
        rules = registry.brand(view.row.brand).announce_rules()
        lines, kits = physical_lines(return_, rules), rules.kits
    newest = {r.rma_pk: r for r in view.receipts}
    receipts = [load_receipt(r.content) for r in newest.values()]
    return compare(lines, receipts, [load_items(r.items) for r in view.rmas], kits)


def units(compared: Comparison) -> list[Unit]:
    """The products side by side, those that were not expected last."""
    arrived = "there is no receipt" not in compared.unclear
    expected = [
        Unit(
            sku=s.sku or "", upc=s.upc or "", title=s.title or "", expected=s.expected,
            counted=s.counted if arrived else None, damaged=s.damaged if arrived else None,
            remark=_remark(s.short, s.extra, s.damaged) if arrived else "",
        )
        for s in compared.skus
    ]  # fmt: skip
    unexpected = [
        Unit(s.sku or "", s.upc or "", s.title or "", 0, s.counted, s.damaged, "not on the return")
        for s in compared.unexpected
    ]
    return expected + unexpected


def _remark(short: int, extra: int, damaged: int) -> str:
    found = ((short, "missing"), (extra, "too many"), (damaged, "damaged"))
    return ", ".join(f"{number} {word}" for number, word in found if number)


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
