"""What requests find on the application."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from fastapi import Request

from bergen_loop.engine.registry import Registry

Nudge = Callable[[str], None]


def registry_of(request: Request) -> Registry:
    """The process's registry."""
    return cast(Registry, request.app.state.registry)
