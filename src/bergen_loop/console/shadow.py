"""Shadow mode looked back on, as a page: what would have been done, against what people did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from bergen_loop.console.access import NOT_FOUND, Viewer
from bergen_loop.console.charts import Bar, bar_chart
from bergen_loop.console.export import download
from bergen_loop.console.forms import day_of
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import day_start, page, today, zone_of
from bergen_loop.domain.words import What
from bergen_loop.ledger.read import shadow
from bergen_loop.ledger.read.golive import ENOUGH
from bergen_loop.ledger.read.shadow import ShadowReport, Verdict
from bergen_loop.ledger.store import journal, modes, returns

DAYS = 30
"""How far back the page looks, unless it is asked for another day."""
VERDICTS = {
    Verdict.AGREE: "decided alike",
    Verdict.DISAGREE: "decided otherwise",
    Verdict.OPEN: "people have not done anything yet",
    Verdict.NOT_COMPARED: "cannot be compared",
}

router = APIRouter()


@router.get("/brands/{brand}/shadow", response_class=HTMLResponse)
def shadow_page(
    request: Request, _person: Viewer, brand: str, since: str | None = None
) -> HTMLResponse:
    """The report from a day on. A day that is none is taken as the last thirty."""
    return page(request, "shadow.html", **_shown(request, brand, since))


@router.get("/brands/{brand}/shadow/report")
def report_file(
    request: Request, person: Viewer, brand: str, since: str | None = None
) -> HTMLResponse:
    """The same as a file to be sent to the brand's people: it stands by itself, prints, and holds
    nothing of a customer."""
    shown = _shown(request, brand, since)
    _told(request, person, brand, "the shadow report as a page")
    answer = page(request, "shadow_report.html", **shown)
    name = f"shadow-{brand}-{today(zone_of(request))}.html"
    answer.headers["content-disposition"] = f'attachment; filename="{name}"'
    return answer


@router.get("/brands/{brand}/shadow.csv")
def report_csv(
    request: Request, person: Viewer, brand: str, since: str | None = None
) -> StreamingResponse:
    """What was decided otherwise, as a table for spreadsheets."""
    found: ShadowReport = _shown(request, brand, since)["found"]
    _told(request, person, brand, "the shadow report as CSV")
    head = ["return", "we would have", "rule", "in Loop", "total", "currency"]
    rows = [
        (d.return_id, d.decided, d.rule, d.done, d.total, d.currency) for d in found.disagreements
    ]
    return download(f"shadow-{brand}", head, rows)


def _told(request: Request, person: Viewer, brand: str, what: str) -> None:
    with console_of(request).registry.ledger.write() as session:
        now = datetime.now(UTC)
        journal.record(
            session,
            now,
            journal.Entry(What.EXPORTED, brand, brand=brand, who=person.name, data={"what": what}),
        )


def _shown(request: Request, brand: str, since: str | None) -> dict[str, Any]:
    registry, zone = console_of(request).registry, zone_of(request)
    if brand not in registry:
        raise HTTPException(404, NOT_FOUND)
    day = day_of(since) or today(zone) - timedelta(days=DAYS)
    settings = registry.brand(brand)
    with registry.ledger.read() as session:
        found = shadow.report(session, brand, day_start(day, zone), zone)
        mode = modes.effective(returns.known_brand(session, brand), settings.mode)
    return {
        "brand": brand,
        "name": settings.name,
        "mode": mode,
        "day": day,
        "found": found,
        "basis": shadow.BASIS,
        "verdicts": [(v, VERDICTS[v], found.verdicts[v]) for v in Verdict],
        "compared": found.verdicts[Verdict.AGREE] + found.verdicts[Verdict.DISAGREE],
        "chart": bar_chart(
            "alike", "Decided alike, by day of the decision", _bars(found.days), "{} %"
        ),
        "criteria": registry.context(brand).criteria.version,
        "most": shadow.MAX_LISTED,
        "enough": ENOUGH,
    }


def _bars(days: Mapping[date, Counter[str]]) -> list[Bar]:
    return [_bar(day, verdicts) for day, verdicts in days.items()]


def _bar(day: date, verdicts: Counter[str]) -> Bar:
    label, share = f"{day:%b} {day.day}", shadow.agreement(verdicts)
    if share is None:
        return Bar(label, None, "nothing to compare")
    same = verdicts[Verdict.AGREE]
    text = f"{share:.0%} ({same} of {same + verdicts[Verdict.DISAGREE]})".replace("%", " %")
    return Bar(label, share * 100, text)
