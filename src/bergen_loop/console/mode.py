"""A brand's mode, set by a person: asked once more, with a reason, and journaled with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bergen_loop.console.access import NOT_FOUND, Form, Permission, Person, field, needs
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.console.working import TEXT_LIMIT
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.ledger.transaction import Transaction, transaction
from bergen_loop.people.actions import NotPossible
from bergen_loop.service.registry import Registry

AS_CONFIGURED = "configured"
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
    *named, as_configured = _every(configured)
    now = modes.effective(row, configured)
    found = [choice for choice in named if choice.mode != now]
    return [*found, as_configured] if row and row.mode else found


def _every(configured: str) -> list[Choice]:
    return [
        Choice(modes.LIVE, "Go live…", "Go live", modes.LIVE),
        Choice(modes.SHADOW, "To shadow…", "Only judge, in shadow", modes.SHADOW),
        Choice(modes.PAUSED, "Pause…", "Pause this brand", modes.PAUSED),
        Choice(
            AS_CONFIGURED,
            f"As configured ({configured})…",
            f"Back to the configured mode: {configured}",
            configured,
        ),
    ]


@router.get("/brands/{brand}/mode/{to}", response_class=HTMLResponse)
def confirm(request: Request, brand: str, to: str, _person: Person = May) -> HTMLResponse:
    """What the mode would lead to, and the form that sets it."""
    return _confirmation(request, brand, to)


@router.post("/brands/{brand}/mode/{to}", response_model=None)
def change(request: Request, form: Form, brand: str, to: str, person: Person = May) -> Response:
    """Set it, or show the confirmation again with what stands against it."""
    console = console_of(request)
    why, seen = field(form, "why"), field(form, "seen")
    choice = _choice(console.registry, brand, to)
    try:
        with transaction(console.registry.ledger, brand, datetime.now(UTC), person.name) as tx:
            _set(tx, console.registry.brand(brand).mode, choice, why, seen)
    except NotPossible as error:
        return _confirmation(request, brand, to, why=why, refused=(str(error), seen))
    if choice.mode != modes.PAUSED:
        console.sync_soon(brand)
    return RedirectResponse(f"{brand_path(brand)}?done=mode", 303)


def brand_path(brand: str) -> str:
    """Where a brand's page is."""
    return f"/brands/{quote(brand, safe='')}"


def _choice(registry: Registry, brand: str, to: str) -> Choice:
    if brand in registry:
        for choice in _every(registry.brand(brand).mode):
            if choice.name == to:
                return choice
    raise HTTPException(404, NOT_FOUND)


def _set(tx: Transaction, configured: str, choice: Choice, why: str, seen: str) -> None:
    """Raises NotPossible; the message says why, for a person."""
    row = returns.known_brand(tx.session, tx.brand, lock=True)
    if seen != _standing(row, configured):
        raise NotPossible("the mode has been changed since you opened this page: look at it again")
    if choice not in choices(row, configured):
        raise NotPossible(f"the brand is {choice.mode} already")
    if not why:
        raise NotPossible("a change of mode needs a reason: write one, for the journal")
    if len(why) > TEXT_LIMIT:
        raise NotPossible(f"the reason has {len(why)} characters, more than {TEXT_LIMIT}")
    mode = None if choice.name == AS_CONFIGURED else choice.name
    modes.set_mode(tx, mode, configured=configured, why=storable(why))


def _standing(row: BrandRow | None, configured: str) -> str:
    """What a form was made on: the mode set by hand, if any, and the one that holds."""
    return f"{row.mode if row and row.mode else ''}/{modes.effective(row, configured)}"


def _confirmation(
    request: Request, brand: str, to: str, why: str = "", refused: tuple[str, str] | None = None
) -> HTMLResponse:
    """`refused` is why, and what the refused form was made on: who sends it again has still seen
    no more than that."""
    registry = console_of(request).registry
    choice = _choice(registry, brand, to)
    settings = registry.brand(brand)
    with registry.ledger.read() as session:
        row = returns.known_brand(session, brand)
        before = modes.effective(row, settings.mode)
        goes_live = choice.mode == modes.LIVE and before != modes.LIVE
        waiting = modes.judged_in_shadow(session, brand) if goes_live else 0
        return page(
            request,
            "mode_confirm.html",
            409 if refused else 200,
            choice=choice,
            name=settings.name,
            before=before,
            meaning=modes.MEANING[choice.mode],
            goes_live=goes_live,
            leaves_live=before == modes.LIVE and choice.mode != modes.LIVE,
            waiting=waiting,
            why=why,
            problem=refused[0] if refused else "",
            seen=refused[1] if refused else _standing(row, settings.mode),
            back=brand_path(brand),
        )
