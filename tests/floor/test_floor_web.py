"""Who may count: the floor's routes under the console's sign-in."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient
from web_support import add_return

from bergen_loop.console import passwords
from bergen_loop.console.app import create_app
from bergen_loop.domain.returns import Stage
from bergen_loop.domain.rma import RmaItem, RmaRequest
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Account, Deed, Grant, Role
from bergen_loop.ledger.store import floor
from bergen_loop.ledger.tables.core import RmaRow
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
    for brand, host in (("acme", "pictures"), ("other", "other")):
        change = {"product_pictures": f"https://{host}.example/{{sku}}.jpg"}
        given.brands[brand] = given.brands[brand].model_copy(update=change)
    registry = Registry(given, sqlite_ledger, Path())
    with sqlite_ledger.write() as session:
        for name, role, brands in (
            ("ann", Role.OPERATOR, ["acme"]),
            ("eve", Role.READ_ONLY, ["acme"]),
            ("bob", Role.OPERATOR, ["other"]),
            ("flo", Role.FLOOR, ["acme"]),
        ):
            account = Account(name, Grant(role, brands), passwords.hashed(PASSWORD))
            people.add_user(Deed(session, datetime.now(UTC), "test"), account)
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


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"lines": ' + "[" * 100_000, "9" * 5000, "", "[]"]
)
def test_a_counting_that_is_none_is_refused_in_words(client: TestClient, text: str) -> None:
    sign_in(client, "ann")
    form = {"csrf": client.get("/floor/api/me").json()["csrf"], "counting": text}
    answer = client.post("/floor/api/count", data=form)
    assert (answer.status_code, answer.json()["error"]) == (422, "the counting is no JSON object")


def test_who_only_reads_does_not_count(client: TestClient) -> None:
    sign_in(client, "eve")
    assert client.get("/floor/api/me").status_code == 403


JPEG = "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8\xff\xe0 a picture").decode()
HTML = "data:image/jpeg;base64," + base64.b64encode(b"<script>alert(1)</script>").decode()


def damaged(number: str, data: str, key: str = "f" * 16) -> dict[str, object]:
    line = {"upc": "1", "counted": 0, "damaged": 1, "reasons": ["Torn"]}
    photos = [{"code": "1", "data": data}]
    return COUNTING | {"ticket": number, "key": key, "lines": [line], "photos": photos}


def a_return_of(ledger: Ledger, brand: str = "acme", po: str = "LR-1") -> None:
    """The return whose RMA has this PO."""
    pk = add_return(ledger, brand, "700", Stage.ANNOUNCED)
    with ledger.write() as session:
        session.execute(sa.update(RmaRow).where(RmaRow.return_pk == pk).values(customer_po=po))


def test_who_is_of_the_floor_counts_and_sees_no_page_of_the_console(client: TestClient) -> None:
    sign_in(client, "flo")
    assert client.get("/floor/").status_code == 200
    for path in ("/returns", "/attention", "/incidents", "/returns/acme/700/photos/1"):
        assert client.get(path).status_code == 403


def test_the_page_may_use_the_camera_and_show_pictures_of_its_brands_products(
    client: TestClient, sqlite_ledger: Ledger
) -> None:
    ticket(sqlite_ledger)
    ticket(sqlite_ledger, "other")
    sign_in(client, "ann")
    headers = client.get("/floor/").headers
    assert "camera=(self)" in headers["permissions-policy"]
    assert "img-src https://pictures.example 'self'" in headers["content-security-policy"]
    assert "other.example" not in headers["content-security-policy"]
    (found,) = client.get("/floor/api/expected").json()["tickets"]
    assert (found["brand"], found["finished"]) == ("acme", False)
    assert found["items"][0]["picture"] == "https://pictures.example/S.jpg"
    worker = client.get("/floor/sw.js")
    assert worker.headers["content-type"].startswith("text/javascript")
    assert "script-src 'self'" in worker.headers["content-security-policy"]


def test_a_photo_is_shown_as_a_picture_to_who_may_see_its_return(
    client: TestClient, sqlite_ledger: Ledger
) -> None:
    mine, others = ticket(sqlite_ledger), ticket(sqlite_ledger, "other")
    a_return_of(sqlite_ledger)
    a_return_of(sqlite_ledger, "other", "LR-9")
    sign_in(client, "ann")
    assert send(client, damaged(mine, HTML)) == (
        422, {"error": "a photo is no JPEG, PNG or WebP picture: take it again"},
    )  # fmt: skip
    assert send(client, damaged(mine, JPEG))[0] == 200
    page = client.get("/returns/acme/700").text
    shown = re.search(r'<img src="(/returns/acme/700/photos/\d+)" alt="Photo of 1: Torn"', page)
    assert shown
    address = shown[1]
    answer = client.get(address)
    assert answer.content.startswith(b"\xff\xd8")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert others
    sign_in(client, "bob")
    for path in (address, address.replace("acme", "other"), address.replace("floor", "")):
        assert client.get(path).status_code == 404, "of another brand's return"
    client.post("/logout", data={"csrf": client.get("/floor/api/me").json()["csrf"]})


def test_a_photo_that_loop_was_told_of_is_open_to_who_knows_its_address(
    client: TestClient, sqlite_ledger: Ledger
) -> None:
    number = ticket(sqlite_ledger)
    sign_in(client, "ann")
    send(client, damaged(number, JPEG))
    client.cookies.clear()
    assert client.get("/photos/" + "x" * 43).status_code == 404
    with sqlite_ledger.write() as session:
        ((address,),) = floor.give(session, "acme", ["LR-1"]).values()
    with sqlite_ledger.write() as session:
        assert floor.give(session, "acme", ["LR-1"]) == {"1": [address]}, "one address for good"
        assert floor.give(session, "other", ["LR-1"]) == {}
    answer = client.get(f"/photos/{address}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
