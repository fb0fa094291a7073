"""What Loop says of a return's units, read from Loop when somebody asks for it."""

from __future__ import annotations

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse

from bergen_loop.console.access import NOT_FOUND, Permission, Person, needs
from bergen_loop.console.acting import return_path
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.ledger.read import listing
from bergen_loop.outside.errors import OutsideError
from bergen_loop.outside.loop.grades import Grade, grades

router = APIRouter()

May = Depends(needs(Permission.NOTE))
"""It takes one of the brand's calls of a minute."""


@router.get("/returns/{brand}/{return_id}/grades", response_class=HTMLResponse)
def grades_page(request: Request, brand: str, return_id: str, person: Person = May) -> HTMLResponse:
    """Grades and dispositions with their pictures, as Loop has them at this moment."""
    registry = console_of(request).registry
    with registry.ledger.read() as session:
        row = listing.one_return(session, person.scope, brand, return_id)
    if row is None or brand not in registry:
        raise HTTPException(404, NOT_FOUND)
    problem, found = "", list[Grade]()
    try:
        found = grades(registry.context(brand).loop.details(return_id, once=True).raw)
    except OutsideError as error:
        problem = error.message
    return page(
        request,
        "grades.html",
        row=row,
        found=found,
        problem=problem,
        back=return_path(brand, return_id),
    )
