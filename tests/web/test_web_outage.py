"""While the database is away: everybody who asks is told so, and the logs are told once."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import structlog
from web_support import Desk, make_desk

from bergen_loop.console.access import COOKIE
from bergen_loop.console.problems import Problem
from bergen_loop.ledger.database import Ledger, absence


@pytest.fixture
def away() -> Generator[Desk]:
    """A console whose database does not answer (nothing listens on port 1)."""
    ledger = Ledger("postgresql+psycopg://nobody:hunter22@127.0.0.1:1/none?connect_timeout=2")
    yield make_desk(ledger)
    absence.back()
    ledger.close()


def test_each_that_asks_is_told_and_the_logs_once(away: Desk) -> None:
    absence.back()
    client = away.client()
    client.cookies.set(COOKIE, "somebody's")
    token = {"authorization": "Bearer blt_x"}
    asked = [
        ("GET", "/", {}), ("GET", "/login", {}), ("GET", "/floor/", {}), ("GET", "/account", {}),
        ("POST", "/webhooks/loop/acme", {}), ("GET", "/api/v1/brands", token),
        ("POST", "/api/v1/returns/acme/1/resync", token),
    ]  # fmt: skip
    with structlog.testing.capture_logs() as logs:
        for method, path, headers in asked:
            answer = client.request(method, path, headers=headers)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "10"), path
            assert "the database of this service cannot be had" in answer.text.lower()
            assert "hunter22" not in answer.text
            assert answer.headers["content-security-policy"]
            if path.startswith("/api/"):
                assert Problem.model_validate(answer.json()).code == "unavailable"
    told = [log["event"] for log in logs if log["event"] != "api call"]
    assert told == ["the database cannot be had: work waits, and nothing is lost"]
    assert "hunter22" not in str(logs)
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 503
