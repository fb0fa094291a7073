"""The JSON API: what it gives, and what it refuses."""

from __future__ import annotations

import html
import time
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from web_support import NOW, SECRETS, Desk, add_return, make_desk, plain, row_of

from bergen_loop.console.api.models import Brand, ItemPage, ReturnDetail, ReturnPage
from bergen_loop.console.problems import Code, Problem
from bergen_loop.console.rates import Rates
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import changes, listing
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import attention, returns, shipments
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


def test_an_item_is_taken_on_put_off_and_taken_back(full: Desk) -> None:
    api = full.token(Role.OPERATOR, ["acme"])
    number = api.get("/api/v1/attention?kind=access").json()["items"][0]["id"]

    def do(name: str, body: Any, key: str = "") -> tuple[int, str | None]:
        headers = {"idempotency-key": key} if key else {}
        answer = api.post(f"/api/v1/attention/{number}/{name}", json=body, headers=headers)
        return answer.status_code, answer.headers.get("idempotency-replayed")

    def item() -> AttentionRow:
        with full.ledger.read() as session:
            return session.get_one(AttentionRow, number)

    assert do("assign", {"to": " mara ", "why": "her brand"}, "a") == (200, None)
    assert do("assign", {"to": None}) == (200, None)
    assert do("assign", {"to": " mara ", "why": "her brand"}, "a") == (200, "true")
    assert item().assignee is None  # the repeat did nothing
    assert do("assign", {"to": "m\x00ra"}) == (200, None)
    assert item().assignee == "m\ufffdra"
    assert do("snooze", {"hours": 4}) == (200, None)
    assert item().snoozed_until is not None
    assert do("snooze", {"hours": 0}) == (200, None)
    assert item().snoozed_until is None
    assert do("undo", {"why": "on the list still"})[0] == 409
    assert do("ignore", {"why": "known"}) == (200, None)
    assert do("snooze", {"hours": 1})[0] == do("assign", {"to": None})[0] == 409
    assert do("undo", {"why": "not known after all"}) == (200, None)
    assert item().resolved_at is None
    for name, body in (("assign", {}), ("assign", {"to": ""}), ("snooze", {"hours": 745}),
                       ("snooze", {"hours": 1, "days": 1}), ("undo", {"why": ""})):  # fmt: skip
        assert do(name, body)[0] == 422, (name, body)
    number = 99999
    assert do("assign", {"to": None})[0] == 404


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
    assert answer.json()["errors"][0]["where"] == "body.why"
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
    assert answer.json()["code"] == "token_needed"


def test_the_description_names_every_call_with_its_refusals_and_examples(full: Desk) -> None:
    described = full.client().get("/api/v1/openapi.json").json()
    api = {p: m for p, m in described["paths"].items() if p.startswith("/api/v1/")}
    assert len(api) == 16
    for path, methods in api.items():
        for method, operation in methods.items():
            assert operation["security"] == [{"HTTPBearer": []}], path
            assert operation["summary"]
            refused = {s for s in operation["responses"] if s != "200"}
            acts = {"400", "408", "409", "413"} if method == "post" else set[str]()
            assert refused == {"401", "403", "404", "422", "429", "500", "503"} | acts
            for status in refused:
                content = operation["responses"][status]["content"]
                assert content == {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                }
            assert operation["responses"]["200"]["content"]["application/json"]["example"]


def test_the_examples_are_what_the_calls_take_and_give(full: Desk) -> None:
    paths = full.client().get("/api/v1/openapi.json").json()["paths"]
    models = {
        "/api/v1/returns": ReturnPage,
        "/api/v1/returns/{brand}/{return_id}": ReturnDetail,
        "/api/v1/attention": ItemPage,
        "/api/v1/brands/{brand}": Brand,
    }
    for path, model in models.items():
        content = paths[path]["get"]["responses"]["200"]["content"]
        model.model_validate(content["application/json"]["example"])
    with full.ledger.write() as session:
        shipments.learn(session, NOW, "acme", shipments.Heard("HRS1", None, "webhook"))
    api = full.token(Role.ENGINEER)
    for path, methods in paths.items():
        for method, operation in methods.items():
            if not path.startswith("/api/v1/"):
                continue
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            filled = path.replace("{return_id}", "102").replace("{brand}", "acme")
            filled = filled.replace("{shipment}", "HRS1")
            target = filled.replace("{item_id}", "1")
            query = {"q": "#1042"} if path.endswith("/search") else {}
            answer = api.request(method, target, json=body.get("example"), params=query)
            repeated = path.endswith(("/ignore", "/undo"))  # after a retry of the same item
            assert answer.status_code == (409 if repeated else 200), (path, answer.text)


