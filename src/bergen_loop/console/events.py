"""The stream that tells a browser to look again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from bergen_loop.console.access import Viewer
from bergen_loop.console.forms import whole
from bergen_loop.console.state import console_of

router = APIRouter()
Last = Annotated[str, Header()]


@router.get("/live")
async def live(
    request: Request, person: Viewer, since: str = "", last_event_id: Last = ""
) -> StreamingResponse:
    """Server-sent events: `moved` when the journal of a permitted brand has grown beyond the
    entry `since`, or the one that a browser that comes back was told of last."""
    return StreamingResponse(
        console_of(request).live.stream(person.scope, whole(last_event_id or since)),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )
