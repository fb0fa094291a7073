"""An assistant on this machine, spoken to over pipes."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import Any

from cli_support import Past, text
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from bergen_loop.cli.assistant import TOKEN
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Deed, Grant, Role


def token(past: Past) -> str:
    with past.ledger.write() as session:
        deed = Deed(session, datetime.now(UTC), "test")
        return people.add_token(deed, "desk", Grant(Role.READ_ONLY, ["acme"]), expires_at=None)


def test_it_answers_as_the_token_may(past: Past) -> None:
    number = past.judged(counted=0)
    command = StdioServerParameters(
        command=sys.executable,
        args=["-c", "from bergen_loop.cli import main; main()", "mcp", "-c", str(past.config)],
        env={**os.environ, TOKEN: token(past)},
    )

    async def speak() -> list[Any]:
        async with Client(stdio_client(command)) as client:
            return [
                await client.call_tool("who_am_i", {}),
                await client.call_tool("explain_return", {"brand": "acme", "return_id": number}),
                await client.call_tool("retry_item", {"item": 1, "reason": "x"}),
            ]

    who, told, refused = asyncio.run(asyncio.wait_for(speak(), 120))
    assert who.structured_content == {
        "token": "token desk", "role": "read_only", "brands": ["acme"], "may_act": False,
    }  # fmt: skip
    assert told.structured_content["summary"]["return_id"] == number
    assert "does not allow this" in refused.content[0].text


def test_without_a_valid_token_it_does_not_begin(past: Past, monkeypatch: Any) -> None:
    for value in (None, "blt_wrong"):
        monkeypatch.setenv(TOKEN, value) if value else monkeypatch.delenv(TOKEN, raising=False)
        result = past.run("mcp")
        assert result.exit_code == 2
        assert "make one in the console, under People" in text(result)