def test_the_reference_shows_all_of_it_to_anybody(full: Desk) -> None:
    page = full.client().get("/api/v1/reference")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("http://127.0.0.1", "")  # nothing from elsewhere
    text = html.unescape(plain(page.text))
    for code in Code:
        assert f'id="{code}"' in page.text
        assert code.cure in text
    assert 'curl -X POST "http://127.0.0.1:8800/api/v1/attention/71/retry"' in text
    assert '-H "Idempotency-Key: 5f0e6c1a-retry-71"' in text
    assert "Counts parcels on the floor page, and sees nothing else." in text


# -- refusals -----------------------------------------------------------------------------------


REFUSED = [
    ("GET", "/api/v1/brands?brand=acme", 422, "invalid"),
    ("GET", "/api/v1/returns?Stage=flagged", 422, "invalid"),
    ("GET", "/api/v1/returns?stage=flagged&stage=seen", 422, "invalid"),
    ("GET", "/api/v1/returns?brand=", 422, "invalid"),
    ("GET", "/api/v1/returns?changed_since=1700000000", 422, "invalid"),
    ("GET", "/api/v1/returns?changed_since=2026-11-24T12:00:00", 422, "invalid"),
    ("GET", "/api/v1/nothing", 404, "not_found"),
    ("GET", "/api/v2", 404, "not_found"),
    ("DELETE", "/api/v1/brands", 405, "method_not_allowed"),
    ("POST", "/api/v1/attention/1/retry", 422, "invalid"),
    ("POST", "/api/v1/attention/99999/retry", 404, "not_found"),
    ("POST", "/api/v1/returns/acme/102/resync?why=x", 422, "invalid"),
]


def test_each_refusal_has_one_form_and_a_code(full: Desk) -> None:
    api = full.token(Role.ENGINEER)
    for method, target, status, code in REFUSED:
        answer = api.request(method, target, json={"why": "x"} if "99999" in target else None)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (status, code), problem
        assert answer.headers["content-type"] == "application/problem+json"
        Problem.model_validate(problem)
        assert problem["type"] == f"/api/v1/reference#{code}"
        assert problem["status"] == status
        assert problem["request_id"] == answer.headers["x-request-id"]
        assert ("errors" in problem) == (code == "invalid")


def test_what_is_wrong_is_said_where_it_is(full: Desk) -> None:
    problem = full.token().get("/api/v1/returns?limit=501").json()
    faults = {f["where"]: (f["code"], f["detail"]) for f in problem["errors"]}
    assert faults["query.limit"] == ("less_than_equal", "Input should be less than or equal to 500")
    problem = full.token().get("/api/v1/returns?stge=x").json()
    assert problem["errors"] == [
        {"where": "query.stge", "code": "unknown_parameter", "detail": "is not known here"}
    ]
    problem = full.token().post(
        "/api/v1/attention/1/retry", content=b"{", headers={"content-type": "application/json"}
    )
    assert (problem.status_code, problem.json()["code"]) == (400, "body_unreadable")


def test_a_brand_that_there_is_not_looks_like_one_that_may_not_be_seen(full: Desk) -> None:
    one, every = full.token(Role.OPERATOR, ["acme"]), full.token(Role.OPERATOR)
    asked = ("/brands/{}", "/returns?brand={}", "/attention?brand={}", "/returns/{}/1",
             "/returns/search?q=x&brand={}")  # fmt: skip
    for path in asked:
        told = [
            (a.status_code, {k: v for k, v in a.json().items() if k != "request_id"})
            for client, brand in ((one, "zebra"), (one, "nowhere"), (every, "nowhere"))
            for a in [client.get(f"/api/v1{path.format(brand)}")]
        ]
        assert told[0][0] == 404
        assert told[0] == told[1] == told[2]


