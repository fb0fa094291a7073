"""Who may count: the floor's routes under the console's sign-in."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bergen_loop.console import passwords
from bergen_loop.console.app import create_app
from bergen_loop.domain.rma import RmaItem, RmaRequest
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Role
from bergen_loop.outside.warehouse.floor.warehouse import EmbeddedWarehouse
from bergen_loop.service.registry import Registry
from support.brands import settings

PASSWORD = "a long enough password"
COUNTING = {"key": "0123456789abcdef", "brand": "acme", "finish": True, "photos": [],
            "lines": [{"upc": "1", "counted": 1}]}  # fmt: skip


@pytest.fixture
def nudged() -> list[str]:
    return []


@pytest.fixture
def client(sqlite_ledger: Ledger, nudged: list[str]) -> Generator[TestClient]:
    given = settings("acme", "other", warehouse="embedded", rex11=None)
    registry = Registry(given, sqlite_ledger, Path())
    with sqlite_ledger.write() as session:
        for name, role, brands in (
            ("ann", Role.OPERATOR, ["acme"]),
            ("eve", Role.READ_ONLY, ["acme"]),
        ):
            people.add_user(
                session, datetime.now(UTC), name=name, role=role, brands=brands,
                password_hash=passwords.hashed(PASSWORD), by="test",
            )  # fmt: skip
    with TestClient(create_app(registry, nudged.append), base_url="http://127.0.0.1") as made:
        yield made


def ticket(ledger: Ledger, brand: str = "acme") -> str:
    request = RmaRequest("LR-1", "NJ", (RmaItem("S", "1", 1),), date(2026, 11, 24))
    return EmbeddedWarehouse(brand, ledger).create_rma(request)


def sign_in(client: TestClient, name: str) -> None:
    page = client.get("/login").text
    form = dict(re.findall(r'name="(\w+)"[^>]*value="([^"]*)"', page))
    client.post("/login", data={**form, "name": name, "password": PASSWORD})


def send(
    client: TestClient, counting: object, csrf: str | None = None
) -> tuple[int, dict[str, object]]:
    token = client.get("/floor/api/me").json()["csrf"] if csrf is None else csrf
    data = {"csrf": token, "counting": json.dumps(counting)}
    answer = client.post("/floor/api/count", data=data)
    return answer.status_code, answer.json() if answer.status_code < 500 else {}


def test_without_signing_in_there_is_nothing(client: TestClient, sqlite_ledger: Ledger) -> None:
    number = ticket(sqlite_ledger)
    for path in ("/floor/", "/floor/api/me", "/floor/api/find?code=LR-1", "/floor/api/photos/1"):
        answer = client.get(path, follow_redirects=False)
        assert answer.status_code in (303, 307, 401)
    answer = client.post(
        "/floor/api/count",
        data={"counting": json.dumps(COUNTING | {"ticket": number})},
        follow_redirects=False,
    )
    assert answer.status_code in (303, 307, 401)


def test_an_operator_counts_what_they_may_see(
    client: TestClient, sqlite_ledger: Ledger, nudged: list[str]
) -> None:
    mine, others = ticket(sqlite_ledger), ticket(sqlite_ledger, "other")
    sign_in(client, "ann")
    assert client.get("/floor/").headers["content-type"].startswith("text/html")
    found = client.get("/floor/api/find", params={"code": "LR-1"}).json()["tickets"]
    assert [t["ticket"] for t in found] == [mine]
    foreign = COUNTING | {"ticket": others, "brand": "other"}
    assert send(client, foreign) == (404, {"error": f"there is no RMA {others} here"})
    status, taken = send(client, COUNTING | {"ticket": mine})
    assert (status, taken["repeated"]) == (200, False)
    assert nudged == ["acme"], "judged soon"
    assert send(client, COUNTING | {"ticket": mine})[1]["repeated"] is True
    assert nudged == ["acme"]
    assert send(client, [1])[0] == 422


def test_a_counting_needs_the_forms_token(client: TestClient, sqlite_ledger: Ledger) -> None:
    number = ticket(sqlite_ledger)
    sign_in(client, "ann")
    data = {"csrf": "wrong", "counting": json.dumps(COUNTING | {"ticket": number})}
    assert client.post("/floor/api/count", data=data).status_code == 403


def test_who_only_reads_does_not_count(client: TestClient) -> None:
    sign_in(client, "eve")
    assert client.get("/floor/api/me").status_code == 403
