"""The JSON API: what it gives, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from web_support import SECRETS, Desk, add_return, row_of

from bergen_loop.domain.lifecycle import Stage
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.tables.core import AttentionRow, JournalRow


def test_brands(full: Desk) -> None:
    brands = full.token(Role.READ_ONLY).get("/api/v1/brands").json()
    assert [b["brand"] for b in brands] == ["acme", "zebra"]
    acme = brands[0]
    assert (acme["mode"], acme["attention"]) == ("live", 2)
    assert acme["open_by_stage"]["announced"] == 1
    assert acme["reached_today"]["received"] == 7
    assert full.token().get("/api/v1/brands/acme").json() == acme
    assert full.token().get("/api/v1/brands/nowhere").status_code == 404


def test_returns_page_by_page(desk: Desk) -> None:
    for n in range(25):
        add_return(desk.ledger, "acme", f"{n:02}")
    api, seen, after = desk.token(Role.READ_ONLY), list[str](), None
    while True:
        query: dict[str, Any] = {"limit": 10} | ({"after": after} if after else {})
        page = api.get("/api/v1/returns", params=query).json()
        seen += [r["return_id"] for r in page["returns"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [f"{n:02}" for n in reversed(range(25))]


def test_returns_filtered(full: Desk) -> None:
    api = full.token()

    def ids(query: str) -> set[str]:
        return {r["return_id"] for r in api.get(f"/api/v1/returns?{query}").json()["returns"]}

    assert ids("stage=flagged") == {"107", "507"}
    assert ids("brand=acme&moment=4") == {"103", "104"}
    assert ids("held=true") == {"103", "503"}
    assert ids("since=9999-12-31") == set()
    assert ids("until=0001-01-01") == set()
    assert api.get("/api/v1/returns?stage=nonsense").status_code == 422
    assert api.get("/api/v1/returns?after=nonsense").status_code == 422


def test_search(full: Desk) -> None:
    page = full.token().get("/api/v1/returns/search", params={"q": "#ACME107"}).json()
    assert [r["return_id"] for r in page["returns"]] == ["107"]


def test_detail(full: Desk) -> None:
    answer = full.token(Role.READ_ONLY).get("/api/v1/returns/acme/107")
    detail = answer.json()
    assert detail["summary"]["stage"] == "flagged"
    assert [m["title"] for m in detail["moments"]][4] == "Processed or flagged in Loop"
    assert detail["decisions"][0]["note"] == "Warehouse found damage."
    assert detail["receipts"][0]["content"]["lines"][0]["actual"] == 1
    assert not any(secret in answer.text for secret in SECRETS)
    assert full.token().get("/api/v1/returns/acme/nothing").status_code == 404


def test_attention_and_its_actions(full: Desk) -> None:
    api = full.token(Role.OPERATOR, ["acme"])
    page = api.get("/api/v1/attention?limit=1").json()
    assert page["items"][0]["return_id"] == "103"
    rest = api.get(f"/api/v1/attention?after={page['next']}").json()
    assert [i["kind"] for i in rest["items"]] == ["access"]
    assert rest["next"] is None
    number = page["items"][0]["id"]
    assert api.post(f"/api/v1/attention/{number}/retry", json={"why": "again"}).json() == {
        "done": True
    }
    again = api.post(f"/api/v1/attention/{number}/retry", json={"why": "again"})
    assert again.status_code == 409
    assert "it has been resolved already, by token operator" in again.json()["detail"]
    assert again.json()["detail"].endswith(": retry: again")
    number = rest["items"][0]["id"]
    assert api.post(f"/api/v1/attention/{number}/ignore", json={"why": "known"}).status_code == 200
    assert full.nudged == ["acme", "acme"]
    with full.ledger.read() as session:
        assert attention.open_items(session, "acme") == []
        who = session.scalars(
            sa.select(JournalRow.who).where(JournalRow.what == "attention resolved")
        ).all()
    assert len(who) == 2
    assert all(w.startswith("token ") for w in who)


def test_what_text_no_database_takes_is_cleaned(full: Desk) -> None:
    api = full.token()
    with full.ledger.read() as session:
        number = attention.open_items(session, "acme")[0].id
    answer = api.post(
        f"/api/v1/attention/{number}/ignore",
        content=rb'{"why": "a\u0000b\ud800c"}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422  # half a character is no text
    assert answer.json()["detail"][0]["loc"] == ["body", "why"]
    answer = api.post(f"/api/v1/attention/{number}/ignore", json={"why": "a\x00b"})
    assert answer.status_code == 200
    with full.ledger.read() as session:
        item = session.get_one(AttentionRow, number)
    assert item.resolution == "ignored: a\ufffdb"


def test_resync_and_note(full: Desk) -> None:
    api = full.token(Role.BRAND_SUPPORT, ["acme"])
    assert api.post("/api/v1/returns/acme/102/resync").json() == {"done": True}
    answer = api.post("/api/v1/returns/acme/102/notes", json={"text": "Called the customer"})
    assert answer.json() == {"done": True}
    assert row_of(full.ledger, "acme", "102").stage == Stage.ANNOUNCED
    assert api.post("/api/v1/returns/acme/102/notes", json={"text": " "}).status_code == 409
    assert api.post("/api/v1/returns/acme/102/notes", json={"text": "x" * 255}).status_code == 422


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer blt_wrong", "Basic eDp5", "bearer \xff"]
)
def test_no_token_no_answer(full: Desk, header: str) -> None:
    headers = [(b"authorization", header.encode("latin-1"))] if header else []
    answer = full.client().get("/api/v1/brands", headers=headers)
    assert answer.status_code == 401
    assert "detail" in answer.json()


def test_the_description_names_every_call_and_its_refusals(full: Desk) -> None:
    paths = full.client().get("/api/v1/openapi.json").json()["paths"]
    api = {p: m for p, m in paths.items() if p.startswith("/api/v1/")}
    assert len(api) == 10
    for path, methods in api.items():
        for operation in methods.values():
            assert operation["security"] == [{"HTTPBearer": []}], path
            assert {"200", "401", "404"} <= set(operation["responses"]), path
            assert operation["summary"]
