"""Running service and web side together."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI

from bergen_loop.console.app import FIRST_ACCOUNT, create_app
from bergen_loop.console.connections import protocol
from bergen_loop.console.security import LOCAL_HOSTS
from bergen_loop.console.signin import has_account
from bergen_loop.console.state import Console
from bergen_loop.service.crew import Crew
from bergen_loop.service.registry import Registry
from bergen_loop.service.service import Engine

PATIENCE = 5
"""Seconds that answers under way have at the end."""


class NotLocal(ValueError):
    """Without sign-in the console may answer this machine only."""


def run(
    registry: Registry, host: str, port: int, *, signing_in: bool = True, crew: Crew | None = None
) -> None:
    """Serve until a signal ends it; a tick that runs then may finish. `crew`: further processes
    that run ticks. Raises NotLocal."""
    if not signing_in and host not in LOCAL_HOSTS:
        raise NotLocal(f"without sign-in it may listen on {LOCAL_HOSTS[0]} only, not on {host}")
    engine = Engine(registry, registry.settings.service)
    app = create_app(
        registry,
        engine.nudge,
        hurry=engine.hurry,
        signing_in=signing_in,
        address=f"http://{host}:{port}",
    )
    console: Console = app.state.console
    server = uvicorn.Server(server_config(app, registry, host, port))
    console.live.stopping = lambda: server.should_exit
    # The server hands the signal that ended it back: it must not end us before the engine.
    signal.signal(signal.SIGTERM, _end)
    engine.start()
    try:
        if crew is not None:
            crew.start()
        if signing_in and not has_account(console) and registry.settings.service.auth.oidc is None:
            _tell_setup(console)
        server.run()
    except KeyboardInterrupt:
        return
    finally:
        if crew is not None:
            crew.let_go()
        engine.stop()
        if crew is not None:
            crew.wait()


def server_config(app: FastAPI, registry: Registry, host: str, port: int) -> uvicorn.Config:
    """How the server is set: for the service, and for tests that attack it."""
    proxies = registry.settings.service.proxies
    return uvicorn.Config(
        app, host=host, port=port, log_config=None, access_log=False, server_header=False,
        http=protocol(proxies), ws="none", forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=PATIENCE,
    )  # fmt: skip


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _tell_setup(console: Console) -> None:
    setup = f"{console.address}/setup?code={console.setup_code}"
    sys.stderr.write(
        f"There is no account yet. Make the first one at {setup}\n"
        f"(or set {FIRST_ACCOUNT}=NAME:PASSWORD before the start).\n"
    )
    sys.stderr.flush()
