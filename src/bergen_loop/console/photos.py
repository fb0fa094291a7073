"""Photos of damage, as answers; and those that Loop was told of, under addresses that nobody can
guess."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response

from bergen_loop.console.access import NOT_FOUND
from bergen_loop.console.state import console_of
from bergen_loop.ledger.store import floor

HEADERS = {
    "content-security-policy": "default-src 'none'; sandbox",
}
"""Whatever the bytes are, they are shown as a picture and nothing else (with `nosniff`)."""
OURS, ANYWHERE = "same-origin", "cross-origin"

router = APIRouter()


def picture(kind: str, body: bytes, where: str = OURS) -> Response:
    """The answer that is a picture; `where`: on whose pages it may be shown."""
    headers = HEADERS | {"cross-origin-resource-policy": where}
    return Response(body, media_type=kind, headers=headers)


@router.get("/photos/{address}")
def given_photo(
    request: Request, address: Annotated[str, Path(min_length=40, max_length=64)]
) -> Response:
    """A photo that Loop was told of with a grade: who knows its address may see it."""
    with console_of(request).registry.ledger.read() as session:
        found = floor.given(session, address)
    if found is None:
        raise HTTPException(404, NOT_FOUND)
    return picture(found.content_type, found.body, ANYWHERE)
