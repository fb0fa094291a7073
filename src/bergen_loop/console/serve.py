"""Running service and web side together."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import uvicorn

from bergen_loop.console.app import FIRST_ACCOUNT, create_app
from bergen_loop.console.security import LOCAL_HOSTS
from bergen_loop.console.signin import has_account
from bergen_loop.console.state import Console
from bergen_loop.service.registry import Registry
from bergen_loop.service.service import Engine

PATIENCE = 5
"""Seconds that answers under way have at the end."""


class NotLocal(ValueError):
    """Without sign-in the console may answer this machine only."""


def run(registry: Registry, host: str, port: int, *, signing_in: bool = True) -> None:
    """Serve until a signal ends it; a tick that runs then may finish. Raises NotLocal."""
    if not signing_in and host not in LOCAL_HOSTS:
        raise NotLocal(f"without sign-in it may listen on {LOCAL_HOSTS[0]} only, not on {host}")
    engine = Engine(registry, registry.settings.service)
    app = create_app(registry, engine.nudge, signing_in=signing_in)
    console: Console = app.state.console
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=PATIENCE,
    )  # fmt: skip
    server = uvicorn.Server(config)
    console.live.stopping = lambda: server.should_exit
    # The server hands the signal that ended it back: it must not end us before the engine.
    signal.signal(signal.SIGTERM, _end)
    engine.start()
    try:
        if signing_in and not has_account(console) and registry.settings.service.auth.oidc is None:
            _tell_setup(console, host, port)
        server.run()
    except KeyboardInterrupt:
        return
    finally:
        engine.stop()


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _tell_setup(console: Console, host: str, port: int) -> None:
    base = console.registry.settings.service.public_url or f"http://{host}:{port}"
    sys.stderr.write(
        f"There is no account yet. Make the first one at {base}/setup?code={console.setup_code}\n"
        f"(or set {FIRST_ACCOUNT}=NAME:PASSWORD before the start).\n"
    )
    sys.stderr.flush()
