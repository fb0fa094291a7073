"""A brand's mode, set by a person: asked once more, with a reason, and journaled with them.

Before a brand goes live stands its checklist, which is signed (`people.golive`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from bergen_loop.console.access import NOT_FOUND, Form, Permission, Person, field, needs
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.console.working import TEXT_LIMIT
from bergen_loop.domain.pace import Pace
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import listing
from bergen_loop.ledger.read.golive import ENOUGH, Name
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.ledger.transaction import Transaction, transaction
from bergen_loop.people import golive
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.golive import Door, NotSigned, Signed
from bergen_loop.service.registry import Registry

AS_CONFIGURED = "configured"
MOST_LISTED = 50
HOLDS = {
    modes.LIVE: "What is decided is done in Loop.",
    modes.SHADOW: "RMAs are made and receipts judged, but nothing is done in Loop.",
    modes.PAUSED: "Nothing is done for this brand until it is set live or shadow again.",
}
"""What a mode means while it holds."""

router = APIRouter()

May = Depends(needs(Permission.ACT))


@dataclass(frozen=True, slots=True)
class Choice:
    """A mode that can be set."""

    name: str
    """In addresses."""
    button: str
    heading: str
    mode: str
    """The mode that then holds."""


def choices(row: BrandRow | None, configured: str) -> list[Choice]:
    """Those that would change something."""
    *named, as_configured = _every(row, configured)
    now = modes.effective(row, configured)
    found = [choice for choice in named if choice.mode != now]
    return [*found, as_configured] if row and row.mode else found


def _every(row: BrandRow | None, configured: str) -> list[Choice]:
    return [
        Choice(modes.LIVE, "Go live…", "Go live", modes.LIVE),
        Choice(modes.SHADOW, "To shadow…", "Only judge, in shadow", modes.SHADOW),
        Choice(modes.PAUSED, "Pause…", "Pause this brand", modes.PAUSED),
        Choice(
            AS_CONFIGURED,
            f"As configured ({configured})…",
            f"Back to the configured mode: {configured}",
            modes.after(row, None, configured),
        ),
    ]


@router.get("/brands/{brand}/mode/{to}", response_class=HTMLResponse)
def confirm(request: Request, brand: str, to: str, _person: Person = May) -> HTMLResponse:
    """What the mode would lead to, and the form that sets it."""
    return _confirmation(request, brand, to)


@router.post("/brands/{brand}/mode/{to}", response_model=None)
def change(request: Request, form: Form, brand: str, to: str, person: Person = May) -> Response:
    """Set it, or show the confirmation again with what stands against it."""
    console, typed = console_of(request), Typed.of(form)
    choice = _choice(console.registry, brand, to)
    door = _door(console.registry, brand)
    now = datetime.now(UTC)
    try:
        with transaction(console.registry.ledger, brand, now, person.name) as tx:
            _set(tx, door, choice, typed)
    except NotPossible as error:
        return _confirmation(request, brand, to, typed, error)
    if choice.mode != modes.PAUSED:
        console.sync_soon(brand)
    return RedirectResponse(f"{brand_path(brand)}?done=mode", 303)


@router.get("/brands/{brand}/pace", response_class=HTMLResponse)
def ask_pace(request: Request, brand: str, _person: Person = May) -> HTMLResponse:
    """The gradual start of a live brand: who waits for it, and the form that changes it."""
    return _pace_page(request, brand)


@router.post("/brands/{brand}/pace", response_model=None)
def change_pace(request: Request, form: Form, brand: str, person: Person = May) -> Response:
    """Another limit, or none."""
    console, typed, now = console_of(request), Typed.of(form), datetime.now(UTC)
    configured = _door(console.registry, brand).configured
    try:
        begin = _beginning(typed, now)
        with transaction(console.registry.ledger, brand, now, person.name) as tx:
            golive.change_pace(tx, configured, begin, _reason(typed))
    except NotPossible as error:
        return _pace_page(request, brand, typed, error)
    console.sync_soon(brand)
    return RedirectResponse(f"{brand_path(brand)}?done=pace", 303)


def brand_path(brand: str) -> str:
    """Where a brand's page is."""
    return f"/brands/{quote(brand, safe='')}"


def _choice(registry: Registry, brand: str, to: str) -> Choice:
    if brand in registry:
        with registry.ledger.read() as session:
            row = returns.known_brand(session, brand)
        for choice in _every(row, registry.brand(brand).mode):
            if choice.name == to:
                return choice
    raise HTTPException(404, NOT_FOUND)


def _door(registry: Registry, brand: str) -> Door:
    if brand not in registry:
        raise HTTPException(404, NOT_FOUND)
    return Door(brand, registry.brand(brand).mode, registry.context(brand).criteria.version)


@dataclass(frozen=True, slots=True)
class Typed:
    """What a form holds, as it was typed."""

    why: str = ""
    seen: str = ""
    """What the form was made on: `standing`."""
    stake: str = ""
    """What would be paid at once, as the form said: `GoLive.stake`."""
    meant: tuple[str, ...] = ()
    at_once: bool = False
    returns: str = str(golive.RETURNS)
    amount: str = ""
    days: str = str(golive.DAYS)

    @classmethod
    def of(cls, form: FormData) -> Typed:
        return cls(
            why=field(form, "why"),
            seen=field(form, "seen"),
            stake=field(form, "stake"),
            meant=tuple(v for v in form.getlist("meant") if isinstance(v, str)),
            at_once=field(form, "how") == "at_once",
            returns=field(form, "returns")[:20],
            amount=field(form, "amount")[:20],
            days=field(form, "days")[:20],
        )


