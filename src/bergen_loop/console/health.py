"""Is it alive, and can it work?"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from bergen_loop.console.state import registry_of
from bergen_loop.ledger.database import LedgerError

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
        registry_of(request).ledger.ask()
    except LedgerError as error:
        problem = f"the ledger cannot be reached: {type(error).__name__}"
        return JSONResponse({"status": problem}, 503)
    return JSONResponse({"status": "ok"})
