"""The confirmation of an action on a return, and the action itself."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bergen_loop.console.access import NOT_FOUND, Form, Person, Viewer, field
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.console.working import WORK, Asked, Work, carry_out, picture, warnings
from bergen_loop.ledger.read import listing
from bergen_loop.ledger.transaction import transaction
from bergen_loop.people.actions import NotPossible

router = APIRouter()


@router.get("/returns/{brand}/{return_id}/{action}", response_class=HTMLResponse)
def confirm(
    request: Request, person: Viewer, brand: str, return_id: str, action: str
) -> HTMLResponse:
    """What the action would do, and the form that does it."""
    return _confirmation(request, person, (brand, return_id), (_work(person, action), Asked()))


@router.post("/returns/{brand}/{return_id}/{action}", response_model=None)
def act(
    request: Request, person: Viewer, form: Form, brand: str, return_id: str, action: str
) -> Response:
    """Do it, or show the confirmation again with what stands against it."""
    work = _work(person, action)
    asked = Asked(*(field(form, name) for name in ("why", "note", "seen")))
    console, now = console_of(request), datetime.now(UTC)
    try:
        with transaction(console.registry.ledger, brand, now, person.name) as tx:
            row = listing.one_return(tx.session, person.scope, brand, return_id, lock=True)
            if row is None:
                raise HTTPException(404, NOT_FOUND)
            carry_out(tx, console.registry, work, row, asked)
    except NotPossible as error:
        return _confirmation(request, person, (brand, return_id), (work, asked), error)
    console.sync_soon(brand)
    return RedirectResponse(f"{return_path(brand, return_id)}?done={work.name}", 303)


def return_path(brand: str, return_id: str) -> str:
    """Where a return's page is."""
    return f"/returns/{quote(brand, safe='')}/{quote(return_id, safe='')}"


def _work(person: Person, action: str) -> Work:
    work = WORK.get(action)
    if work is None:
        raise HTTPException(404, NOT_FOUND)
    if not person.can(work.permission):
        raise HTTPException(403, "your role does not allow this")
    return work


def _confirmation(
    request: Request,
    person: Person,
    which: tuple[str, str],
    wanted: tuple[Work, Asked],
    refused: NotPossible | None = None,
) -> HTMLResponse:
    """Of which return (brand, id). `refused` is why; who sends a refused form again has still
    seen no more than what it was made on."""
    registry, (work, asked) = console_of(request).registry, wanted
    with registry.ledger.read() as session:
        row = listing.one_return(session, person.scope, *which)
        if row is None:
            raise HTTPException(404, NOT_FOUND)
        return page(
            request,
            "confirm.html",
            409 if refused else 200,
            row=row,
            work=work,
            asked=asked,
            problem=str(refused) if refused and not refused.at else "",
            problems={refused.at: str(refused)} if refused and refused.at else {},
            warnings=warnings(session, registry, work, row),
            seen=asked.seen if refused else picture(session, row),
            back=return_path(*which),
        )