def _reason(typed: Typed) -> str:
    if len(typed.why) > TEXT_LIMIT:
        raise NotSigned(
            {"why": f"the reason has {len(typed.why)} characters, more than {TEXT_LIMIT}"}
        )
    return storable(typed.why)


def _beginning(typed: Typed, now: datetime) -> Pace | None:
    if typed.at_once:
        return None
    return golive.beginning(typed.returns, typed.amount, typed.days, now)


def _set(tx: Transaction, door: Door, choice: Choice, typed: Typed) -> None:
    """Raises NotPossible; the message says why, for a person."""
    row = returns.known_brand(tx.session, tx.brand, lock=True)
    if typed.seen != standing(row, door.configured):
        raise NotPossible(
            f"the mode has been changed since you opened this page{_by(tx.session, tx.brand)}: "
            "look at it again"
        )
    if choice not in choices(row, door.configured):
        raise NotPossible(f"the brand is {choice.mode} already")
    mode = None if choice.name == AS_CONFIGURED else choice.name
    if not door.leads_live(tx.session, mode):
        if not typed.why:
            raise NotSigned({"why": "a change of mode needs a reason, for the journal"})
        modes.set_mode(tx, mode, configured=door.configured, why=_reason(typed))
        return
    accepted = [name for name in Name if name.value in typed.meant]
    problems: dict[str, str] = {}
    begin: Pace | None = None
    try:
        begin = _beginning(typed, tx.now)
    except NotSigned as error:
        problems = error.problems
    signed = Signed(begin, accepted, stake=typed.stake)
    _, points = door.look(tx.session, tx.now)
    if problems := problems | golive.unsigned(points, typed.why, signed):
        raise NotSigned(problems)
    door.open(tx, mode, _reason(typed), signed)


def _by(session: Session, brand: str) -> str:
    """Who has set it last."""
    last = listing.last_mode(session, brand)
    return f", by {last.who} at {last.at:%Y-%m-%d %H:%M} UTC ({last.why})" if last else ""


def standing(row: BrandRow | None, configured: str) -> str:
    """What a form was made on: the mode set by hand, if any, and the one that holds."""
    return f"{row.mode if row and row.mode else ''}/{modes.effective(row, configured)}"


def _confirmation(
    request: Request,
    brand: str,
    to: str,
    typed: Typed | None = None,
    refused: NotPossible | None = None,
) -> HTMLResponse:
    """Who sends a refused form again has still seen no more than what it was made on."""
    registry, now = console_of(request).registry, datetime.now(UTC)
    choice, door = _choice(registry, brand, to), _door(registry, brand)
    problems = refused.problems if isinstance(refused, NotSigned) else {}
    status = 200 if refused is None else 422 if problems else 409
    shown: dict[str, Any] = {
        "choice": choice,
        "name": registry.brand(brand).name,
        "meaning": modes.MEANING[choice.mode],
        "typed": typed or Typed(),
        "problem": str(refused) if refused and not problems else "",
        "problems": problems,
        "back": brand_path(brand),
    }
    with registry.ledger.read() as session:
        row = returns.known_brand(session, brand)
        shown["before"] = before = modes.effective(row, door.configured)
        shown["seen"] = typed.seen if typed else standing(row, door.configured)
        shown["leaves_live"] = before == modes.LIVE and choice.mode != modes.LIVE
        if choice.mode != modes.LIVE or before == modes.LIVE:
            return page(request, "mode_confirm.html", status, **shown)
        found, points = door.look(session, now)
    more = refused is not None and not problems  # what is there now has to be looked at
    shown |= {
        "found": found,
        "points": points,
        "stake": typed.stake if typed and not more else found.stake,
        "enough": ENOUGH,
        "most_days": golive.MOST_DAYS,
    }
    return page(request, "golive.html", status, **shown)


def _pace_page(
    request: Request, brand: str, typed: Typed | None = None, refused: NotPossible | None = None
) -> HTMLResponse:
    registry, now = console_of(request).registry, datetime.now(UTC)
    door = _door(registry, brand)
    with registry.ledger.read() as session:
        row = returns.known_brand(session, brand)
        found = modes.pace_of(row, now)
        waiting = list(modes.waiting_for_turn(session, brand, now)) if found else []
        live = modes.effective(row, door.configured) == modes.LIVE
    if typed is None and found is not None:
        left = max(1, math.ceil((found.until - now) / timedelta(days=1)))
        amount = f"{found.amount:.2f}" if found.amount is not None else ""
        typed = Typed(returns=str(found.returns or ""), amount=amount, days=str(left))
    problems = refused.problems if isinstance(refused, NotSigned) else {}
    return page(
        request,
        "pace.html",
        200 if refused is None else 422 if problems else 409,
        name=registry.brand(brand).name,
        brand=brand,
        live=live,
        found=found,
        queue=waiting[:MOST_LISTED],
        queued=len(waiting),
        typed=typed or Typed(),
        problems=problems,
        problem=str(refused) if refused and not problems else "",
        most_days=golive.MOST_DAYS,
        back=brand_path(brand),
    )
