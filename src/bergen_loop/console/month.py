"""Trends of the last thirty days, of all permitted brands or one, each as a file too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from bergen_loop.console.access import NOT_FOUND, Viewer
from bergen_loop.console.charts import Bar, bar_chart
from bergen_loop.console.export import download
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.domain.returns import Moment
from bergen_loop.ledger.read.month import MOST_DECISIONS, Month, month

SHOWN = 25
"""Lines of each table; the file has all."""
DRAWN = (Moment.SUBMITTED, Moment.RECEIVED, Moment.DECIDED, Moment.COMPLETE)

router = APIRouter()


@router.get("/trends", response_class=HTMLResponse)
def trends_page(request: Request, person: Viewer, brand: str | None = None) -> HTMLResponse:
    """All of them on a page."""
    registry = console_of(request).registry
    brands = person.scope.narrowed(brand).among(registry.settings.brands)
    with registry.ledger.read() as session:
        found = month(session, brands, datetime.now(UTC))
    return page(
        request,
        "month.html",
        found=found,
        brand=brand,
        names={b: registry.brand(b).name for b in brands},
        charts=[(m.title, _chart(found, m)) for m in DRAWN],
        shown=SHOWN,
        most=MOST_DECISIONS,
    )


def _chart(found: Month, moment: Moment) -> Any:
    numbers = found.moments[moment]
    bars = [
        Bar(f"{day:%b} {day.day}", float(numbers.get(day, 0)), _returns(numbers.get(day, 0)))
        for day in found.days
    ]
    return bar_chart(f"moment{moment.value}", f"{moment.title}, returns by day", bars, "{}")


def _returns(number: int) -> str:
    return f"{number} return" if number == 1 else f"{number} returns"


# -- files --------------------------------------------------------------------------------------


Rows = Callable[[Month], Sequence[Sequence[object]]]


def _moment_rows(found: Month) -> list[list[object]]:
    return [[day, *(found.moments[m].get(day, 0) for m in Moment)] for day in found.days]


def _hours(value: float) -> str:
    return f"{value:.2f}"


FILES: dict[str, tuple[list[str], Rows]] = {
    "moments": (["day (UTC)", *(m.title for m in Moment)], _moment_rows),
    "times": (
        ["brand", "returns", "median hours from receipt to settled in Loop"],
        lambda m: [[t.brand, t.returns, _hours(t.median_hours)] for t in m.took],
    ),
    "flags": (
        ["brand", "decided", "flagged", "share"],
        lambda m: [[f.brand, f.decided, f.flagged, f"{f.share:.4f}"] for f in m.flags],
    ),
    "reasons": (["brand", "rule", "flagged"], lambda m: [list(r) for r in m.rules]),
    "skus": (
        ["brand", "SKU", "short", "damaged", "returns"],
        lambda m: [[s.brand, s.sku, s.short, s.damaged, s.returns] for s in m.skus],
    ),
}


@router.get("/trends/{what}.csv")
def trends_csv(
    request: Request, person: Viewer, what: str, brand: str | None = None
) -> StreamingResponse:
    """One of them, whole."""
    if what not in FILES:
        raise HTTPException(404, NOT_FOUND)
    registry = console_of(request).registry
    brands = person.scope.narrowed(brand).among(registry.settings.brands)
    with registry.ledger.read() as session:
        found = month(session, brands, datetime.now(UTC))
    head, rows = FILES[what]
    return download(f"trends-{what}", head, rows(found))
