"""Is it alive, and can it work?"""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from bergen_loop.console.state import registry_of

router = APIRouter(tags=["health"])


ALIVE = "/health"


@router.get(ALIVE)
def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/ready", responses={503: {"description": "the ledger cannot be reached"}})
def ready(request: Request) -> JSONResponse:
    """The ledger answers too."""
    try:
        with registry_of(request).ledger.read() as session:
            session.execute(sa.text("SELECT 1"))
    except SQLAlchemyError as error:
        problem = f"the ledger cannot be reached: {type(error).__name__}"
        return JSONResponse({"status": problem}, 503)
    return JSONResponse({"status": "ok"})