def test_a_failure_is_a_problem_too_and_in_the_logs_under_its_id(
    full: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("jo@customers.example")

    monkeypatch.setattr(listing, "returns", broken)
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        answer = full.token().get("/api/v1/returns")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "customers" not in answer.text + repr(logs)
    told = {log["event"] for log in logs if log["request_id"] == answer.headers["x-request-id"]}
    assert told == {"a request failed", "api call"}


# -- how often ----------------------------------------------------------------------------------


def test_each_token_has_its_own_calls_a_minute(sqlite_ledger: Ledger) -> None:
    full = make_desk(sqlite_ledger, service={"api": {"calls_per_minute": 3}})
    now = [1000.0]
    full.app.state.console.rates = Rates(lambda: now[0])
    one, other = full.token(), full.token(Role.READ_ONLY)
    for left in (2, 1, 0):
        answer = one.get("/api/v1/brands")
        assert answer.headers["ratelimit-policy"] == '"calls";q=3;w=60'
        assert answer.headers["ratelimit"] == f'"calls";r={left};t=60'
    now[0] += 18.5
    refused = one.post("/api/v1/returns/acme/102/resync")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_calls")
    assert refused.headers["retry-after"] == "42"
    assert refused.headers["ratelimit"] == '"calls";r=0;t=42'
    assert full.nudged == []
    assert other.get("/api/v1/brands").status_code == 200
    now[0] += 42
    assert one.get("/api/v1/brands").headers["ratelimit"] == '"calls";r=2;t=60'


def test_who_tries_tokens_is_counted_too(sqlite_ledger: Ledger) -> None:
    full = make_desk(sqlite_ledger, service={"api": {"calls_per_minute": 2}})
    wrong = {"authorization": "Bearer blt_wrong"}
    told = [full.client().get("/api/v1/brands", headers=wrong).status_code for _ in range(3)]
    assert told == [401, 401, 429]
    assert full.token().get("/api/v1/brands").status_code == 200


# -- what has changed ---------------------------------------------------------------------------


def test_what_has_changed_is_told_page_by_page_and_then_from_when_to_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "SETTLED", timedelta(0))
    for n in range(5):
        add_return(desk.ledger, "acme", f"{n}")
    add_return(desk.ledger, "zebra", "z")
    api = desk.token(Role.READ_ONLY, ["acme"])

    def follow(query: dict[str, Any]) -> tuple[list[str], str]:
        found, after = list[str](), None
        while True:
            page = api.get("/api/v1/returns", params=query | ({"after": after} if after else {}))
            found += [r["return_id"] for r in page.json()["returns"]]
            after = page.json()["next"]
            if after is None:
                return found, page.json()["changed_until"]
            assert page.json()["changed_until"] is None

    first, until = follow({"changed_since": "2000-01-01T00:00:00Z", "limit": 2})
    assert first == ["0", "1", "2", "3", "4"]
    time.sleep(0.002)  # the clock of an embedded database has milliseconds
    with desk.ledger.write() as session:
        for number in ("3", "1"):
            row = returns.by_id(session, "acme", number)
            assert row is not None
            row.stage = Stage.FLAGGED
            session.flush()
            time.sleep(0.002)
    assert follow({"changed_since": until})[0] == ["3", "1"]
    assert follow({"changed_since": until, "stage": "seen"})[0] == []
    assert follow({"changed_since": "2199-01-01T00:00:00+05:00"})[0] == []


def test_an_item_that_was_resolved_is_among_what_has_changed(
    full: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "SETTLED", timedelta(0))
    api, since = full.token(), {"changed_since": "2000-01-01T00:00:00Z"}
    page = api.get("/api/v1/attention", params=since).json()
    assert len(page["items"]) == 4
    time.sleep(0.002)
    number = page["items"][0]["id"]
    api.post(f"/api/v1/attention/{number}/ignore", json={"why": "known"})
    later = api.get("/api/v1/attention", params={"changed_since": page["changed_until"]}).json()
    assert [(i["id"], i["resolution"]) for i in later["items"]] == [(number, "ignored: known")]
    assert later["items"][0]["resolved_by"].startswith("token ")
