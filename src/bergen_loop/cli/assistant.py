"""`bergen-loop mcp`: returns for an assistant that runs on this machine."""

from __future__ import annotations

import os
import socket
import sys
from datetime import UTC, datetime

from bergen_loop.cli.output import fail
from bergen_loop.cli.setup import DEFAULT_CONFIG, ConfigOption, service_registry_of
from bergen_loop.console.access import Person, holder_of
from bergen_loop.ledger.read import people

TOKEN = "BERGEN_LOOP_TOKEN"  # noqa: S105 - the name of a variable


def mcp(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Serve an assistant on standard input and output (Model Context Protocol), as the token in
    BERGEN_LOOP_TOKEN may.

    Tokens are made in the console, under People. The assistant sees the token's brands, may what
    its role may, and what it does stands in the journal under the token's name. The same is served
    over HTTP, at /api/v1/mcp.
    """
    value = os.environ.pop(TOKEN, "")  # not left for children to read
    registry = service_registry_of(config)

    def look() -> Person | None:
        with registry.ledger.read() as session:
            row = people.token_row(session, datetime.now(UTC), value) if value else None
        return holder_of(row, socket.gethostname()) if row else None

    if look() is None:
        fail(f"{TOKEN} holds no valid token: make one in the console, under People, API tokens", 2)
    # After what can fail: it takes a second.
    from bergen_loop.console.app import console_for
    from bergen_loop.console.assistants import run

    console = console_for(registry, lambda _brand: None)  # the schedule sees what is asked for
    sys.stderr.write("bergen-loop answers on standard input and output; end it with Ctrl-D\n")
    run(console, look)
