"""Running service and web side together."""

from __future__ import annotations

import uvicorn

from bergen_loop.engine.registry import Registry
from bergen_loop.engine.service import Engine
from bergen_loop.web.app import create_app


def run(registry: Registry, host: str, port: int) -> None:
    """Serve until a signal ends it; a tick that runs then may finish."""
    engine = Engine(registry, registry.settings.service)
    engine.start()
    try:
        app = create_app(registry, engine.nudge)
        uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
    finally:
        engine.stop()
