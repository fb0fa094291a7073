"""A brand: how it is set up, how its syncs go, what its criteria say."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel

from bergen_loop.config import BrandSettings
from bergen_loop.console import words
from bergen_loop.console.access import NOT_FOUND, Viewer
from bergen_loop.console.mode import HOLDS, brand_path, choices, standing
from bergen_loop.console.overview import glances
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import day_start, page, today, zone_of
from bergen_loop.flow import tick
from bergen_loop.ledger.read import listing, shadow
from bergen_loop.ledger.store import cursors, journal, modes

router = APIRouter()

TABS = {"": "Mode and syncs", "counts": "Counted", "settings": "Settings"}
_BLOCKS = {"rex11": "REX11", "announce": "RMAs", "settle": "Settling"}
_CURSORS = {
    "loop.first_pull": "Loop's list, the first time,",
    "loop.updated_at": "Loop's list of returns",
    "loop.updated_at.aside": "Loop's lists of cancelled returns and those in review",
    "rex11.statuses": "REX11's ticket statuses",
}


@router.get("/brands/{brand}", response_model=None)
def brand_page(request: Request, person: Viewer, brand: str) -> Response:
    """Everything about one configured brand that is not a secret."""
    registry, zone = console_of(request).registry, zone_of(request)
    if brand not in registry:
        raise HTTPException(404, NOT_FOUND)
    settings, tab = registry.brand(brand), request.query_params.get("tab", "")
    if tab == "criteria":  # where they stood once
        return RedirectResponse(f"{brand_path(brand)}/criteria", 303)
    with registry.ledger.read() as session:
        (glance,) = glances(session, registry, [brand], day_start(today(zone), zone))
        counters = journal.counters(session, brand)
        read = cursors.get_all(session, brand, list(_CURSORS))
        history = listing.brand_history(session, person.scope, brand)
        every = tick.next_look(registry.context(brand), session, glance.row)
        begin = modes.pace_of(glance.row, datetime.now(UTC)) if glance.mode == modes.LIVE else None
        waiting = list(modes.waiting_for_turn(session, brand, datetime.now(UTC)) if begin else ())
        judged = shadow.report(session, brand) if glance.mode == modes.SHADOW else None
    return page(
        request,
        "brand.html",
        tabs=TABS,
        tab=tab if tab in TABS else "",
        every=every,
        glance=glance,
        meaning=HOLDS[glance.mode],
        unsigned=modes.unsigned(glance.row, settings.mode),
        set_by_hand=bool(glance.row and glance.row.mode),
        configured_mode=settings.mode,
        choices=choices(glance.row, settings.mode),
        standing=standing(glance.row, settings.mode),
        pace=begin,
        pace_waiting=len(waiting),
        pace_next=waiting[0].due_at if waiting else None,
        shadow=judged,
        paced=request.query_params.get("done") == "pace",
        connected=request.query_params.get("done") == "connected",
        unsubscribed="webhooks" in request.query_params,
        settings_version=registry.version(brand),
        changed=request.query_params.get("done") == "mode",
        blocks=blocks(settings),
        calls=_of(counters, "loop.", "rex11."),
        webhooks=_of(counters, "webhooks."),
        failures={k: v for k, v in counters.items() if k.endswith(".failed")},
        webhooks_on=settings.loop.webhook_secret is not None,
        cursors=[(words_, read[name]) for name, words_ in _CURSORS.items() if name in read],
        history=history,
    )


def blocks(settings: BrandSettings) -> list[tuple[str, list[tuple[str, str]]]]:
    """The settings by block, secrets left out; the brand's own first."""
    own: list[tuple[str, str]] = []
    found = [("Brand", own)]
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            found.append((_BLOCKS.get(name, words.plain(name).capitalize()), words.settings(value)))
        else:
            own.append((words.plain(name), words.setting(value)))
    return found


def _of(counters: dict[str, int], *prefixes: str) -> dict[str, int]:
    return {
        words.plain(name.removeprefix("webhooks.")).replace(".", " "): value
        for name, value in sorted(counters.items())
        if name.startswith(prefixes) and not name.endswith(".failed")
    }
