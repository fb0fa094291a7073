"""The web application."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from bergen_loop import __version__
from bergen_loop.engine.registry import Registry
from bergen_loop.web import console, health, webhooks
from bergen_loop.web.state import Nudge


def create_app(registry: Registry, nudge: Nudge) -> FastAPI:
    """The application over a registry. `nudge` has a brand synced soon."""
    app = FastAPI(title="bergen-loop", version=__version__)
    app.state.registry = registry
    app.state.nudge = nudge
    app.include_router(webhooks.router)
    app.include_router(health.router)
    app.include_router(console.router)
    static = Path(__file__).parent / "static"
    app.mount("/static", StaticFiles(directory=static), name="static")
    return app
