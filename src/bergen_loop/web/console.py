"""The console's pages."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from bergen_loop.domain.lifecycle import Moment, Stage
from bergen_loop.ledger import attention, returns, views
from bergen_loop.ledger.tables import ReturnRow
from bergen_loop.web.state import registry_of

PAGE = 50

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(Path(__file__).parent / "templates")


def _when(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else ""


environment: Any = templates.env  # Jinja's own types do not fit what it takes
environment.filters["when"] = _when
environment.globals |= {"Moment": Moment, "moment_of": views.moment_of}


@router.get("/", response_class=HTMLResponse)
def overview(
    request: Request,
    brand: str | None = None,
    stage: str | None = None,
    q: str | None = None,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> HTMLResponse:
    """Brands at a glance, and the newest returns."""
    registry = registry_of(request)
    with registry.ledger.read() as session:
        statuses = views.brand_statuses(session, list(registry.settings.brands))
        if q:
            rows = views.find_return(session, q.strip(), brand)
        else:
            query = sa.select(ReturnRow).order_by(ReturnRow.id.desc()).limit(PAGE)
            if brand:
                query = query.where(ReturnRow.brand == brand)
            if stage:
                query = query.where(ReturnRow.stage == stage)
            if before:
                query = query.where(ReturnRow.id < before)
            rows = list(session.scalars(query))
        held = attention.open_items(session, brand)
        context = {
            "statuses": statuses,
            "rows": rows,
            "attention": held,
            "brand": brand,
            "stage": stage,
            "q": q or "",
            "stages": list(Stage),
            "next": rows[-1].id if len(rows) == PAGE and not q else None,
        }
        return templates.TemplateResponse(request, "overview.html", context)


@router.get("/returns/{brand}/{return_id}", response_class=HTMLResponse)
def return_page(request: Request, brand: str, return_id: str) -> HTMLResponse:
    """One return: its seven moments, lines, decision, calls and journal."""
    with registry_of(request).ledger.read() as session:
        row = returns.by_id(session, brand, return_id)
        if row is None:
            raise HTTPException(404, "no such return")
        view = views.return_view(session, row)
        return templates.TemplateResponse(request, "return.html", {"view": view, "row": row})
