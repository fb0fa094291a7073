"""What assistants ask over HTTP, with a token of the API: see `console.assistants`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from bergen_loop.console.access import Holder, Person
from bergen_loop.console.state import Console, console_of

PATH = "/api/v1/mcp"

router = APIRouter()


class _Answer(Response):
    """Whatever the protocol's own server answers."""

    def __init__(self, console: Console, person: Person) -> None:
        super().__init__()
        self._asking = (console, person)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from bergen_loop.console import assistants  # a third of a second, for who never asks

        await assistants.answer(self._asking, scope, receive, send)


@router.post(PATH, response_model=None)
async def mcp(request: Request, person: Holder) -> Response:
    """A message of the Model Context Protocol (streamable HTTP, without sessions)."""
    return _Answer(console_of(request), person)
