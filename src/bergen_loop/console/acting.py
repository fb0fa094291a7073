"""The confirmation of an action on a return, and the action itself."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bergen_loop.console.access import NOT_FOUND, Form, Person, Viewer, field
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.console.working import WORK, Asked, Work, carry_out, picture, warnings
from bergen_loop.ledger.read import listing
from bergen_loop.people.actions import NotPossible

router = APIRouter()


@router.get("/returns/{brand}/{return_id}/{action}", response_class=HTMLResponse)
def confirm(
    request: Request, person: Viewer, brand: str, return_id: str, action: str
) -> HTMLResponse:
    """What the action would do, and the form that does it."""
    return _confirmation(request, person, brand, return_id, _work(person, action), Asked())


@router.post("/returns/{brand}/{return_id}/{action}", response_model=None)
def act(
    request: Request, person: Viewer, form: Form, brand: str, return_id: str, action: str
) -> Response:
    """Do it, or show the confirmation again with what stands against it."""
    work, asked = _work(person, action), Asked(field(form, "why"), field(form, "note"))
    console = console_of(request)
    try:
        with console.registry.ledger.write() as session:
            row = listing.one_return(session, person.scope, brand, return_id, lock=True)
            if row is None:
                raise HTTPException(404, NOT_FOUND)
            seen = field(form, "seen")
            carry_out(session, console.registry, work, row, person, asked, seen)
    except NotPossible as error:
        refused = (str(error), field(form, "seen"))
        return _confirmation(request, person, brand, return_id, work, asked, refused)
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
    brand: str,
    return_id: str,
    work: Work,
    asked: Asked,
    refused: tuple[str, str] | None = None,
) -> HTMLResponse:
    """`refused` is why, and the picture of the return that the refused form was made on: who
    sends it again has still seen no more than that."""
    registry = console_of(request).registry
    with registry.ledger.read() as session:
        row = listing.one_return(session, person.scope, brand, return_id)
        if row is None:
            raise HTTPException(404, NOT_FOUND)
        return page(
            request,
            "confirm.html",
            409 if refused else 200,
            row=row,
            work=work,
            asked=asked,
            problem=refused[0] if refused else "",
            warnings=warnings(session, registry, work, row),
            seen=refused[1] if refused else picture(session, row),
            back=return_path(brand, return_id),
        )
