"""What holds calls back now, for how many brands, since when; and what did before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from bergen_loop.console.access import Form, Permission, Person, Viewer, field, needs
from bergen_loop.console.forms import whole
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.ledger.read import figures
from bergen_loop.ledger.read import incidents as reading
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import alerts
from bergen_loop.ledger.tables.core import BreakerRow
from bergen_loop.ledger.tables.operations import AlertRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.outside import breaker
from bergen_loop.tell import standing
from bergen_loop.tell.rules import INCIDENTS, KINDS

LOOKED_AT, SHOWN = 200, 30
"""Past incidents: looked at, and shown at most."""

router = APIRouter()
May = Depends(needs(Permission.ACT))


@dataclass(frozen=True, slots=True)
class Past:
    """An incident that people were told of, as far as it concerned somebody's brands."""

    title: str
    since: datetime
    over: datetime | None
    brands: Sequence[str]


@router.get("/incidents", response_class=HTMLResponse)
def incidents_page(request: Request, person: Viewer) -> HTMLResponse:
    """What is wrong now, brand by brand, and the past."""
    registry, now = console_of(request).registry, datetime.now(UTC)
    brands = person.scope.among(registry.settings.brands)
    with registry.ledger.read() as session:
        rows = reading.rows_of(session, brands)
        stopped = {row.brand for row in rows}
        return page(
            request,
            "incidents.html",
            rows=rows,
            title=breaker.title,
            names={b: registry.brand(b).name for b in brands},
            waits=reading.waiting_returns(session, stopped, now),
            attention=figures.attention_by_brand(session, list(stopped), datetime.now(UTC)),
            silent=standing.silent(session, registry.settings, brands, now),
            past=_past(alerts.latest(session, _KINDS, LOOKED_AT), person.scope),
            tried=whole(request.query_params.get("tried")),
        )


_KINDS = [kind.name for kind in INCIDENTS]
_TITLES = {kind.name: kind.title for kind in KINDS}


def _past(rows: Sequence[AlertRow], scope: Scope) -> list[Past]:
    found: list[Past] = []
    for row in rows:
        brands = scope.among(row.data.get("brands", []))
        if brands and row.resolved_at:
            system = str(row.data.get("subject", ""))
            title = f"{breaker.TITLES.get(system, system)}: {_TITLES[row.kind].lower()}"
            found.append(Past(title, row.since, row.resolved_at, brands))
    return found[:SHOWN]


@router.post("/incidents/try", response_class=RedirectResponse)
def try_now(request: Request, form: Form, person: Person = May) -> RedirectResponse:
    """Let one call of each brand that is held back through at once: of one system, or of all."""
    console, now = console_of(request), datetime.now(UTC)
    system = field(form, "system")
    with console.registry.ledger.read() as session:
        rows = reading.rows_of(session, person.scope.among(console.registry.settings.brands))
    tried = [brand for brand in _brands(rows, system) if _try(request, person, brand, system, now)]
    for brand in tried:
        console.sync_soon(brand)
    return RedirectResponse(f"/incidents?tried={len(tried)}", 303)


def _brands(rows: Sequence[BreakerRow], system: str) -> list[str]:
    mine = (row.brand for row in rows if not system or row.system.partition(":")[0] == system)
    return list(dict.fromkeys(mine))


def _try(request: Request, person: Person, brand: str, system: str, now: datetime) -> bool:
    with transaction(console_of(request).registry.ledger, brand, now, person.name) as tx:
        return bool(breaker.try_now(tx, system))
